"""The hashes of records' files as they were read, so that a record that waits is not read again at each look.

A record may wait for long: the archive is away, or verifies it. Its files are read once, and again only where the system says that one
was touched since. Nothing is proven by that: the address of a part is bound to its hash, so what a disk changed unseen is not taken.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path

from agent.upstream.transfer import RecordFile

MOST_FILES = 100_000
"""Of so many files the hashes are kept: those of all the records that a room holds in a long outage, in some 100 MB at most."""
Touched = tuple[int, ...]


@dataclass(slots=True)
class _File:
    touched: Touched
    file: RecordFile
    whole: bool = False


@dataclass(slots=True)
class Hashed:
    """The hashes of one record's copy; several threads may use it at once, each for other files."""

    root: Path
    _files: dict[str, _File] = field(default_factory=dict)

    def __len__(self) -> int:
        """How many files it has hashes of."""
        return len(self._files)

    def touched(self, path: str) -> Touched:
        """What changes when a file does.

        Raises:
            OSError: it is not there.
        """
        status = os.lstat(self.root / path)
        return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)

    def find(self, path: str, length: int, touched: Touched) -> RecordFile | None:
        """The hashes of a file's first ``length`` bytes, if it is as it was when they were made."""
        known = self._files.get(path)
        return known.file if known is not None and known.touched == touched and known.file.len == length else None

    def keep(self, file: RecordFile, touched: Touched) -> None:
        """Keep hashes; ``touched`` as it was before the file was read."""
        self._files[file.path] = _File(touched, file)

    def is_whole(self, file: RecordFile) -> bool:
        """Whether a large file as offered was found to be, as a whole, what the seal lists."""
        known = self._files.get(file.path)
        return known is not None and known.file == file and known.whole

    def note_whole(self, file: RecordFile) -> None:
        """It was."""
        known = self._files.get(file.path)
        if known is not None and known.file == file:
            known.whole = True


class AllHashed:
    """The hashes of the records that are being delivered, by their directories."""

    def __init__(self) -> None:
        self._records: dict[Path, Hashed] = {}

    def of(self, root: Path) -> Hashed:
        """Those of a record; a new one's are kept only while those of all together are not too many."""
        if root not in self._records:
            self._records = {there: hashed for there, hashed in self._records.items() if there.exists()}
            if sum(map(len, self._records.values())) >= MOST_FILES:
                return Hashed(root)
            self._records[root] = Hashed(root)
        return self._records[root]

    def forget(self, root: Path) -> None:
        """It is delivered, or what the disk gave of it is not to be believed."""
        self._records.pop(root, None)
