"""The room's two disks: which records lie on them, how much room they have, and the head that the next record names."""

import asyncio
import contextlib
from pathlib import Path

import structlog

from provisioning.room import Storage
from recorder.disk import Disk
from recorder.record import layout
from recorder.record.entries import FIRST_PREV
from recorder.record.journal import Head
from recorder.recovery import chain_of, is_sealed
from recorder.seal import put_file

log = structlog.get_logger()

LAST_HEAD = ".last-head"


class RoomDisks:
    """The primary disk and, where there is one, the mirror."""

    def __init__(self, storage: Storage) -> None:
        self.primary = Path(storage.primary)
        self.mirror = Path(storage.mirror) if storage.mirror else None
        self.free_bytes: dict[str, int] = {}
        """Free bytes by name ("primary", "mirror") as last looked at; a disk that is not there is missing."""

    def named(self) -> list[tuple[str, Path]]:
        """The disks with their names, the primary first."""
        return [(name, path) for name, path in (("primary", self.primary), ("mirror", self.mirror)) if path is not None]

    async def look(self) -> None:
        """Ask the disks for their free space, in a thread: one that hangs must not hold the recorder up."""
        for name, path in self.named():
            try:
                self.free_bytes[name] = await asyncio.to_thread(Disk(path).free_bytes)
            except OSError:
                self.free_bytes.pop(name, None)

    def unsealed(self) -> list[Path]:
        """Records without a seal, each on the disk that holds the longer chain of it."""
        found: dict[str, Path] = {}
        for _, base in self.named():
            if not base.is_dir():
                continue
            for root in sorted(base.iterdir()):
                if not (root / layout.JOURNAL).exists() or is_sealed(root):
                    continue
                other = found.get(root.name)
                if other is not None:
                    found[root.name] = _longer(other, root)
                elif base == self.primary or not is_sealed(self.primary / root.name):
                    found[root.name] = root
        return list(found.values())

    def find(self, record: str) -> Path | None:
        """Where a record lies, by its uuid; the primary is asked first."""
        for _, base in self.named():
            if base.is_dir():
                for root in base.glob(f"*_{record}"):
                    return root
        return None

    def last_head(self) -> str:
        """The head of the record before: from the disk that was written last (a full or lost one has an older)."""
        there = [path / LAST_HEAD for _, path in self.named() if (path / LAST_HEAD).exists()]
        if not there:
            return FIRST_PREV
        return max(there, key=lambda path: path.stat().st_mtime_ns).read_text(encoding="ascii").strip() or FIRST_PREV

    def keep_head(self, head: Head) -> None:
        """Keep the head of a finished record for the next one."""
        for _, base in self.named():
            if base.is_dir():
                with contextlib.suppress(OSError):  # a full disk; the other one has it
                    put_file(base / LAST_HEAD, (head.sha256 + "\n").encode())


def _longer(primary: Path, mirror: Path) -> Path:
    one, other = chain_of(primary), chain_of(mirror)
    shorter = min(len(one), len(other))
    if one[:shorter] != other[:shorter]:
        log.error("the two copies of a record differ in what both hold; the primary's is taken", record=primary.name)
        return primary
    return mirror if len(other) > len(one) else primary
