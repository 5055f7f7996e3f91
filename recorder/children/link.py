"""A child's end of the link to the core, for children whose main thread waits for a device.

A thread of its own reads the core's messages into a queue; it also answers ``Mute`` at once, so that a device that gives nothing cannot
delay the answer: the flag it sets is looked at before each thing that the device gives. When the core is gone the child ends.
"""

import os
import queue
import socket
import threading
import time

from recorder.children.sandbox import die_with_parent
from recorder.contract import child
from recorder.contract.framing import FrameReader, pack

_READ_BYTES = 64 * 1024


def now_us() -> int:
    """CLOCK_MONOTONIC in microseconds."""
    return time.monotonic_ns() // 1000


class Link:
    """The link; ``send`` may be called from any thread."""

    def __init__(self, sock: socket.socket | None = None) -> None:
        die_with_parent()
        self._socket = sock or socket.socket(fileno=child.LINK_FD)
        self._sending = threading.Lock()
        self._queue: queue.SimpleQueue[child.ToChild] = queue.SimpleQueue()
        self.muted = threading.Event()
        """While this is set nothing that the device gives may go anywhere."""
        threading.Thread(target=self._read, name="link", daemon=True).start()

    def send(self, message: child.Message, body: bytes = b"") -> None:
        """Say something to the core; the child ends where the core is gone."""
        try:
            with self._sending:
                self._socket.sendall(pack(child.encoder.encode(message), body))
        except ConnectionError:
            os._exit(0)

    def wait(self) -> child.ToChild:
        """The next message."""
        return self._queue.get()

    def take(self) -> list[child.ToChild]:
        """The messages that have come."""
        taken: list[child.ToChild] = []
        while not self._queue.empty():
            taken.append(self._queue.get())
        return taken

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
                message = child.to_child.decode(head)
                if isinstance(message, child.Mute):
                    if message.on:
                        self.muted.set()
                    else:
                        self.muted.clear()
                    self._queue.put(message)
                    self.send(child.Muted(on=message.on, at_mono_us=now_us()))
                else:
                    self._queue.put(message)
