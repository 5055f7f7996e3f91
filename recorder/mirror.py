"""The copy of a record on the disk that follows, written by a thread of its own so that it never delays the disk that leads.

It is handed each round after the leading disk has committed it. A disk that fails or falls behind has *left*; it tries to come back each
few seconds, is caught up from the leading disk byte for byte, and only then is in step again and may take the lead. Either disk may follow.

Catching up takes as many passes as it needs: a pass copies what was committed during the one before, and only in the last one, which is
short, do rounds wait in memory. What this disk holds and the record does not (a fork, bytes that the other disk lost) is never deleted:
such a file is set aside under ``.differs``, and where the leading disk's own file is gone or too short this disk keeps what it has.

While it is in step and nothing waits, the thread reads back from its disk what it wrote (``read_back``).
"""

import contextlib
import errno
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import structlog

from recorder.disk import Disk, is_full
from recorder.file_copy import DamagedError, Pair, bring, copy_receipts, refuse_sealed, set_aside, sync_tree
from recorder.file_table import FileTable, Stored
from recorder.ledger import Round
from recorder.read_back import ReadBack, Seen, read_on
from recorder.record import layout
from recorder.record.file_check import inventory
from recorder.seal import listed_files

log = structlog.get_logger()

MirrorState = Literal["in_step", "catching_up", "left", "closed"]
RETRY_S = 3.0
LONGEST_RETRY_S = 60.0
"""A disk that leaves again and again soon after it came back is tried ever less often, up to this."""
IDLE_S = 0.25
PROVE_S = 3.0
"""For so long a stop waits for the last bytes to be read back."""
LAST_PASS_BYTES = 8 * 1024 * 1024
"""What may be left to copy when rounds begin to wait in memory: a second of any disk."""
FULL = "no room"


