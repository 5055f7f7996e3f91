"""The state of all rooms as the centre knows it, with what is wrong there: what the page and `GET /v1/rooms` show."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import msgspec

from agent.upstream import contract
from agent.upstream.centre.backend import Backend
from agent.upstream.centre.flags import CONTRADICTION_US, LOOK_BACK_US, Limits, Told, Wrong, codes, is_looked_for, judge

KEPT_S = 1.0
"""However many ask, all is computed once in so long a time."""
_MOST = 5_000


@dataclass(frozen=True, slots=True)
class RoomView:
    """A room, and what is wrong there, the worst first."""

    state: contract.RoomState
    wrongs: tuple[Wrong, ...]


class Overview:
    """Computes it over a backend.

    Args:
        backend: schedule, events, heartbeats.
        limits: from when on something is wrong.
        now_utc_us: the centre's clock.
        is_archive_short: whether records are not taken for want of room.
    """

    def __init__(
        self, backend: Backend, limits: Limits, now_utc_us: Callable[[], int], is_archive_short: Callable[[], Awaitable[bool]] | None = None
    ) -> None:
        self._is_archive_short = is_archive_short
        self._backend = backend
        self._limits = limits
        self._now_utc_us = now_utc_us
        self._awake_utc_us = now_utc_us()
        self._told = Told()
        self._number = self._restored = 0
        self._lock = asyncio.Lock()
        self._views: Sequence[RoomView] = ()
        self._until_s = 0.0

    async def rooms(self, *, fresh: bool = False) -> Sequence[RoomView]:
        """All rooms by their ids; at most ``KEPT_S`` old, or ``fresh``."""
        async with self._lock:
            if fresh or time.monotonic() >= self._until_s:
                self._views = await self._look()
                self._until_s = time.monotonic() + KEPT_S
            return self._views

    async def is_archive_short(self) -> bool:
        """Whether the centre takes no record, because its disk is nearly full."""
        return self._is_archive_short is not None and await self._is_archive_short()

    async def _look(self) -> Sequence[RoomView]:
        backend, now_us = self._backend, self._now_utc_us()
        back_us = now_us - LOOK_BACK_US
        if backend.events.restored != self._restored:
            self._told, self._number, self._restored = Told(), 0, backend.events.restored
        while taken := await backend.events.notable(back_us, self._number, _MOST):
            for event in taken:
                self._told.take(event)
            self._number = taken[-1].number
        self._told.forget(back_us)
        hearings = await backend.plan.starting(back_us, now_us)
        contradictions = await backend.ledger.contradictions(now_us - CONTRADICTION_US)
        # Heartbeats last: a hearing must not look late for one that came before its session was told.
        states = _with_looked_for(await backend.registry.rooms(), hearings, now_us)
        wrongs = judge(states, hearings, self._told, contradictions, self._limits, awake_utc_us=self._awake_utc_us, now_utc_us=now_us)
        return [RoomView(msgspec.structs.replace(state, flags=codes(wrongs[state.room])), tuple(wrongs[state.room])) for state in states]


def _with_looked_for(
    states: Sequence[contract.RoomState], changes: Sequence[contract.Change], now_utc_us: int
) -> Sequence[contract.RoomState]:
    """And the rooms that were forgotten at the moment in which a hearing was planned there: none is missed unseen."""
    rooms = {change.hearing.room for change in changes if is_looked_for(change.hearing, now_utc_us)}
    unlisted = rooms - {state.room for state in states}
    unheard = [contract.RoomState(room=room, heard_utc_us=None, heartbeat=None) for room in unlisted]
    return sorted([*states, *unheard], key=lambda state: state.room)
