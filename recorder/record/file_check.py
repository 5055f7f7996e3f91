"""Reads files, each once and on all cores, and compares their bytes with what the journal says of them."""

import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from recorder.record.replay import Expected, Piece

BLOCK_BYTES = 512 * 1024
Progress = Callable[[int], None]
"""Told how many more bytes were read; from any thread."""


@dataclass(slots=True)
class FileState:
    """A file as it is: its length and hash, and the pieces whose bytes are others."""

    len: int
    sha256: str
    wrong: list[Piece] = field(default_factory=list)
    unreadable: str = ""


def inventory(root: Path) -> tuple[dict[str, int], list[str]]:
    """The regular files under a directory with their lengths, and what is there besides (links, devices). Follows no link."""
    files: dict[str, int] = {}
    others: list[str] = []
    for directory, names, leaves in os.walk(root):
        for name in (*names, *leaves):
            path = Path(directory, name)
            status = path.lstat()
            relative = path.relative_to(root).as_posix()
            if stat.S_ISREG(status.st_mode):
                files[relative] = status.st_size
            elif not stat.S_ISDIR(status.st_mode):
                others.append(relative)
    return files, others


def blocks(path: Path, progress: Progress) -> Iterator[memoryview]:
    """A file's bytes in views that hold until the next is asked for; a link is refused.

    Raises:
        OSError: it cannot be read.
    """
    # One buffer that stays in the processor's cache between reading and hashing: a new one each time costs a third more.
    buffer = memoryview(bytearray(BLOCK_BYTES))
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        while size := os.readv(descriptor, [buffer]):
            yield buffer[:size]
            progress(size)
    finally:
        os.close(descriptor)


def check_files(root: Path, names: list[str], expected: Mapping[str, Expected], workers: int, progress: Progress) -> dict[str, FileState]:
    """Read these files. Hashing lets other threads run, so threads use all cores."""

    def one(name: str) -> FileState:
        return check_file(root / name, expected[name].pieces if name in expected else [], progress)

    if workers == 1:
        return {name: one(name) for name in names}
    with ThreadPoolExecutor(workers) as pool:
        return dict(zip(names, pool.map(one, names), strict=True))


def check_file(path: Path, pieces: list[Piece], progress: Progress) -> FileState:
    """Read one file once, for its hash as a whole and for those of its pieces."""
    whole = hashlib.sha256()
    hashes = [hashlib.sha256() for _ in pieces]
    at = 0
    try:
        for block in blocks(path, progress):
            whole.update(block)
            end = at + len(block)
            for piece, digest in zip(pieces, hashes, strict=True):
                if piece.off < end and piece.off + piece.len > at:
                    digest.update(block[max(0, piece.off - at) : piece.off + piece.len - at])
            at = end
    except OSError as error:
        return FileState(at, "", list(pieces), error.strerror or str(error))
    wrong = [piece for piece, digest in zip(pieces, hashes, strict=True) if digest.hexdigest() != piece.sha256]
    return FileState(at, whole.hexdigest(), wrong)
