"""The committer: the one thread that writes a record.

Each 250 ms (at once where something urgent happened) it takes what the core has put, and makes it durable in this order: media keys; media;
then one append of the journal's lines. A line is on the disk only after the bytes that it speaks of.

Where a disk fails, the mirror takes over if it is in step. Else media is written again in new segments, for a file whose sync failed is
never trusted again; and lines, which may have reached the disk although the sync failed, are written again byte for byte: at the same place
on a disk that was full, else in the next journal file. Other lines under the same numbers would be a second chain. Until something takes
the round it waits in memory, and is tried again each second.
"""

import contextlib
import errno
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Literal

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
LOOK_FOR_ROOM_US = 5_000_000


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
        self.lead: Literal["primary", "mirror"] = "primary"
        self._ledger = ledger
        self._ballast = ballast
        self._memory_bytes = memory_bytes
        self._now = now
        self._on_commit = on_commit
        self._on_trouble = on_trouble
        self._items: list[Item] = []
        self._batch: list[Item] = []
        """The round that is being written."""
        self._half: Round | None = None
        """The round's media is durable; these lines of it, and no others, must follow."""
        self._rolled = False
        self._queued_bytes = 0
        self._lost: dict[str, _Lost] = {}
        self._wake = threading.Condition()
        self._urgent = False
        self._closing = False
        self._flushes: list[Future[None]] = []
        self._batch_flushes: list[Future[None]] = []
        self._failing = False
        self._full = False
        self._look_again_us = 0
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
                closing = self._closing
                if self._half is None:
                    self._batch += self._items
                    self._batch_flushes += self._flushes
                    self._items, self._flushes = [], []
                    if not self._failing:
                        self._batch += self._overflow_items()
            try:
                if self._batch:
                    self._commit()
            except OSError as error:
                self._failed(error)
                if closing:
                    for flush in (*self._batch_flushes, *self._flushes):
                        flush.set_exception(error)
                    return
                continue
            if self._failing:
                self._failing = False
                self._on_trouble("storage_failed", "", False)
                self._tell_state("working", "writes are taken again")
            with self._wake:
                self._queued_bytes -= sum(len(item.data) for item in self._batch if isinstance(item, FragmentItem))
                done, self._batch, self._batch_flushes = self._batch_flushes, [], []
            for flush in done:
                flush.set_result(None)
            if self._full:
                self._look_for_room()
            if closing and not self._items and not self._flushes:
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

    def _failed(self, error: OSError) -> None:
        """Nothing takes the round: it waits, and is tried again in a second."""
        if not self._failing:
            log.error("storage failed", error=str(error))
            self._on_trouble("storage_failed", f"{error.strerror or error}: nothing can be written; make room or change the disk", True)
        self._failing = True

    def _commit(self) -> None:
        """Make the batch durable.

        Raises:
            OSError: nothing takes it; calling again goes on where it stands.
        """
        began_us = mono_us()
        if self._half is None:
            self._half, self._rolled = self._store_media(), False
        done = self._store_lines(self._half)
        self._half = None
        for path in done.closed:
            self.disk.close(path)
        if self.mirror is not None:
            self.mirror.offer(done, self._ledger.sizes)
        self._on_commit(CommitReport(self._ledger.head, done.committed, done.bytes(), mono_us() - began_us))

    def _store_media(self) -> Round:
        """Plan the batch and make its keys and media durable."""
        done = self._ledger.plan(self._batch)
        try:
            self._put_media(done)
        except OSError as error:
            self._ledger.restore()
            return self._store_media_again(done, error)
        return done

    def _store_media_again(self, failed: Round, error: OSError) -> Round:
        reason = error.strerror or str(error)
        for write in (*failed.keys, *failed.media):
            self._forget(write.path)
        if self._change_to_mirror(error):
            return self._store_media()
        if not self._failing:
            self._tell_first(error)
        # While the disk goes on refusing, segments that hold nothing durable yet are written anew from their first byte: giving them up too
        # would add entries each second for as long as the disk is full.
        sizes = {write.path: self._size(write.path) for write in failed.media}
        given_up = self._ledger.abandon(failed, sizes, reason, self._now(), even_new=not self._failing)
        self._batch[:0] = given_up
        if self._failing and not given_up:
            raise error
        done = self._ledger.plan(self._batch)
        try:
            self._put_media(done)
        except OSError:
            self._ledger.restore()
            raise
        return done

    def _store_lines(self, done: Round) -> Round:
        """Make the lines of a round durable whose media is."""
        try:
            self._put_lines(done)
            return done
        except OSError as error:
            failure = error
        self._forget(done.journal.path)
        if not _is_full(failure) and not self._rolled:
            log.error("the journal failed; going on in a new file", error=str(failure))
            taken = done.journal.data[: max(0, self._size(done.journal.path) - done.journal.off)]
            self._half = self._ledger.next_journal(done, taken)
            self._rolled = True
            self._tell("disk_error", "failed", f"journal: {failure.strerror}; goes on in {self._half.journal.path}")
            return self._store_lines(self._half)
        if self._change_to_mirror(failure):
            self._ledger.restore()
            self._half, self._rolled = None, False
            self._half = self._store_media()
            return self._store_lines(self._half)
        if _is_full(failure) and not self._failing:
            self._tell_first(failure)
            self._put_lines(done)
            return done
        raise failure

    def _put_media(self, done: Round) -> None:
        # On a disk that took the lead meanwhile, what was given up on the other one is missing still.
        missing = [write for write in done.already if self.disk.size(write.path) < write.off + len(write.data)]
        for writes in (done.keys, missing + done.media):
            for write in writes:
                self.disk.write(write)
            self.disk.sync({write.path for write in writes})

    def _put_lines(self, done: Round) -> None:
        if done.journal.data:
            self.disk.write(done.journal)
            self.disk.sync([done.journal.path])

    def _change_to_mirror(self, error: OSError) -> bool:
        """Go on on the second disk, if that holds all that was committed."""
        if self.mirror is None or not self.mirror.take_lead(TAKE_LEAD_S):
            return False
        reason = error.strerror or str(error)
        log.error("the mirror takes the lead", error=reason)
        self.disk.close_all()
        self.disk, self.mirror, self.lead = self.mirror.disk, None, "mirror"
        self._on_trouble("primary_disk_failed", f"{reason}; the recording goes on on the second disk alone", True)
        times = self._now()
        self._put(EntryItem(entries.DiskState(disk="primary", state="full" if _is_full(error) else "failed", detail=reason), times))
        self._put(EntryItem(entries.DiskState(disk="mirror", state="leads", detail="the recording goes on here"), times))
        return True

    def _tell_first(self, error: OSError) -> None:
        """The disk that leads refused for the first time: say so, and give up what was kept for this."""
        reason = error.strerror or str(error)
        if not _is_full(error):
            self._tell("disk_error", "failed", reason)
            return
        if self._ballast is not None and self.lead == "primary":
            self._ballast.drop()
        self._full = True
        self._tell("disk_full", "full", reason)

    def _look_for_room(self) -> None:
        """After a full disk: lay the ballast again as soon as there is room for it and as much besides."""
        now_us = mono_us()
        if now_us < self._look_again_us:
            return
        self._look_again_us = now_us + LOOK_FOR_ROOM_US
        if self._ballast is not None and self.lead == "primary":
            try:
                free_bytes = self.disk.free_bytes()
            except OSError as error:
                log.warning("the disk does not tell its room", error=str(error))
                return
            if free_bytes < 2 * self._ballast.size_bytes or not self._ballast.lay():
                return
        self._full = False
        self._on_trouble("disk_full", "", False)

    def _forget(self, path: str) -> None:
        with contextlib.suppress(OSError):  # closing a file of a failed disk tells of the same failure again
            self.disk.close(path)

    def _size(self, path: str) -> int:
        try:
            return self.disk.size(path)
        except OSError:
            return 0

    def _tell(self, code: str, state: str, detail: str) -> None:
        self._on_trouble(code, detail, True)
        self._tell_state(state, detail)

    def _tell_state(self, state: str, detail: str) -> None:
        self._put(EntryItem(entries.DiskState(disk=self.lead, state=state, detail=detail), self._now()))


def _is_full(error: OSError) -> bool:
    return error.errno in {errno.ENOSPC, errno.EDQUOT}
