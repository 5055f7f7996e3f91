"""What a level order leaves of language channels: a mix lies later than what was said, by up to ``layout.MIX_LATE_US``. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from recorder.record import layout
from recorder.record.entries import Level
from recorder.record.levels import Levels, PartSpan, rank
from recorder.record.order import LevelOrder


@dataclass(frozen=True, slots=True)
class Mixes:
    """Tracks of language channels of which an order says less than whoever gave it may think."""

    behind: tuple[str, ...] = ()
    """What was said in the raised interval may be heard behind it, until ``behind_to_us``."""
    behind_to_us: int = 0
    unnamed: tuple[str, ...] = ()
    """The order raises others alone, and what was said there is in these too."""
    before: tuple[str, ...] = ()
    """The lowered interval begins with what may have been said before it, at level ``before_level``, until ``before_to_us``."""
    before_to_us: int = 0
    before_level: Level = "open"


def mixes_of(order: LevelOrder, raised: Iterable[PartSpan], lowered: Iterable[PartSpan], levels: Levels) -> Mixes:
    """Look at an order that is given next.

    Args:
        order: it; not in force in ``levels`` yet.
        raised: the parts that it raises somewhere.
        lowered: those that it lowers somewhere.
        levels: of the record.
    """
    channels = tuple(track for track in levels.tracks if layout.is_channel(track))
    named = tuple(track for track in channels if order.concerns(track))
    behind: tuple[str, ...] = ()
    unnamed: tuple[str, ...] = ()
    end_us = max((part.to_us for part in levels.parts.values()), default=0)
    behind_to_us = min(order.to_us + layout.MIX_LATE_US, end_us)
    if any(raised):
        behind = tuple(track for track in named if _is_lower(levels, track, order.to_us, behind_to_us, order.level))
        others = (track for track in channels if track not in named)
        unnamed = tuple(track for track in others if _is_lower(levels, track, order.from_us, behind_to_us, order.level))
    before_to_us = min(order.from_us + layout.MIX_LATE_US, order.to_us)
    was = {track: levels.at(track, order.from_us - 1) for track in {part.track for part in lowered} & set(named) if order.from_us > 0}
    higher = {track: level for track, level in was.items() if rank(level) > rank(order.level)}
    before = tuple(track for track in sorted(higher) if levels.concerned([track], order.from_us, before_to_us))
    before_level = max((higher[track] for track in before), key=rank, default=order.level)
    return Mixes(behind, behind_to_us, unnamed, before, before_to_us, before_level)


def _is_lower(levels: Levels, track: str, from_us: int, to_us: int, level: Level) -> bool:
    """Whether a track has media in an interval that is not of this level, or a higher one."""
    for part in levels.concerned([track], from_us, to_us):
        lowest, _ = levels.between(track, part.number, max(from_us, part.from_us or 0), min(to_us, part.to_us))
        if rank(lowest) < rank(level):
            return True
    return False
