"""The courtroom's own pictures and sound, from the recorder's media bus, for as long as the stream is there and somebody wants it.

A stream that ends, because its device is gone or because the room is closed to the outside, is connected to again for as long as it takes.
"""

import asyncio
import contextlib
from collections.abc import Callable

import numpy as np
import structlog

from recorder.contract.bus_client import AsyncBusClient, BusEndedError
from vks.forwarding import MOST_GOP_BYTES, Feed
from vks.h264_payloads import nal_units
from vks.mixing import Block
from vks.times import mono_us

log = structlog.get_logger()

RETRY_S = 0.5
WANTED_CHECK_S = 0.1
LINGER_US = 10_000_000
"""A stream is read for so long after nobody watches it any more: who tries the large picture in vain finds the small one as it was. One
that is made of another takes the room a second to begin."""
MIX = "room-mix.pcm"
_AVCC = b"\x01"
"""So begins the description of a stream whose units have lengths instead of start codes (ISO/IEC 14496-15): no camera gives one."""


class RoomPicture:
    """One stream of pictures on the bus as a feed; it is read while the feed is watched, and a while after: then alone it is encoded.

    The bus begins with the group of pictures that is under way, which may be seconds old and half a megabyte: to a viewer it goes only
    where it is short enough for any joiner, else he begins with the next keyframe. It would fill a slow link's queue several times over.

    Args:
        run_dir: where the recorder's sockets are.
        stream: its name there.
    """

    def __init__(self, run_dir: str, stream: str) -> None:
        self._run_dir = run_dir
        self._stream = stream
        self._client: AsyncBusClient | None = None
        self.feed = Feed(self._request_keyframe)

    async def run(self) -> None:
        """Serve the feed until cancelled."""
        while True:
            if self.feed.watched:
                with contextlib.suppress(BusEndedError):
                    await self._read()
                self.feed.forget()
                await asyncio.sleep(RETRY_S)
            else:
                await asyncio.sleep(WANTED_CHECK_S)

    async def _read(self) -> None:
        begun_us, lost = mono_us(), 0
        self._client = client = await AsyncBusClient.connect(self._run_dir, self._stream)
        try:
            if client.hello.codec != "h264" or not client.hello.forwardable or client.hello.extradata[:1] == _AVCC:
                log.warning("this stream is not shown: browsers do not take it", stream=self._stream, codec=client.hello.codec)
                return
            self.feed.describe(client.hello.extradata)
            past, past_bytes = list[tuple[int, bytes]](), 0
            watched_us = mono_us()
            while self.feed.watched or mono_us() - watched_us < LINGER_US:
                watched_us = mono_us() if self.feed.watched else watched_us
                packet, body = await client.read()
                if client.lost != lost:
                    lost = client.lost
                    self.feed.forget()
                if packet.mono_us < begun_us:
                    past, past_bytes = ([], 0) if packet.key else (past, past_bytes)
                    past_bytes += len(body)
                    past = [*past, (packet.mono_us, body)] if past_bytes <= MOST_GOP_BYTES else []
                    continue
                if past_bytes > MOST_GOP_BYTES:
                    self._request_keyframe()
                for taken_us, picture in [*past, (packet.mono_us, body)]:
                    self.feed.take(nal_units(picture), taken_us, mono_us())
                past, past_bytes, begun_us = [], 0, 0
        finally:
            self._client = None
            await client.close()

    def _request_keyframe(self) -> None:
        if self._client is not None:
            self._client.request_keyframe()


class RoomSound:
    """What the courtroom's microphones give together.

    Args:
        run_dir: where the recorder's sockets are.
        take: gets each block.
        silent: is called where the stream ends.
    """

    def __init__(self, run_dir: str, take: Callable[[Block], None], silent: Callable[[], None]) -> None:
        self._run_dir = run_dir
        self._take = take
        self._silent = silent

    async def run(self) -> None:
        """Hand blocks on until cancelled."""
        while True:
            with contextlib.suppress(BusEndedError):
                client = await AsyncBusClient.connect(self._run_dir, MIX)
                try:
                    while True:
                        _, body = await client.read()
                        self._take(np.frombuffer(body, np.int16))
                finally:
                    await client.close()
            self._silent()
            await asyncio.sleep(RETRY_S)
