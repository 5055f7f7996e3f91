"""What a room offers to the archive: the files of a sealed record, their hashes and those of their parts. No network.

What came after the seal is delivered too: receipts and bindings up to their last whole line (they only grow; what is behind it is a line
that is being written, or that a power cut tore), and finished orders. What an unfinished order left belongs to nothing and stays here.
"""

import hashlib
import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import msgspec

from agent.archive.hashed import Hashed
from agent.archive.inside import open_regular_in
from agent.upstream.transfer import PART_BYTES, RecordFile, UploadOffer, files_sha256
from recorder.record import checksums, layout
from recorder.record.file_check import LIST_BYTES, inventory, read_small
from recorder.record.shown import encodable

Progress = Callable[[int, int], None]
"""Told the bytes done and the bytes in all."""
MOST_PARTS = 10_000
"""S3's limit for one file: 80 GiB at ``PART_BYTES``."""
GROWING = (layout.ANCHORS, layout.BINDINGS)
"""Files of lines that are appended to after the seal."""
_BLOCK_BYTES = 512 * 1024
_READERS = 2
"""Files that are read and hashed at once; hashing lets other threads run."""
_CHANGED = " is not what SHA256SUMS says: it was changed after the seal, or the disk is failing"
_path = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,199}")


class OfferError(Exception):
    """The record cannot be offered; the message names the file and says why."""


class Genesis(msgspec.Struct):
    """What is wanted of a journal's first line."""

    record: str
    hearing: str
    room: str
    utc_us: int


class _Bound(msgspec.Struct):
    hearing: str


class _Manifest(msgspec.Struct):
    class _Hearing(msgspec.Struct):
        id: str

    hearing: _Hearing


def make_offer(root: Path, *, hearing: str | None = None, progress: Progress | None = None, hashed: Hashed | None = None) -> UploadOffer:
    """Read a sealed record and say what it consists of. Every file is read once, and every byte hashed once.

    A file of several parts is offered by the hashes that its parts have now and the whole one that the seal lists;
    ``check_whole`` finds out whether they belong together.

    Args:
        root: the record's directory.
        hearing: the hearing that it belongs to (default: as the record itself has it by now).
        progress: told the bytes read.
        hashed: what was read before; a file that was not touched since is not read again.

    Raises:
        OfferError: it is not sealed, or a file is not what its SHA256SUMS says.
    """
    sizes = sealed_files(root)
    known = Hashed(root) if hashed is None else hashed
    genesis, sums = read_genesis(root), read_sums(root)
    done, total, files = 0, sum(sizes.values()), list[RecordFile]()
    with ThreadPoolExecutor(_READERS) as pool:
        for file in pool.map(lambda path: _read_once(known, path, sizes[path], sums.get(path)), sorted(sizes)):
            if file.sha256 != sums.get(file.path, file.sha256):
                pool.shutdown(cancel_futures=True)
                raise OfferError(f"{root.name}/{file.path}{_CHANGED}")
            files.append(file)
            done += file.len
            if progress is not None:
                progress(done, total)
    return UploadOffer(
        record=genesis.record, name=root.name, hearing=hearing_of(root) if hearing is None else hearing,
        sums_sha256=next(file.sha256 for file in files if file.path == layout.SUMS), files=files,
    )  # fmt: skip


def sealed_files(root: Path) -> dict[str, int]:
    """The files of a sealed record that are delivered, with the length of each that is.

    Raises:
        OfferError: it is no sealed record, or holds what no record may hold.
    """
    try:
        sizes, others = inventory(root) if root.is_dir() else ({}, [])
        if layout.JOURNAL not in sizes:
            raise OfferError(f"{root} is no record: there is no {layout.JOURNAL} in it")
        if layout.SUMS not in sizes or layout.SUMS_SIGNATURE not in sizes:
            raise OfferError(f"{root.name} is not sealed; only sealed records go to the archive")
        for path in GROWING:
            if path in sizes:
                sizes[path] = read_small(root / path, LIST_BYTES).rfind(b"\n") + 1
    except OSError as error:
        raise OfferError(f"{error.filename or root} cannot be read: {error.strerror}") from error
    if encodable(root.name) != root.name:
        raise OfferError(f"{encodable(root.name)} is not named in UTF-8, and no archive can be told its name")
    if others:
        raise OfferError(f"{root.name}/{others[0]} is no regular file; a record holds no links and no devices")
    strange = next((path for path in sizes if _path.fullmatch(path) is None or not layout.is_inside(path)), None)
    if strange is not None:
        raise OfferError(f"{root.name} holds {strange!r}, whose name no record's file can have")
    missing = sorted(read_sums(root).keys() - sizes.keys())
    if missing:
        raise OfferError(f"{root.name}/{missing[0]} is listed in SHA256SUMS and is not there")
    orders = [layout.order_number(path) or 0 for path in sizes if path == layout.order_file(layout.order_number(path) or 0)]
    unfinished = max(orders, default=0) + 1
    return {
        path: size for path, size in sizes.items() if layout.order_number(path) != unfinished and not (path in GROWING and size == 0)
    }  # fmt: skip


