"""The single thread of a child whose devices are sockets: it waits for the core's link and for its own sockets at once."""

import selectors
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol

from recorder.children.local_socket import SocketError
from recorder.children.sandbox import die_with_parent
from recorder.contract import child
from recorder.contract.framing import FrameReader, pack
from recorder.heap import share_heap

_READ_BYTES = 256 * 1024
TICK_S = 0.05


def now_us() -> int:
    """CLOCK_MONOTONIC in microseconds."""
    return time.monotonic_ns() // 1000


class Served(Protocol):
    """What a child makes of itself when it knows its configuration."""

    def obey(self, message: child.ToChild) -> None:
        """Take a message of the core."""

    def tick(self) -> None:
        """Do what is due; called about every ``TICK_S``."""


class SocketLoop:
    """Waits, hands over the core's messages, and ends when the link closes.

    Args:
        link: the core's link; by default descriptor 3.

    """

    def __init__(self, link: socket.socket | None = None) -> None:
        die_with_parent()
        share_heap()
        self._link = link or socket.socket(fileno=child.LINK_FD)
        self._link.setblocking(True)
        self._frames = FrameReader()
        self._came: deque[child.ToChild] = deque()
        self._selector = selectors.DefaultSelector()
        self._open = True
        self.watch(self._link, self._from_core)

    def configuration(self) -> child.Configure | None:
        """Wait for the core's first message, which says who the child is; None where the core is gone, or said something else."""
        while self._open and not self._came:
            self._from_core()
        first = self._came.popleft() if self._came else None
        return first if isinstance(first, child.Configure) else None

    def watch(self, sock: socket.socket, when_readable: Callable[[], None]) -> None:
        """Call a function whenever the socket can be read."""
        self._selector.register(sock, selectors.EVENT_READ, when_readable)

    def unwatch(self, sock: socket.socket) -> None:
        """Forget a socket."""
        self._selector.unregister(sock)

    def send(self, message: child.Message, body: bytes = b"") -> None:
        """Say something to the core; waits while it does not read."""
        try:
            self._link.sendall(pack(child.encoder.encode(message), body))
        except ConnectionError:
            self._open = False

    def send_all(self, messages: Iterable[tuple[child.Message, bytes]]) -> None:
        """Say what a track made."""
        for message, body in messages:
            self.send(message, body)

    def end(self) -> None:
        """Leave ``run`` after this round."""
        self._open = False

    def run(self, served: Served) -> None:
        """Wait and hand over until the link closes."""
        next_tick_s = 0.0
        while self._open:
            while self._came:
                served.obey(self._came.popleft())
            for key, _ in self._selector.select(max(0.0, next_tick_s - time.monotonic())):
                if self._selector.get_map().get(key.fd) is key:  # one callback may close what another was to read
                    key.data()
            if time.monotonic() >= next_tick_s:
                next_tick_s = time.monotonic() + TICK_S
                served.tick()

    def _from_core(self) -> None:
        try:
            data = self._link.recv(_READ_BYTES)
        except ConnectionError:
            data = b""
        if not data:
            self._open = False
            return
        self._came += [child.to_child.decode(head) for head, _ in self._frames.feed(data)]


def serve(make: Callable[[SocketLoop, child.Configure], Served]) -> None:
    """A child's life: made as its configuration says, it runs until the core closes the link."""
    loop = SocketLoop()
    configure = loop.configuration()
    if configure is None:
        return
    try:
        made = make(loop, configure)
    except SocketError as error:
        loop.send(child.SourceLost(cause="error", detail=str(error.strerror)))
        return
    loop.run(made)
