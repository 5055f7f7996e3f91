"""Reads files, each once and on all cores, and compares their bytes with what the journal says of them."""

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from recorder.record import layout
from recorder.record.replay import Expected, Piece

BLOCK_BYTES = 512 * 1024
SMALL_BYTES = 1024 * 1024
"""The most that a certificate chain, a signature or a timestamp has; the recorder's are far smaller."""
LIST_BYTES = 256 * 1024 * 1024
"""The most that a list of files or receipts, or a manifest, has: it is held in memory."""
Progress = Callable[[int], None]
"""Told how many more bytes were read; from any thread."""


@dataclass(slots=True)
class FileState:
    """A file as it is: its length and hash, and the pieces whose bytes are others. Of one that was not read the hash is empty."""

    len: int
    sha256: str
    wrong: list[Piece] = field(default_factory=list)
    unreadable: str = ""


def inventory(root: Path) -> tuple[dict[str, int], list[str]]:
    """The regular files under a directory with their lengths, and what is there besides. Follows no link.

    That is links, devices, and directories with the name of a record's file.

    Raises:
        OSError: a directory cannot be read: what is in it is not known, which is another thing than that nothing is.
    """
    files: dict[str, int] = {}
    others: list[str] = []

    def refuse(error: OSError) -> None:
        raise error

    for directory, names, leaves in os.walk(root, onerror=refuse):
        for name in (*names, *leaves):
            path = Path(directory, name)
            status = path.lstat()
            relative = path.relative_to(root).as_posix()
            if stat.S_ISREG(status.st_mode):
                files[relative] = status.st_size
            elif not stat.S_ISDIR(status.st_mode) or layout.is_for_a_file(relative):
                others.append(relative)
    return files, others


def blocks(path: Path, progress: Progress) -> Iterator[memoryview]:
    """A file's bytes in views that hold until the next is asked for; what is no regular file is refused.

    Raises:
        OSError: it cannot be read.
    """
    # One buffer that stays in the processor's cache between reading and hashing: a new one each time costs a third more.
    buffer = memoryview(bytearray(BLOCK_BYTES))
    descriptor = open_regular(path)
    try:
        while size := os.readv(descriptor, [buffer]):
            yield buffer[:size]
            progress(size)
    finally:
        os.close(descriptor)


def open_regular(path: Path | str, *, follow: bool = False) -> int:
    """A descriptor for reading a regular file. A link is not followed, and a pipe without a writer is not waited for.

    Raises:
        OSError: it cannot be opened, or is something else.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "is no regular file", str(path))
    return descriptor


def open_plain(path: Path) -> BufferedReader:
    """A regular file for reading, as ``open_regular`` opens it.

    Raises:
        OSError: as there.
    """
    return os.fdopen(open_regular(path), "rb")


def open_inside(root: Path, path: str) -> BinaryIO:
    """A regular file of a record for reading, by its path in it; no part of that path may be a link.

    Raises:
        OSError: it cannot be opened, or lies elsewhere.
    """
    refuse_links_above(root, path)
    if not layout.is_inside(path):
        raise OSError(errno.EINVAL, "is no path inside the record", path)
    return open_plain(root / path)


def refuse_links_above(root: Path, path: str) -> None:
    """See to it that a path in a record leads through its own directories alone; what lies at its end is not looked at.

    Raises:
        OSError: a link stands in it.
    """
    at = root
    for name in PurePosixPath(path).parts[:-1]:
        at /= name
        if at.is_symlink():
            raise OSError(errno.ELOOP, "a link stands in its path", str(root / path))


def read_small(path: Path, most_bytes: int = SMALL_BYTES) -> bytes:
    """All of a regular file that is to be held in memory.

    Raises:
        OSError: it cannot be read, is something else, or is larger.
    """
    return _read(open_regular(path), path, most_bytes)


def read_given(path: Path, most_bytes: int = SMALL_BYTES) -> bytes:
    """All of a regular file that a person named: a link is followed, a pipe is not waited for.

    Raises:
        OSError: it cannot be read, is something else, or is larger.
    """
    return _read(open_regular(path, follow=True), path, most_bytes)


def _read(descriptor: int, path: Path, most_bytes: int) -> bytes:
    with os.fdopen(descriptor, "rb") as file:
        # Its size comes first: memory for all that is asked for is taken before anything is read.
        size = os.fstat(descriptor).st_size
        data = file.read(most_bytes + 1) if size <= most_bytes else b""
    if max(size, len(data)) > most_bytes:
        raise OSError(errno.EFBIG, f"has more than {most_bytes} bytes", str(path))
    return data


def check_files(root: Path, names: list[str], expected: Mapping[str, Expected], workers: int, progress: Progress) -> dict[str, FileState]:
    """Read these files. Hashing lets other threads run, so threads use all cores."""

    def one(name: str) -> FileState:
        return check_file(root / name, expected[name].pieces if name in expected else [], progress)

    if workers == 1:
        return {name: one(name) for name in names}
    with ThreadPoolExecutor(workers) as pool:
        return dict(zip(names, pool.map(one, names), strict=True))


def check_file(path: Path, pieces: list[Piece], progress: Progress) -> FileState:
    """Read one file once, for its hash as a whole and for those of its pieces. One that lies over another is wrong: none was written so."""
    whole, at = hashlib.sha256(), 0
    inside = _Pieces(pieces)
    try:
        for block in blocks(path, progress):
            whole.update(block)
            inside.update(block, at)
            at += len(block)
    except OSError as error:
        return FileState(at, "", list(pieces), error.strerror or str(error))
    right = inside.right()
    return FileState(at, whole.hexdigest(), [piece for number, piece in enumerate(pieces) if number not in right])


class _Pieces:
    """Hashes a file's pieces one behind the other, as its bytes come."""

    def __init__(self, pieces: list[Piece]) -> None:
        self._apart: list[tuple[int, Piece]] = []
        end = 0
        for number, piece in sorted(enumerate(pieces), key=lambda one: (one[1].off, one[1].len)):
            if piece.off >= end and piece.len >= 0:
                self._apart.append((number, piece))
                end = piece.off + piece.len
        self._next = 0
        self._digest = hashlib.sha256()
        self._right: set[int] = set()

    def update(self, block: memoryview, at: int) -> None:
        """The file's bytes from ``at`` on."""
        end = at + len(block)
        while self._next < len(self._apart):
            piece = self._apart[self._next][1]
            if piece.off >= end:
                return
            self._digest.update(block[max(0, piece.off - at) : piece.off + piece.len - at])
            if piece.off + piece.len > end:
                return
            self._judge()

    def right(self) -> set[int]:
        """The places of those whose bytes are theirs, now that the file has ended."""
        while self._next < len(self._apart):
            self._judge()
        return self._right

    def _judge(self) -> None:
        number, piece = self._apart[self._next]
        if self._digest.hexdigest() == piece.sha256:
            self._right.add(number)
        self._next += 1
        self._digest = hashlib.sha256()
