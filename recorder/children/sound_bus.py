"""Serves sound on the media bus from a child's own loop: a reader that does not read loses whole packets, within a bounded queue."""

import os
import socket
import struct
from pathlib import Path

from recorder.children.socket_loop import SocketLoop
from recorder.contract import bus
from recorder.contract.framing import pack

QUEUE_BYTES = 128 * 1024
MOST_READERS = 32
_READ_BYTES = 4096


class _Reader:
    """One reader: what could not be sent to it yet."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.waiting = bytearray()


class SoundBus:
    """One stream.

    Args:
        loop: the child's.
        run_dir: where the bus lies.
        hello: what the stream is; its name names the socket.
        uids: users who may read, besides our own and root.

    """

    def __init__(self, loop: SocketLoop, run_dir: str, hello: bus.Hello, uids: list[int]) -> None:
        self._loop = loop
        self._hello = pack(bus.encoder.encode(hello))
        self._uids = {0, os.getuid(), *uids}
        self._readers: list[_Reader] = []
        self._sequence = 0
        path = Path(bus.socket_path(run_dir, hello.stream))
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        path.chmod(0o660)
        self._listener.listen(MOST_READERS)
        self._listener.setblocking(False)
        loop.watch(self._listener, self._accept)

    @property
    def read(self) -> bool:
        """Whether anyone reads."""
        return bool(self._readers)

    def publish(self, mono_us: int, dur_us: int, data: bytes) -> None:
        """Serve a packet. A reader whose queue is full misses it and sees that in the next sequence."""
        frame = pack(bus.encoder.encode(bus.Packet(sequence=self._sequence, mono_us=mono_us, dur_us=dur_us, key=True)), data)
        self._sequence += 1
        for reader in list(self._readers):
            self._send(reader, frame)

    def wipe(self) -> None:
        """Disconnect all readers, so that nothing of before waits in a queue of ours or of the kernel."""
        for reader in list(self._readers):
            self._drop(reader)

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except BlockingIOError:
            return
        _, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        if uid not in self._uids or len(self._readers) >= MOST_READERS:
            sock.close()
            return
        sock.setblocking(False)
        reader = _Reader(sock)
        self._readers.append(reader)
        self._loop.watch(sock, lambda: self._readable(reader))
        self._send(reader, self._hello)

    def _readable(self, reader: _Reader) -> None:
        """Take a reader's end; what it says (a keyframe is wanted) means nothing to sound."""
        try:
            data = reader.sock.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        if not data:
            self._drop(reader)

    def _send(self, reader: _Reader, frame: bytes) -> None:
        if len(reader.waiting) + len(frame) <= QUEUE_BYTES:
            reader.waiting += frame
        try:
            del reader.waiting[: reader.sock.send(reader.waiting)]
        except BlockingIOError:
            return
        except ConnectionError:
            self._drop(reader)

    def _drop(self, reader: _Reader) -> None:
        if reader in self._readers:
            self._readers.remove(reader)
            self._loop.unwatch(reader.sock)
            reader.sock.close()
