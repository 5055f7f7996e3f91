"""What a crash or power cut left of a record, found by hash, never by whether it plays.

Nothing is truncated or repaired. The bytes behind the last valid line, and media that no line speaks of, stay where they are and are named
in a ``recovered`` entry; the chain goes on from the last valid line; every track goes on in a new segment.
"""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from recorder.clock import SessionClock
from recorder.contract.control import State
from recorder.ledger import LedgerState, TrackFiles
from recorder.record import entries, layout
from recorder.record.entries import AnyEntry, ByteRange, Level, Line
from recorder.record.journal import BEFORE_FIRST, Head, JournalError, Times, read_line
from recorder.seal import listed_files

log = structlog.get_logger()

_READ_BYTES = 1024 * 1024
_REPEATED_LINES = 4096
"""How many of the last lines a further journal file may begin with."""


@dataclass(slots=True)
class LeftTrack:
    """What the journal says of a track."""

    files: TrackFiles
    next_part: int = 0
    end_us: int = 0
    gap_from_us: int | None = None
    gap_cause: str = ""
    timescales: dict[int, int] = field(default_factory=dict)
    kind: str = "audio"
    frags: list[entries.Frag] = field(default_factory=list)
    """Fragments of the open segment since the last checkpoint."""


@dataclass(slots=True)
class Left:
    """A record as it was left."""

    record: Path
    ledger: LedgerState
    genesis: entries.Genesis
    tracks: dict[str, LeftTrack]
    state: State = "open"
    paused_from_us: int = 0
    paused_us: dict[str, int] = field(default_factory=dict)
    level: Level = "open"
    hearing: str = ""
    boot: str = ""
    origin_mono_us: int = 0
    last: Line | None = None
    sealed: bool = False
    torn: list[ByteRange] = field(default_factory=list)
    damaged: list[ByteRange] = field(default_factory=list)


def is_sealed(record: Path) -> bool:
    """Whether the seal is complete."""
    return (record / layout.SUMS_SIGNATURE).exists()


def read_left(record: Path) -> Left | None:
    """Read a record that was not sealed; None where not even its first line became durable."""
    reader = _Reader(record)
    reader.read_journal()
    if reader.left is None:
        return None
    reader.look_at_files()
    return reader.left


def chain_of(record: Path) -> list[Head]:
    """The heads of a record's valid lines, to tell which of two copies is longer and whether the shorter is its beginning."""
    heads: list[Head] = []
    head, number = BEFORE_FIRST, 1
    while (path := record / layout.journal_file(number)).exists():
        for raw in path.read_bytes().split(b"\n"):
            try:
                _, _, head = read_line(raw, head)
            except JournalError:
                continue
            heads.append(head)
        number += 1
    return heads


def recovered(left: Left, now: Times, boot: str, *, utc_trusted: bool) -> tuple[entries.Recovered, SessionClock]:
    """The entry that says what happened, and the session clock from now on.

    Within one boot CLOCK_MONOTONIC bridges the gap. After a reboot UTC does, if it is trusted; else the gap's length is unknown and session
    time goes on where it stood.
    """
    last_us = left.last.t_us if left.last else 0
    same_boot = left.boot == boot
    if same_boot:
        clock = SessionClock(left.origin_mono_us)
        to_us: int | None = clock.t_us(now.mono_us)
    elif utc_trusted and left.last is not None and now.utc_us >= left.last.utc_us:
        to_us = last_us + now.utc_us - left.last.utc_us
        clock = SessionClock(now.mono_us - to_us)
    else:
        to_us = None
        clock = SessionClock(now.mono_us - last_us)
    entry = entries.Recovered(
        last=left.ledger.head.at,
        boot=boot,
        same_boot=same_boot,
        torn=left.torn,
        damaged=left.damaged,
        from_us=min([track.end_us for track in left.tracks.values() if track.end_us] or [last_us]) if left.state == "open" else last_us,
        to_us=to_us,
        origin_mono_us=clock.origin_mono_us,
    )
    return entry, clock


