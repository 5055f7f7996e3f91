"""The ledger of a record: which bytes go where and which lines say so. Pure.

The committer hands a round of items over and gets back what to write, in the order in which it must become durable: keys, media, then the
journal's lines. Nothing counts until the whole round is durable: a round that failed is taken back (``restore``) and planned anew.
"""

import copy
import hashlib
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from recorder.contract import child
from recorder.disk import Write
from recorder.file_table import FileTable, Stored
from recorder.record import entries, layout
from recorder.record.entries import Entry, TrackTotal
from recorder.record.journal import BEFORE_FIRST, Chain, Head, Times


@dataclass(frozen=True, slots=True)
class EntryItem:
    """An entry to journal."""

    entry: Entry
    times: Times


@dataclass(frozen=True, slots=True)
class KeyItem:
    """A wrapped media key to store before its part's first fragment."""

    track: str
    part: int
    data: bytes
    times: Times


@dataclass(frozen=True, slots=True)
class InitItem:
    """A part's header to store; length and hash of the entry are filled in."""

    entry: entries.Init
    data: bytes
    times: Times


@dataclass(frozen=True, slots=True)
class FragmentItem:
    """A fragment to store."""

    message: child.Fragment
    data: bytes
    times: Times


@dataclass(frozen=True, slots=True)
class CloseItem:
    """All open segments end here."""

    times: Times


Item = EntryItem | KeyItem | InitItem | FragmentItem | CloseItem


@dataclass(frozen=True, slots=True)
class Committed:
    """A fragment that is on the disk; ``path`` is relative to the record, ``t0`` and ``dur`` in its part's timescale."""

    track: str
    part: int
    path: str
    off: int
    len: int
    t0: int
    dur: int
    dur_us: int


@dataclass(slots=True)
class Round:
    """What one commit writes."""

    keys: list[Write] = field(default_factory=list)
    media: list[Write] = field(default_factory=list)
    segments: list[tuple[str, int] | None] = field(default_factory=list)
    """For each write of ``media``, the track and number of the segment that it belongs to."""
    journal: Write = field(default_factory=lambda: Write(layout.JOURNAL, 0, b""))
    committed: list[Committed] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    """Files to which nothing more is written."""
    already: list[Write] = field(default_factory=list)
    """What the disk that leads took in rounds that failed, and the journal speaks of: another disk must be given it too."""
    old_journals: list[Write] = field(default_factory=list)
    """What journal files took of these lines before they failed: another disk must be given it too, behind the media that they speak of."""
    after: dict[str, Stored] = field(default_factory=dict)
    """The files that the round touches, as they stand after it."""

    def writes(self) -> Iterator[Write]:
        """All that any disk is given, in the order in which it must become durable."""
        # No tuple is built of them: CPython 3.11 keeps the first 2,000 tuples of exactly 20 items for ever.
        return itertools.chain(self.keys, self.already, self.media, self.old_journals, (self.journal,))

    def bytes(self) -> int:
        """Size of the round."""
        return sum(len(write.data) for write in self.writes())


@dataclass(slots=True)
class TrackFiles:
    """A track's numbers and running hashes."""

    name: str
    next_n: int = 0
    next_seg: int = 0
    segment: int | None = None
    part: int = -1
    off: int = 0
    hash: Any = None
    bytes: int = 0
    fragments: int = 0
    segments: int = 0
    digests: Any = field(default_factory=hashlib.sha256)

    def copied(self) -> "TrackFiles":
        """A copy that further writing does not touch."""
        new = copy.copy(self)
        new.hash = self.hash.copy() if self.hash is not None else None
        new.digests = self.digests.copy()
        return new

    def total(self) -> TrackTotal:
        """The sums for the seal."""
        return TrackTotal(
            track=self.name, bytes=self.bytes, fragments=self.fragments, segments=self.segments, sha256=self.digests.copy().hexdigest()
        )


@dataclass(slots=True)
class LedgerState:
    """Where a record stands: its chain, its journal file and its tracks."""

    head: Head = BEFORE_FIRST
    journal_number: int = 1
    journal_off: int = 0
    journal_prefix: bytes = b""
    tracks: dict[str, TrackFiles] = field(default_factory=dict)
    already: list[Write] = field(default_factory=list)
    """See ``Round.already``: what the next round must name."""
    journal_hash: Any = None
    """Running hash of the journal file that is written; None where an earlier run of the recorder began it and nobody hashed it."""

    def copied(self) -> "LedgerState":
        """A copy that further writing does not touch."""
        return LedgerState(
            self.head,
            self.journal_number,
            self.journal_off,
            self.journal_prefix,
            {name: t.copied() for name, t in self.tracks.items()},
            list(self.already),
            self.journal_hash.copy() if self.journal_hash is not None else None,
        )


