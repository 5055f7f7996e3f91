"""A child's side of the media bus: serves its streams to readers that may be slow, or dead, without ever waiting for one."""

import contextlib
import os
import selectors
import socket
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

import msgspec

from recorder.children.local_socket import accept, listen
from recorder.contract import bus
from recorder.contract.framing import FrameError, FrameReader, pack

QUEUE_PACKETS = 512
QUEUE_BYTES = 4 * 1024 * 1024
GOP_BYTES = QUEUE_BYTES
"""A group of pictures over this size is not kept for joiners."""
_BACKLOG = 16


class _Reader:
    def __init__(self, sock: socket.socket, stream: "BusStream") -> None:
        self.sock = sock
        self.stream = stream
        self.queue: deque[bytes] = deque()
        self.queued_bytes = 0
        self.sending: memoryview | None = None
        self.await_key = False
        self.told: bus.Hello | None = None
        self.frames = FrameReader(max_body_bytes=0)

    def offer(self, frame: bytes, *, key: bool) -> None:
        """Queue a frame; where the reader is too slow all that waits is dropped, and it goes on at the next keyframe."""
        if self.told is None or (self.await_key and not key):
            return
        self.await_key = False
        if len(self.queue) >= QUEUE_PACKETS or self.queued_bytes + len(frame) > QUEUE_BYTES:
            self.skip()
            if not key:
                self.await_key = True
                return
        self.queue.append(frame)
        self.queued_bytes += len(frame)

    def tell(self, hello: bus.Hello) -> None:
        """Send the stream's description, before anything else."""
        self.told = hello
        self.sending = memoryview(pack(bus.encoder.encode(hello)))

    def skip(self) -> None:
        """Forget the packets that wait."""
        self.queue.clear()
        self.queued_bytes = 0


class BusStream:
    """One stream; made by ``BusServer.stream``."""

    def __init__(self, server: "BusServer", hello: bus.Hello, on_keyframe: Callable[[], None] | None, *, described: bool) -> None:
        self.hello = hello
        self.described = described
        self.on_keyframe = on_keyframe
        self._server = server
        self._sequence = 0
        self._gop: list[bytes] = []
        self._gop_bytes = 0
        self.readers: list[_Reader] = []

    @property
    def watched(self) -> bool:
        """Whether anybody reads."""
        return bool(self.readers)

    @property
    def watching(self) -> "list[_Reader]":
        """Who reads now."""
        with self._server.lock:
            return list(self.readers)

    @property
    def begun(self) -> bool:
        """Whether a joiner can begin with pictures that are kept."""
        return bool(self._gop)

    def publish(self, mono_us: int, dur_us: int, *, key: bool, data: bytes) -> None:
        """Hand a packet to all readers; returns at once."""
        head = bus.Packet(sequence=self._sequence, mono_us=mono_us, dur_us=dur_us, key=key)
        self._sequence += 1
        if not self.readers and self.hello.kind == "audio":
            return  # only pictures are kept for joiners
        frame = pack(bus.encoder.encode(head), data)
        with self._server.lock:
            if self.hello.kind == "video":
                if key:
                    self._gop, self._gop_bytes = [], 0
                if (self._gop or key) and self._gop_bytes + len(frame) <= GOP_BYTES:
                    self._gop.append(frame)
                    self._gop_bytes += len(frame)
                elif not key:
                    self._gop, self._gop_bytes = [], 0
            for reader in self.readers:
                reader.offer(frame, key=key)
        if self.readers:
            self._server.wake()

    def describe(self, hello: bus.Hello) -> None:
        """Set what readers are told first, once the codec's parameters are known; one that was told otherwise must come again."""
        with self._server.lock:
            self.hello, self.described = hello, True
            for reader in list(self.readers):
                if reader.told is None:
                    reader.tell(hello)
                elif reader.told != hello:
                    self._server.drop(reader)
        self._server.wake()

    def join(self, reader: _Reader) -> None:
        """A reader comes: the description, then the group of pictures that is under way (holding the server's lock)."""
        if self.described:
            reader.tell(self.hello)
            reader.queue.extend(self._gop)
            reader.queued_bytes = self._gop_bytes
        reader.await_key = self.hello.kind == "video" and not self._gop
        self.readers.append(reader)

    def forget(self) -> None:
        """Forget the group of pictures that is kept for joiners: none of its pictures will follow."""
        with self._server.lock:
            self._gop, self._gop_bytes = [], 0
            for reader in self.readers:
                reader.await_key = self.hello.kind == "video"

    def disconnect(self) -> None:
        """Send all readers away: the stream's source is gone."""
        self.forget()
        self.send_away(self.watching)

    def send_away(self, readers: "list[_Reader]") -> None:
        """End these readers' connections, where they have not left already."""
        with self._server.lock:
            for reader in readers:
                self._server.drop(reader)

    def wipe(self) -> None:
        """Forget all media that waits or is kept (holding the server's lock); who has half a packet is sent away, as the rest is gone."""
        self._gop, self._gop_bytes = [], 0
        for reader in list(self.readers):
            reader.skip()
            if reader.sending is not None:
                self._server.drop(reader)
            reader.await_key = self.hello.kind == "video"


