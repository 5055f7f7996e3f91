"""Which level has a track at a session time: by its parts, the journal's ``level`` entries, and the orders given after the seal. Pure.

A part has the level that its ``init`` says. A ``level`` entry that comes while a part runs raises the rest of that part too (a camera that
encodes itself begins the new part with its next keyframe only); it does not lower it, for the part's key belongs to its own level. An order
stands over both, a later order over an earlier one.

Stills of an identity check are ``identity`` in a session of any level, and lie in a track of their own. Of such a part no order speaks, nor
of any other that is ``identity`` in a session of a lower level: who orders about the hearing may have no key to it, and nobody means it who
lowers the level of all that was said.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from recorder.record import entries, layout
from recorder.record.entries import AnyEntry, Level, Line, TrackKind
from recorder.record.order import LevelOrder

LEVELS: tuple[Level, ...] = get_args(Level)
"""From the lowest to the highest."""


def rank(level: Level) -> int:
    """How high a level is."""
    return LEVELS.index(level)


@dataclass(slots=True)
class PartSpan:
    """A part of a track and where its media lies in session time (``from_us`` None: it has none)."""

    track: str
    number: int
    seq: int
    """The journal's line with which it was begun: that of its key, or of its header."""
    level: Level = "open"
    kind: TrackKind = "video"
    timescale: int = 1
    key: str | None = None
    key_sha256: str = ""
    from_us: int | None = None
    to_us: int = 0
    stands_apart: bool = False
    """It is ``identity`` of its own: no order speaks of it."""

    def overlaps(self, from_us: int, to_us: int) -> bool:
        """Whether it has media in this interval."""
        return self.from_us is not None and self.from_us < to_us and from_us < self.to_us

    def is_within(self, from_us: int, to_us: int) -> bool:
        """Whether all its media lies in this interval."""
        return self.from_us is not None and from_us <= self.from_us and self.to_us <= to_us


