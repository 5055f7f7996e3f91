"""The second copy, on another disk, written by a thread of its own so that it never delays the first.

It is handed each round after the primary has committed it. A mirror that fails or falls behind has *left*; it tries to come back each few
seconds, is caught up from the primary byte for byte, and only then is in step again and may take the lead.

Catching up takes as many passes as it needs: a pass copies what was committed during the one before, and only in the last one, which is
short, do rounds wait in memory. What the mirror holds and the primary does not (a fork, bytes that the primary lost) is never deleted: such
a file is set aside under ``.differs``, and where the primary's own file is gone or too short the mirror keeps what it has.
"""

import contextlib
import hashlib
import os
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import structlog

from recorder.disk import Disk
from recorder.ledger import Round

log = structlog.get_logger()

MirrorState = Literal["in_step", "catching_up", "left", "closed"]
RETRY_S = 3.0
DIFFERS = ".differs"
LAST_PASS_BYTES = 8 * 1024 * 1024
"""What may be left to copy when rounds begin to wait in memory: a second of any disk."""
_COPY_BYTES = 1024 * 1024


class Mirror:
    """The second copy of one record. Its disk is touched by its own thread alone, until ``take_lead`` hands it over."""

    def __init__(self, root: Path, backlog_bytes: int, told: Callable[[MirrorState, str], None]) -> None:
        self.disk = Disk(root)
        self.state: MirrorState = "left"
        self.detail = "not yet caught up"
        self._told = told
        self._backlog_bytes = backlog_bytes
        self._rounds: deque[Round] = deque()
        self._lag_bytes = 0
        self._follows = False
        """Rounds are kept to be applied: in step, or in the last pass of catching up."""
        self._sizes: dict[str, int] = {}
        self._primary: Path | None = None
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mirror", daemon=True)

    def start(self, primary: Path, sizes: dict[str, int]) -> None:
        """Begin to follow a primary whose files have these lengths."""
        self._primary, self._sizes = primary, dict(sizes)
        self._thread.start()

    @property
    def lag_bytes(self) -> int:
        """How far the mirror is behind."""
        return self._lag_bytes

    def offer(self, done: Round, sizes: dict[str, int]) -> None:
        """Take a round that the primary has committed; never waits."""
        with self._changed:
            self._sizes = dict(sizes)
            if not self._follows:
                return
            if self._lag_bytes + done.bytes() > self._backlog_bytes:
                self._leave("it is too slow; it is caught up later")
                return
            self._rounds.append(done)
            self._lag_bytes += done.bytes()
            self._changed.notify_all()

    def take_lead(self, timeout_s: float) -> bool:
        """Finish what waits and stop following: true where the mirror holds all that the primary had committed and may lead."""
        with self._changed:
            ready = self._changed.wait_for(lambda: self.state != "in_step" or not self._rounds, timeout_s)
            if not ready or self.state != "in_step":
                return False
            self._closing.set()
            self._follows = False
            self.state = "closed"
            self._changed.notify_all()
        self._thread.join()  # it waits for rounds and nothing else, so that it ends at once
        return True

    def close(self, timeout_s: float) -> str:
        """Finish what waits; returns in words whether the copies are the same, for the log and the console.

        Bytes were compared as they were copied; here the files and their lengths are.
        """
        with self._changed:
            self._changed.wait_for(lambda: self.state == "left" or (self.state == "in_step" and not self._rounds), timeout_s)
            in_step = self.state == "in_step" and not self._rounds
            verdict = self._compared() if in_step else f"{self.state}: {self.detail}"
            self._closing.set()
            self._changed.notify_all()
        self._thread.join(timeout_s)
        return verdict

    def _compared(self) -> str:
        try:
            differing = [path for path, size in sorted(self._sizes.items()) if self.disk.size(path) != size]
        except OSError as error:
            return f"left: {error.strerror or error}"
        return f"differs: {', '.join(differing[:3])}" if differing else "identical"

    def _run(self) -> None:
        while not self._closing.is_set():
            if self.state == "left":
                self._come_back()
                with self._changed:
                    if self.state == "left":
                        self._changed.wait_for(self._closing.is_set, RETRY_S)
                continue
            with self._changed:
                self._changed.wait_for(lambda: self._rounds or self._closing.is_set() or self.state == "left", 1.0)
                if not self._rounds:
                    continue
                done = self._rounds[0]
            try:
                self._apply(done)
            except OSError as error:
                with self._changed:
                    self._leave(f"{error.strerror or error}")
                continue
            with self._changed:
                if self._rounds:
                    self._rounds.popleft()
                    self._lag_bytes -= done.bytes()
                self._changed.notify_all()
        if self.state != "closed":
            self._let_go()

    def _apply(self, done: Round) -> None:
        first: dict[str, int] = {}
        media = [*done.keys, *done.already, *done.media]
        for write in (*media, done.journal):
            first.setdefault(write.path, write.off)
        for path, off in first.items():
            if self.disk.size(path) < off:
                raise OSError(f"{path} is shorter than it was; the disk lost bytes")
        for write in media:
            self.disk.write(write)
        self.disk.sync({write.path for write in media})
        if done.journal.data:
            self.disk.write(done.journal)
            self.disk.sync([done.journal.path])
        for path in done.closed:
            self.disk.close(path)

    def _come_back(self) -> None:
        """Catch up from the primary."""
        primary = self._primary
        self._let_go()
        with self._changed:
            if primary is None or not self.disk.root.parent.is_dir():
                self._leave(f"{self.disk.root.parent} is not there")
                return
            self.state = "catching_up"
        try:
            self.disk.make()
            self._catch_up(primary)
        except OSError as error:
            with self._changed:
                self._leave(f"{error.strerror or error}")
            return
        with self._changed:
            if self._follows:
                self.state, self.detail = "in_step", ""
                self._told("in_step", "")
            elif self.state == "catching_up":
                self.state = "left"
            self._changed.notify_all()

    def _catch_up(self, primary: Path) -> None:
        held: dict[str, int] = {}
        last = False
        while not last and not self._closing.is_set():
            with self._changed:
                sizes = dict(self._sizes)
                last = sum(size - held.get(path, 0) for path, size in sizes.items()) <= LAST_PASS_BYTES
                self._follows = last
            # The journal last: a line is never on a disk before the bytes that it speaks of.
            for path, size in sorted(sizes.items(), key=lambda item: item[0].startswith("journal")):
                if self._closing.is_set():
                    with self._changed:
                        self._follows = False
                    return
                if held.get(path) != size:
                    copy_up_to(primary / path, self.disk.root / path, size, held.get(path, 0), self._aside(path))
                    held[path] = size
            _sync_tree(self.disk.root)

    def _aside(self, path: str) -> Path:
        return self.disk.root.parent / DIFFERS / self.disk.root.name / path

    def _let_go(self) -> None:
        with contextlib.suppress(OSError):  # closing files of a failed disk tells of the same failure again
            self.disk.close_all()

    def _leave(self, detail: str) -> None:
        was, self.state = self.state, "left"
        changed = detail != self.detail
        self.detail = detail
        self._follows = False
        self._rounds.clear()
        self._lag_bytes = 0
        if was == "in_step" or changed:
            log.warning("the mirror left", detail=detail)
            self._told("left", detail)
        self._changed.notify_all()


