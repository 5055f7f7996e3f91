"""One file of a record made on the second disk what it is on the first, at any moment of a crash whole or as it was.

Neither side is opened but as a file: what somebody laid in a file's place neither leads the copy elsewhere nor holds it up.
What the target holds already is believed only as the disk shows it, not as memory does (``read_back``). A beginning that is right is gone
on with. Anything else is set aside, never changed or deleted: the right bytes are written under another name and take the place at once.
"""

import errno
import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import structlog

from recorder.disk import open_for_writing, sync_directory
from recorder.file_table import Stored
from recorder.read_back import Seen, read_on
from recorder.record import layout
from recorder.record.file_check import LIST_BYTES, open_inside, open_plain, read_small, refuse_links_above

log = structlog.get_logger()

COPYING = ".copying"
DIFFERS = ".differs"
SEALED = "holds this record sealed already"
"""What is recorded now was taken up from a copy that was behind, while the disk with the sealed one did not answer."""
_COPY_BYTES = 1024 * 1024
_NO_FILE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EINVAL, errno.ENXIO})
"""Nothing is there, or something that is no file: a link, a pipe, a socket."""


def refuse_sealed(root: Path) -> None:
    """Write nothing over a record that stands sealed.

    Raises:
        OSError: it does.
    """
    if (root / layout.SUMS_SIGNATURE).exists():
        raise OSError(errno.EEXIST, SEALED)


class DamagedError(Exception):
    """The first disk lost the file, or bytes of it: there is nothing to copy from."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One file of a record on both disks.

    What differs on the second disk is kept, and a copy is made, beside the record: in it a verifier wants nothing but what the seal lists.
    """

    leader: Path
    """The record's directory on the first disk."""
    follower: Path
    """The same on the second."""
    path: str
    """The file in it."""

    @property
    def source(self) -> Path:
        """The file on the first disk."""
        return self.leader / self.path

    @property
    def target(self) -> Path:
        """The file on the second disk."""
        return self.follower / self.path

    @property
    def aside(self) -> Path:
        """Where what differs is kept, with a number behind it."""
        return self.follower.parent / DIFFERS / self.follower.name / self.path

    @property
    def part(self) -> Path:
        """Where a copy is made."""
        return self.follower.parent / COPYING / self.follower.name


def bring(pair: Pair, stored: Stored, known_bytes: int) -> Seen | None:
    """Make the target the first ``stored.size_bytes`` of the source; so many of them are known to be there already.

    Returns what of it was read back from the target's disk; None: nothing, it was only gone on with. Where the target is right by its hash
    the source is not looked at.

    Raises:
        OSError: a disk failed.
        DamagedError: the source is gone, too short or has another hash; the target, which may be the better of the two, is as it was.
    """
    size = stored.size_bytes
    refuse_links_above(pair.follower, pair.path)
    there, strange = _at_target(pair.target)
    if known_bytes and known_bytes == there <= size:
        _append(pair, Stored(size, None), Seen(), there)
        return None
    seen, own = Seen(), there > 0
    if own:
        read_on(str(pair.target), seen, min(there, size))
        own = _is_right(pair, stored, seen)
    if own and there <= size:
        if there < size:
            _append(pair, stored, seen, there)
        return seen
    if size or there or strange or not pair.target.exists():  # a crash may leave an empty file, and the seal lists it
        _renew(pair, stored, from_target=own, keep=there > 0 or strange)
    return Seen()


def set_aside(pair: Pair) -> None:
    """Move a file of the second disk away, under a name that nothing has yet."""
    kept = _free_name(pair.aside)
    log.error("the disk that follows held something else", file=str(pair.target), kept=str(kept))
    pair.target.rename(kept)
    sync_directory(kept.parent)


def _is_right(pair: Pair, stored: Stored, seen: Seen) -> bool:
    """Whether the beginning that was read from the target is that of the file."""
    if seen.size_bytes == stored.size_bytes and stored.sha256 is not None:
        return bool(seen.hash.digest() == stored.sha256)
    with _open_source(pair, stored.size_bytes) as source:
        return bool(_hash(source, seen.size_bytes).digest() == seen.hash.digest())


def _at_target(target: Path) -> tuple[int, bool]:
    """How long the target is, and whether something else lies in its place: a link, a pipe."""
    try:
        there = target.lstat()
    except FileNotFoundError:
        return 0, False
    is_file = stat.S_ISREG(there.st_mode)
    return there.st_size if is_file else 0, not is_file


def _open_source(pair: Pair, size_bytes: int) -> BinaryIO:
    """The file on the first disk, which has so many bytes at least."""
    try:
        file = open_inside(pair.leader, pair.path)
    except OSError as error:
        if error.errno in _NO_FILE:
            raise DamagedError(str(pair.source)) from error
        raise
    if os.fstat(file.fileno()).st_size < size_bytes:
        file.close()
        raise DamagedError(str(pair.source))
    return file


