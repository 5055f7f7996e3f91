"""The copy of a sealed record on the other disk: completed where it is behind, then given the seal.

The seal's files come last and the signature last of all, each whole under its name or not there: a copy that has the signature is complete.
"""

import contextlib
import errno
import os
from collections.abc import Callable
from pathlib import Path

import structlog

from recorder.disk import Disk
from recorder.file_copy import DamagedError, Pair, bring, copy_receipts, set_aside, sync_tree
from recorder.file_table import Stored
from recorder.record import checksums, layout
from recorder.record.file_check import LIST_BYTES, inventory, read_small
from recorder.seal import listed_files, put_file

log = structlog.get_logger()


def is_level(record: Path, copy: Path) -> bool:
    """Whether the copy has every file of a sealed record in its length, beside those that are made at the seal."""
    disk, made = Disk(copy), {layout.MANIFEST, layout.DEVICE_CHAIN}
    listed = [path for path in _sums(record) if path not in made]
    return all(disk.size(path) == (record / path).lstat().st_size and os.path.lexists(copy / path) for path in listed)


def put_seal(record: Path, copy: Path) -> None:
    """Give a copy that is level the seal, or one that has it already what it lacks beside it.

    Raises:
        OSError: a disk failed, and what the copy has of the seal is whole; or the copy is sealed otherwise, and stays as it is.
    """
    if (copy / layout.SUMS_SIGNATURE).exists() and read_small(copy / layout.SUMS, LIST_BYTES) != read_small(
        record / layout.SUMS, LIST_BYTES
    ):
        raise OSError(errno.EEXIST, "is sealed otherwise: the hearing went on from a copy that was behind; keep both", str(copy))
    copy_receipts(record, copy)
    for name in (layout.DEVICE_CHAIN, layout.MANIFEST, layout.SUMS, layout.SUMS_TIMESTAMP, layout.SUMS_SIGNATURE):
        with contextlib.suppress(FileNotFoundError):
            put_file(copy / name, read_small(record / name, LIST_BYTES))
    copy_receipts(record, copy)  # what came meanwhile went to the copies that were sealed by then: this one was not


def complete(record: Path, copy: Path, wanted: Callable[[], bool]) -> bool:
    """Bring a copy to the same as a sealed record, byte for byte by the hashes of the seal; what differs is set aside, nothing is deleted.

    False where it was broken off, because it is not ``wanted`` now, or because the sealed record itself is damaged.

    Raises:
        OSError: a disk failed; calling again goes on.
        ChecksumsError: the seal lists what no record has, such as a path that leads out of it; nothing is copied.
        DamagedError: a link or the like lies in the record, or stands for one of the two: it may lead out of it as well.
    """
    strange = [root for root in (record, copy) if root.is_symlink()] or [record / path for path in inventory(record)[1]]
    if strange:
        raise DamagedError(f"{strange[0]} is no regular file: somebody put it there")
    for path in inventory(copy)[1]:
        set_aside(Pair(record, copy, path))
    whole, sums = True, _sums(record)
    # The journal last: a line is never on a disk before the bytes that it speaks of.
    for path, digest in sorted(sums.items(), key=lambda item: layout.journal_number(item[0]) or 0):
        if not wanted():
            return False
        try:
            bring(Pair(record, copy, path), Stored((record / path).lstat().st_size, digest), 0)
        except (DamagedError, FileNotFoundError) as error:
            log.error("a sealed record is damaged; its copy keeps what it has", file=str(error))
            whole = False
    for path in listed_files(copy):
        if path not in sums:
            set_aside(Pair(record, copy, path))
    sync_tree(copy)
    if whole:
        put_seal(record, copy)
    return whole


def _sums(record: Path) -> dict[str, bytes]:
    listed = checksums.parse(read_small(record / layout.SUMS, LIST_BYTES))
    return {path: bytes.fromhex(sha256) for path, sha256 in listed.items()}
