"""A child's end of the link to the core, for children whose main thread waits for a device.

A thread of its own reads the core's messages into a queue. When the core is gone the child ends; nothing else ends it, least of all the
signals that a terminal or a service manager sends to the whole group: the core stops its children when it has what they hold.
"""

import os
import queue
import signal
import socket
import threading
import time

from recorder.children.sandbox import die_with_parent
from recorder.contract import child
from recorder.contract.framing import FrameReader, pack
from recorder.heap import share_heap

_READ_BYTES = 64 * 1024


def now_us() -> int:
    """CLOCK_MONOTONIC in microseconds."""
    return time.monotonic_ns() // 1000


class Link:
    """The link; ``send`` may be called from any thread."""

    def __init__(self, sock: socket.socket | None = None) -> None:
        die_with_parent()
        share_heap()
        for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(ignored, signal.SIG_IGN)
        self._socket = sock or socket.socket(fileno=child.LINK_FD)
        self._sending = threading.Lock()
        self._queue: queue.SimpleQueue[child.ToChild] = queue.SimpleQueue()
        threading.Thread(target=self._read, name="link", daemon=True).start()

    def send(self, message: child.Message, body: bytes = b"") -> None:
        """Say something to the core; the child ends where the core is gone."""
        try:
            with self._sending:
                self._socket.sendall(pack(child.encoder.encode(message), body))
        except ConnectionError:
            os._exit(0)

    def wait(self, timeout_s: float | None = None) -> child.ToChild | None:
        """The next message; None when none came in time."""
        try:
            return self._queue.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def _read(self) -> None:
        frames = FrameReader()
        while True:
            try:
                data = self._socket.recv(_READ_BYTES)
            except ConnectionError:
                data = b""
            if not data:
                os._exit(0)
            for head, _ in frames.feed(data):
                self._queue.put(child.to_child.decode(head))