def _append(pair: Pair, stored: Stored, seen: Seen, there: int) -> None:
    """Go on with the target, of which ``seen`` is what is there already. Where the whole is not what it is to be, it is cut back."""
    size = stored.size_bytes
    with _open_source(pair, size) as reader, os.fdopen(open_for_writing(pair.target, os.O_WRONLY | os.O_APPEND), "ab") as writer:
        reader.seek(there)
        digest = _copy(reader, writer, size - there, seen.hash.copy())
        if stored.sha256 is not None and digest.digest() != stored.sha256:
            writer.truncate(there)
            os.fsync(writer.fileno())
            raise DamagedError(str(pair.source))


def _renew(pair: Pair, stored: Stored, *, from_target: bool, keep: bool) -> None:
    with open_plain(pair.target) if from_target else _open_source(pair, stored.size_bytes) as reader:
        _make_durable(pair.target.parent)
        pair.part.parent.mkdir(mode=0o700, exist_ok=True)
        with os.fdopen(open_for_writing(pair.part, os.O_WRONLY | os.O_TRUNC), "wb") as writer:
            digest = _copy(reader, writer, stored.size_bytes)
    if stored.sha256 is not None and digest.digest() != stored.sha256:
        pair.part.unlink()
        raise DamagedError(str(pair.source))
    if keep:
        _keep(pair.target, pair.aside)
    pair.part.replace(pair.target)
    sync_directory(pair.target.parent)


def _make_durable(directory: Path) -> None:
    """Make a directory with those above it; each name is durable before any line is there that speaks of a file in it."""
    missing = [folder for folder in (directory, *directory.parents) if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(mode=0o700)
        sync_directory(folder.parent)


def _keep(target: Path, aside: Path) -> None:
    """Give what is there a second name, so that the record is never without the file; where a file system has no links, move it."""
    kept = _free_name(aside)
    log.error("the disk that follows held something else", file=str(target), kept=str(kept))
    try:
        os.link(target, kept)
    except OSError as error:
        if error.errno not in {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}:
            raise
        target.rename(kept)
    sync_directory(kept.parent)


def _free_name(aside: Path) -> Path:
    number = 1
    while (kept := aside.with_name(f"{aside.name}.{number}")).exists():
        number += 1
    kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return kept


def _copy(reader: BinaryIO, writer: BinaryIO, left: int, before: "hashlib._Hash | None" = None) -> "hashlib._Hash":
    digest = hashlib.sha256() if before is None else before
    while left:
        data = reader.read(min(_COPY_BYTES, left))
        if not data:
            raise OSError(errno.EIO, "the file became shorter while it was copied")
        writer.write(data)
        digest.update(data)
        left -= len(data)
    writer.flush()
    os.fdatasync(writer.fileno())
    return digest


def _hash(file: BinaryIO, size: int) -> "hashlib._Hash":
    digest = hashlib.sha256()
    while size and (data := file.read(min(_COPY_BYTES, size))):
        digest.update(data)
        size -= len(data)
    return digest


def sync_tree(root: Path) -> None:
    """Make the names of all files under a directory durable."""
    for directory, _, _ in os.walk(root):
        sync_directory(Path(directory))


def append_line(path: Path, line: bytes) -> None:
    """Append a line and make it durable; a line that a power cut tore before is ended first.

    Raises:
        OSError: a disk failed.
    """
    with os.fdopen(open_for_writing(path, os.O_RDWR | os.O_APPEND), "ab+") as file:
        ended = True
        if file.tell():
            file.seek(-1, os.SEEK_END)
            ended = file.read(1) == b"\n"
        file.write((b"" if ended else b"\n") + line + b"\n")
        file.flush()
        os.fsync(file.fileno())
    sync_directory(path.parent)


def copy_receipts(record: Path, copy: Path) -> None:
    """Append the receipts and bindings that the copy lacks; they are no part of the chain."""
    copy_lines(record, copy, layout.ANCHORS)
    copy_lines(record, copy, layout.BINDINGS)


def copy_lines(record: Path, copy: Path, name: str) -> None:
    """Append the lines of a file of lines that the copy's lacks, in their order.

    Raises:
        OSError: a disk failed.
    """
    theirs, ours = _lines(record / name), _lines(copy / name)
    for line in theirs:
        if line not in ours:
            append_line(copy / name, line)


def _lines(path: Path) -> list[bytes]:
    try:
        return read_small(path, LIST_BYTES).splitlines()
    except FileNotFoundError:
        return []