class BusServer:
    """Serves any number of streams from one thread."""

    def __init__(self, run_dir: str, uids: list[int]) -> None:
        self.lock = threading.Lock()
        self._run_dir = run_dir
        self._uids = {0, os.geteuid(), *uids}
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        self._wake_write.setblocking(False)
        self._selector.register(self._wake_read, selectors.EVENT_READ, None)
        self._streams: list[BusStream] = []
        threading.Thread(target=self._run, name="bus", daemon=True).start()

    def stream(self, hello: bus.Hello, on_keyframe: Callable[[], None] | None = None, *, described: bool = True) -> BusStream:
        """Serve a stream.

        Args:
            hello: its description.
            on_keyframe: called (in the bus's thread) when a reader asks for a keyframe, or comes and there is none to begin with.
            described: False where the description lacks the codec's parameters until ``describe`` gives them; readers wait for it.
        """
        made = BusStream(self, hello, on_keyframe, described=described)
        path = Path(bus.socket_path(self._run_dir, hello.stream))
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        listener = listen(path, 0o660, _BACKLOG)
        with self.lock:
            self._streams.append(made)
            self._selector.register(listener, selectors.EVENT_READ, (listener, made))
        self.wake()
        return made

    def wipe(self) -> None:
        """Forget all media of all streams."""
        with self.lock:
            for stream in self._streams:
                stream.wipe()

    def disconnect_all(self) -> None:
        """Send the readers of all streams away, with what waits for them."""
        for stream in self._streams:
            stream.disconnect()

    def drop(self, reader: _Reader) -> None:
        """Close a reader's connection (holding the lock)."""
        if reader not in reader.stream.readers:
            return
        reader.stream.readers.remove(reader)
        self._selector.unregister(reader.sock)
        reader.sock.close()

    def wake(self) -> None:
        """Let the thread look at its queues."""
        with contextlib.suppress(BlockingIOError):
            self._wake_write.send(b"\0")

    def _run(self) -> None:
        while True:
            for key, events in self._selector.select():
                if key.data is None:
                    with contextlib.suppress(BlockingIOError):
                        self._wake_read.recv(4096)
                    with self.lock:
                        for stream in self._streams:
                            for reader in list(stream.readers):
                                self._write(reader)
                elif isinstance(key.data, _Reader):
                    self._serve(key.data, events)
                else:
                    self._accept(*key.data)

    def _accept(self, listener: socket.socket, stream: BusStream) -> None:
        accepted = accept(listener)
        if accepted is None:
            return
        sock, uid = accepted
        if uid not in self._uids:
            sock.close()
            return
        reader = _Reader(sock, stream)
        with self.lock:
            stream.join(reader)
            self._selector.register(sock, selectors.EVENT_READ, reader)
            self._write(reader)
            begun = stream.begun
        if stream.on_keyframe is not None and not begun:
            stream.on_keyframe()

    def _serve(self, reader: _Reader, events: int) -> None:
        asked = False
        with self.lock:
            if reader not in reader.stream.readers:
                return  # it was dropped after the selector had named it
            if events & selectors.EVENT_READ:
                try:
                    data = reader.sock.recv(4096)
                    asked = bool([bus.from_reader.decode(head) for head, _ in reader.frames.feed(data)])
                except (ConnectionError, FrameError, msgspec.DecodeError):
                    data = b""
                if not data:
                    self.drop(reader)
                    return
            if events & selectors.EVENT_WRITE:
                self._write(reader)
        if asked and reader.stream.on_keyframe is not None:
            reader.stream.on_keyframe()

    def _write(self, reader: _Reader) -> None:
        """Send what can be sent without waiting (holding the lock)."""
        try:
            while True:
                if reader.sending is None:
                    if not reader.queue:
                        self._want(reader, selectors.EVENT_READ)
                        return
                    frame = reader.queue.popleft()
                    reader.queued_bytes -= len(frame)
                    reader.sending = memoryview(frame)
                sent = reader.sock.send(reader.sending)
                reader.sending = reader.sending[sent:] if sent < len(reader.sending) else None
        except BlockingIOError:
            self._want(reader, selectors.EVENT_READ | selectors.EVENT_WRITE)
        except ConnectionError:
            self.drop(reader)

    def _want(self, reader: _Reader, events: int) -> None:
        self._selector.modify(reader.sock, events, reader)
