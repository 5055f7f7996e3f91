"""The committer: the one thread that writes a record.

Each 250 ms (at once where something urgent happened) it takes what the core has put, and makes it durable in this order: media keys; media;
then one append of the journal's lines. A line is on the disk only after the bytes that it speaks of.

Where a disk fails, the other one takes over if it is in step (``disk_pair``). Else media is written again in new segments, for a file whose
sync failed is never trusted again; and lines, which may have reached the disk although the sync failed, are written again byte for byte: at
the same place on a disk that was full, else in the next journal file. Other lines under the same numbers would be a second chain. Until
something takes the round it waits in memory, and is tried again each second, on whichever disk holds all that was committed.
"""

import contextlib
import itertools
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

import structlog

from recorder.clock import mono_us
from recorder.contract import child
from recorder.disk import Disk, DiskName, is_full
from recorder.disk_pair import DiskPair, Trouble
from recorder.given_up import GivenUp
from recorder.ledger import CloseItem, Committed, EntryItem, FragmentItem, InitItem, Item, KeyItem, Ledger, Round
from recorder.mirror import Mirror
from recorder.record import entries
from recorder.record.entries import Entry, TrackTotal
from recorder.record.journal import Head, Times, writable

log = structlog.get_logger()

PERIOD_S = 0.25
RETRY_S = 1.0
LOOK_FOR_ROOM_US = 5_000_000
_REMOTE = "remote-"


@dataclass(frozen=True, slots=True)
class CommitReport:
    """What a commit made durable; ``duration_us`` is from its first write to its last sync."""

    head: Head
    committed: list[Committed]
    written_bytes: int
    duration_us: int


