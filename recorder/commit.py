"""The committer: the one thread that writes a record.

Each 250 ms (at once where something urgent happened) it takes what the core has put, and makes it durable in this order: media keys; media;
then one append of the journal's lines. A line is on the disk only after the bytes that it speaks of. Where a disk fails, the round is taken
back and done again: on the mirror, if that is in step; else in new segments, for a file whose sync failed is never trusted again.
"""

import contextlib
import errno
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

import structlog

from recorder.clock import mono_us
from recorder.contract import child
from recorder.disk import Disk
from recorder.ledger import CloseItem, Committed, EntryItem, FragmentItem, InitItem, Item, KeyItem, Ledger, Round
from recorder.mirror import Mirror
from recorder.record import entries
from recorder.record.entries import Entry, TrackTotal
from recorder.record.journal import Head, Times
from recorder.storage import Ballast

log = structlog.get_logger()

PERIOD_S = 0.25
RETRY_S = 1.0
TAKE_LEAD_S = 2.0


@dataclass(frozen=True, slots=True)
class CommitReport:
    """What a commit made durable; ``duration_us`` is from its first write to its last sync."""

    head: Head
    committed: list[Committed]
    written_bytes: int
    duration_us: int


@dataclass(slots=True)
class _Lost:
    """Fragments of a track that were given up because the disk took nothing for too long."""

    fragments: int
    bytes: int
    from_us: int
    to_us: int


Trouble = Callable[[str, str, bool], None]
"""Called with an alarm's code, its words, and whether it is on."""


