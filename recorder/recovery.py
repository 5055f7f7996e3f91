"""What a crash or power cut left of a record, found by hash, never by whether it plays.

Nothing is truncated or repaired. The bytes behind the last valid line, and media that no line speaks of, stay where they are and are named
in a ``recovered`` entry; the chain goes on from the last valid line; every track goes on in a new segment.

Where a snapshot tells how the record stood a minute ago (``snapshot.py``), only what follows is read; the rest is verified in the
background (``recheck.py``), while recording goes on.
"""

import errno
import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from cryptography.hazmat.primitives.asymmetric import ec

from recorder import snapshot
from recorder.clock import SessionClock
from recorder.file_table import FileTable, Stored
from recorder.journal_read import JournalEnd, lines_of, read_on
from recorder.journal_state import JournalState, LeftTrack, LineClocks
from recorder.ledger import LedgerState, TrackFiles
from recorder.left_files import LeftFiles, byte_range, look_at_files, settle
from recorder.record import entries, layout
from recorder.record.entries import ByteRange, TrackTotal
from recorder.record.file_check import open_plain
from recorder.record.journal import BEFORE_FIRST, Head, JournalError, Times, read_line
from recorder.signed_end import SignedEnd

log = structlog.get_logger()

LATE_US = 5_000_000
"""A track whose media ended so long before the last line had ended before the crash."""


@dataclass(slots=True)
class Left:
    """A record as it was left: what its journal says, where the ledger goes on, and what no line speaks of or does not match."""

    record: Path
    genesis: entries.Genesis
    journal: JournalState
    ledger: LedgerState
    files: FileTable
    end: JournalEnd
    from_snapshot: bool
    torn: list[ByteRange] = field(default_factory=list)
    damaged: list[ByteRange] = field(default_factory=list)
    rewritten: str = ""
    """How the journal contradicts its snapshot; empty: it does not."""
    signed: SignedEnd | None = None
    """What of it the device's key has signed; None: it was read without the key."""

    @property
    def tracks(self) -> dict[str, LeftTrack]:
        """The tracks, and those of which there are files only."""
        return self.journal.tracks

    @property
    def last(self) -> LineClocks | None:
        """The last line's clocks."""
        return self.journal.last

    @property
    def sealed(self) -> bool:
        """Whether the journal is; the seal's files may be missing."""
        return self.journal.sealed


def is_sealed(record: Path) -> bool:
    """Whether the seal is complete."""
    return (record / layout.SUMS_SIGNATURE).exists()


def read_left(record: Path, key: ec.EllipticCurvePublicKey | None = None) -> Left | None:
    """Read a record that was not sealed; None where not even its first line became durable. What it tells of is durable by then.

    With the device's key the record's snapshot is used, if it is there and fits.

    Raises:
        OSError: the disk failed, or the journal names files outside the record.
    """
    known, rewritten, number = None, "", 1
    while (journal := record / layout.journal_file(number)).exists():
        settle(journal)
        number += 1
    try:
        known = None if key is None else snapshot.load(record, key)
    except snapshot.OtherJournalError as error:
        rewritten = "" if _has(record, error.head) else str(error)
        log.error("all of the journal is read", record=record.name, error=str(error))
    if known is not None:
        signed = None if key is None else SignedEnd(key, known)
        end = read_on(record, known, signed=signed)
        if known.fits:
            return _left(record, known, end, signed, from_snapshot=True)
        log.warning("the journal goes on otherwise than its snapshot; all of it is read", record=record.name)
    state = JournalState()
    signed = None if key is None else SignedEnd(key, state)
    end = read_on(record, state, signed=signed)
    left = _left(record, state, end, signed, from_snapshot=False)
    if left is not None:
        left.rewritten = rewritten
    return left


def totals(state: JournalState) -> list[TrackTotal]:
    """The tracks' sums as a seal at this line would have them."""
    return [_track_files(track).total() for _, track in sorted(state.tracks.items())]


def chain_of(record: Path) -> list[Head]:
    """The heads of a record's valid lines, to tell which of two copies is longer and whether the shorter is its beginning."""
    heads: list[Head] = []
    head, number = BEFORE_FIRST, 1
    while (path := record / layout.journal_file(number)).exists():
        with open_plain(path) as file:
            for raw in lines_of(file):
                try:
                    _, _, head = read_line(raw.removesuffix(b"\n"), head)
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
    same_boot = left.journal.boot == boot
    if same_boot:
        clock = SessionClock(left.journal.origin_mono_us)
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
        from_us=_stopped_us(left, last_us),
        to_us=to_us,
        origin_mono_us=clock.origin_mono_us,
    )
    return entry, clock


def _stopped_us(left: Left, last_us: int) -> int:
    """Since when nothing is recorded: where the media of the first of the tracks ends that were running."""
    if left.journal.state != "open":
        return last_us
    running = (track.end_us for track in left.tracks.values() if track.gap_from_us is None and track.end_us > last_us - LATE_US)
    return max(0, min(running, default=last_us))


def _left(record: Path, state: JournalState, end: JournalEnd, signed: SignedEnd | None, *, from_snapshot: bool) -> Left | None:
    if state.genesis is None:
        return None
    outside = next((path for path, _ in state.files.items() if not layout.is_inside(path)), None)
    if outside is not None:  # a chain needs no key; what is taken up is copied to the other disk by these paths
        raise OSError(errno.EINVAL, f"its journal names the file {outside!r}, which no record has")
    files = look_at_files(record, state)
    torn = list(files.torn)
    name = layout.journal_file(end.number)
    torn += [byte_range(record, layout.journal_file(tail.number), tail.off, tail.end_off - tail.off) for tail in end.left]
    if end.valid_off < end.off:
        torn.append(byte_range(record, name, end.valid_off, end.off - end.valid_off))
    known = FileTable()
    known.update(state.files)
    for journal in (layout.journal_file(number) for number in range(1, end.number)):
        known.put(journal, Stored((record / journal).stat().st_size, None))
    known.put(name, Stored(end.off, None))
    return Left(
        record, state.genesis, state, _ledger(record, state, end, files), known, end, from_snapshot, torn, files.damaged, signed=signed
    )


def _has(record: Path, head: Head) -> bool:
    """Whether the journal has this line, wherever it stands: a further file repeats those whose sync had failed."""
    state = JournalState()
    read_on(record, state, last=head.at)
    return state.head == head


def _ledger(record: Path, state: JournalState, end: JournalEnd, files: LeftFiles) -> LedgerState:
    tracks = {track.name: _track_files(track) for track in state.tracks.values()}
    for name, whole in files.hashes.items():
        tracks[name].hash = whole
    last = layout.journal_file(end.number)
    return LedgerState(
        head=state.head,
        journal_number=end.number,
        journal_off=end.off,
        journal_prefix=b"" if _ends_a_line(record / last, end.off) else b"\n",
        tracks=tracks,
    )


def _track_files(track: LeftTrack) -> TrackFiles:
    return TrackFiles(
        name=track.name,
        next_n=track.next_n,
        next_seg=track.next_seg,
        segment=track.segment,
        part=track.part,
        off=track.off,
        bytes=track.bytes,
        fragments=track.fragments,
        segments=track.segments,
        digests=hashlib.sha256(track.digests),
    )


def _ends_a_line(path: Path, off: int) -> bool:
    with open_plain(path) as file:
        file.seek(max(0, off - 1))
        return file.read(1) == b"\n"
