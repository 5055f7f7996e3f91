"""The room's two disks: which records lie on them, how much room they have, and the head that the next record names."""

import os
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import structlog

from provisioning import sole_process
from provisioning.room import Storage
from recorder.clock import mono_us
from recorder.copies import goes_beyond
from recorder.disk import Disk, DiskName
from recorder.disk_calls import ANSWER_S, DiskCalls
from recorder.disk_pair import ALARM as LEFT
from recorder.disk_pair import Trouble
from recorder.file_copy import append_line
from recorder.journal_line import line_sha256
from recorder.left_records import named, set_false_seal_aside, unsealed, was_deleted
from recorder.record import layout
from recorder.record.entries import FIRST_PREV
from recorder.record.journal import Head
from recorder.recovery import is_sealed
from recorder.seal import put_file
from recorder.seal_trust import SealTrust
from recorder.sealed_copy import complete, is_level, put_seal
from recorder.snapshot import FOLDER
from recorder.storage import Ballast
from recorder.threads import apart, begin
from recorder.trial_write import ALARM, not_writable, try_write

log = structlog.get_logger()
T = TypeVar("T")

LAST_HEAD = ".last-head"
LOCK = ".recorder-lock"
UNSTAMPED = ".unstamped"
COMPLETE_AGAIN_US = 60_000_000
TRY_AGAIN_US = 60_000_000
"""While nothing is recorded a byte is written to each disk so often: whether one takes anything is to be known before a hearing begins."""
LOCK_AGAIN_S = 0.05
MAKE_S = 0.5
"""A start waits so long for a disk that does not lead."""
NOT_COMPLETED = "copies_not_completed"
DAMAGED = "record_damaged"


