"""What a room offers to the archive: each file of a sealed record, its hash and that of each part. Every file is read once; no network."""

import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path

import msgspec

from agent.upstream.transfer import PART_BYTES, RecordFile, UploadOffer
from recorder.record import checksums, layout
from recorder.record.file_check import blocks, inventory

Progress = Callable[[int, int], None]
"""Told the bytes done and the bytes in all."""
MOST_PARTS = 10_000
"""S3's limit for one file: 80 GiB at ``PART_BYTES``."""
_path = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,199}")


class OfferError(Exception):
    """The record cannot be offered; the message names the file and says why."""


class _Genesis(msgspec.Struct):
    """What an offer wants of a journal's first line."""

    record: str
    hearing: str
    room: str


def make_offer(root: Path, *, hearing: str | None = None, progress: Progress | None = None) -> UploadOffer:
    """Read a sealed record and say what it consists of.

    Args:
        root: the record's directory.
        hearing: the hearing that it belongs to now, where it was bound to another one after its seal.
        progress: told the bytes read.

    Raises:
        OfferError: it is not sealed, or a file is not what its SHA256SUMS says.
    """
    sizes = sealed_files(root)
    genesis = read_genesis(root)
    sums = _sums(root)
    done, total, files = 0, sum(sizes.values()), []
    for path in sorted(sizes):
        file = read_file(root, path)
        if path in sums and file.sha256 != sums[path]:
            raise OfferError(f"{root.name}/{path} is not what SHA256SUMS says: it was changed after the seal, or the disk is failing")
        files.append(file)
        done += file.len
        if progress is not None:
            progress(done, total)
    missing = sorted(sums.keys() - sizes.keys())
    if missing:
        raise OfferError(f"{root.name}/{missing[0]} is listed in SHA256SUMS and is not there")
    return UploadOffer(
        record=genesis.record, name=root.name, hearing=genesis.hearing if hearing is None else hearing, sums_sha256=sums_sha256(root),
        files=files,
    )  # fmt: skip


def sealed_files(root: Path) -> dict[str, int]:
    """The files of a sealed record with their lengths.

    Raises:
        OfferError: it is no sealed record, or holds what no record may hold.
    """
    try:
        sizes, others = inventory(root) if root.is_dir() else ({}, [])
    except OSError as error:
        raise OfferError(f"{root} cannot be read: {error.strerror}") from error
    if layout.JOURNAL not in sizes:
        raise OfferError(f"{root} is no record: there is no {layout.JOURNAL} in it")
    if layout.SUMS not in sizes or layout.SUMS_SIGNATURE not in sizes:
        raise OfferError(f"{root.name} is not sealed; only sealed records go to the archive")
    if others:
        raise OfferError(f"{root.name}/{others[0]} is no regular file; a record holds no links and no devices")
    strange = next((path for path in sizes if _path.fullmatch(path) is None or not layout.is_inside(path)), None)
    if strange is not None:
        raise OfferError(f"{root.name} holds {strange!r}, whose name no record's file can have")
    return sizes


def read_genesis(root: Path) -> _Genesis:
    """Record, hearing and room as the journal's first line has them.

    Raises:
        OfferError: it has no such line.
    """
    try:
        with (root / layout.JOURNAL).open("rb") as journal:
            return msgspec.json.decode(journal.readline(1024 * 1024), type=_Genesis)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise OfferError(f"{root.name}/{layout.JOURNAL} does not begin as a record's journal: {error}") from error


def read_file(root: Path, path: str) -> RecordFile:
    """A file's length and hashes, read once. An empty file has one part, of no bytes.

    Raises:
        OfferError: it cannot be read, or is too long to be sent.
    """
    whole, parts = hashlib.sha256(), []
    part, part_bytes, size = hashlib.sha256(), 0, 0
    try:
        one = (root / path).stat(follow_symlinks=False).st_size <= PART_BYTES
        for block in blocks(root / path, lambda _: None):
            whole.update(block)
            size += len(block)
            if one and size <= PART_BYTES:
                continue
            if one:
                raise OfferError(f"{root.name}/{path} grew while it was being read")
            at = 0
            while at < len(block):
                if part_bytes == PART_BYTES:
                    parts.append(part.hexdigest())
                    part, part_bytes = hashlib.sha256(), 0
                piece = block[at : at + PART_BYTES - part_bytes]
                part.update(piece)
                part_bytes += len(piece)
                at += len(piece)
    except OSError as error:
        raise OfferError(f"{root.name}/{path} cannot be read: {error.strerror}") from error
    parts.append(whole.hexdigest() if one else part.hexdigest())
    if len(parts) > MOST_PARTS:
        raise OfferError(f"{root.name}/{path} has {size} bytes; a file of a record has at most {MOST_PARTS * PART_BYTES}")
    return RecordFile(path=path, len=size, sha256=whole.hexdigest(), parts=parts)


def read_part(root: Path, file: RecordFile, number: int) -> bytes:
    """The bytes of a part (counted from 1), if they are still those that were offered.

    Raises:
        OfferError: the file was changed since, or cannot be read.
    """
    try:
        descriptor = os.open(root / file.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            data = _read_at(descriptor, (number - 1) * PART_BYTES)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise OfferError(f"{root.name}/{file.path} cannot be read: {error.strerror}") from error
    if hashlib.sha256(data).hexdigest() != file.parts[number - 1]:
        raise OfferError(
            f"{root.name}/{file.path} was changed on the disk since it was offered (part {number}); nothing more of this record is sent"
        )
    return data


def part_len(file: RecordFile, number: int) -> int:
    """Bytes of a part, counted from 1."""
    return min(PART_BYTES, file.len - (number - 1) * PART_BYTES)


def sums_sha256(root: Path) -> str:
    """The hash of a record's SHA256SUMS: what an acknowledgement speaks of.

    Raises:
        OfferError: it cannot be read.
    """
    try:
        return hashlib.sha256((root / layout.SUMS).read_bytes()).hexdigest()
    except OSError as error:
        raise OfferError(f"{root.name}/{layout.SUMS} cannot be read: {error.strerror}") from error


def _sums(root: Path) -> dict[str, str]:
    try:
        return checksums.parse((root / layout.SUMS).read_bytes())
    except (OSError, checksums.ChecksumsError) as error:
        raise OfferError(f"{root.name}/{layout.SUMS} cannot be used: {error}") from error


def _read_at(descriptor: int, offset: int) -> bytes:
    data = bytearray()
    while len(data) < PART_BYTES and (block := os.pread(descriptor, PART_BYTES - len(data), offset + len(data))):
        data += block
    return bytes(data)
