"""The room's two disks: which records lie on them, how much room they have, and the head that the next record names."""

import asyncio
import contextlib
import os
import threading
from pathlib import Path

import structlog

from provisioning.room import Storage
from recorder.clock import mono_us
from recorder.copies import longer
from recorder.disk import Disk, DiskName
from recorder.file_copy import append_line
from recorder.record import layout
from recorder.record.entries import FIRST_PREV
from recorder.record.journal import Head
from recorder.recovery import is_sealed
from recorder.seal import put_file
from recorder.sealed_copy import complete, is_level, put_seal
from recorder.storage import Ballast

log = structlog.get_logger()

LAST_HEAD = ".last-head"
COMPLETE_AGAIN_US = 60_000_000


class RoomDisks:
    """The primary disk and, where there is one, the mirror."""

    def __init__(self, storage: Storage) -> None:
        self.primary = Path(storage.primary)
        self.mirror = Path(storage.mirror) if storage.mirror else None
        self.free_bytes: dict[str, int] = {}
        """Free bytes by name ("primary", "mirror") as last looked at; a disk that is not there is missing."""
        self.recording = False
        """Copies of earlier records are completed only while nothing is recorded."""
        self._ballast_bytes = storage.ballast_mib * 1024 * 1024
        self._behind = True
        self._look_again_us = 0
        self._completing: threading.Thread | None = None

    def named(self) -> list[tuple[DiskName, Path]]:
        """The disks with their names, the primary first."""
        both: tuple[tuple[DiskName, Path | None], ...] = (("primary", self.primary), ("mirror", self.mirror))
        return [(name, path) for name, path in both if path is not None]

    def answering(self) -> list[Path]:
        """The disks' directories of records, of the disks that can be read now; the primary's first."""
        found = []
        for name, base in self.named():
            try:
                with os.scandir(base):
                    found.append(base)
            except FileNotFoundError:
                continue
            except OSError as error:
                log.error("a disk does not answer", disk=name, error=str(error))
        return found

    def disk(self, root: Path) -> Disk:
        """The disk of a record's directory."""
        name: DiskName = "mirror" if root.parent == self.mirror else "primary"
        return Disk(root, name, Ballast(root.parent, self._ballast_bytes))

    def other(self, disk: Disk) -> Disk | None:
        """The same record on the other disk; None where the room has one only."""
        for name, base in self.named():
            if name != disk.name:
                with contextlib.suppress(OSError):  # a disk that is not there now may come
                    base.mkdir(mode=0o700, parents=True, exist_ok=True)
                return self.disk(base / disk.root.name)
        return None

    async def look(self) -> None:
        """Ask the disks for their free space, in a thread: one that hangs must not hold the recorder up."""
        for name, path in self.named():
            was_there = name in self.free_bytes
            try:
                self.free_bytes[name] = await asyncio.to_thread(Disk(path).free_bytes)
            except OSError:
                self.free_bytes.pop(name, None)
            self._behind = self._behind or (not was_there and name in self.free_bytes)
        self._complete_copies()

    def unsealed(self) -> list[Path]:
        """Records that have a seal on neither disk, each on the disk that holds the longer chain of it."""
        found: dict[str, Path] = {}
        bases = self.answering()
        for base in bases:
            for root in sorted(base.iterdir()):
                try:
                    if not (root / layout.JOURNAL).exists() or any(is_sealed(path / root.name) for path in bases):
                        continue
                    other = found.get(root.name)
                    found[root.name] = root if other is None else longer(other, root)
                except OSError as error:
                    log.error("a copy of a record cannot be read; the other one is taken", record=str(root), error=str(error))
        return list(found.values())

    def add_receipt(self, record: str, line: bytes, leader: Path | None) -> bool:
        """Store a receipt with every copy of its record; true if one took it, which is the leading one where the record is being made."""
        taken = []
        for root in [root for base in self.answering() for root in base.glob(f"*_{record}")]:
            try:
                append_line(root / layout.ANCHORS, line)
                taken.append(root)
            except OSError as error:
                log.warning("a disk does not take the receipt", record=str(root), error=str(error))
        return bool(taken) if leader is None else leader in taken

    def copy_seal(self, record: Path, *, level: bool) -> None:
        """Give the other disk's copy of a sealed record the seal, if it is level; else it is completed when there is time for it."""
        for _, base in self.named():
            copy = base / record.name
            try:
                if copy == record or not copy.is_dir():
                    continue
                if level and is_level(record, copy):
                    put_seal(record, copy)
                    continue
                detail = "it is behind"
            except OSError as error:
                detail = str(error)
            log.warning("the other disk's copy is not sealed yet", copy=str(copy), detail=detail)
            self._behind = True

    def last_head(self) -> str:
        """The head of the record before: from the disk that was written last (a full or lost one has an older)."""
        newest, head = 0, FIRST_PREV
        for base in self.answering():
            with contextlib.suppress(OSError):  # none there yet; or the other disk has it
                kept = base / LAST_HEAD
                if kept.stat().st_mtime_ns > newest:
                    newest, head = kept.stat().st_mtime_ns, kept.read_text(encoding="ascii").strip() or FIRST_PREV
        return head

    def keep_head(self, head: Head) -> None:
        """Keep the head of a finished record for the next one."""
        for base in self.answering():
            with contextlib.suppress(OSError):  # a full disk; the other one has it
                put_file(base / LAST_HEAD, (head.sha256 + "\n").encode())

    def _complete_copies(self) -> None:
        """Where a disk came, or a copy stayed behind: complete it in the background."""
        now_us = mono_us()
        if self._behind and not self.recording and now_us >= self._look_again_us and not (self._completing and self._completing.is_alive()):
            self._behind, self._look_again_us = False, now_us + COMPLETE_AGAIN_US
            self._completing = threading.Thread(target=self._complete_all, name="complete copies", daemon=True)
            self._completing.start()

    def _complete_all(self) -> None:
        bases = self.answering()
        for record, copy in [
            (root, other / root.name) for base in bases for other in bases if base != other for root in sorted(base.iterdir())
        ]:
            try:
                if not is_sealed(record) or not copy.is_dir() or is_sealed(copy):
                    continue
                done = complete(record, copy, lambda: not self.recording)
            except OSError as error:
                done = False
                log.warning("a copy could not be completed", copy=str(copy), error=str(error))
            self._behind = self._behind or not done
            if done:
                log.warning("a copy that was behind is complete and sealed", copy=str(copy))