def copy_up_to(source: Path, target: Path, size: int, held: int, aside: Path) -> None:
    """Make ``target`` the first ``size`` bytes of ``source``, of which its first ``held`` are known to be the same already.

    What it lacks is appended. A target that differs is moved to ``aside`` and copied anew, unless the source is gone or shorter than
    ``size``: then nothing is done, for the target may be the better of the two.

    Raises:
        OSError: a disk failed.
    """
    if not source.exists() or source.stat().st_size < size:
        log.error("the mirror cannot be caught up with a damaged file", file=str(source))
        return
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    there = target.stat().st_size if target.exists() else 0
    if there > size or there < held or (there > held and not _same_start(source, target, there)):
        _set_aside(target, aside)
        there = 0
    with source.open("rb") as reader, target.open("ab") as writer:
        target.chmod(0o600)
        reader.seek(there)
        left = size - there
        while left:
            data = reader.read(min(_COPY_BYTES, left))
            if not data:
                raise OSError(f"{source} became shorter while it was copied")
            writer.write(data)
            left -= len(data)
        writer.flush()
        os.fdatasync(writer.fileno())


def _set_aside(target: Path, aside: Path) -> None:
    number = 1
    while (kept := aside.with_name(f"{aside.name}.{number}")).exists():
        number += 1
    kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if target.exists():
        log.error("the mirror held something else", file=str(target), kept=str(kept))
        target.rename(kept)


def _same_start(source: Path, target: Path, size: int) -> bool:
    return size == 0 or _digest(source, size) == _digest(target, size)


def _digest(path: Path, size: int | None) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        left = size if size is not None else path.stat().st_size
        while left and (data := file.read(min(_COPY_BYTES, left))):
            digest.update(data)
            left -= len(data)
    return digest.digest()


def _sync_tree(root: Path) -> None:
    for directory, _, _ in os.walk(root):
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