class Committer:
    """Writes one record on ``disk``, and on ``other`` behind it. ``put_*`` never wait; callbacks come from threads of its own."""

    def __init__(
        self,
        disk: Disk,
        ledger: Ledger,
        *,
        other: Disk | None,
        memory_bytes: int,
        now: Callable[[], Times],
        on_commit: Callable[[CommitReport], None],
        on_trouble: Trouble,
    ) -> None:
        self._ledger = ledger
        self._memory_bytes = memory_bytes
        self._now = now
        self._on_commit = on_commit
        self._on_trouble = on_trouble
        self._items: list[Item] = []
        self._batch: list[Item] = []
        """The round that is being written."""
        self._half: Round | None = None
        """The round's media is durable; these lines of it, and no others, must follow."""
        self._doubtful: tuple[Round, OSError] | None = None
        """A round whose media failed, while the disk does not tell how much of it it took."""
        self._rolled = False
        self._queued_bytes = 0
        self._queued_remote_bytes = 0
        self._given_up = GivenUp()
        self._wake = threading.Condition()
        self._urgent = False
        self._closing = False
        self._sealed = False
        self._settling = False
        self._flushes: list[Future[None]] = []
        self._batch_flushes: list[Future[None]] = []
        self._failing = False
        self._full = False
        self._look_again_us = 0
        self._pair = DiskPair(disk, other, memory_bytes, self._journal_disk, on_trouble)
        self._thread = threading.Thread(target=self._run, name="committer", daemon=True)

    def start(self) -> None:
        """Begin to write, and, when the first line is put, to let the other disk follow."""
        self._pair.leads(self._ledger.files)
        self._thread.start()

    @property
    def disk(self) -> Disk:
        """The disk that leads."""
        return self._pair.leader

    @property
    def lead(self) -> DiskName:
        """Name of the disk that leads."""
        return self._pair.leader.name

    @property
    def mirror(self) -> Mirror | None:
        """The disk that follows."""
        return self._pair.follower

    @property
    def failing(self) -> bool:
        """Nothing takes the present round; it waits in memory."""
        return self._failing

    @property
    def head(self) -> Head:
        """The chain's head as planned; durable after the report that names it."""
        return self._ledger.head

    def put_entry(self, entry: Entry, times: Times, *, urgent: bool = False) -> None:
        """Journal an entry with the times at which it happened, its texts in normalisation form C.

        Raises:
            NotCanonicalError: it holds a number that no journal can, or is longer than a line.
        """
        # Here and not in the committer's thread: what cannot be written must not stop what can.
        self._put(EntryItem(writable(entry), times), urgent=urgent)

    def put_key(self, track: str, part: int, data: bytes, times: Times) -> None:
        """Store a wrapped media key; it is durable before its part's first fragment."""
        self._put(KeyItem(track, part, data, times))

    def put_init(self, init: entries.Init, data: bytes, times: Times) -> None:
        """Store a part's header; as ``put_entry``."""
        self._put(InitItem(writable(init), data, times), urgent=True)

    def put_fragment(self, message: child.Fragment, data: bytes, times: Times, *, urgent: bool = False) -> None:
        """Store a fragment; where the disk took nothing until memory was used up, it is given up, and the journal says so.

        Participants may use half of memory: whatever they send, the room's own devices have the other half.
        """
        remote_bytes = len(data) if message.track.startswith(_REMOTE) else 0
        with self._wake:
            too_much = self._queued_bytes + len(data) > self._memory_bytes
            if too_much or (remote_bytes and self._queued_remote_bytes + remote_bytes > self._memory_bytes // 2):
                self._given_up.add(message, len(data))
                return
            self._queued_bytes += len(data)
            self._queued_remote_bytes += remote_bytes
        self._put(FragmentItem(message, data, times), urgent=urgent)

    def close_segments(self, times: Times) -> None:
        """End all open segments; what was given up before is told now, however full memory is."""
        self._settling = True
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

    def prove(self) -> str:
        """In words, how the copy on the disk that follows stands against the record; blocks for some seconds at most."""
        return "none" if self.mirror is None else self.mirror.prove()

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
            if self._sealed and not (isinstance(item, EntryItem) and isinstance(item.entry, entries.Checkpoint)):
                return  # behind the seal stands nothing but its checkpoint: what a disk does from now on is told by the seal's copy
            if isinstance(item, EntryItem) and isinstance(item.entry, entries.Seal):
                self._sealed = True
                self._items += self._told_given_up()  # what waited for the disk until now is told before the seal, or never
            self._items.append(item)
            if urgent:
                self._urgent = True
                self._wake.notify()

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._urgent, timeout=RETRY_S if self._failing else PERIOD_S)
                self._urgent = False
                closing = self._closing
                if self._half is None:
                    if not self._failing and not self._sealed:
                        self._batch += self._overflow_items()
                    self._batch += self._items
                    self._batch_flushes += self._flushes
                    self._items, self._flushes = [], []
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
                self._pair.hasten(on=False)
                self._on_trouble("storage_failed", "", False)
                self._tell_state("working", "writes are taken again")
            with self._wake:
                stored = [item for item in self._batch if isinstance(item, FragmentItem)]
                self._queued_bytes -= sum(len(item.data) for item in stored)
                self._queued_remote_bytes -= sum(len(item.data) for item in stored if item.message.track.startswith(_REMOTE))
                done, self._batch, self._batch_flushes = self._batch_flushes, [], []
            for flush in done:
                flush.set_result(None)
            if self._full:
                self._look_for_room()
            if closing and not self._items and not self._flushes:
                return

    def _overflow_items(self) -> list[Item]:
        """The lost fragments' entries, once there is room in memory again."""
        if self._queued_bytes > self._memory_bytes // 2 and not self._settling:
            return []
        return self._told_given_up()

    def _told_given_up(self) -> list[Item]:
        return [EntryItem(writable(entry), self._now()) for entry in self._given_up.told()]

    def _failed(self, error: OSError) -> None:
        """Nothing takes the round: it waits, and is tried again in a second."""
        if not self._failing:
            log.error("storage failed", error=str(error))
            words = f"{self.disk.root.parent}: {error.strerror or error}; nothing can be written; make room or change the disk"
            self._on_trouble("storage_failed", words, True)
        self._failing = True
        self._pair.start()
        self._pair.hasten(on=True)

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
        self._pair.committed(done)
        self._on_commit(CommitReport(self._ledger.head, done.committed, done.bytes(), mono_us() - began_us))

    def _store_media(self) -> Round:
        """Plan the batch and make its keys and media durable."""
        if self._doubtful is not None:
            return self._store_media_anew(*self._doubtful)
        done = self._ledger.plan(self._batch)
        try:
            self._put_media(done)
        except OSError as error:
            self._ledger.restore()
            for write in itertools.chain(done.keys, done.media):
                self._forget(write.path)
            self._doubtful = (done, error)
            return self._store_media_anew(done, error)
        return done

    def _store_media_anew(self, failed: Round, error: OSError) -> Round:
        """On the other disk, or in new segments; what the disk took of the failed round is given up, as soon as the disk says how much."""
        if self._change_lead(error):
            return self._store_media()
        sizes = {write.path: self.disk.size(write.path) for write in failed.media}
        self._doubtful = None
        if not self._failing:
            self._tell_first(error)
        # While the disk goes on refusing, segments that hold nothing durable yet are written anew from their first byte: giving them up too
        # would add entries each second for as long as the disk is full.
        reason = error.strerror or str(error)
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
        if not is_full(failure) and not self._rolled:
            log.error("the journal failed; going on in a new file", error=str(failure))
            taken = done.journal.data[: max(0, self._size(done.journal.path) - done.journal.off)]
            self._half = self._ledger.next_journal(done, taken)
            self._rolled = True
            self._tell("disk_error", "failed", f"journal: {failure.strerror}; goes on in {self._half.journal.path}")
            return self._store_lines(self._half)
        if self._change_lead(failure):
            self._ledger.restore()
            self._half, self._rolled = None, False
            self._half = self._store_media()
            return self._store_lines(self._half)
        if is_full(failure) and not self._failing:
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

    def _change_lead(self, error: OSError) -> bool:
        """Go on on the other disk, if that holds all that was committed."""
        if not self._pair.change_lead(error.strerror or str(error), full=is_full(error)):
            return False
        self._full, self._doubtful = False, None
        for code in ("disk_full", "disk_error"):  # of the disk that led; that it does not any more is an alarm of its own
            self._on_trouble(code, "", False)
        return True

    def _tell_first(self, error: OSError) -> None:
        """The disk that leads refused for the first time: say so, and give up what was kept for this."""
        reason = error.strerror or str(error)
        if not is_full(error):
            self._tell("disk_error", "failed", reason)
            return
        if self.disk.ballast is not None:
            self.disk.ballast.drop()
        self._full = True
        self._tell("disk_full", "full", reason)

    def _look_for_room(self) -> None:
        """After a full disk: lay the ballast again as soon as there is room for it and as much besides."""
        now_us = mono_us()
        if now_us < self._look_again_us:
            return
        self._look_again_us = now_us + LOOK_FOR_ROOM_US
        if not self._pair.regained_room():
            return
        self._full = False
        self._on_trouble("disk_full", "", False)

    def _forget(self, path: str) -> None:
        with contextlib.suppress(OSError):  # closing a file of a failed disk tells of the same failure again
            self.disk.close(path)

    def _size(self, path: str) -> int:
        with contextlib.suppress(OSError):
            return self.disk.size(path)
        return 0

    def _tell(self, code: str, state: str, detail: str) -> None:
        remedy = "make room at once" if code == "disk_full" else "check its cable and power, or change it"
        self._on_trouble(code, f"{self.disk.root.parent}: {detail}; {remedy}", True)
        self._tell_state(state, detail)

    def _tell_state(self, state: str, detail: str) -> None:
        self._journal_disk(entries.DiskState(disk=self.lead, state=state, detail=detail))

    def _journal_disk(self, entry: entries.DiskState) -> None:
        self._put(EntryItem(writable(entry), self._now()))  # its words may be a file's name, in any bytes
