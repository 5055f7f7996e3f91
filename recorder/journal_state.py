"""What a journal says as of one of its lines: all that is needed to go on behind it. Pure.

``JournalState`` is fed the valid lines in order. It is plain data, so that a snapshot can hold it (``snapshot.py``) and reading can go on
from there; hashes are kept one by one, for a running hash cannot be stored.
"""

import msgspec

from recorder.contract.control import State
from recorder.file_table import FileTable, Stored
from recorder.record import entries, layout
from recorder.record.entries import AnyEntry, Level, Line, TrackKind
from recorder.record.journal import BEFORE_FIRST, Head


class Place(msgspec.Struct, frozen=True):
    """Where a line stands: the journal file's number, the offsets of its first byte and behind its line end."""

    number: int = 1
    line_off: int = 0
    off: int = 0


class LineClocks(msgspec.Struct, frozen=True):
    """A line's three clocks."""

    mono_us: int
    utc_us: int
    t_us: int


class LeftFrag(msgspec.Struct, frozen=True):
    """Where a fragment lies in the open segment, and its SHA-256 (hex)."""

    off: int
    len: int
    sha256: str


class LeftTrack(msgspec.Struct, forbid_unknown_fields=True):
    """What the journal says of a track. Times are session time."""

    name: str
    kind: TrackKind = "audio"
    timescales: dict[int, int] = {}
    next_part: int = 0
    next_n: int = 0
    next_seg: int = 0
    segment: int | None = None
    """The number of the open segment."""
    part: int = -1
    off: int = 0
    """Where the open segment ends."""
    bytes: int = 0
    fragments: int = 0
    segments: int = 0
    digests: bytearray = bytearray()
    """SHA-256 of the headers and closed segments, one behind the other in the journal's order."""
    frags: list[LeftFrag] = []
    """Fragments of the open segment since the last checkpoint."""
    end_us: int = 0
    gap_from_us: int | None = None
    gap_cause: str = ""