class RoomDisks:
    """The primary disk and, where there is one, the mirror."""

    def __init__(self, storage: Storage, trust: SealTrust) -> None:
        self.trust = trust
        self.primary = Path(storage.primary)
        self.mirror = Path(storage.mirror) if storage.mirror else None
        self.free_bytes: dict[str, int] = {}
        """Free bytes by name ("primary", "mirror") as last looked at; a disk that is not there is missing."""
        self.refuses: set[DiskName] = set()
        """The disks that took no byte when last tried, while nothing was recorded."""
        self.recording = False
        """Copies of earlier records are completed only while nothing is recorded."""
        self.trouble: Trouble = lambda code, detail, on: log.warning("trouble", code=code, detail=detail, on=on)
        self._calls = DiskCalls()
        self._last_head = ""
        self._ballast_bytes = storage.ballast_mib * 1024 * 1024
        self._locks: dict[DiskName, int] = {}
        self._behind = True
        self._look_again_us = 0
        self._try_again_us = 0
        self._completing: threading.Thread | None = None
        self._problem = ""
        self._kept: set[Path] = set()
        """Copies that hold what the sealed record does not, which it takes long to find out."""

    def named(self) -> list[tuple[DiskName, Path]]:
        """The disks with their names, the primary first."""
        both: tuple[tuple[DiskName, Path | None], ...] = (("primary", self.primary), ("mirror", self.mirror))
        return [(name, path) for name, path in both if path is not None]

    def answering(self) -> list[Path]:
        """The disks' directories of records, of the disks that can be read now; the primary's first."""
        found = []
        for name, answer in self._calls.each("look for records", {name: partial(_scan, base) for name, base in self.named()}).items():
            if isinstance(answer, Path):
                found.append(answer)
            elif not isinstance(answer, FileNotFoundError):
                log.error("a disk does not answer", disk=name, error=answer.strerror or str(answer))
        return found

    def make(self) -> None:
        """Make the directories of records where they are missing; a disk that is not there now may come."""
        self._calls.each("make its directory", {name: partial(_make, base) for name, base in self.named()}, MAKE_S)

    def claim(self, *, wait_s: float) -> None:
        """Tell other recorders by a lock on each disk that this one writes a record there; a disk that takes no lock goes without.

        Raises:
            sole_process.HeldError: another one does, and goes on doing so for ``wait_s``.
        """
        end_s = time.monotonic() + wait_s
        while (held := self._take_locks()) is not None:  # a disk that hangs is no reason to wait longer than ``MAKE_S``
            if time.monotonic() >= end_s:
                raise held
            time.sleep(LOCK_AGAIN_S)

    def _take_locks(self) -> sole_process.HeldError | None:
        """Take the locks that are lacking; why not, where another recorder has one."""
        found, late = None, threading.Event()
        calls = {name: partial(_lock, base, late) for name, base in self.named() if name not in self._locks}
        answers = self._calls.each("take its lock", calls, MAKE_S)
        late.set()
        for name, answer in answers.items():
            if isinstance(answer, sole_process.HeldError):
                found = answer
            elif isinstance(answer, OSError):
                log.warning("a disk takes no lock; a second recorder would not notice this one", disk=name, error=str(answer))
            else:
                self._locks[name] = answer
        return found

    def release(self) -> None:
        """No record is written now: the disks may be taken away."""
        for held in [self._locks.pop(name, None) for name in list(self._locks)]:
            if held is not None:
                os.close(held)

    def heard(self, code: str, *, on: bool) -> None:
        """A disk that has left a session may be taken away too, or mounted anew; its lock is taken again with the next session."""
        for held in [self._locks.pop(name, None) for name, left in LEFT.items() if on and code == left]:
            if held is not None:
                begin(partial(os.close, held), "let go of a disk's lock")  # of a disk that hangs perhaps

    def first_that(self, what: str, work: Callable[[DiskName, Path], T], timeout_s: float) -> T:
        """What comes of this work on the first of the disks that does it, each of which is given so long.

        Raises:
            OSError: none does; the last one's error.
        """
        failure = OSError("no disk is configured")
        for name, base in self.named():
            done = self._calls.each(what, {name: partial(work, name, base)}, timeout_s)[name]
            if not isinstance(done, OSError):
                return done
            log.error("a disk does not do it", what=what, disk=name, error=str(done))
            failure = done
        raise failure

    def disk(self, root: Path) -> Disk:
        """The disk of a record's directory."""
        name: DiskName = "mirror" if root.parent == self.mirror else "primary"
        return Disk(root, name, Ballast(root.parent, self._ballast_bytes))

    def other(self, disk: Disk) -> Disk | None:
        """The same record on the other disk; None where the room has one only."""
        return next((self.disk(base / disk.root.name) for name, base in self.named() if name != disk.name), None)

    async def look(self) -> None:
        """Ask the disks for their free space, each by itself; one that hangs counts as gone, and holds nobody up."""
        asked = {name: Disk(path).free_bytes for name, path in self.named()}
        for name, free in (await apart(partial(self._calls.each, "tell its room", asked, ANSWER_S), "look at the disks")).items():
            was_there = name in self.free_bytes
            if isinstance(free, OSError):
                self.free_bytes.pop(name, None)
            else:
                self.free_bytes[name] = free
            self._behind = self._behind or (not was_there and name in self.free_bytes)
        await self._try_writes()
        self._complete_copies()

    def idle_state(self, name: DiskName) -> str:
        """How a disk stands while nothing is recorded."""
        if name not in self.free_bytes:
            return "gone"
        return "failing" if name in self.refuses else "ready"

    async def _try_writes(self) -> None:
        """Write a byte to each disk that is there, if it is time to; one that takes none is an alarm. What is recorded tells of itself."""
        if mono_us() < self._try_again_us and not (self.recording and self.refuses):
            return
        self._try_again_us = mono_us() + TRY_AGAIN_US
        asked = {} if self.recording else {name: partial(try_write, base) for name, base in self.named() if name in self.free_bytes}
        answers = await apart(partial(self._calls.each, "take a byte", asked, ANSWER_S), "try to write")
        for name, base in self.named():
            error = answers.get(name)
            refuses = isinstance(error, OSError) and not isinstance(error, FileNotFoundError)
            if refuses or name in self.refuses:
                self.trouble(ALARM[name], not_writable(error, base) if isinstance(error, OSError) and refuses else "", refuses)
            (self.refuses.add if refuses else self.refuses.discard)(name)

    def unsealed(self) -> list[Path]:
        """Records that have a seal on neither disk, each on the disk where it goes on."""
        return unsealed(self.answering(), self.trust, lambda words: self.trouble(DAMAGED, f"{words}; see `courtroom verify`", True))

    def set_false_seals_aside(self, record: str) -> None:
        """A record goes on: what is named as its seal and is none is kept beside the records, on either disk."""
        for root in [base / record for base in self.answering()]:
            try:
                set_false_seal_aside(root, self.trust)
            except OSError as error:  # the session goes on; a disk that is named as sealed is left out of it
                log.error("what is named as a seal and is none stays there", record=str(root), error=str(error))

    def add_receipt(self, record: str, line: bytes, leader: Path | None) -> bool:
        """Store a receipt with every copy of its record; true if one took it, which is the leading one where the record is being made.

        A disk that does not answer in time, or failed, is given what its copy lacks with the seal.
        """
        asked = {name: partial(_append_receipt, base, record, line) for name, base in self.named()}
        taken: list[Path] = []
        for name, answer in self._calls.each("take a receipt", asked).items():
            if isinstance(answer, list):
                taken += answer
            elif not isinstance(answer, FileNotFoundError):
                log.warning("a disk does not take the receipt", disk=name, record=record, error=str(answer))
        return bool(taken) if leader is None else leader in taken

    def heads(self, record: str, at: int) -> set[str]:
        """The hashes (hex) of line ``at`` in the copies of a record; none where no copy that answers has that line.

        Raises:
            FileNotFoundError: no copy of the record is here.
        """
        asked = {name: partial(_heads, base, record, at) for name, base in self.named()}
        answers = [answer for answer in self._calls.each("read a line", asked).values() if not isinstance(answer, OSError)]
        copies = [head for answer in answers for head in answer]
        if not copies:
            raise FileNotFoundError(f"no record {record} is here, or no disk that has it answers")
        return {head for head in copies if head is not None}

    def copy_seal(self, record: Path, *, level: bool) -> None:
        """Give the other disk's copy of a sealed record the seal, if it is level (or what it lacks of it, if it has it already).

        One that is behind is completed when there is time for it.
        """
        for _, base in self.named():
            copy = base / record.name
            try:
                if copy == record or not copy.is_dir():
                    continue
                if is_sealed(copy) or (level and is_level(record, copy)):
                    put_seal(record, copy)
                    continue
                detail = "it is behind"
            except OSError as error:
                detail = str(error)
            log.warning("the other disk's copy is not sealed yet", copy=str(copy), detail=detail)
            self._behind = True

    def last_head(self) -> str:
        """The head of the record before: the last that was kept, or from the disk that was written last (a lost one has an older)."""
        if self._last_head:
            return self._last_head
        found = self._calls.each("tell the last head", {name: partial(_kept_head, base) for name, base in self.named()}, ANSWER_S / 2)
        return max(((0, FIRST_PREV), *(answer for answer in found.values() if not isinstance(answer, OSError))))[1]

    def remember_head(self, head: Head) -> None:
        """The next record names this head."""
        self._last_head = head.sha256

    def keep_head(self, head: Head) -> None:
        """Keep the head of a finished record for the next one, on every disk that answers."""
        self.remember_head(head)
        kept = {name: partial(keep_head_at, base, head) for name, base in self.named()}
        for name, answer in self._calls.each("keep the last head", kept).items():
            if isinstance(answer, OSError) and not isinstance(answer, FileNotFoundError):
                log.warning("a disk does not keep the last head", disk=name, error=str(answer))  # the other one has it

    def unstamped(self) -> list[Path]:
        """The sealed records for which a crash ended the wait for a timestamp."""
        names = [(base, path.name.removesuffix(UNSTAMPED)) for base in self.answering() for path in (base / FOLDER).glob(f"*{UNSTAMPED}")]
        return [base / name for base, name in names if is_sealed(base / name)]

    def _complete_copies(self) -> None:
        """Where a disk came, or a copy stayed behind: complete it in the background."""
        now_us = mono_us()
        if self._behind and not self.recording and now_us >= self._look_again_us and not (self._completing and self._completing.is_alive()):
            self._behind, self._look_again_us = False, now_us + COMPLETE_AGAIN_US
            self._completing = threading.Thread(target=self._complete_all, name="complete copies", daemon=True)
            self._completing.start()

    def _complete_all(self) -> None:
        try:
            problem = self._complete_each()
        except Exception as error:  # noqa: BLE001 - the recording goes on, whatever a disk lists and whatever stands in old records
            problem = f"the copies of records cannot be looked through: {error!r}"
        if problem and problem != self._problem:
            log.error("not all copies can be completed", problem=problem)
        if problem or self._problem:
            self.trouble(NOT_COMPLETED, problem, bool(problem))
        self._problem = problem
        self._behind = self._behind or bool(problem)

    def _complete_each(self) -> str:
        """Complete every copy that is behind; in words which of them cannot be, whatever the disks do; or empty."""
        problem = ""
        bases = self.answering()
        for record, copy in [(root, other / root.name) for base in bases for other in bases if base != other for root in named(base)]:
            done = not self.recording
            if not done:
                self._behind = True
                break
            try:
                why = self._not_to_be_completed(record, copy, bases)
                if why is not None:
                    problem = problem or why
                    continue
                done = complete(record, copy, lambda: not self.recording)
            except OSError as error:
                done = False
                log.warning("a copy could not be completed", copy=str(copy), error=str(error))
            except Exception as error:  # noqa: BLE001 - an old record may hold anything; the others are completed, and the recorder goes on
                problem = problem or f"{copy} cannot be completed from {record} ({error}); see `courtroom verify {record}`"
                continue
            self._behind = self._behind or not done
            if done:
                log.warning("a copy that was behind is complete and sealed", copy=str(copy))
        return problem

    def _not_to_be_completed(self, record: Path, copy: Path, bases: list[Path]) -> str | None:
        """Why a copy is not to be completed from a record: in words, empty where nothing is wrong; None: it is to be."""
        if not is_sealed(record):
            if (record / layout.JOURNAL).exists() and was_deleted(record.name, bases, self.trust, log.warning):
                return f"{record} was left behind: the record was delivered, and deleted on the other disk; look at it, and remove it"
            return ""
        if not copy.is_dir():
            return ""
        for root in (record, copy):
            if self.trust.is_false(root):
                return f"{root} is named as sealed, and is not: {self.trust.refusal(root)}; nothing is copied from it or to it"
        if is_sealed(copy):
            return ""
        if copy in self._kept or goes_beyond(copy, record, self.trust.key):
            self._kept.add(copy)
            return (
                f"{copy} is not sealed and holds what the sealed {record} does not: both stay as they are; run `courtroom verify` on each, "
                "keep both, and move the one that is not sealed to another place"
            )
        return None