def files_by_seal(root: Path) -> tuple[dict[str, int], str]:
    """The files that are delivered, and the hash that names them all (``files_sha256``) if those that the seal lists are as it says.

    Little is read: not the media, whose hashes are the seal's.

    Raises:
        OfferError: it is no sealed record, or a file cannot be read.
    """
    sizes, sums = sealed_files(root), read_sums(root)
    late = {path: hash_file(root, path, sizes[path]) for path in sizes.keys() - sums.keys()}
    return sizes, files_sha256(sums | late)


def files_by_bytes(root: Path, progress: Progress | None = None) -> dict[str, str]:
    """The SHA-256 of each file that is delivered, of what the disk shows now: nothing is taken from memory.

    ``progress`` is told behind each file; what it raises ends the reading.

    Raises:
        OfferError: it is no sealed record, or a file cannot be read, or is not what SHA256SUMS says.
    """
    sizes, sums, found, done = sealed_files(root), read_sums(root), dict[str, str](), 0
    total = sum(sizes.values())
    for path in sorted(sizes):
        found[path] = hash_file(root, path, sizes[path], from_disk=True)
        if found[path] != sums.get(path, found[path]):
            raise OfferError(f"{root.name}/{path}{_CHANGED}")
        done += sizes[path]
        if progress is not None:
            progress(done, total)
    return found


def read_genesis(root: Path) -> Genesis:
    """Record, hearing, room and beginning as the journal's first line has them.

    Raises:
        OfferError: it has no such line.
    """
    try:
        with os.fdopen(open_regular_in(root, layout.JOURNAL), "rb") as journal:
            return msgspec.json.decode(journal.readline(1024 * 1024), type=Genesis)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise OfferError(f"{root.name}/{layout.JOURNAL} does not begin as a record's journal: {error}") from error


def hearing_of(root: Path) -> str:
    """The hearing that a sealed record belongs to: by its last binding after the seal, else as the seal's manifest has it.

    Raises:
        OfferError: neither can be read.
    """
    try:
        lines = read_small(root / layout.BINDINGS).split(b"\n")[:-1] if (root / layout.BINDINGS).exists() else []
        for line in reversed(lines):
            try:
                return msgspec.json.decode(line, type=_Bound).hearing
            except (msgspec.DecodeError, UnicodeDecodeError):  # a line that a power cut tore: the one before it counts
                continue
        return msgspec.json.decode(read_small(root / layout.MANIFEST, LIST_BYTES), type=_Manifest).hearing.id
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise OfferError(f"{root.name}: which hearing it belongs to cannot be read: {error}") from error


def check_whole(root: Path, offer: UploadOffer, stopped: Event, hashed: Hashed) -> None:
    """Whether the files of several parts are still what the seal lists; ``stopped`` ends it early, and none is read twice.

    Raises:
        OfferError: one is not, or cannot be read.
    """
    for file in offer.files:
        if len(file.parts) == 1 or hashed.is_whole(file):
            continue
        found = hash_file(root, file.path, file.len, stopped=stopped)
        if stopped.is_set():
            return
        if found != file.sha256:
            raise OfferError(f"{root.name}/{file.path}{_CHANGED}")
        hashed.note_whole(file)


def _read_once(known: Hashed, path: str, length: int, sealed_sha256: str | None) -> RecordFile:
    try:
        touched = known.touched(path)
    except OSError as error:
        raise OfferError(f"{known.root.name}/{path} cannot be read: {error.strerror or error}") from error
    file = known.find(path, length, touched)
    if file is None:
        file = read_file(known.root, path, length, sealed_sha256)
        known.keep(file, touched)
    return file


