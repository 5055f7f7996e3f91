"""What a disk shows again of the files that were given to it.

A write that was taken and synced says that the disk promised to keep the bytes, not that it did. So they are read back and compared by
hash, with the page cache dropped before.

What that is not: ``POSIX_FADV_DONTNEED`` drops clean pages only and is advice. Pages that another process has mapped or locked stay; pages
that are dirty stay, hence the sync before (after an EIO Linux marks pages clean that never reached the disk: those it does drop). And the
cache of the drive itself is out of reach: a drive that answers from its own memory what it will forget without power is not found out.
"""

import errno
import hashlib
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recorder.disk import status_of
from recorder.file_table import FileTable, Stored
from recorder.record import layout
from recorder.record.file_check import open_regular

AGE_S = 10.0
"""Bytes are read back no sooner: many rounds at once cost fewer reads, and the drive has had time to forget."""
STEP_BYTES = 8 * 1024 * 1024
_PIECE_BYTES = 1024 * 1024
_PAGE_BYTES = 4096
_KEPT_BYTES = 16
"""Of a hash that only tells whether a file of this disk was touched meanwhile: no attacker's collision helps anybody here."""


@dataclass(slots=True)
class Seen:
    """The beginning of a file as the disk showed it: its length, running hash, and what tells that the file was not touched since."""

    size_bytes: int = 0
    hash: Any = field(default_factory=hashlib.sha256)
    touched: tuple[int, int, int] = (0, 0, 0)
    """Inode, length and time of change."""


class ReadBack:
    """One disk's files, read back a little at a time. The caller owns the disk; nothing here is for two threads."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._seen: dict[str, Seen] = {}
        """Files that grow."""
        self._whole = FileTable(hash_bytes=_KEPT_BYTES)
        """Files that do not grow any more and were read back: what ``_kept`` makes of them, for a running hash takes much memory."""
        self._closed: set[str] = set()
        """Files that do not grow any more and were not read back yet."""
        self._due: dict[str, tuple[Stored, float]] = {}

    @property
    def unread(self) -> int:
        """Files of which something was written that was not read back yet."""
        return len(self._due)

    def wrote(self, after: Mapping[str, Stored], closed: Iterable[str] = ()) -> None:
        """Files that were written to, as they stand now, and those that are not written to again.

        Where no hash is known there is nothing to compare with.
        """
        now_s = time.monotonic()
        for path, stored in after.items():
            if stored.sha256 is not None:
                self._due[path] = (stored, self._due[path][1] if path in self._due else now_s)
        self._closed.update(path for path in closed if path in self._due)

    def step(self, *, hurry: bool) -> None:
        """Read back a little of what is old enough (``hurry``: of anything).

        Raises:
            OSError: the disk failed, or shows other bytes than it was given.
        """
        limit_s = time.monotonic() - AGE_S
        left = STEP_BYTES
        for path, (stored, since_s) in list(self._due.items()):
            if left <= 0 or (since_s > limit_s and not hurry):
                return
            seen = self._seen.setdefault(path, Seen())
            self._whole.remove(path)
            until = min(stored.size_bytes, seen.size_bytes + left)
            left -= until - seen.size_bytes
            read_on(f"{self._root}/{path}", seen, until)
            if seen.size_bytes == stored.size_bytes:
                if seen.hash.digest() != stored.sha256:
                    del self._seen[path]
                    raise OSError(errno.EIO, f"{path} reads back otherwise than it was written")
                del self._due[path]
                if path in self._closed:
                    self._keep(path, seen)

    def holds(self, path: str, stored: Stored) -> bool:
        """Whether the disk was seen to hold a file as it should be, and nobody touched the file since.

        Raises:
            OSError: the disk failed.
        """
        seen = self._seen.get(path)
        if seen is None:
            there = _kept(stored.size_bytes, stored.sha256, _touched(f"{self._root}/{path}"))
            return stored.sha256 is not None and self._whole.get(path) == there
        return (
            seen.size_bytes == stored.size_bytes
            and seen.hash.digest() == stored.sha256
            and seen.touched == _touched(f"{self._root}/{path}")
        )

    def begin_anew(self) -> None:
        """The disk failed: nothing that was written and not yet read back counts any more."""
        self._due.clear()
        self._closed.clear()

    def saw(self, path: str, stored: Stored, seen: Seen) -> None:
        """Of a file that was just made to stand as ``stored``, this beginning was read back already."""
        self._seen[path] = seen
        self._due.pop(path, None)
        if seen.size_bytes < stored.size_bytes or seen.hash.digest() != stored.sha256:
            self.wrote({path: stored})
        elif not layout.journal_number(path):  # a segment may grow after all: it is read once more then, a journal would be too long
            self._keep(path, seen)

    def _keep(self, path: str, seen: Seen) -> None:
        """Keep of a file that was read back what tells whether it is still as it was."""
        self._whole.put(path, _kept(seen.size_bytes, seen.hash.digest(), seen.touched))
        self._seen.pop(path, None)
        self._closed.discard(path)


def read_on(file: str, seen: Seen, until_bytes: int) -> None:
    """Read a file from the disk, not from memory, from where ``seen`` stands up to a length.

    Raises:
        OSError: the disk failed, or the file is shorter.
    """
    descriptor = open_regular(file)
    try:
        os.fdatasync(descriptor)
        os.posix_fadvise(descriptor, seen.size_bytes // _PAGE_BYTES * _PAGE_BYTES, 0, os.POSIX_FADV_DONTNEED)
        while seen.size_bytes < until_bytes:
            data = os.pread(descriptor, min(_PIECE_BYTES, until_bytes - seen.size_bytes), seen.size_bytes)
            if not data:
                raise OSError(errno.EIO, f"{file} is shorter than it was; the disk lost bytes")
            seen.hash.update(data)
            seen.size_bytes += len(data)
        # The second copy must not push out of memory what others read.
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        seen.touched = _touched(file)
    finally:
        os.close(descriptor)


def _kept(size_bytes: int, sha256: bytes | None, touched: tuple[int, int, int]) -> Stored:
    """A file's length, and one hash over its own and over what tells that it was not touched since."""
    return Stored(size_bytes, hashlib.sha256((sha256 or b"") + repr(touched).encode()).digest()[:_KEPT_BYTES])


def _touched(file: str) -> tuple[int, int, int]:
    try:
        stat = status_of(file)
    except FileNotFoundError:
        return (0, 0, 0)
    return (stat.st_ino, stat.st_size, stat.st_mtime_ns)
