"""What a record's journal tells, as far as a readable copy needs it: tracks, segments, notes, levels, and the orders in force."""

from dataclasses import dataclass, field
from pathlib import Path

from recorder.record import entries, layout
from recorder.record.entries import AnyEntry, Line
from recorder.record.levels import Levels
from recorder.record.order import OrderError
from recorder.record.order_check import GivenOrder, read_orders
from recorder.seal import read_journal


class CopyError(Exception):
    """The copy cannot be made; the message says why and what to do."""


@dataclass(slots=True)
class Segment:
    """A segment's fragments, of one part."""

    number: int
    part: int
    frags: list[entries.Frag] = field(default_factory=list)


@dataclass(slots=True)
class Track:
    """A track's parts and segments by number."""

    name: str
    inits: dict[int, entries.Init] = field(default_factory=dict)
    segments: dict[int, Segment] = field(default_factory=dict)


@dataclass(slots=True)
class Story:
    """The whole of it."""

    genesis: entries.Genesis
    utc_of_zero_us: int
    tracks: dict[str, Track] = field(default_factory=dict)
    notes: list[entries.Note] = field(default_factory=list)
    lines: list[tuple[Line, AnyEntry]] = field(default_factory=list)
    """The entries of which ``manifest`` makes the intervals that were not recorded."""
    levels: Levels = field(default_factory=Levels)
    orders: list[GivenOrder] = field(default_factory=list)


def read_story(record: Path) -> Story:
    """Read the journal, and the orders beside the seal.

    Raises:
        CopyError: there is no record, or an order that does not hold.
    """
    if not (record / layout.JOURNAL).exists():
        raise CopyError(f"{record} is no record: it has no {layout.JOURNAL}")
    story: Story | None = None
    for line, entry in read_journal(record):
        if isinstance(entry, entries.Genesis):
            story = Story(entry, line.utc_us - line.t_us)
        if story is None:
            continue
        story.levels.take(line, entry)
        if not isinstance(entry, entries.Frag | entries.Checkpoint | entries.Alive):
            story.lines.append((line, entry))
        if isinstance(entry, entries.Init):
            story.tracks.setdefault(entry.track, Track(entry.track)).inits[entry.part] = entry
        elif isinstance(entry, entries.Frag):
            track = story.tracks.setdefault(entry.track, Track(entry.track))
            track.segments.setdefault(entry.seg, Segment(entry.seg, entry.part)).frags.append(entry)
        elif isinstance(entry, entries.Note):
            story.notes.append(entry)
    if story is None:
        raise CopyError(f"{record} is no record: its journal has no first line")
    try:
        story.orders = read_orders(record, story.genesis, story.levels)
    except OrderError as error:
        raise CopyError(str(error)) from error
    return story


def total_bytes(story: Story) -> int:
    """How much media the record has."""
    return sum(frag.len for track in story.tracks.values() for segment in track.segments.values() for frag in segment.frags)