class JournalState(msgspec.Struct, forbid_unknown_fields=True):
    """What the journal says up to ``head``."""

    head: Head = BEFORE_FIRST
    place: Place = Place()
    genesis: entries.Genesis | None = None
    last: LineClocks | None = None
    """The last line's clocks."""
    tracks: dict[str, LeftTrack] = {}
    files: FileTable = msgspec.field(default_factory=lambda: FileTable(hash_bytes=0))
    """Every file that the journal speaks of, by its length alone."""
    state: State = "open"
    paused_from_us: int = 0
    paused_us: dict[str, int] = {}
    level: Level = "open"
    hearing: str = ""
    boot: str = ""
    origin_mono_us: int = 0
    sealed: bool = False
    stopped_by: str = ""
    """Who asked for the session's end; empty: nobody did."""
    stop_reason: str = ""
    fits: bool = True
    """Whether each fragment followed the one before it in its track; where not, the numbers known before were wrong."""

    def take(self, line: Line, entry: AnyEntry, head: Head, place: Place) -> None:
        """Take the next valid line."""
        self.head, self.place, self.last = head, place, LineClocks(line.mono_us, line.utc_us, line.t_us)
        match entry:
            case entries.Frag():
                self._take_frag(entry)
            case entries.Checkpoint():
                for track in self.tracks.values():
                    track.frags.clear()
            case entries.Init() | entries.Key():
                self._take_header(entry)
            case entries.Segment():
                self._take_segment(entry)
            case entries.Abandoned():
                self._take_abandoned(entry)
            case entries.Recovered():
                self._take_recovered(entry)
            case entries.Gap():
                track = self.track(entry.track)
                track.gap_from_us, track.gap_cause = entry.from_us, entry.cause
            case entries.GapEnd():
                self.track(entry.track).gap_from_us = None
            case _:
                self._take_session(entry)

    def track(self, name: str) -> LeftTrack:
        """The track of this name; a new one where it is not known."""
        if name not in self.tracks:
            self.tracks[name] = LeftTrack(name)
        return self.tracks[name]

    def _take_frag(self, entry: entries.Frag) -> None:
        track = self.track(entry.track)
        self.fits = self.fits and entry.n == track.next_n and entry.off == (track.off if track.segment == entry.seg else 0)
        if track.segment != entry.seg:
            track.frags.clear()
        track.segment, track.part = entry.seg, entry.part
        track.next_seg = max(track.next_seg, entry.seg + 1)
        track.next_n, track.off = entry.n + 1, entry.off + entry.len
        track.fragments += 1
        track.bytes += entry.len
        track.frags.append(LeftFrag(entry.off, entry.len, entry.sha256))
        self.files.put_segment(entry.track, entry.seg, Stored(track.off, None))
        timescale = track.timescales.get(entry.part, 1)
        track.end_us = max(track.end_us, (entry.t0 + entry.dur) * 1_000_000 // timescale)

    def _take_header(self, entry: entries.Init | entries.Key) -> None:
        track = self.track(entry.track)
        track.next_part = max(track.next_part, entry.part + 1)
        self.files.put(entry.file, Stored(entry.len, None))
        if isinstance(entry, entries.Init):
            track.timescales[entry.part], track.kind = max(1, entry.timescale), entry.kind
            track.digests += _raw_hash(entry.sha256)
            track.bytes += entry.len

    def _take_segment(self, entry: entries.Segment) -> None:
        track = self.track(entry.track)
        track.digests += _raw_hash(entry.sha256)
        track.segments += 1
        track.segment = None
        track.frags.clear()
        track.next_seg = max(track.next_seg, entry.seg + 1)
        self.files.put(entry.file, Stored(entry.len, None))

    def _take_abandoned(self, entry: entries.Abandoned) -> None:
        """Bytes of no fragment at the end of a segment, which may be a new one."""
        track = self.track(entry.track)
        if track.segment is None:
            track.frags.clear()
            named = layout.segment_of(entry.file)
            track.segment = track.next_seg if named is None else named[1]
        track.next_seg = max(track.next_seg, track.segment + 1)
        track.off = entry.off + entry.len
        self.files.put(entry.file, Stored(track.off, None))

    def _take_recovered(self, entry: entries.Recovered) -> None:
        """An earlier recovery named bytes at the end of the open segments, and files of which no line speaks."""
        self.boot, self.origin_mono_us = entry.boot, entry.origin_mono_us
        open_ones = {layout.segment_file(track.name, track.segment): track for track in self.tracks.values() if track.segment is not None}
        for lost in entry.damaged:
            if lost.file in open_ones:
                track = open_ones[lost.file]
                track.frags = [frag for frag in track.frags if not lost.off <= frag.off < lost.off + max(1, lost.len)]
        for torn in entry.torn:
            if layout.journal_number(torn.file) is not None:
                continue
            self.files.put(torn.file, Stored(torn.off + torn.len, None))
            if torn.file in open_ones:
                open_ones[torn.file].off = torn.off + torn.len

    def _take_session(self, entry: AnyEntry) -> None:
        if isinstance(entry, entries.Genesis) and self.genesis is None:
            self.genesis, self.hearing = _plain_genesis(entry), entry.hearing
            self.boot, self.origin_mono_us = entry.boot, entry.origin_mono_us
        elif isinstance(entry, entries.Pause):
            self.state, self.paused_from_us = entry.state, entry.from_us
        elif isinstance(entry, entries.Resume):
            self.paused_us[entry.state] = self.paused_us.get(entry.state, 0) + max(0, entry.to_us - entry.from_us)
            self.state = "open"
        elif isinstance(entry, entries.LevelChange):
            self.level = entry.level
        elif isinstance(entry, entries.Bind):
            self.hearing = entry.hearing
        elif isinstance(entry, entries.Event) and (entry.source, entry.name) == entries.STOPPING:
            self.stopped_by, self.stop_reason = str(entry.data.get("by", "")), str(entry.data.get("reason", ""))
        elif isinstance(entry, entries.Seal):
            self.sealed = True


def _plain_genesis(entry: entries.Genesis) -> entries.Genesis:
    """Fast reading gives an entry that has its line's fields, too."""
    return entries.Genesis(**{name: getattr(entry, name) for name in entries.Genesis.__struct_fields__})


def _raw_hash(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""  # a journal that somebody changed; the verifier says so
