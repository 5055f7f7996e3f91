"""Bytes to one disk: appended at known offsets, synced, with their directories. Knows nothing of journals or media."""

import errno
import os
import stat
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from recorder.record.file_check import refuse_links_above
from recorder.storage import Ballast

DiskName = Literal["primary", "mirror"]
OPEN_FILES = 256
"""Files kept open at a time; a room of 34 tracks with its mirror stays far below."""


@dataclass(frozen=True, slots=True)
class Write:
    """These bytes belong at ``off`` of the file ``path``, relative to the record."""

    path: str
    off: int
    data: bytes


class Disk:
    """A record's directory on one disk. ``ballast`` is what that disk gives up for the last entries when it is full."""

    def __init__(self, root: Path, name: DiskName = "primary", ballast: Ballast | None = None) -> None:
        self.root = root
        self.name: DiskName = name
        self.ballast = ballast
        self._open: OrderedDict[str, int] = OrderedDict()
        self._new_directories: set[Path] = set()

    def make(self) -> None:
        """Make the record's directory, durable and private."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        sync_directory(self.root.parent)

    def write(self, write: Write) -> None:
        """Put the bytes where they belong, in as many writes as the system takes.

        Raises:
            OSError: as the disk says; some of the bytes may have been written.
        """
        descriptor = self._descriptor(write.path)
        view, off = memoryview(write.data), write.off
        while view:
            done = os.pwrite(descriptor, view, off)
            view, off = view[done:], off + done

    def size(self, path: str) -> int:
        """Length of a file now; 0 where there is none.

        Raises:
            OSError: the disk failed or is not there.
        """
        try:
            return status_of(f"{self.root}/{path}").st_size
        except FileNotFoundError:
            self.root.stat()
            return 0

    def sync(self, paths: Iterable[str]) -> None:
        """Make the bytes of these files durable, and the names of new ones.

        Raises:
            OSError: what was written may be lost although a later sync says otherwise: never sync such a file again and trust it.
        """
        for path in paths:
            os.fdatasync(self._descriptor(path))
        while self._new_directories:
            sync_directory(self._new_directories.pop())

    def close(self, path: str) -> None:
        """Let go of a file to which nothing more is written."""
        descriptor = self._open.pop(path, None)
        if descriptor is not None:
            os.close(descriptor)

    def close_all(self) -> None:
        """Let go of all files."""
        for path in list(self._open):
            self.close(path)

    def free_bytes(self) -> int:
        """What an ordinary user may still write."""
        room = os.statvfs(self.root if self.root.exists() else self.root.parent)
        return room.f_bavail * room.f_frsize

    def _descriptor(self, path: str) -> int:
        if path in self._open:
            self._open.move_to_end(path)
            return self._open[path]
        file = self.root / path
        refuse_links_above(self.root, path)
        for parent in reversed([p for p in file.parents if p != self.root and self.root in p.parents]):
            if not parent.exists():
                parent.mkdir(mode=0o700)
                self._new_directories.add(parent.parent)
        is_new = not file.exists()
        descriptor = open_for_writing(file)
        if is_new:
            self._new_directories.add(file.parent)
        self._open[path] = descriptor
        if len(self._open) > OPEN_FILES:
            _, oldest = self._open.popitem(last=False)
            os.close(oldest)
        return descriptor


def is_full(error: OSError) -> bool:
    """Whether a disk, or what its user may have of it, is full."""
    return error.errno in {errno.ENOSPC, errno.EDQUOT}


def status_of(file: str) -> os.stat_result:
    """A file's attributes, of a link its own, asked for many times a second.

    Without a ``Path``: each one puts its parts into Python's table of interned strings and takes them out again, and the table grows by it.
    """
    return os.lstat(file)


def open_for_writing(path: Path, flags: int = os.O_WRONLY) -> int:
    """A descriptor for writing a regular file, which is made where there is none.

    What somebody else laid there neither leads away nor holds up: a link is not followed, and a pipe without a reader is not waited for.

    Raises:
        OSError: it cannot be opened, or is something else.
    """
    try:
        descriptor = os.open(path, flags | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENXIO}:
            raise OSError(errno.EINVAL, "is no regular file", str(path)) from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "is no regular file", str(path))
    return descriptor


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
