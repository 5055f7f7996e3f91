"""Closed networks: sealed records go to a disk that two named people carry, each byte read back from it before it counts."""

import hashlib
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from agent.archive.acknowledgement import sync_directory, write_durably
from agent.archive.offer import OfferError, read_genesis, sealed_files, sums_sha256
from recorder.record import checksums, layout
from recorder.record.file_check import blocks

JOURNAL = "handovers.jsonl"
"""Beside the records: who carried what, one JSON object a line."""
Progress = Callable[[int, int], None]
_MOST_NAME = 100


class HandoverError(Exception):
    """A handover that cannot be; the message says why and what to do."""


class People(msgspec.Struct, frozen=True, kw_only=True):
    """The two who answer for a handover."""

    by: str
    witness: str

    def __str__(self) -> str:
        return f"{self.by} with {self.witness}"


class Handover(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A record changed hands. On the disk it is ``<record>.handover.json``; the room and the archive keep a line each."""

    what: Literal["copied", "archived", "received"]
    record: str
    name: str
    sums_sha256: str
    bytes: int
    files: int
    by: str
    witness: str
    utc_us: int
    v: Literal[1] = 1


def people(by: str, witness: str) -> People:
    """Two named people.

    Raises:
        HandoverError: a name is missing, or it is one person twice.
    """
    named = []
    for name, option in ((by, "--by"), (witness, "--with")):
        plain = " ".join(name.split())
        if not 2 <= len(plain) <= _MOST_NAME or not plain.isprintable():
            raise HandoverError(f"{option} must be a person's name")
        named.append(plain)
    if named[0].casefold() == named[1].casefold():
        raise HandoverError(f"--by and --with are both '{named[0]}'; a handover needs two people")
    return People(by=named[0], witness=named[1])


def copy_record(root: Path, to: Path, who: People, progress: Progress | None = None) -> Handover:
    """Copy a sealed record to a disk: ``to/<record>/`` and ``to/<record>.handover.json``. A copy that is there already is only read again.

    Raises:
        HandoverError: it is not sealed, was changed since, or the disk does not hold what was written to it.
    """
    handover = copied(root, to / root.name, who, "copied", progress)
    try:
        write_durably(to / f"{root.name}.handover.json", msgspec.json.format(msgspec.json.encode(handover), indent=2) + b"\n")
        note(root.parent, handover)
    except OSError as error:
        raise HandoverError(f"the handover of {root.name} cannot be noted: {error}") from error
    return handover


def copied(root: Path, target: Path, who: People, what: Literal["copied", "archived"], progress: Progress | None = None) -> Handover:
    """Copy a sealed record so that it is at ``target`` whole or not at all.

    Raises:
        HandoverError: as ``copy_record``.
    """
    try:
        sizes = sealed_files(root)
        sums = checksums.parse((root / layout.SUMS).read_bytes())
        genesis = read_genesis(root)
        handover = Handover(
            what=what, record=genesis.record, name=root.name, sums_sha256=sums_sha256(root), bytes=sum(sizes.values()), files=len(sizes),
            by=who.by, witness=who.witness, utc_us=time.time_ns() // 1000,
        )  # fmt: skip
        missing = sorted(sums.keys() - sizes.keys())
        if missing:
            raise HandoverError(f"{root.name}/{missing[0]} is listed in SHA256SUMS and is not there")
        if not target.parent.is_dir():
            raise HandoverError(f"{target.parent} is no directory: is the disk mounted?")
        if target.exists():
            _compare(root, target, sizes)
            return handover
        _copy(root, target, sizes, sums, progress)
    except (OfferError, checksums.ChecksumsError) as error:
        raise HandoverError(str(error)) from error
    except OSError as error:
        raise HandoverError(f"{root.name} cannot be copied to {target.parent}: {error.strerror or error}") from error
    return handover


def note(directory: Path, handover: Handover) -> None:
    """Keep a line about a handover; it is durable when this returns.

    Raises:
        OSError: it cannot be written.
    """
    with (directory / JOURNAL).open("ab") as file:
        file.write(msgspec.json.encode(handover) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    sync_directory(directory)


def _copy(root: Path, target: Path, sizes: dict[str, int], sums: dict[str, str], progress: Progress | None) -> None:
    size = sum(sizes.values())
    half = target.with_name(f".{target.name}.part")
    shutil.rmtree(half, ignore_errors=True)
    free = shutil.disk_usage(target.parent).free
    if free < size:
        raise HandoverError(f"{target.parent} has {free / 1e9:.1f} GB left, and {root.name} needs {size / 1e9:.1f} GB")
    done, hashes = 0, {}
    for path in sorted(sizes):
        (half / path).parent.mkdir(parents=True, exist_ok=True)
        hashes[path] = _copy_file(root / path, half / path)
        if path in sums and hashes[path] != sums[path]:
            raise HandoverError(f"{root.name}/{path} is not what SHA256SUMS says: it was changed after the seal, or a disk is failing")
        done += sizes[path]
        if progress is not None:
            progress(done, 2 * size)
    for directory, _, _ in os.walk(half):
        sync_directory(Path(directory))
    for path in sorted(sizes):
        if _read_back(half / path) != hashes[path]:
            raise HandoverError(f"{half / path} reads back other bytes than were written: do not use this disk")
        done += sizes[path]
        if progress is not None:
            progress(done, 2 * size)
    half.rename(target)
    sync_directory(target.parent)


def _compare(root: Path, target: Path, sizes: dict[str, int]) -> None:
    if sealed_files(target) != sizes or any(_read_back(root / path) != _read_back(target / path) for path in sizes):
        raise HandoverError(f"{target} is there already and is another: move it away, and copy again")


def _copy_file(source: Path, target: Path) -> str:
    digest = hashlib.sha256()
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        for block in blocks(source, lambda _: None):
            digest.update(block)
            view = block
            while view:
                view = view[file.write(view) :]
        os.fsync(descriptor)
    return digest.hexdigest()


def _read_back(path: Path) -> str:
    """The hash of what the disk holds: what the system has in memory of the file is dropped first."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)
    digest = hashlib.sha256()
    for block in blocks(path, lambda _: None):
        digest.update(block)
    return digest.hexdigest()
