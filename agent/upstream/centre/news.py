"""Wakes those who wait for news of a room or of events, within one process."""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class LocalNews:
    """``News`` of one process."""

    def __init__(self) -> None:
        self._rooms: dict[str, set[asyncio.Event]] = {}
        self._events: set[asyncio.Event] = set()

    def tell_rooms(self, rooms: Iterable[str]) -> None:
        """Something new is there for these rooms."""
        for room in rooms:
            for waiting in self._rooms.get(room, ()):
                waiting.set()

    def tell_events(self) -> None:
        """Events were taken."""
        for waiting in self._events:
            waiting.set()

    @contextmanager
    def room(self, room: str) -> Iterator[asyncio.Event]:
        """News for a room."""
        waiting = asyncio.Event()
        self._rooms.setdefault(room, set()).add(waiting)
        try:
            yield waiting
        finally:
            self._rooms[room].discard(waiting)
            if not self._rooms[room]:
                del self._rooms[room]

    @contextmanager
    def events(self) -> Iterator[asyncio.Event]:
        """Events were taken."""
        waiting = asyncio.Event()
        self._events.add(waiting)
        try:
            yield waiting
        finally:
            self._events.discard(waiting)
