"""The single thread of a child whose devices are sockets: it waits for the core's link and for its own sockets at once."""

import selectors
import socket
import time
from collections.abc import Callable, Iterable

from recorder.children.sandbox import die_with_parent
from recorder.contract import child
from recorder.contract.framing import FrameReader, pack

_READ_BYTES = 256 * 1024
TICK_S = 0.05


def now_us() -> int:
    """CLOCK_MONOTONIC in microseconds."""
    return time.monotonic_ns() // 1000


class SocketLoop:
    """Waits, hands over the core's messages, and ends when the link closes.

    Args:
        on_message: takes each message of the core.
        on_tick: called about every ``TICK_S``.
        link: the core's link; by default descriptor 3.

    """

    def __init__(self, on_message: Callable[[child.Message], None], on_tick: Callable[[], None], link: socket.socket | None = None) -> None:
        die_with_parent()
        self._link = link or socket.socket(fileno=child.LINK_FD)
        self._link.setblocking(True)
        self._on_message = on_message
        self._on_tick = on_tick
        self._frames = FrameReader()
        self._selector = selectors.DefaultSelector()
        self._open = True
        self.watch(self._link, self._from_core)

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

    def run(self) -> None:
        """Wait and hand over until the link closes."""
        next_tick_s = 0.0
        while self._open:
            for key, _ in self._selector.select(max(0.0, next_tick_s - time.monotonic())):
                if self._selector.get_map().get(key.fd) is key:  # one callback may close what another was to read
                    key.data()
            if time.monotonic() >= next_tick_s:
                next_tick_s = time.monotonic() + TICK_S
                self._on_tick()

    def _from_core(self) -> None:
        try:
            data = self._link.recv(_READ_BYTES)
        except ConnectionError:
            data = b""
        if not data:
            self._open = False
            return
        for head, _ in self._frames.feed(data):
            self._on_message(child.to_child.decode(head))
