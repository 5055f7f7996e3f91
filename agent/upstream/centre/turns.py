"""Whose turn it is where one thing is done at a time: rooms come in turn, so that no room with much to do holds up all others."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """One at a time; of each room that waits one, then of the next room."""

    def __init__(self) -> None:
        self._busy = False
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        """The rooms in the order of their turns, and who waits of each."""

    @asynccontextmanager
    async def of(self, room: str) -> AsyncIterator[None]:
        """Wait for a turn of this room, and have it."""
        if self._busy:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.setdefault(room, deque()).append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():  # it had come just then
                    self._next()
                raise
        self._busy = True
        try:
            yield
        finally:
            self._next()

    def _next(self) -> None:
        while self._waiting:
            room = next(iter(self._waiting))
            waiting = self._waiting.pop(room)
            turn = waiting.popleft()
            if waiting:
                self._waiting[room] = waiting  # behind all others
            if not turn.done():
                turn.set_result(None)
                return
        self._busy = False
