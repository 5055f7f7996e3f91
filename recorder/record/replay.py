"""Goes through a journal's valid entries and notes what each file must hold, and what contradicts itself. Pure.

Intervals and clocks are told to ``story`` and ``clock_check``; here are tracks, parts, segments and fragments.
"""

import hashlib
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from recorder.record import entries, layout
from recorder.record.entries import AnyEntry, Line
from recorder.record.story import Story
from recorder.record.unsigned_fragments import UnsignedFragment, UnsignedFragments
from recorder.record.verdict import Findings, TrackSum

_MOST_RECOVERIES = 100
"""So many may be cut off one after the other before one closes the segments that it found open: it does so in its first append."""


class Piece(msgspec.Struct, frozen=True):
    """A run of a file's bytes and their SHA-256 (hex); ``what`` is ``frag``, ``torn``, ``abandoned`` or ``damaged``."""

    off: int
    len: int
    sha256: str
    what: str
    n: int = -1
    seq: int = -1
    from_us: int = 0
    to_us: int = 0
    """Of a fragment: the session time of its media."""


@dataclass(slots=True)
class Expected:
    """What the journal says of one file. ``sha256`` is None while no entry gives the hash of the whole (the open tail of a track)."""

    what: str
    len: int
    sha256: str | None
    seq: int
    """The first entry that speaks of its bytes."""
    pieces: list[Piece] = field(default_factory=list)
    """To be checked one by one: of open segments, and of those that were open when the recorder crashed."""
    may_lack: bool = False
    """A recovery found it damaged or gone and said so."""


@dataclass(slots=True)
class TakenUp:
    """A place where the recorder went on with a record that it found on the disk."""

    seq: int
    """Of the ``recovered`` entry."""
    ends_us: int
    """How far what it found goes, by its lines' times and by its media's."""
    until_us: int
    """From then on it was there again; before the first media that follow begin, whatever the entry says."""

    @property
    def gap_us(self) -> int:
        """For how long it was not there."""
        return max(0, self.until_us - self.ends_us)


@dataclass(slots=True)
class _Track:
    sum: TrackSum
    continuous: bool
    timescales: dict[int, int] = field(default_factory=dict)
    next_n: int = 0
    segment: int | None = None
    last_segment: int = -1
    off: int = 0
    begun_seq: int = -1
    pieces: list[Piece] = field(default_factory=list)
    begun_in: int = 0
    """How many recoveries stood before the open segment."""
    recoveries: int = 0
    """So many spoke of its bytes."""
    damaged: bool = False
    start_us: int = -1
    end_us: int = -1
    """Where its media ends; before any has come, where its first part began: media is due from there on."""
    bytes: int = 0
    segments: int = 0
    digests: Any = field(default_factory=hashlib.sha256)