class _Reader:
    def __init__(self, record: Path) -> None:
        self._record = record
        self.left: Left | None = None

    def read_journal(self) -> None:
        head, number, off, valid_end = BEFORE_FIRST, 0, 0, 0
        known: dict[int, bytes] = {}
        while (path := self._record / layout.journal_file(number + 1)).exists():
            number, off, valid_end = number + 1, 0, 0
            begins = number > 1  # with the lines whose sync had failed in the file before, written again
            with path.open("rb") as file:
                for raw in file:
                    off += len(raw)
                    body = raw.rstrip(b"\n")
                    digest = hashlib.sha256(body).digest()
                    try:
                        line, entry, head = read_line(body, head)
                    except JournalError:
                        if begins and (digest in known.values() or not body):
                            valid_end = off
                        continue
                    begins, valid_end = False, off
                    known[line.seq % _REPEATED_LINES] = digest
                    self._take(line, entry)
        if self.left is None:
            return
        state = self.left.ledger
        state.head, state.journal_number, state.journal_off = head, number, off
        name = layout.journal_file(number)
        state.sizes[name] = off
        last_byte = _tail(self._record / name, max(0, off - 1))
        state.journal_prefix = b"" if last_byte == b"\n" else b"\n"
        if valid_end < off:
            self.left.torn.append(_range(self._record, name, valid_end, off - valid_end))

    def look_at_files(self) -> None:
        """Check the open segments' tails by hash, and name all bytes that no line speaks of."""
        left = self.left
        if left is None:
            return
        for name in (*left.tracks, *self._unknown_tracks(left)):
            track = left.tracks.setdefault(name, LeftTrack(TrackFiles(name)))
            self._look_at_track(left, track)
        known = {layout.DEVICE_CHAIN, layout.MANIFEST} | {
            layout.journal_file(number) for number in range(1, left.ledger.journal_number + 1)
        }
        for path in listed_files(self._record):
            if path not in left.ledger.sizes and path not in known:
                left.torn.append(_range(self._record, path, 0, (self._record / path).stat().st_size))

    def _unknown_tracks(self, left: Left) -> list[str]:
        root = self._record / layout.TRACKS
        return [path.name for path in sorted(root.iterdir()) if path.name not in left.tracks] if root.is_dir() else []

    def _look_at_track(self, left: Left, track: LeftTrack) -> None:
        files = track.files
        for kept in sorted((self._record / layout.KEYS).glob(f"{files.name}-*.cms")):
            track.next_part = max(track.next_part, int(kept.stem.rsplit("-", 1)[1]) + 1)
        folder = self._record / layout.TRACKS / files.name
        for init in folder.glob("init-*.mp4"):
            track.next_part = max(track.next_part, int(init.stem[5:]) + 1)
        for segment in sorted(folder.glob("seg-*.m4s")):
            number = int(segment.stem[4:])
            if number >= files.next_seg:
                files.next_seg = number + 1
        if files.segment is None:
            return
        path = layout.segment_file(files.name, files.segment)
        if not (self._record / path).exists():
            left.damaged.append(ByteRange(file=path, off=0, len=files.off, sha256=hashlib.sha256(b"").hexdigest()))
            files.hash, files.off = hashlib.sha256(), 0
            return
        size = (self._record / path).stat().st_size
        for frag in track.frags:
            there = _range(self._record, path, frag.off, min(frag.len, max(0, size - frag.off)))
            if there.sha256 != frag.sha256:
                left.damaged.append(there)
        if size > files.off:
            left.torn.append(_range(self._record, path, files.off, size - files.off))
        files.hash = _hash(self._record / path, 0, size)
        files.off = left.ledger.sizes[path] = size

    def _take(self, line: Line, entry: AnyEntry) -> None:
        if isinstance(entry, entries.Genesis) and self.left is None:
            self.left = Left(self._record, LedgerState(), entry, {}, boot=entry.boot, origin_mono_us=entry.origin_mono_us)
            self.left.hearing = entry.hearing
        left = self.left
        if left is None:
            return
        left.last = line
        if isinstance(entry, entries.Frag):
            self._take_frag(left, entry)
        elif isinstance(entry, entries.Init | entries.Key):
            track = self._track(left, entry.track)
            track.next_part = max(track.next_part, entry.part + 1)
            left.ledger.sizes[entry.file] = entry.len
            if isinstance(entry, entries.Init):
                track.timescales[entry.part], track.kind = entry.timescale, entry.kind
                track.files.digests.update(bytes.fromhex(entry.sha256))
                track.files.bytes += entry.len
        elif isinstance(entry, entries.Segment):
            files = self._track(left, entry.track).files
            files.digests.update(bytes.fromhex(entry.sha256))
            files.segments += 1
            files.segment = None
            files.next_seg = max(files.next_seg, entry.seg + 1)
            left.ledger.sizes[entry.file] = entry.len
        elif isinstance(entry, entries.Checkpoint):
            for track in left.tracks.values():
                track.frags.clear()
        elif isinstance(entry, entries.Gap):
            track = self._track(left, entry.track)
            track.gap_from_us, track.gap_cause = entry.from_us, entry.cause
        elif isinstance(entry, entries.GapEnd):
            self._track(left, entry.track).gap_from_us = None
        else:
            self._take_state(left, entry)

    def _take_frag(self, left: Left, entry: entries.Frag) -> None:
        track = self._track(left, entry.track)
        files = track.files
        files.segment, files.part = entry.seg, entry.part
        files.next_seg = max(files.next_seg, entry.seg + 1)
        files.next_n, files.off = entry.n + 1, entry.off + entry.len
        files.fragments += 1
        files.bytes += entry.len
        left.ledger.sizes[layout.segment_file(entry.track, entry.seg)] = files.off
        track.frags.append(entry)
        timescale = track.timescales.get(entry.part, 1)
        track.end_us = max(track.end_us, (entry.t0 + entry.dur) * 1_000_000 // timescale)

    def _take_state(self, left: Left, entry: AnyEntry) -> None:
        if isinstance(entry, entries.Pause):
            left.state, left.paused_from_us = entry.state, entry.from_us
        elif isinstance(entry, entries.Resume):
            left.paused_us[entry.state] = left.paused_us.get(entry.state, 0) + entry.to_us - entry.from_us
            left.state = "open"
        elif isinstance(entry, entries.LevelChange):
            left.level = entry.level
        elif isinstance(entry, entries.Bind):
            left.hearing = entry.hearing
        elif isinstance(entry, entries.Recovered):
            left.boot, left.origin_mono_us = entry.boot, entry.origin_mono_us
        elif isinstance(entry, entries.Seal):
            left.sealed = True

    def _track(self, left: Left, name: str) -> LeftTrack:
        if name not in left.tracks:
            left.tracks[name] = LeftTrack(TrackFiles(name))
            left.ledger.tracks[name] = left.tracks[name].files
        return left.tracks[name]


def _tail(path: Path, off: int) -> bytes:
    with path.open("rb") as file:
        file.seek(off)
        return file.read()


def _hash(path: Path, off: int, size: int) -> "hashlib._Hash":
    digest = hashlib.sha256()
    with path.open("rb") as file:
        file.seek(off)
        while size and (data := file.read(min(_READ_BYTES, size))):
            digest.update(data)
            size -= len(data)
    return digest


def _range(record: Path, file: str, off: int, size: int) -> ByteRange:
    return ByteRange(file=file, off=off, len=size, sha256=_hash(record / file, off, size).hexdigest())
