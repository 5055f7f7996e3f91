"""What the courtroom hears of the others, to the recorder's speaker child: the other end of ``<run>/room-out.sock``."""

import asyncio
import contextlib

from recorder.contract import ingest
from recorder.contract.framing import pack
from vks.mixing import Block

RETRY_S = 0.5
MOST_WAITING_BYTES = 64 * 1024
"""What the room would hear more than half a second late is dropped."""


class RoomOut:
    """The way to the loudspeakers.

    Args:
        run_dir: where the recorder's sockets are.
    """

    def __init__(self, run_dir: str) -> None:
        self._path = f"{run_dir}/room-out.sock"
        self._writer: asyncio.StreamWriter | None = None

    def play(self, block: Block, mono_us: int) -> None:
        """Send a block; dropped where nobody takes it."""
        writer = self._writer
        if writer is not None and not writer.is_closing() and writer.transport.get_write_buffer_size() < MOST_WAITING_BYTES:
            writer.write(pack(ingest.encoder.encode(ingest.RoomOut(mono_us=mono_us)), block.tobytes()))

    async def run(self) -> None:
        """Keep the connection until cancelled."""
        while True:
            with contextlib.suppress(OSError):
                reader, self._writer = await asyncio.open_unix_connection(self._path)
                try:
                    await reader.read()  # the speaker says nothing; it ends when its device does
                finally:
                    self._writer.close()
                    self._writer = None
            await asyncio.sleep(RETRY_S)