class Committer:
    """Writes one record. ``put_*`` never wait; callbacks come from the committer's thread."""

    def __init__(
        self,
        disk: Disk,
        ledger: Ledger,
        *,
        mirror: Mirror | None,
        ballast: Ballast | None,
        memory_bytes: int,
        now: Callable[[], Times],
        on_commit: Callable[[CommitReport], None],
        on_trouble: Trouble,
    ) -> None:
        self.disk = disk
        self.mirror = mirror
        self.lead = "primary"
        self._ledger = ledger
        self._ballast = ballast
        self._memory_bytes = memory_bytes
        self._now = now
        self._on_commit = on_commit
        self._on_trouble = on_trouble
        self._items: list[Item] = []
        self._queued_bytes = 0
        self._lost: dict[str, _Lost] = {}
        self._wake = threading.Condition()
        self._urgent = False
        self._closing = False
        self._flushes: list[Future[None]] = []
        self._failing = False
        self._thread = threading.Thread(target=self._run, name="committer", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    @property
    def head(self) -> Head:
        """The chain's head as planned; durable after the report that names it."""
        return self._ledger.head

    def put_entry(self, entry: Entry, times: Times, *, urgent: bool = False) -> None:
        """Journal an entry with the times at which it happened."""
        self._put(EntryItem(entry, times), urgent=urgent)

    def put_key(self, track: str, part: int, data: bytes, times: Times) -> None:
        """Store a wrapped media key; it is durable before its part's first fragment."""
        self._put(KeyItem(track, part, data, times))

    def put_init(self, init: entries.Init, data: bytes, times: Times) -> None:
        """Store a part's header."""
        self._put(InitItem(init, data, times), urgent=True)

    def put_fragment(self, message: child.Fragment, data: bytes, times: Times, *, urgent: bool = False) -> None:
        """Store a fragment; where the disk took nothing until memory was used up, it is given up, and the journal says so."""
        with self._wake:
            if self._queued_bytes + len(data) > self._memory_bytes:
                self._give_up(message, len(data))
                return
            self._queued_bytes += len(data)
        self._put(FragmentItem(message, data, times), urgent=urgent)

    def close_segments(self, times: Times) -> None:
        """End all open segments."""
        self._put(CloseItem(times), urgent=True)

    def flush(self) -> "Future[None]":
        """A future that is done when all that was put before is durable."""
        done: Future[None] = Future()
        with self._wake:
            self._flushes.append(done)
            self._urgent = True
            self._wake.notify()
        return done

    def totals(self) -> list[TrackTotal]:
        """The tracks' sums; call after ``close_segments`` and ``flush``."""
        return self._ledger.totals()

    def close(self) -> str:
        """Commit what is left, end the thread and the mirror; returns in words how the mirror stands."""
        with self._wake:
            self._closing = True
            self._urgent = True
            self._wake.notify()
        self._thread.join()
        verdict = "none" if self.mirror is None else self.mirror.close(timeout_s=10.0)
        self.disk.close_all()
        return verdict

    def _put(self, item: Item, *, urgent: bool = False) -> None:
        with self._wake:
            self._items.append(item)
            if urgent:
                self._urgent = True
                self._wake.notify()

    def _give_up(self, message: child.Fragment, size_bytes: int) -> None:
        from_us = message.t0 * 1_000_000 // message.timescale
        to_us = (message.t0 + message.dur) * 1_000_000 // message.timescale
        lost = self._lost.setdefault(message.track, _Lost(0, 0, from_us, to_us))
        lost.fragments += 1
        lost.bytes += size_bytes
        lost.to_us = to_us

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._urgent, timeout=RETRY_S if self._failing else PERIOD_S)
                self._urgent = False
                items, flushes, closing = self._items, self._flushes, self._closing
                self._items, self._flushes = [], []
                if not self._failing:
                    items += self._overflow_items()
            try:
                if items:
                    self._commit(items)
            except OSError as error:
                self._failed(error, items, flushes)
                if closing:
                    for flush in flushes:
                        flush.set_exception(error)
                    return
                continue
            if self._failing:
                self._failing = False
                self._on_trouble("storage_failed", "", False)
                self._put(EntryItem(entries.DiskState(disk="primary", state="working", detail="writes are taken again"), self._now()))
            with self._wake:
                self._queued_bytes -= sum(len(item.data) for item in items if isinstance(item, FragmentItem))
            for flush in flushes:
                flush.set_result(None)
            if closing and not self._items:
                return

    def _overflow_items(self) -> list[Item]:
        """The lost fragments' entries, once there is room in memory again."""
        if not self._lost or self._queued_bytes > self._memory_bytes // 2:
            return []
        times = self._now()
        made: list[Item] = [
            EntryItem(
                entries.Overflow(track=name, fragments=lost.fragments, bytes=lost.bytes, from_us=lost.from_us, to_us=lost.to_us), times
            )
            for name, lost in self._lost.items()
        ]
        self._lost.clear()
        return made

    def _failed(self, error: OSError, items: list[Item], flushes: "list[Future[None]]") -> None:
        """Nothing takes the round: keep it, tell, and try again in a second."""
        if not self._failing:
            log.error("storage failed", error=str(error))
            self._on_trouble("storage_failed", f"{error.strerror or error}: nothing can be written; make room or change the disk", True)
        self._failing = True
        with self._wake:
            self._items = items + self._items
            self._flushes = flushes + self._flushes

    def _commit(self, items: list[Item]) -> None:
        began_us = mono_us()
        done = self._ledger.plan(items)
        try:
            done = self._write(done)
        except OSError as error:
            done = self._again(items, done, error)
        if self.mirror is not None:
            self.mirror.offer(done, self._ledger.sizes)
        self._on_commit(CommitReport(self._ledger.head, done.committed, done.bytes(), mono_us() - began_us))

    def _write(self, done: Round) -> Round:
        """Make a round durable; a journal that fails goes on in a new file with the same lines."""
        for writes in (done.keys, done.media):
            for write in writes:
                self.disk.write(write)
            self.disk.sync({write.path for write in writes})
        try:
            self.disk.write(done.journal)
            self.disk.sync([done.journal.path])
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise
            log.error("the journal failed; going on in a new file", error=str(error))
            self.disk.close(done.journal.path)
            rolled = self._ledger.next_journal(done)
            self.disk.write(rolled.journal)
            self.disk.sync([rolled.journal.path])
            rolled.keys, rolled.media, rolled.segments = done.keys, done.media, done.segments
            self._tell("failed", f"journal: {error.strerror}; goes on in {rolled.journal.path}")
            done = rolled
        for path in done.closed:
            self.disk.close(path)
        return done

    def _again(self, items: list[Item], failed: Round, error: OSError) -> Round:
        """Do a failed round again, where it can be done; raises where it cannot."""
        self._ledger.restore()
        state = "full" if error.errno == errno.ENOSPC else "failed"
        reason = error.strerror or str(error)
        for write in failed.media:
            with contextlib.suppress(OSError):
                self.disk.close(write.path)
        if self.mirror is not None and self.mirror.take_lead(TAKE_LEAD_S):
            log.error("the mirror takes the lead", error=reason)
            self.disk.close_all()
            self.disk, self.mirror, self.lead = self.mirror.disk, None, "mirror"
            try:
                planned = self._write(self._ledger.plan(items))
            except OSError:
                self._ledger.restore()
                raise
            self._on_trouble("primary_disk_failed", f"{reason}; the recording goes on on the second disk alone", True)
            self._put(EntryItem(entries.DiskState(disk="primary", state=state, detail=reason), self._now()))
            self._put(EntryItem(entries.DiskState(disk="mirror", state="leads", detail="the recording goes on here"), self._now()))
            return planned
        if error.errno == errno.ENOSPC:
            if self._ballast is not None:
                self._ballast.drop()
            self._on_trouble("disk_full", "the disk is full; make room now", True)
        sizes = {write.path: self.disk.size(write.path) for write in failed.media}
        times = self._now()
        given_up: list[Item] = list(self._ledger.abandon(failed, sizes, reason, times))
        told = EntryItem(entries.DiskState(disk="primary", state=state, detail=reason), times)
        try:
            return self._write(self._ledger.plan([told, *given_up, *items]))
        except OSError:
            # The segments of both attempts are spent; the round waits and is planned anew with what abandon() said kept in front of it.
            self._ledger.restore()
            items[:0] = [told, *given_up]
            raise

    def _tell(self, state: str, detail: str) -> None:
        self._on_trouble("disk_error", detail, True)
        self._put(EntryItem(entries.DiskState(disk="primary", state=state, detail=detail), self._now()))
