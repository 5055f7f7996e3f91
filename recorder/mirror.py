"""The second copy, on another disk, written by a thread of its own so that it never delays the first.

It is handed each round after the primary has committed it. A mirror that fails or falls behind has *left*; it tries to come back each few
seconds, is caught up from the primary byte for byte, and only then is in step again and may take the lead.
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
_COPY_BYTES = 1024 * 1024


class Mirror:
    """The second copy of one record."""

    def __init__(self, root: Path, backlog_bytes: int, told: Callable[[MirrorState, str], None]) -> None:
        self.disk = Disk(root)
        self.state: MirrorState = "left"
        self.detail = "not yet caught up"
        self._told = told
        self._backlog_bytes = backlog_bytes
        self._rounds: deque[Round] = deque()
        self._lag_bytes = 0
        self._sizes: dict[str, int] = {}
        self._primary: Path | None = None
        self._changed = threading.Condition()
        self._closing = False
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
            if self.state == "left":
                self._sizes = dict(sizes)
                return
            if self._lag_bytes + done.bytes() > self._backlog_bytes:
                self._leave("it is too slow; it is caught up later")
                self._sizes = dict(sizes)
                return
            self._rounds.append(done)
            self._lag_bytes += done.bytes()
            self._sizes = dict(sizes)
            self._changed.notify()

    def take_lead(self, timeout_s: float) -> bool:
        """Finish what waits and stop following: true where the mirror holds all that the primary had committed and may lead."""
        with self._changed:
            ready = self._changed.wait_for(lambda: self.state != "in_step" or not self._rounds, timeout_s)
            if not ready or self.state != "in_step":
                return False
            self._closing = True
            self.state = "closed"
            self._changed.notify()
        self._thread.join(timeout_s)
        return True

    def close(self, timeout_s: float) -> str:
        """Finish what waits; returns in words whether the copies are the same, for the seal."""
        with self._changed:
            self._changed.wait_for(lambda: self.state == "left" or (self.state == "in_step" and not self._rounds), timeout_s)
            verdict = "identical" if self.state == "in_step" and not self._rounds else f"left: {self.detail}"
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout_s)
        self.disk.close_all()
        return verdict

    def _run(self) -> None:
        while not self._closing:
            if self.state == "left":
                self._come_back()
                with self._changed:
                    if self.state == "left":
                        self._changed.wait_for(lambda: self._closing, RETRY_S)
                continue
            with self._changed:
                self._changed.wait_for(lambda: self._rounds or self._closing or self.state == "left", 1.0)
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
        """Catch up from the primary; rounds that are committed meanwhile wait and are applied after."""
        primary = self._primary
        with self._changed:
            self._rounds.clear()
            self._lag_bytes = 0
            sizes = dict(self._sizes)
            self.state = "catching_up"
        if primary is None or not self.disk.root.parent.is_dir():
            with self._changed:
                self._leave(f"{self.disk.root.parent} is not there")
            return
        try:
            self.disk.close_all()
            self.disk.make()
            for path, size in sorted(sizes.items(), key=lambda item: item[0].startswith("journal")):
                copy_up_to(primary / path, self.disk.root / path, size)
            _sync_tree(self.disk.root)
        except OSError as error:
            with self._changed:
                self._leave(f"{error.strerror or error}")
            return
        with self._changed:
            if self.state == "catching_up":
                self.state, self.detail = "in_step", ""
                self._told("in_step", "")
            self._changed.notify_all()

    def _leave(self, detail: str) -> None:
        was, self.state = self.state, "left"
        changed = detail != self.detail
        self.detail = detail
        self._rounds.clear()
        self._lag_bytes = 0
        with contextlib.suppress(OSError):
            self.disk.close_all()
        if was == "in_step" or changed:
            log.warning("the mirror left", detail=detail)
            self._told("left", detail)
        self._changed.notify_all()


def copy_up_to(source: Path, target: Path, size: int) -> None:
    """Make ``target`` the first ``size`` bytes of ``source``: what it lacks is appended; a target that differs is copied anew.

    Raises:
        OSError: the source is shorter, or a disk failed.
    """
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    there = target.stat().st_size if target.exists() else 0
    if there > size or not _same_start(source, target, there):
        target.unlink()
        there = 0
    with source.open("rb") as reader, target.open("ab") as writer:
        target.chmod(0o600)
        reader.seek(there)
        left = size - there
        while left:
            data = reader.read(min(_COPY_BYTES, left))
            if not data:
                raise OSError(f"{source} is shorter than {size} bytes")
            writer.write(data)
            left -= len(data)
        writer.flush()
        os.fdatasync(writer.fileno())


def same_bytes(one: Path, other: Path) -> bool:
    """Whether two files are the same, by SHA-256."""
    return one.stat().st_size == other.stat().st_size and _digest(one, None) == _digest(other, None)


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