class Replay:
    """Feed every entry in order by ``take``, then call ``finish``. ``digest`` gives the head (hex) at an entry."""

    def __init__(self, findings: Findings, digest: Callable[[int], str | None]) -> None:
        self.genesis: entries.Genesis | None = None
        self.seal: entries.Seal | None = None
        self.files: dict[str, Expected] = {}
        self.loose: dict[str, entries.ByteRange] = {}
        """Whole files that no entry but a recovery speaks of."""
        self.checkpoints: list[tuple[int, entries.Checkpoint]] = []
        self.receipts: list[tuple[int, entries.Receipt]] = []
        self.taken_up: list[TakenUp] = []
        self.unsigned = UnsignedFragments()
        self.reach_us = 0
        """How far media and lines go, but for the seal: its line may come long behind what it ends, where a disk was slow."""
        self.last_us = 0
        self.story = Story(findings)
        self._findings = findings
        self._digest = digest
        self._tracks: dict[str, _Track] = {}
        self.seal_seq = -1
        self._gaps: list[TakenUp] = []
        """Those behind which time passed that no media are from, so far."""
        self._recoveries = 0

    def take(self, line: Line, entry: AnyEntry) -> None:
        """Look at the next entry."""
        place = f"entry {line.seq}"
        if (line.seq == 0) != isinstance(entry, entries.Genesis):
            self._findings.error("genesis", place, "the first line of a journal, and no other, says which hearing it is of")
        if self.seal is not None and not (isinstance(entry, entries.Checkpoint) and entry.at == self.seal_seq):
            self._findings.error("entry_after_seal", place, f"a '{line_type(entry)}' stands behind the seal")
        if isinstance(entry, entries.Recovered):
            taken = TakenUp(line.seq, self.reach_us, line.t_us)
            self.taken_up.append(taken)
            if taken.gap_us:
                self._gaps.append(taken)
        self.last_us = line.t_us
        if self.seal is None and not isinstance(entry, entries.Seal):
            self.reach_us = max(self.reach_us, line.t_us)
        match entry:
            case entries.Frag():
                self._take_frag(place, line, entry)
            case entries.Checkpoint():
                self._take_checkpoint(place, line, entry)
            case entries.Genesis():
                self.genesis = entry
            case entries.Init():
                self._take_init(place, line, entry)
            case entries.Key():
                self._whole(place, entry.file, layout.key_file(entry.track, entry.part), entry, line.seq)
            case entries.Segment():
                self._take_segment(place, entry)
            case entries.Abandoned():
                self._take_abandoned(place, line, entry)
            case entries.Receipt():
                self.receipts.append((line.seq, entry))
            case entries.Recovered():
                self._take_recovered(place, line, entry)
            case entries.Seal():
                self.seal, self.seal_seq = entry, line.seq
            case _:
                pass
        self.story.take(line, entry)

    def finish(self) -> None:
        """Note the open tails, and judge the sums of the seal."""
        for name, track in self._tracks.items():
            if track.segment is None:
                continue
            path = layout.segment_file(name, track.segment)
            self.files[path] = Expected("segment", track.off, None, track.begun_seq, track.pieces, may_lack=track.damaged)
            if self.seal is not None:
                self._findings.error("segment_open", path, "the journal is sealed, but this segment was never closed")
        if self.seal is not None:
            self._check_totals(self.seal)
        for name, track in self._tracks.items():
            if track.continuous and self.seal is not None:
                self.story.media_ends(name, track.end_us, self.seal.duration_us)
        self.story.finish()

    @property
    def tracks(self) -> list[TrackSum]:
        """The tracks' sums."""
        return [track.sum for _, track in sorted(self._tracks.items())]

    def _take_init(self, place: str, line: Line, entry: entries.Init) -> None:
        if not self._whole(place, entry.file, layout.init_file(entry.track, entry.part), entry, line.seq):
            return
        track = self._track(entry.track, entry)
        if entry.part in track.timescales:
            self._findings.error("part_twice", place, f"part {entry.part} of track {entry.track} begins a second time")
        if entry.timescale < 1:
            self._findings.error("timescale", place, f"a timescale of {entry.timescale}")
        if track.end_us < 0:
            track.end_us = line.t_us
        track.timescales[entry.part] = max(1, entry.timescale)
        track.sum.codec = entry.codec
        track.digests.update(self._raw_hash(place, entry.sha256))
        track.bytes += entry.len
        track.sum.bytes += entry.len
        media = self.genesis.media if self.genesis is not None else "clear"
        known = self.files.get(entry.key) if entry.key is not None else None
        if (entry.key is not None and (known is None or known.what != "key")) or (media != "clear" and entry.key is None):
            self._findings.error("key_missing", place, f"no wrapped media key was stored for part {entry.part} of track {entry.track}")

    def _take_frag(self, place: str, line: Line, entry: entries.Frag) -> None:
        track = self._tracks.get(entry.track)
        timescale = track.timescales.get(entry.part) if track is not None else None
        if track is None or timescale is None:
            self._findings.error("frag_without_header", place, f"a fragment of track {entry.track}, part {entry.part}, which has no header")
            return
        if entry.n != track.next_n:
            what = "were dropped" if entry.n > track.next_n else "are doubled"
            text = f"track {entry.track}: fragment {entry.n} stands where {track.next_n} must stand; entries {what}"
            self._findings.error("frag_number", place, text)
        if track.segment != entry.seg:
            if track.segment is not None or entry.seg <= track.last_segment:
                self._findings.error("segment_order", place, f"track {entry.track}: segment {entry.seg} begins out of order")
                self._drop_open(entry.track, track)
            track.segment, track.last_segment, track.off, track.pieces = entry.seg, max(track.last_segment, entry.seg), 0, []
            track.begun_seq, track.begun_in, track.recoveries = line.seq, self._recoveries, 0
        if entry.off != track.off:
            text = f"track {entry.track}: a fragment at byte {entry.off} of segment {entry.seg}, where byte {track.off} follows"
            self._findings.error("frag_offset", place, text)
        if entry.len < 1:
            self._findings.error("frag_length", place, f"track {entry.track}: a fragment of {entry.len} bytes")
        start_us = entry.t0 * 1_000_000 // timescale
        if start_us < track.start_us:
            self._findings.doubt("media_backwards", place, f"track {entry.track}: the media's time runs backwards")
        if track.continuous:
            self.story.media_hole(entry.track, track.end_us, start_us, place)
        end_us = (entry.t0 + entry.dur) * 1_000_000 // timescale
        self.story.media_at(entry.track, start_us, end_us)
        summed = track.sum
        track.pieces.append(Piece(entry.off, entry.len, entry.sha256, "frag", entry.n, line.seq, start_us, end_us))
        self.unsigned.add(UnsignedFragment(line.seq, entry.track, entry.part, entry.seg, entry.off, entry.len, entry.sha256))
        track.next_n, track.off = entry.n + 1, entry.off + entry.len
        track.start_us, track.end_us = start_us, end_us if summed.to_us is None else max(track.end_us, end_us)
        self.reach_us = max(self.reach_us, end_us)
        if self._gaps:
            self._fill_gaps(start_us)
        track.bytes += entry.len
        summed.fragments += 1
        summed.bytes += entry.len
        summed.from_us = start_us if summed.from_us is None else summed.from_us
        summed.to_us = track.end_us

    def _fill_gaps(self, start_us: int) -> None:
        """Of a time that media are from nobody says rightly that no recorder was there. The gaps lie one behind the other."""
        while self._gaps and self._gaps[-1].until_us > start_us:
            self._gaps[-1].until_us = start_us
            if self._gaps[-1].gap_us:
                return
            self._gaps.pop()

    def _take_segment(self, place: str, entry: entries.Segment) -> None:
        track = self._tracks.get(entry.track)
        if track is None or track.segment != entry.seg:
            self._findings.error("segment_order", place, f"segment {entry.seg} of track {entry.track} is closed, but was not open")
            return
        if entry.len != track.off and not (track.damaged and entry.len < track.off):
            text = f"{entry.file}: fragments fill {track.off} bytes, but the segment has {entry.len}"
            self._findings.error("segment_length", place, text)
        self._whole(place, entry.file, layout.segment_file(entry.track, entry.seg), entry, track.begun_seq)
        expected = self.files.get(entry.file)
        if expected is not None and (track.begun_in != self._recoveries or track.damaged):
            expected.pieces, expected.may_lack = track.pieces, track.damaged
        track.digests.update(self._raw_hash(place, entry.sha256))
        track.segments += 1
        track.segment, track.pieces, track.damaged = None, [], False

    def _take_abandoned(self, place: str, line: Line, entry: entries.Abandoned) -> None:
        track = self._tracks.get(entry.track)
        if track is None:
            self._findings.error("abandoned", place, f"bytes of a track {entry.track} that has no header")
            return
        if track.segment is None:
            # Numbers may be left out: of files that a crash left, and no line speaks of.
            named = layout.segment_of(entry.file)
            track.last_segment = max(track.last_segment + 1, named[1] if named is not None else 0)
            track.segment, track.off, track.pieces, track.begun_seq = track.last_segment, 0, [], line.seq
            track.begun_in, track.recoveries = self._recoveries, 0
        if entry.file != layout.segment_file(entry.track, track.segment) or entry.off != track.off or entry.len < 0:
            self._findings.error("abandoned", place, f"{entry.file}, byte {entry.off}: not where the open segment ends")
        track.pieces.append(Piece(entry.off, entry.len, entry.sha256, "abandoned"))
        track.off = entry.off + entry.len

    def _take_checkpoint(self, place: str, line: Line, entry: entries.Checkpoint) -> None:
        if entry.at >= line.seq or self._digest(entry.at) != entry.head:
            self._findings.error("checkpoint_head", place, f"the device signed another head for entry {entry.at} than this chain has there")
            return
        self.checkpoints.append((line.seq, entry))
        self.unsigned.cover(entry.at)

    def _take_recovered(self, place: str, line: Line, entry: entries.Recovered) -> None:
        self.unsigned.recover()
        if entry.last != line.seq - 1:
            self._findings.error("recovery_place", place, f"a recovery that knew entries up to {entry.last}")
        self._recoveries += 1
        lost: defaultdict[str, list[entries.ByteRange]] = defaultdict(list)
        torn: defaultdict[str, list[entries.ByteRange]] = defaultdict(list)
        for one in entry.damaged:
            name = self._open_track(one.file)
            if name is None:
                self._findings.error("recovery_place", place, f"the recovery calls {one.file} damaged, which was not open")
            else:
                lost[name].append(one)
        for one in entry.torn:
            name = self._open_track(one.file)
            if name is not None:
                torn[name].append(one)
            elif layout.journal_number(one.file) is None:
                if one.off or one.file in self.files:
                    self._findings.error("recovery_place", place, f"{one.file}: torn bytes in a file that was closed")
                self.loose[one.file] = one
        for name in dict.fromkeys([*lost, *torn]):
            track = self._tracks[name]
            track.recoveries += 1
            if track.recoveries > _MOST_RECOVERIES:  # each looks at all of the segment's fragments
                path = layout.segment_file(name, track.last_segment)
                self._findings.error("recovery_place", place, f"{path}: {_MOST_RECOVERIES} recoveries spoke of it, and none closed it")
                continue
            self._lose(name, track, lost[name], entry.from_us)
            for one in torn[name]:
                if one.len < 0 or one.off > track.off or (one.off < track.off and not track.damaged):
                    text = f"{one.file}: torn bytes at {one.off}, but the file's end is {track.off}"
                    self._findings.error("recovery_place", place, text)
                track.pieces.append(Piece(one.off, one.len, one.sha256, "torn"))
                track.off = one.off + one.len
            track.pieces.sort(key=lambda piece: piece.off)

    def _lose(self, name: str, track: _Track, lost: list[entries.ByteRange], from_us: int) -> None:
        """Put in place of fragments what a recovery found where they lay."""
        lost.sort(key=lambda one: one.off)
        begins = [one.off for one in lost]
        hits: list[list[Piece]] = [[] for _ in lost]
        kept: list[Piece] = []
        for piece in track.pieces:
            at = bisect_right(begins, piece.off) - 1
            is_hit = piece.what == "frag" and at >= 0 and piece.off < lost[at].off + max(1, lost[at].len)
            (hits[at] if is_hit else kept).append(piece)
        track.pieces = kept
        for one, hit in zip(lost, hits, strict=True):
            track.damaged = True
            track.pieces.append(Piece(one.off, one.len, one.sha256, "damaged"))
            begun_us = min((piece.from_us for piece in hit), default=from_us)
            self.story.damaged(name, one, begun_us, max((piece.to_us for piece in hit), default=begun_us))

    def _open_track(self, path: str) -> str | None:
        """Of which track this is the open segment, or None."""
        named = layout.segment_of(path)
        track = self._tracks.get(named[0]) if named is not None else None
        return named[0] if named is not None and track is not None and track.segment == named[1] else None

    def _whole(self, place: str, path: str, proper: str, entry: entries.Init | entries.Key | entries.Segment, seq: int) -> bool:
        what = line_type(entry)
        if not layout.is_id(entry.track) or path != proper:
            self._findings.error("wrong_path", place, f"{path!r} is not where a {what} of track {entry.track!r} belongs")
            return False
        if path in self.files:
            self._findings.error("file_twice", place, f"{path} is written a second time")
        self.files[path] = Expected(what, entry.len, entry.sha256, seq)
        return True

    def _raw_hash(self, place: str, text: str) -> bytes:
        try:
            return bytes.fromhex(text)
        except ValueError:
            self._findings.error("hash_form", place, f"{text!r} is no hash")
            return b""

    def _drop_open(self, name: str, track: _Track) -> None:
        if track.segment is not None:
            self.files[layout.segment_file(name, track.segment)] = Expected("segment", track.off, None, track.begun_seq, track.pieces)

    def _check_totals(self, seal: entries.Seal) -> None:
        told = {total.track: total for total in seal.tracks}
        for name, track in self._tracks.items():
            counted = entries.TrackTotal(
                track=name, bytes=track.bytes, fragments=track.sum.fragments, segments=track.segments, sha256=track.digests.hexdigest()
            )
            if told.pop(name, None) != counted:
                self._findings.error("seal_totals", f"track {name}", "the sums in the seal are not those of the journal")
        for name, total in told.items():
            if total.fragments or total.bytes:
                self._findings.error("seal_totals", f"track {name}", "the seal counts a track that the journal does not have")

    def _track(self, name: str, init: entries.Init) -> _Track:
        if name not in self._tracks:
            # Participants come and go, and what is played into the room has pauses: only devices must explain every hole.
            continuous = not name.startswith("remote-") and name != "room-out"
            self._tracks[name] = _Track(TrackSum(name, init.kind, init.label, init.codec), continuous)
        return self._tracks[name]


def line_type(entry: AnyEntry) -> str:
    """The entry's ``type``, as it stands in the journal."""
    return str(entry.__struct_config__.tag)
