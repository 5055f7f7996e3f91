"""Closed networks: sealed records go to a disk that two named people carry, each byte read back from it before it counts.

On the disk, ``<record>/`` is the record, ``<record>.handover.json`` what the room's device signed of it (``recorder/record/handover.py``),
and ``<record>.receipt.json`` the archive's acknowledgement, which comes back. ``docs/archive.md`` tells their formats.
"""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

import msgspec
from cryptography import x509

from agent.archive.amount import amount
from agent.archive.inside import directory, open_regular_in, refuse_links, sync_all
from agent.archive.offer import GROWING, OfferError, hash_file, read_sums, sealed_files
from recorder.record.enclosed_signature import EnclosedSignatureError, check_enclosed_signature
from recorder.record.file_check import LIST_BYTES, read_small
from recorder.record.handover import Handover, handover_text
from recorder.record.trust import Authorities, name, rooms

Progress = Callable[[int, int], None]
INCOMING = ".incoming"
"""On a disk: what is not whole yet."""
_MOST_NAME = 100
_BLOCK_BYTES = 1024 * 1024


class HandoverError(Exception):
    """A handover that cannot be; the message says why and what to do."""


def two_people(names: Sequence[str]) -> tuple[str, str]:
    """Two named people.

    Raises:
        HandoverError: a name is missing, or it is one person twice.
    """
    plain = [" ".join(one.split()) for one in names]
    for one in plain:
        if not 2 <= len(one) <= _MOST_NAME or not one.isprintable():
            raise HandoverError(f"'{one[:_MOST_NAME]}' is no person's name; a handover needs the names of two people")
    if len(plain) != 2 or plain[0].casefold() == plain[1].casefold():
        raise HandoverError("a handover needs two different people, each by name")
    return plain[0], plain[1]


def handover_file(root: Path) -> Path:
    """Where a record's handover is: beside it."""
    return root.with_name(f"{root.name}.handover.json")


def receipt_file(root: Path) -> Path:
    """Where a station lays its receipt: beside the record, on the disk that goes back."""
    return root.with_name(f"{root.name}.receipt.json")


def load_handover(path: Path) -> Handover:
    """Read a handover; it is not checked yet.

    Raises:
        HandoverError: there is none.
    """
    try:
        return msgspec.json.decode(read_small(path), type=Handover)
    except FileNotFoundError:
        raise HandoverError(f"{path} is not there: nobody signed for this record; copy it with `courtroom archive --to`") from None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise HandoverError(f"{path} is no handover: {error}") from error


def check_handover(handover: Handover, authorities: Authorities, others: Sequence[x509.Certificate], now_us: int) -> None:
    """Whether a room's device, for which an authority vouches, signed a handover of two people.

    Raises:
        HandoverError: not so.
    """
    two_people(handover.people)
    try:
        text = handover_text(handover)
        signer = check_enclosed_signature("handover", handover, text, authorities=authorities, others=others, now_us=now_us)
    except EnclosedSignatureError as error:
        raise HandoverError(str(error)) from error
    if rooms(signer) != [handover.room]:
        raise HandoverError(f"the handover is not signed by the device of room {handover.room}, but by {name(signer)}")


def missing_bytes(roots: Sequence[Path], to: Path) -> int:
    """How much must still be written to ``to`` so that all these records are there.

    Raises:
        HandoverError: a record cannot be read.
    """
    try:
        needed = 0
        for root in roots:
            if root.is_symlink():
                raise HandoverError(f"{root} is a link; a record is a directory")
            for place in (root.name, f"{INCOMING}/{root.name}"):
                refuse_links(to, place)
            for path, size in sealed_files(root).items():
                there = [place / path for place in (to / root.name, _half(to / root.name))]
                needed += 0 if any(one.is_file() and one.stat().st_size == size for one in there) else size
        return needed
    except OfferError as error:
        raise HandoverError(str(error)) from error
    except OSError as error:
        raise HandoverError(f"{to} cannot be used: {error.strerror or error}") from error


def copy_record(root: Path, target: Path, progress: Progress | None = None) -> dict[str, str]:
    """Copy a sealed record so that it is at ``target`` whole or not at all; returns the hashes of what was delivered, by path.

    A copy that was broken off is gone on with. To one that is there only that is added which came to the record since.

    Raises:
        HandoverError: it is not sealed, was changed since, or the disk does not hold what was written to it.
    """
    if not target.parent.is_dir():
        raise HandoverError(f"{target.parent} is no directory: is the disk mounted?")
    if os.path.lexists(target):
        return copy_into(root, target.parent, target.name, progress, whole=True)
    delivered = copy_into(root, target.parent, f"{INCOMING}/{target.name}", progress)
    try:
        with directory(target.parent) as disk, directory(target.parent, INCOMING) as incoming:
            os.rename(target.name, target.name, src_dir_fd=incoming, dst_dir_fd=disk)
            os.fsync(disk)
    except OSError as error:
        raise HandoverError(f"{root.name} cannot be copied to {target.parent}: {error.strerror or error}") from error
    return delivered


