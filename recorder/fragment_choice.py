"""Which fragments of a segment a copy may hold. Pure.

Sound is chosen fragment by fragment. A picture is made of those since the last random access point, so of video a whole group goes, from
keyframe to keyframe, when a moment of it is of too high a level: rounding is always to the side of secrecy.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from recorder.record.entries import Level, TrackKind
from recorder.record.levels import rank


@dataclass(frozen=True, slots=True)
class Candidate:
    """A fragment: its presentation in session time, whether it begins with a random access point, and its highest level."""

    from_us: int
    to_us: int
    key: bool
    level: Level


@dataclass(slots=True)
class LeftOut:
    """A stretch of a track that a copy does not hold: ``because`` of its ``level``, or because the reader has no ``key`` to it."""

    track: str
    part: int
    from_us: int
    to_us: int
    level: Level
    because: str = "level"

    def follows(self, other: "LeftOut") -> bool:
        """Whether it goes on where the other ends."""
        same = (self.track, self.part, self.because) == (other.track, other.part, other.because)
        return same and self.from_us - other.to_us <= 1


def highest_of_groups(candidates: Sequence[Candidate], kind: TrackKind) -> list[Level]:
    """For each fragment the level by which it is judged: its own, or that of its group of pictures."""
    return [
        level for group in _groups(candidates, kind) for level in [max((candidate.level for candidate in group), key=rank)] * len(group)
    ]


def overlapping(candidates: Sequence[Candidate], kind: TrackKind, from_us: int, to_us: int | None) -> list[bool]:
    """For each fragment whether it, or its group of pictures, has a moment of an interval (``to_us`` None: to the end)."""
    return [
        wanted
        for group in _groups(candidates, kind)
        for wanted in [any(_has_moment(candidate, from_us, to_us) for candidate in group)] * len(group)
    ]


def _has_moment(candidate: Candidate, from_us: int, to_us: int | None) -> bool:
    return max(candidate.to_us, candidate.from_us + 1) > from_us and (to_us is None or candidate.from_us < to_us)


def _groups(candidates: Sequence[Candidate], kind: TrackKind) -> Iterator[Sequence[Candidate]]:
    """The fragments that go together: of sound each alone, of pictures those from one random access point to the next."""
    begin = 0
    for at in range(1, len(candidates) + 1):
        if at == len(candidates) or candidates[at].key or kind == "audio":
            yield candidates[begin:at]
            begin = at


def add(stretches: list[LeftOut], new: LeftOut) -> None:
    """Add a stretch, joined to the last where it goes on there; the joined one has the higher level."""
    if stretches and new.follows(stretches[-1]):
        last = stretches[-1]
        last.to_us, last.level = max(last.to_us, new.to_us), max(last.level, new.level, key=rank)
    else:
        stretches.append(new)


def summed(stretches: Sequence[LeftOut]) -> list[LeftOut]:
    """The stretches of all tracks as a person wants to see them: those of one level that overlap are one, ``track`` names all of them."""
    made: list[LeftOut] = []
    for one in sorted(stretches, key=lambda one: (rank(one.level), one.because, one.from_us)):
        last = made[-1] if made else None
        if last is not None and (last.level, last.because) == (one.level, one.because) and one.from_us <= last.to_us:
            last.to_us = max(last.to_us, one.to_us)
            last.track = ", ".join(sorted({*last.track.split(", "), one.track}))
        else:
            made.append(LeftOut(one.track, -1, one.from_us, one.to_us, one.level, one.because))
    return sorted(made, key=lambda one: one.from_us)
