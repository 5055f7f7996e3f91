"""What a front holds of the plan's stream: hearings that are to come or changed lately, by room and by day. Pure.

Hearings that ended and last changed before ``HELD_US`` are forgotten. A room that knows less than the last of those is given a snapshot,
which leaves them out as well.
"""

from collections.abc import Iterator, Sequence

import msgspec

from agent.upstream import contract
from agent.upstream.centre.backend import SNAPSHOT_BACK_US
from agent.upstream.centre.decisions import wants_snapshot

DAY_US = 86_400 * 1_000_000
HELD_US = SNAPSHOT_BACK_US + DAY_US


class Planned(msgspec.Struct, frozen=True):
    """A hearing as the stream has it: who planned it, the rooms that it is or was in, and when that was stored."""

    hearing: contract.Hearing
    source: str
    rooms: list[str]
    utc_us: int


class PlanView:
    """The stream's messages, applied in their order. An offset is a message's number."""

    def __init__(self) -> None:
        self.floor = 0
        """The highest offset that was forgotten."""
        self._hearings: dict[str, tuple[int, Planned]] = {}
        self._by_room: dict[str, dict[str, None]] = {}
        self._by_day: dict[int, dict[str, None]] = {}
        self._last: dict[str, int] = {}

    def clear(self) -> None:
        """Forget all."""
        self.floor = 0
        for held in (self._hearings, self._by_room, self._by_day, self._last):
            held.clear()

    def apply(self, offset: int, planned: Planned, now_utc_us: int) -> None:
        """Take the next message."""
        self._drop(planned.hearing.id)
        if self._is_old(planned, now_utc_us):
            self.floor = max(self.floor, offset)
            return
        name = planned.hearing.id
        self._hearings[name] = (offset, planned)
        for room in planned.rooms:
            self._by_room.setdefault(room, {})[name] = None
            self._last[room] = offset
        self._by_day.setdefault(planned.hearing.starts_utc_us // DAY_US, {})[name] = None

    def get(self, hearing: str) -> tuple[int, Planned] | None:
        """A hearing that is held, with its offset."""
        return self._hearings.get(hearing)

    def feed(self, room: str, after: int, as_of: int, now_utc_us: int) -> contract.Feed:
        """What a room must know."""
        if wants_snapshot(after, as_of) or 0 < after < self.floor:
            since_us = now_utc_us - SNAPSHOT_BACK_US
            held = [planned.hearing for _, planned in self._of_room(room) if planned.hearing.ends_utc_us >= since_us]
            return contract.Feed(as_of=as_of, snapshot=contract.Snapshot(as_of=as_of, hearings=held))
        if after >= self._last.get(room, 0):
            return contract.Feed(as_of=as_of)
        changed = sorted((offset, planned) for offset, planned in self._of_room(room) if offset > after)
        return contract.Feed(as_of=as_of, changes=[contract.Change(offset=offset, hearing=planned.hearing) for offset, planned in changed])

    def starting(self, from_utc_us: int, to_utc_us: int, source: str | None) -> Sequence[contract.Change]:
        """Hearings that are to start in a span of time; of those that were forgotten none."""
        days = range(from_utc_us // DAY_US, to_utc_us // DAY_US + 1)
        names = (name for day in (days if len(days) < len(self._by_day) else list(self._by_day)) for name in self._by_day.get(day, ()))
        found = (self._hearings[name] for name in names)
        return [
            contract.Change(offset=offset, hearing=planned.hearing)
            for offset, planned in found
            if from_utc_us <= planned.hearing.starts_utc_us < to_utc_us and source in {None, planned.source}
        ]

    def sweep(self, now_utc_us: int) -> None:
        """Forget what has grown old."""
        for name, (offset, planned) in list(self._hearings.items()):
            if self._is_old(planned, now_utc_us):
                self._drop(name)
                self.floor = max(self.floor, offset)

    def _of_room(self, room: str) -> Iterator[tuple[int, Planned]]:
        return (self._hearings[name] for name in self._by_room.get(room, ()))

    def _drop(self, name: str) -> None:
        _, planned = self._hearings.pop(name, (0, None))
        if planned is None:
            return
        for room in planned.rooms:
            self._by_room[room].pop(name, None)
            if not self._by_room[room]:
                del self._by_room[room]
        day = planned.hearing.starts_utc_us // DAY_US
        self._by_day[day].pop(name, None)
        if not self._by_day[day]:
            del self._by_day[day]

    @staticmethod
    def _is_old(planned: Planned, now_utc_us: int) -> bool:
        return max(planned.hearing.ends_utc_us, planned.utc_us) < now_utc_us - HELD_US