def read_file(root: Path, path: str, length: int, sealed_sha256: str | None) -> RecordFile:
    """The hashes of a file's first ``length`` bytes. An empty file has one part, of no bytes.

    Args:
        root: the record's directory.
        path: the file's, in it.
        length: bytes of it that are delivered.
        sealed_sha256: what the seal lists for the file; of one that has several parts, that is believed here.

    Raises:
        OfferError: it cannot be read, is shorter, or is too long to be sent.
    """
    if length > MOST_PARTS * PART_BYTES:
        raise OfferError(f"{root.name}/{path} has {length} bytes; a file of a record has at most {MOST_PARTS * PART_BYTES}")
    if length <= PART_BYTES:
        sha256 = hash_file(root, path, length)
        return RecordFile(path=path, len=length, sha256=sha256, parts=[sha256])
    parts = [hash_file(root, path, min(PART_BYTES, length - begin), begin=begin) for begin in range(0, length, PART_BYTES)]
    return RecordFile(path=path, len=length, sha256=sealed_sha256 or hash_file(root, path, length), parts=parts)


def hash_file(root: Path, path: str, length: int, *, begin: int = 0, from_disk: bool = False, stopped: Event | None = None) -> str:
    """The SHA-256 of ``length`` bytes of a file, from the byte ``begin`` on.

    ``from_disk``: what the system holds of it in memory is dropped first. ``stopped`` ends it early: the answer is then a hash of less.

    Raises:
        OfferError: it cannot be read, or is shorter.
    """
    digest = hashlib.sha256()
    try:
        descriptor = open_regular_in(root, path)
        try:
            if from_disk:
                # Dirty pages stay in memory, hence the sync. What is mapped elsewhere stays too, and so does the drive's own cache.
                os.fsync(descriptor)
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            for at in range(begin, begin + length, _BLOCK_BYTES):
                if stopped is not None and stopped.is_set():
                    break
                digest.update(_read_at(descriptor, at, min(_BLOCK_BYTES, begin + length - at)))
            if from_disk:
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise OfferError(f"{root.name}/{path} cannot be read: {error.strerror or error}") from error
    return digest.hexdigest()


def read_part(root: Path, file: RecordFile, number: int) -> bytes:
    """The bytes of a part (counted from 1), as they are now.

    Raises:
        OfferError: the file cannot be read.
    """
    try:
        descriptor = open_regular_in(root, file.path)
        try:
            return _read_at(descriptor, (number - 1) * PART_BYTES, part_len(file, number))
        finally:
            os.close(descriptor)
    except OSError as error:
        raise OfferError(f"{root.name}/{file.path} cannot be read: {error.strerror or error}") from error


def check_part(root: Path, file: RecordFile, number: int, data: bytes) -> None:
    """Whether the bytes of a part are still those that were offered.

    Raises:
        OfferError: the file was changed since.
    """
    if hashlib.sha256(data).hexdigest() != file.parts[number - 1]:
        raise OfferError(
            f"{root.name}/{file.path} was changed on the disk since it was offered (part {number}); nothing more of this record is sent"
        )


def part_len(file: RecordFile, number: int) -> int:
    """Bytes of a part, counted from 1."""
    return min(PART_BYTES, file.len - (number - 1) * PART_BYTES)


def sums_sha256(root: Path) -> str:
    """The hash of a record's SHA256SUMS: what names its seal.

    Raises:
        OfferError: it cannot be read.
    """
    try:
        return hashlib.sha256(read_small(root / layout.SUMS, LIST_BYTES)).hexdigest()
    except OSError as error:
        raise OfferError(f"{root.name}/{layout.SUMS} cannot be read: {error.strerror}") from error


def read_sums(root: Path) -> dict[str, str]:
    """The hashes that the seal lists, by path.

    Raises:
        OfferError: they cannot be read.
    """
    try:
        return checksums.parse(read_small(root / layout.SUMS, LIST_BYTES))
    except (OSError, checksums.ChecksumsError) as error:
        raise OfferError(f"{root.name}/{layout.SUMS} cannot be used: {error}") from error


def _read_at(descriptor: int, offset: int, length: int) -> bytes:
    """So many bytes, no fewer."""
    data = os.pread(descriptor, length, offset)
    while len(data) < length:
        block = os.pread(descriptor, length - len(data), offset + len(data))
        if not block:
            raise OSError("it became shorter while it was read")
        data += block
    return data