class Levels:
    """Feed every entry of the journal by ``take``, and the orders in force by ``obey``, each in order; then ask."""

    def __init__(self) -> None:
        self.parts: dict[tuple[str, int], PartSpan] = {}
        self.orders: list[LevelOrder] = []
        self._changes: list[tuple[int, entries.LevelChange]] = []

    def take(self, line: Line, entry: AnyEntry) -> None:
        """Look at the journal's next entry."""
        match entry:
            case entries.Frag():
                part = self.parts.get((entry.track, entry.part))
                if part is not None:
                    start_us = entry.t0 * 1_000_000 // part.timescale
                    end_us = -(-(entry.t0 + entry.dur) * 1_000_000 // part.timescale)
                    part.from_us = start_us if part.from_us is None else min(part.from_us, start_us)
                    part.to_us = max(part.to_us, end_us)
            case entries.Key():
                part = self._part(line, entry)
                part.key_sha256 = entry.sha256
            case entries.Init():
                part = self._part(line, entry)
                part.level, part.kind, part.timescale, part.key = entry.level, entry.kind, max(1, entry.timescale), entry.key
                of_its_own = layout.holds_stills(entry.track) or self._begun_in(part) != "identity"
                part.stands_apart = entry.level == "identity" and of_its_own
            case entries.LevelChange():
                self._changes.append((line.seq, entry))
            case _:
                pass

    def obey(self, order: LevelOrder) -> None:
        """Put the next order in force."""
        self.orders.append(order)

    @property
    def tracks(self) -> list[str]:
        """The record's tracks."""
        return sorted({track for track, _ in self.parts})

    def concerned(self, tracks: Sequence[str], from_us: int, to_us: int) -> list[PartSpan]:
        """The parts of these tracks (none: all) that have media in an interval, and of which orders speak."""
        return [part for part in self.with_media(tracks, from_us, to_us) if not part.stands_apart]

    def with_media(self, tracks: Sequence[str], from_us: int, to_us: int) -> list[PartSpan]:
        """All parts of these tracks (none: all) that have media in an interval."""
        found = [part for (track, _), part in sorted(self.parts.items()) if not tracks or track in tracks]
        return [part for part in found if part.overlaps(from_us, to_us)]

    def to_be_held(self, order: LevelOrder) -> list[PartSpan]:
        """The parts that somebody must be able to open to give this order.

        All that it speaks of; and where it lowers what a ``level`` entry says of its interval, all parts of that level: the part before may
        run on for a while, with the key of the lower level.
        """
        concerned = self.concerned(order.tracks, order.from_us, order.to_us)
        ends_us = [change.from_us for _, change in self._changes[1:]] + [order.to_us]
        said = {
            change.level
            for (_, change), end_us in zip(self._changes, ends_us, strict=False)
            if change.from_us < order.to_us and order.from_us < end_us and rank(change.level) > rank(order.level)
        }
        of_said = [part for part in self.parts.values() if part.level in said and part.key is not None and not part.stands_apart]
        return concerned + [part for part in of_said if part not in concerned]

    def at(self, track: str, t_us: int) -> Level:
        """The level of a track at a moment; where parts meet, the higher one; where it has no media, that of the session."""
        there = self.with_media([track], t_us, t_us + 1)
        if not there:
            return self._ordered(track, t_us) or self._told(-1, t_us) or "open"
        return max((self._part_at(part, t_us) for part in there), key=rank)

    def highest(self, track: str, number: int, from_us: int, to_us: int, begun_us: int | None = None) -> Level:
        """The highest level that a part has in an interval of session time (at its beginning alone, where it is empty).

        ``begun_us`` is when the last sample of the interval begins: a ``level`` entry behind that does not concern it, for the recorder
        cuts parts between samples, and what a sample holds was captured when it began. Orders concern all of the interval.
        """
        return self.between(track, number, from_us, to_us, begun_us)[1]

    def between(self, track: str, number: int, from_us: int, to_us: int, begun_us: int | None = None) -> tuple[Level, Level]:
        """The lowest and the highest level that a part has in an interval; see ``highest``."""
        part = self.parts[track, number]
        edges = {change.from_us for _, change in self._changes} | {part.to_us, part.from_us or 0}
        for order in self.orders:
            edges |= {order.from_us, order.to_us}
        had = {self._part_at(part, t_us, begun_us) for t_us in (from_us, *(edge for edge in edges if from_us < edge < to_us))}
        return min(had, key=rank), max(had, key=rank)

    def of_session(self, t_us: int) -> Level:
        """The level of what belongs to no track (notes): orders that name tracks do not speak of it."""
        return self._ordered(None, t_us) or self._told(-1, t_us) or "open"

    def _begun_in(self, part: PartSpan) -> Level:
        """The session's level when a part began."""
        return next((change.level for seq, change in reversed(self._changes) if seq < part.seq), "open")

    def _part_at(self, part: PartSpan, t_us: int, begun_us: int | None = None) -> Level:
        if part.stands_apart:
            return part.level
        for order in reversed(self.orders):
            # A picture may be presented a little outside its part's span; an order about all of the part speaks of it too.
            outside = not part.overlaps(t_us, t_us + 1) and part.is_within(order.from_us, order.to_us)
            if order.concerns(part.track) and (order.from_us <= t_us < order.to_us or outside):
                return order.level
        told = self._told(part.seq, t_us if begun_us is None else min(t_us, begun_us))
        return part.level if told is None else max(part.level, told, key=rank)

    def _ordered(self, track: str | None, t_us: int) -> Level | None:
        for order in reversed(self.orders):
            speaks = not order.tracks if track is None else order.concerns(track)
            if speaks and order.from_us <= t_us < order.to_us:
                return order.level
        return None

    def _told(self, behind_seq: int, t_us: int) -> Level | None:
        """What the last ``level`` entry behind a line says of this moment."""
        for seq, change in reversed(self._changes):
            if seq <= behind_seq:
                return None
            if change.from_us <= t_us:
                return change.level
        return None

    def _part(self, line: Line, entry: entries.Key | entries.Init) -> PartSpan:
        return self.parts.setdefault((entry.track, entry.part), PartSpan(entry.track, entry.part, line.seq))