def keep_head_at(base: Path, head: Head) -> None:
    """Keep the head of a finished record on one disk.

    Raises:
        OSError: the disk takes nothing.
    """
    put_file(base / LAST_HEAD, (head.sha256 + "\n").encode())


def unstamped_file(record: Path) -> Path:
    """There while a timestamp of a sealed record is waited for."""
    return record.parent / FOLDER / f"{record.name}{UNSTAMPED}"


def put_unstamped(record: Path) -> None:
    """Note that a timestamp of a record that is being sealed is waited for.

    Raises:
        OSError: the disk takes nothing.
    """
    unstamped_file(record).parent.mkdir(mode=0o700, exist_ok=True)
    put_file(unstamped_file(record), b"")


def _scan(base: Path) -> Path:
    with os.scandir(base):
        return base


def _lock(base: Path, late: threading.Event) -> int:
    """A disk's lock. One that is got when nobody waits for it any more is let go of: it would keep the disk from being unmounted."""
    descriptor = sole_process.hold(base / LOCK, wait_s=0)
    if late.is_set():
        os.close(descriptor)
        raise TimeoutError("the disk took its lock too late")
    return descriptor


def _make(base: Path) -> None:
    base.mkdir(mode=0o700, parents=True, exist_ok=True)


def _append_receipt(base: Path, record: str, line: bytes) -> list[Path]:
    taken = []
    for root in base.glob(f"*_{record}"):
        append_line(root / layout.ANCHORS, line)
        taken.append(root)
    return taken


def _heads(base: Path, record: str, at: int) -> list[str | None]:
    return [line_sha256(root, at) for root in base.glob(f"*_{record}")]


def _kept_head(base: Path) -> tuple[int, str]:
    kept = base / LAST_HEAD
    return kept.stat().st_mtime_ns, kept.read_text(encoding="ascii").strip() or FIRST_PREV
