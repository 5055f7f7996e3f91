"""What a record's journal tells, as far as a readable copy needs it: tracks, segments, notes, levels, and the orders in force."""

from dataclasses import dataclass, field
from pathlib import Path

from recorder.record import entries, layout
from recorder.record.entries import Line
from recorder.record.journal import BEFORE_FIRST, Head
from recorder.record.levels import Levels
from recorder.record.order import OrderError
from recorder.record.order_check import GivenOrder, read_orders
from recorder.seal import read_heads
from recorder.utc_map import UtcMap

_LONGEST_US = 366 * 86_400_000_000
"""Behind every session: a year of session time."""


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
    utc: UtcMap = field(default_factory=UtcMap)
    tracks: dict[str, Track] = field(default_factory=dict)
    notes: list[entries.Note] = field(default_factory=list)
    levels: Levels = field(default_factory=Levels)
    orders: list[GivenOrder] = field(default_factory=list)


def read_story(record: Path, end: Head | None = None) -> Story:
    """Read the journal, and the orders beside the seal.

    Args:
        record: its directory.
        end: the last line that counts, and its hash: a verification went as far.

    Raises:
        CopyError: there is no record, an entry speaks of what cannot be, or an order does not hold.
    """
    try:
        story = _read(record, end)
    except OSError as error:
        raise CopyError(f"the journal cannot be read: {error.strerror}") from error
    if story is None:
        raise CopyError(f"{record} is no record: its journal has no first line")
    try:
        story.orders = read_orders(record, story.genesis, story.levels)
    except OrderError as error:
        raise CopyError(str(error)) from error
    return story


def _read(record: Path, end: Head | None) -> Story | None:
    if not (record / layout.JOURNAL).exists():
        raise CopyError(f"{record} is no record: it has no {layout.JOURNAL}")
    story: Story | None = None
    last = BEFORE_FIRST
    for line, entry, head in read_heads(record):
        last = head
        if isinstance(entry, entries.Genesis):
            story = Story(entry)
        if story is None:
            continue
        story.utc.take(line.t_us, line.utc_us)
        if isinstance(entry, entries.Init | entries.Frag | entries.Key):
            _check(story, line, entry)
        story.levels.take(line, entry)
        if isinstance(entry, entries.Init):
            story.tracks.setdefault(entry.track, Track(entry.track)).inits[entry.part] = entry
        elif isinstance(entry, entries.Frag):
            track = story.tracks.setdefault(entry.track, Track(entry.track))
            track.segments.setdefault(entry.seg, Segment(entry.seg, entry.part)).frags.append(entry)
        elif isinstance(entry, entries.Note):
            story.notes.append(entry)
        if end is not None and line.seq == end.at:
            break
    if end is not None and last != end:
        raise CopyError(f"the journal changed while it was read: entry {end.at} is not what was verified; try again")
    return story


def _check(story: Story, line: Line, entry: entries.Init | entries.Frag | entries.Key) -> None:
    """Paths of the copy are made of what these say, and times of what they count: refuse what no recorder writes.

    Raises:
        CopyError: naming the entry.
    """
    why = _refusal(story, entry)
    if why:
        raise CopyError(f"entry {line.seq} of the journal {why}: no recorder wrote that, and no copy can be made; see `courtroom verify`")


def _refusal(story: Story, entry: entries.Init | entries.Frag | entries.Key) -> str:
    if not layout.is_id(entry.track):
        return f"speaks of track {entry.track!r}, which cannot be one"
    if entry.part < 0 or entry.len < 0:
        return f"speaks of part {entry.part} and {entry.len} bytes"
    if isinstance(entry, entries.Key):
        return "" if entry.file == layout.key_file(entry.track, entry.part) else f"names {entry.file!r} for a key of track {entry.track}"
    if isinstance(entry, entries.Init):
        if entry.file != layout.init_file(entry.track, entry.part):
            return f"names {entry.file!r} for a header of track {entry.track}"
        if entry.key not in {None, layout.key_file(entry.track, entry.part)}:
            return f"names {entry.key!r} for a key of track {entry.track}"
        known = story.tracks.get(entry.track)
        if known is not None and entry.part in known.inits:
            return f"begins part {entry.part} of track {entry.track} a second time"
        sizes = (entry.width, entry.height, entry.rate_hz, entry.channels)
        return "" if entry.timescale > 0 and min(sizes) >= 0 else f"has a timescale of {entry.timescale}, sizes {sizes}"
    if min(entry.seg, entry.n, entry.off, entry.t0, entry.dur) < 0:
        return f"speaks of a fragment at byte {entry.off} and time {entry.t0} of segment {entry.seg}, {entry.dur} long"
    track = story.tracks.get(entry.track)
    init = track.inits.get(entry.part) if track is not None else None
    if init is None:
        return f"speaks of a fragment of track {entry.track}, part {entry.part}, which has no header"
    segment = track.segments.get(entry.seg) if track is not None else None
    if segment is not None and segment.part != entry.part:
        return f"speaks of two parts in segment {entry.seg} of track {entry.track}"
    if (entry.t0 + entry.dur) * 1_000_000 // init.timescale > _LONGEST_US:
        return f"speaks of media {(entry.t0 + entry.dur) // init.timescale} s behind the session's beginning"
    return ""


def total_bytes(story: Story) -> int:
    """How much media the record has."""
    return sum(frag.len for track in story.tracks.values() for segment in track.segments.values() for frag in segment.frags)