class Ledger:
    """Numbers, offsets and hashes of one record."""

    def __init__(self) -> None:
        self._state = LedgerState(journal_hash=hashlib.sha256())
        self._before = self._state.copied()
        self._files = FileTable()
        self._files_before: dict[str, Stored | None] = {}
        """Of the files that changed since the last round was planned: how they stood then."""

    @classmethod
    def resumed(cls, left: "LedgerState", files: FileTable) -> "Ledger":
        """Go on with a record as recovery found it; the first line end it writes ends a torn line."""
        ledger = cls()
        ledger._state = left
        ledger._before = left.copied()
        ledger._files = files
        return ledger

    @property
    def head(self) -> Head:
        """The chain's head after the last planned round."""
        return self._state.head

    def holds(self, path: str, data: bytes) -> None:
        """A file that is on the disk already."""
        self._files.put(path, _stored(data))

    @property
    def files(self) -> FileTable:
        """Every file after the last planned round; not to be changed."""
        return self._files

    def totals(self) -> list[TrackTotal]:
        """The tracks' sums."""
        return [track.total() for _, track in sorted(self._state.tracks.items())]

    def plan(self, items: Iterable[Item]) -> Round:
        """Plan a round; ``restore`` takes it back."""
        self._before = self._state.copied()
        self._files_before.clear()
        state, done = self._state, Round(already=self._state.already)
        state.already = []
        chain, lines = Chain(state.head), []
        for item in items:
            if isinstance(item, EntryItem):
                lines.append(chain.line(item.entry, item.times))
            elif isinstance(item, KeyItem):
                path = layout.key_file(item.track, item.part)
                done.keys.append(Write(path, 0, item.data))
                done.closed.append(path)
                self._put(path, _stored(item.data))
                lines.append(
                    chain.line(
                        entries.Key(track=item.track, part=item.part, file=path, len=len(item.data), sha256=_sha256(item.data)), item.times
                    )
                )
            elif isinstance(item, InitItem):
                lines.append(chain.line(self._init(item, done), item.times))
            elif isinstance(item, FragmentItem):
                lines += [chain.line(entry, item.times) for entry in self._fragment(item, done)]
            else:
                for track in state.tracks.values():
                    lines += [chain.line(entry, item.times) for entry in self._close(track, done)]
        data = state.journal_prefix + b"".join(lines) if lines else b""
        state.journal_prefix = b"" if lines else state.journal_prefix
        done.journal = Write(layout.journal_file(state.journal_number), state.journal_off, data)
        state.head = chain.head
        state.journal_off += len(data)
        if state.journal_hash is not None:
            state.journal_hash.update(data)
        self._put(done.journal.path, Stored(state.journal_off, None if state.journal_hash is None else state.journal_hash.digest()))
        touched = {write.path for write in done.writes()}
        done.after = {path: stored for path in touched | set(done.closed) if (stored := self._files.get(path)) is not None}
        return done

    def restore(self) -> None:
        """Take the last planned round back: it is not on the disk."""
        self._state = self._before.copied()
        for path, stored in self._files_before.items():
            if stored is None:
                self._files.remove(path)
            else:
                self._files.put(path, stored)
        self._files_before.clear()

    def abandon(self, failed: Round, sizes: dict[str, int], reason: str, times: Times, *, even_new: bool = True) -> list[EntryItem]:
        """After ``restore``: give up the segments that the failed round touched, as far as the disk took them (``sizes``).

        A new segment of which the disk took nothing keeps its number; without ``even_new`` so does every segment that holds nothing durable
        yet, to be written anew from its first byte. The ``Abandoned`` hash is that of the bytes as they were given to the disk: if it never
        shows them again, a verifier reports damage there, of no fragment.

        Returns the entries that say so; they belong before the round's items when it is planned anew.
        """
        items: list[EntryItem] = []
        attempted: dict[tuple[str, int], bytearray] = {}
        for write, segment in zip(failed.media, failed.segments, strict=True):
            if segment is not None:
                attempted.setdefault(segment, bytearray()).extend(write.data)
        for (name, number), data in attempted.items():
            track = self._track(name)
            path = layout.segment_file(name, number)
            is_new = track.segment != number
            taken = bytes(data[: max(0, sizes.get(path, 0) - (0 if is_new else track.off))])
            if is_new and not (taken and even_new):
                continue
            if is_new:
                items += [EntryItem(closed, times) for closed in self._close(track, Round())]
                track.segment, track.off, track.hash = number, 0, hashlib.sha256()
                track.next_seg = max(track.next_seg, number + 1)
            if taken:
                entry = entries.Abandoned(track=name, file=path, off=track.off, len=len(taken), sha256=_sha256(taken), reason=reason)
                items.append(EntryItem(entry, times))
                self._state.already.append(Write(path, track.off, taken))
            track.hash.update(taken)
            track.off += len(taken)
            self._put(path, Stored(track.off, track.hash.digest()))
            items += [EntryItem(closed, times) for closed in self._close(track, Round())]
        return items

    def next_journal(self, failed: Round, taken: bytes = b"") -> Round:
        """After a failed sync of the journal: the same lines, in a new journal file. ``taken`` is what the old one took of them."""
        state, old = self._state, failed.journal.path
        ended = None
        if self._before.journal_hash is not None:
            ended = self._before.journal_hash.copy()
            ended.update(taken)
        after = {old: Stored(failed.journal.off + len(taken), None if ended is None else ended.digest())}
        state.journal_number += 1
        state.journal_off = len(failed.journal.data)
        state.journal_hash = hashlib.sha256(failed.journal.data)
        path = layout.journal_file(state.journal_number)
        after[path] = Stored(state.journal_off, state.journal_hash.digest())
        for file, stored in after.items():
            self._put(file, stored)
        old_journals = [*failed.old_journals, Write(old, failed.journal.off, taken)] if taken else failed.old_journals
        return replace(failed, journal=Write(path, 0, failed.journal.data), old_journals=old_journals, after=failed.after | after)

    def _put(self, path: str, stored: Stored) -> None:
        self._files_before.setdefault(path, self._files.get(path))
        self._files.put(path, stored)

    def _track(self, name: str) -> TrackFiles:
        if name not in self._state.tracks:
            self._state.tracks[name] = TrackFiles(name)
        return self._state.tracks[name]

    def _init(self, item: InitItem, done: Round) -> entries.Init:
        track, digest = self._track(item.entry.track), hashlib.sha256(item.data)
        track.digests.update(digest.digest())
        track.bytes += len(item.data)
        self._put(item.entry.file, Stored(len(item.data), digest.digest()))
        done.media.append(Write(item.entry.file, 0, item.data))
        done.segments.append(None)
        done.closed.append(item.entry.file)
        return msgspec.structs.replace(item.entry, len=len(item.data), sha256=digest.hexdigest())

    def _fragment(self, item: FragmentItem, done: Round) -> list[Entry]:
        message, data = item.message, item.data
        track = self._track(message.track)
        lines: list[Entry] = []
        if message.new_segment or message.part != track.part:
            lines += self._close(track, done)
        if track.segment is None:
            track.segment, track.next_seg = track.next_seg, track.next_seg + 1
            track.off, track.hash, track.part = 0, hashlib.sha256(), message.part
        path = layout.segment_file(track.name, track.segment)
        track.hash.update(data)
        done.media.append(Write(path, track.off, data))
        done.segments.append((track.name, track.segment))
        lines.append(
            entries.Frag(
                track=track.name,
                part=message.part,
                seg=track.segment,
                n=track.next_n,
                off=track.off,
                len=len(data),
                sha256=_sha256(data),
                t0=message.t0,
                dur=message.dur,
            )
        )
        dur_us = message.dur * 1_000_000 // message.timescale
        done.committed.append(Committed(track.name, message.part, path, track.off, len(data), message.t0, message.dur, dur_us))
        track.next_n += 1
        track.fragments += 1
        track.bytes += len(data)
        track.off += len(data)
        self._put(path, Stored(track.off, track.hash.digest()))
        return lines

    def _close(self, track: TrackFiles, done: Round) -> list[Entry]:
        if track.segment is None:
            return []
        path = layout.segment_file(track.name, track.segment)
        entry = entries.Segment(track=track.name, seg=track.segment, file=path, len=track.off, sha256=track.hash.hexdigest())
        track.digests.update(track.hash.digest())
        there = self._files.get(path)
        if there is not None and there.size_bytes == track.off:  # else a crash took bytes of it that the journal speaks of
            self._put(path, Stored(track.off, track.hash.digest()))
        track.segments += 1
        track.segment = None
        done.closed.append(path)
        return [entry]


def _stored(data: bytes) -> Stored:
    return Stored(len(data), hashlib.sha256(data).digest())


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