def copy_into(root: Path, disk: Path, inside: str, progress: Progress | None = None, *, whole: bool = False) -> dict[str, str]:
    """The same into the directory ``inside`` of a disk, at which nobody looks yet; nothing of a ``whole`` record there is changed.

    A disk that holds a link there is refused before anything is written: it would lead what is written onto other records.

    Raises:
        HandoverError: as ``copy_record``.
    """
    place = disk / inside
    try:
        refuse_links(disk, inside)
        sizes, sums = sealed_files(root), read_sums(root)
        made = _Copy(root, disk, inside, 2 * sum(sizes.values()), progress)
        delivered, written = {}, []
        # What the seal lists first: who reads a copy that was broken off finds no order to what is not there.
        for path in sorted(sizes, key=lambda one: (one not in sums, one)):
            delivered[path] = sums[path] if path in sums else hash_file(root, path, sizes[path])
            if made.has(path, sizes[path], delivered[path]):
                made.tell(2 * sizes[path])
                continue
            if whole and not may_replace(place / path, root / path, path):
                raise HandoverError(f"{place / path} is there already and is another: move {place} away, and copy again")
            if made.write(path, sizes[path]) != delivered[path]:
                raise HandoverError(f"{root.name}/{path} is not what SHA256SUMS says: it was changed after the seal, or a disk is failing")
            written.append(path)
        sync_all(disk, inside)
        for path in written:
            if hash_file(disk, f"{inside}/{path}", sizes[path], from_disk=True) != delivered[path]:
                raise HandoverError(f"{place / path} reads back other bytes than were written: do not use this disk")
            made.tell(sizes[path])
    except OfferError as error:
        raise HandoverError(str(error)) from error
    except OSError as error:
        raise HandoverError(f"{root.name} cannot be copied to {place}: {error.strerror or error}") from error
    return delivered


def may_replace(old: Path, new: Path, path: str) -> bool:
    """Whether a file of a whole copy may become another: it was not there, or lines came to receipts or bindings.

    Raises:
        OSError: a file cannot be read.
    """
    if not old.exists():
        return True
    return path in GROWING and read_small(new, LIST_BYTES).startswith(read_small(old, LIST_BYTES))


def check_room(needed: int, to: Path) -> None:
    """Refuse a disk that is too small before anything is written to it.

    Raises:
        HandoverError: it is, or is not there.
    """
    try:
        free = shutil.disk_usage(to).free
    except OSError as error:
        raise HandoverError(f"{to} cannot be used: {error.strerror}; is the disk mounted?") from error
    if free < needed:
        raise HandoverError(f"{to} has {amount(free)} left, and {amount(needed)} must go there: take a larger disk, or name records")


class _Copy:
    """One record on its way to another disk."""

    def __init__(self, root: Path, disk: Path, inside: str, total: int, progress: Progress | None) -> None:
        self._root = root
        self._disk = disk
        self._inside = inside
        self._total = total
        self._done = 0
        self._progress = progress

    def tell(self, more: int) -> None:
        self._done += more
        if self._progress is not None:
            self._progress(self._done, self._total)

    def has(self, path: str, size: int, sha256: str) -> bool:
        """Whether the disk, not the memory, shows the right bytes there already."""
        there = f"{self._inside}/{path}"
        try:
            descriptor = open_regular_in(self._disk, there)
        except FileNotFoundError:
            return False
        try:
            if os.fstat(descriptor).st_size != size:
                return False
        finally:
            os.close(descriptor)
        return hash_file(self._disk, there, size, from_disk=True) == sha256

    def write(self, path: str, size: int) -> str:
        """Write a file so that it is there whole or not at all; returns the hash of what was written."""
        target = PurePosixPath(self._inside, path)
        half = f".{target.name}.part"
        digest, left = hashlib.sha256(), size
        # By the directory's descriptor, not its name: whatever else writes to this disk meanwhile, a link leads nowhere.
        with directory(self._disk, str(target.parent), make=True) as at:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(half, dir_fd=at)
            reader = open_regular_in(self._root, path)
            try:
                descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640, dir_fd=at)
                with os.fdopen(descriptor, "wb") as writer:
                    while left and (block := os.read(reader, min(_BLOCK_BYTES, left))):
                        digest.update(block)
                        writer.write(block)
                        left -= len(block)
                        self.tell(len(block))
                    writer.flush()
                    os.fsync(descriptor)
            finally:
                os.close(reader)
            os.replace(half, target.name, src_dir_fd=at, dst_dir_fd=at)
        return digest.hexdigest()


def _half(target: Path) -> Path:
    """Where a copy is made: under the record's own name, for a verifier looks at it."""
    return target.parent / INCOMING / target.name