class Mirror:
    """The second copy of one record. Its disk is touched by its own thread alone, until ``take_lead`` hands it over.

    ``told`` is called with each change of state and its words. ``reserve_bytes`` says how much room beside what it lacks a disk that was
    full must have before it is used again; ``full``: it led until now, and was full.
    """

    def __init__(
        self,
        disk: Disk,
        backlog_bytes: int,
        told: Callable[[MirrorState, str], None],
        reserve_bytes: Callable[[], int] = lambda: 0,
        *,
        full: bool = False,
    ) -> None:
        self.disk = disk
        self.state: MirrorState = "left"
        self.detail = "not yet caught up"
        self.full = full
        self.files = FileTable()
        """What it is to hold: every file as it was committed."""
        self._told = told
        self._reserve_bytes = reserve_bytes
        self._backlog_bytes = backlog_bytes
        self._rounds: deque[Round] = deque()
        self._queued_bytes = 0
        self._held: dict[str, int] = {}
        """Of the files that it does not hold as it should: how much of them it does."""
        self.lag_bytes = 0
        """How much this disk lacks."""
        self._follows = False
        """Rounds are kept to be applied: in step, or in the last pass of catching up."""
        self._urgent = False
        self._retry_s = 0.0
        """After so long it is tried again; at once where it was in step for long."""
        self._came_back_s = 0.0
        self._proving = False
        self._damaged: set[str] = set()
        self._journal = ("", Seen())
        """The journal file that an earlier run began, and what of it is on this disk: so that its further lines can be proven, too."""
        self._leader = Path()
        self._read_back = ReadBack(disk.root)
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mirror", daemon=True)

    def start(self, leader: Path, files: FileTable, *, held: bool = False) -> None:
        """Begin to follow a leading disk that holds these files; ``held``: this disk led until now and should hold them, too."""
        self._leader = leader
        self._aim(files)
        if held:
            self._held, self.lag_bytes = {}, 0
        self._thread.start()

    def offer(self, done: Round) -> None:
        """Take a round that the leading disk has committed; never waits."""
        with self._changed:
            self._aim(done.after)
            if not self._follows:
                return
            if self._queued_bytes + done.bytes() > self._backlog_bytes:
                self._leave("it is too slow; it is caught up later")
                return
            self._rounds.append(done)
            self._queued_bytes += done.bytes()
            self._changed.notify_all()

    def hasten(self, *, on: bool) -> None:
        """The leading disk takes nothing: this one is wanted at once, however little room it has."""
        with self._changed:
            if self._urgent != on:
                self._urgent = on
                self._changed.notify_all()

    def take_lead(self, timeout_s: float) -> bool:
        """Finish what waits and stop following: true where this disk holds all that was committed and may lead."""
        with self._changed:
            ready = self._changed.wait_for(lambda: self.state != "in_step" or not self._rounds, timeout_s)
            if not ready or self.state != "in_step":
                return False
            self._closing.set()
            self._follows = False
            self.state = "closed"
            self._changed.notify_all()
        self._thread.join()  # it waits for rounds, or reads back a little, so that it ends soon
        return True

    def prove(self, timeout_s: float = PROVE_S) -> str:
        """Read back what was not yet, for so long at most; returns in words how this disk's copy stands against the leading disk's."""
        with self._changed:
            self._proving = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self.state == "left" or self._is_proven(), timeout_s)
            self._proving = False
            state, detail, lag, unread = self.state, self.detail, self.lag_bytes, self._read_back.unread
            files, damaged = self.files.copied(), set(self._damaged)
        if state == "left":
            return f"left: {detail}; {lag} bytes behind"
        if state != "in_step" or lag:
            return f"behind: {lag} bytes"
        try:
            damaged |= {path for path, stored in files.items() if self.disk.size(path) != stored.size_bytes}
        except OSError as error:
            return f"left: {error.strerror or error}"
        if damaged:
            return f"differs: {', '.join(sorted(damaged)[:3])}"
        return f"identical: {unread} of {len(files)} files not read back" if unread else "identical"

    def close(self, timeout_s: float) -> str:
        """Finish what waits; returns in words how the copy stands (``prove``)."""
        words = self.prove(timeout_s)
        self._closing.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        return words

    def _aim(self, after: Mapping[str, Stored] | FileTable) -> None:
        for path, stored in after.items():
            held_bytes = self._held_bytes(path)
            self.lag_bytes += stored.size_bytes - self._goal_bytes(path)
            self.files.put(path, stored)
            self._note_held(path, held_bytes)

    def _goal_bytes(self, path: str) -> int:
        stored = self.files.get(path)
        return 0 if stored is None else stored.size_bytes

    def _held_bytes(self, path: str) -> int:
        return self._held[path] if path in self._held else self._goal_bytes(path)

    def _hold(self, path: str, size_bytes: int) -> None:
        with self._changed:
            self.lag_bytes -= size_bytes - self._held_bytes(path)
            self._note_held(path, size_bytes)

    def _note_held(self, path: str, size_bytes: int) -> None:
        if size_bytes == self._goal_bytes(path):
            self._held.pop(path, None)
        else:
            self._held[path] = size_bytes

    def _is_proven(self) -> bool:
        return self.state == "in_step" and not self._rounds and not self._read_back.unread

    def _run(self) -> None:
        while not self._closing.is_set():
            if self.state == "left":
                self._wait()
                if self._closing.is_set():
                    break
                self._retry_s = max(RETRY_S, self._retry_s)
                self._come_back()
                continue
            with self._changed:
                if not self._proving:
                    self._changed.wait_for(self._is_wanted, IDLE_S)
                done = self._rounds[0] if self._rounds and not self._closing.is_set() else None
            try:
                self._work(done)
            except OSError as error:
                with self._changed:
                    if self.state != "closed":
                        self._failed(error)
        if self.state != "closed":
            self._let_go()

    def _wait(self) -> None:
        """Until the disk is tried again, or is let go."""
        began_s = time.monotonic()
        with self._changed:
            while not self._closing.is_set():
                left_s = began_s + (min(RETRY_S, self._retry_s) if self._urgent else self._retry_s) - time.monotonic()
                if left_s <= 0:
                    return
                self._changed.wait(left_s)

    def _is_wanted(self) -> bool:
        return bool(self._rounds) or self._closing.is_set() or self.state == "left" or self._proving

    def _work(self, done: Round | None) -> None:
        """Apply a round; where none waits any more, read back a little."""
        if done is not None:
            self._apply(done)
            with self._changed:
                if self._rounds:
                    self._rounds.popleft()
                    self._queued_bytes -= done.bytes()
                    self._read_back.wrote(self._with_journal_hash(done), done.closed)
                    for path, stored in done.after.items():
                        self._hold(path, stored.size_bytes)
                self._changed.notify_all()
        if not self._rounds and self.state == "in_step" and not self._closing.is_set():
            if self._proving and not self._read_back.unread:
                with self._changed:
                    self._changed.wait_for(lambda: not self._proving or self._rounds or self._closing.is_set(), IDLE_S)
                return
            self._read_back.step(hurry=self._proving)
            with self._changed:
                self._changed.notify_all()

    def _with_journal_hash(self, done: Round) -> dict[str, Stored]:
        path, seen = self._journal
        if path != done.journal.path or seen.size_bytes != done.journal.off:
            return done.after
        seen.hash.update(done.journal.data)
        seen.size_bytes += len(done.journal.data)
        return done.after | {path: Stored(seen.size_bytes, seen.hash.digest())}

    def _apply(self, done: Round) -> None:
        first: dict[str, int] = {}
        media = [*done.keys, *done.already, *done.media]
        lines = [*done.old_journals, *([done.journal] if done.journal.data else [])]
        for write in done.writes():
            first[write.path] = min(write.off, first.get(write.path, write.off))
        for path, off in first.items():
            if self.disk.size(path) < off:
                raise OSError(errno.EIO, f"{path} is shorter than it was; the disk lost bytes")
        for writes in (media, lines):
            for write in writes:
                self.disk.write(write)
            self.disk.sync({write.path for write in writes})
        for path in done.closed:
            self.disk.close(path)

    def _come_back(self) -> None:
        """Catch up from the leading disk."""
        self._let_go()
        try:
            self._make_room()
            with self._changed:
                self.state = "catching_up"
            self.disk.make()
            self._read_back.begin_anew()
            self._catch_up(self._leader)
        except OSError as error:
            with self._changed:
                self._failed(error)
            return
        with self._changed:
            if self._follows:
                self.state, self.detail, self.full = "in_step", "", False
                self._came_back_s = time.monotonic()
                self._told("in_step", "")
            elif self.state == "catching_up":
                self.state = "left"
            self._changed.notify_all()

    def _make_room(self) -> None:
        """Lay the ballast. A disk that was full needs room to spare, or it would fill up and be caught up again and again.

        Raises:
            OSError: there is not enough, or no disk, or the record stands sealed there.
        """
        refuse_sealed(self.disk.root)
        if not self.disk.root.parent.is_dir():
            raise OSError(errno.ENOENT, f"{self.disk.root.parent} is not there")
        ballast = self.disk.ballast
        if self._urgent:
            if ballast is not None and self.full:
                ballast.drop()
            return
        laid = ballast is None or ballast.lay()
        if self.full and (not laid or self.disk.free_bytes() < self.lag_bytes + self._reserve_bytes()):
            raise OSError(errno.ENOSPC, FULL)

    def _catch_up(self, leader: Path) -> None:
        known: dict[str, int] = {}
        last = False
        self._damaged.clear()
        self._set_links_aside()
        while not last and not self._closing.is_set():
            with self._changed:
                files = self.files.copied()
                last = sum(stored.size_bytes - known.get(path, 0) for path, stored in files.items()) <= LAST_PASS_BYTES
                self._follows = last
            # The journal last: a line is never on a disk before the bytes that it speaks of.
            for path, stored in sorted(files.items(), key=lambda item: layout.journal_number(item[0]) or 0):
                if self._closing.is_set():
                    with self._changed:
                        self._follows = False
                    return
                if known.get(path) != stored.size_bytes:
                    self._bring(leader, path, stored, known.get(path, 0))
                    known[path] = stored.size_bytes
            if last:
                self._read_journal(files)
                copy_receipts(leader, self.disk.root)
                self._set_strangers_aside(files)
            sync_tree(self.disk.root)

    def _bring(self, leader: Path, path: str, stored: Stored, known_bytes: int) -> None:
        if known_bytes == 0 and self._read_back.holds(path, stored):
            self._hold(path, stored.size_bytes)
            return
        try:
            seen = bring(Pair(leader, self.disk.root, path), stored, known_bytes)
        except DamagedError as error:
            if layout.journal_number(path) or not (leader / layout.JOURNAL).exists():
                raise OSError(errno.ENOENT, "the leading disk cannot be read") from error
            log.error("the leading disk's file is damaged; the following disk keeps what it has", file=str(error))
            self._damaged.add(path)
        else:
            if seen is None:
                self._read_back.wrote({path: stored})
            else:
                self._read_back.saw(path, stored, seen)
        self._hold(path, stored.size_bytes)

    def _read_journal(self, files: FileTable) -> None:
        unknown = [(path, stored) for path, stored in files.items() if stored.sha256 is None and layout.journal_number(path)]
        for path, stored in sorted(unknown, key=lambda item: layout.journal_number(item[0]) or 0)[-1:]:
            self._journal = (path, Seen())
            read_on(f"{self.disk.root}/{path}", self._journal[1], stored.size_bytes)

    def _set_links_aside(self) -> None:
        """What is no regular file, and by which something that lies elsewhere would be read or written to: somebody put it there."""
        root = self.disk.root
        if root.is_symlink():
            raise OSError(errno.ELOOP, "a link stands there for the record", str(root))
        for path in inventory(root)[1]:
            set_aside(Pair(self._leader, root, path))

    def _set_strangers_aside(self, files: FileTable) -> None:
        """Files that the record does not know: what this disk took in rounds that were given up."""
        for path in listed_files(self.disk.root):
            if path not in files:
                set_aside(Pair(self._leader, self.disk.root, path))

    def _let_go(self) -> None:
        with contextlib.suppress(OSError):  # closing files of a failed disk tells of the same failure again
            self.disk.close_all()

    def _failed(self, error: OSError) -> None:
        self.full = self.full or is_full(error)
        words = error.strerror or str(error)
        self._leave(FULL if is_full(error) else f"{error.filename}: {words}" if error.filename else words)

    def _leave(self, detail: str) -> None:
        was, self.state = self.state, "left"
        if was == "in_step":
            soon = time.monotonic() - self._came_back_s < LONGEST_RETRY_S
            self._retry_s = min(LONGEST_RETRY_S, 2 * self._retry_s) if soon else 0.0
        changed = detail != self.detail
        self.detail = detail
        self._follows = False
        self._rounds.clear()
        self._queued_bytes = 0
        if was == "in_step" or changed:
            log.warning("the disk that follows left", disk=self.disk.name, detail=detail)
            self._told("left", detail)
        self._changed.notify_all()
