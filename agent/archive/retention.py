"""Deletes records that the archive holds: acknowledged, of which the disk shows now what was acknowledged, after their time, for room.

A deletion, on each disk::

    1. every byte of every copy is read from the disk and compared with the acknowledgement
    2. <record>.deleted.json, the tombstone, is written; it says what goes, and holds the acknowledgement
    3. the record is moved to .leaving/ and looked at once more: a receipt may have come since 1
    4. it is moved to .deleting/ (from here on there is no way back) and removed
    5. <record>.ack.json is removed

A crash before 4 leaves the record, which ``finish`` moves back, and removes the tombstone; one behind it leaves the tombstone, and
``finish`` goes on removing. So at any time there is a complete acknowledged record or a tombstone. Nothing else is ever deleted.
"""

import base64
import datetime as dt
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from agent.archive import acknowledgement
from agent.archive.acknowledgement import sync_directory
from agent.archive.offer import GROWING, OfferError, Progress, files_by_bytes
from agent.archive.records import SealedRecord
from agent.archive.vouchers import is_listed_by
from agent.upstream.transfer import files_sha256
from recorder.record import layout
from recorder.record.acknowledgement import Acknowledgement, AcknowledgementError, check_acknowledgement
from recorder.record.file_check import LIST_BYTES, inventory, read_small
from recorder.record.trust import Authorities, name, parse_certificate

LEAVING, DELETING = ".leaving", ".deleting"
_DAY_US = 86_400_000_000
_Touched = dict[str, tuple[int, int, int]]


class RetentionError(Exception):
    """A record was not deleted; the message says why."""


class DeletionStoppedError(Exception):
    """A deletion was ended before anything was deleted; it may begin anew at any time."""


class Tombstone(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What stays of a deleted record: what it was, and whose acknowledgement let it go."""

    name: str
    record: str
    room: str
    sums_sha256: str
    files_sha256: str
    bytes: int
    files: int
    deleted_utc_us: int
    acknowledgement: Acknowledgement
    v: int = 1


def choose(records: Sequence[SealedRecord], *, now_us: int, keep_days: float, need_bytes: int) -> list[SealedRecord]:
    """The records to delete so that ``need_bytes`` become free, or as many as may be; what was acknowledged first goes first. Pure.

    Nothing is chosen of which the archive has not acknowledged every file, nor what was acknowledged less than ``keep_days`` ago, by the
    archive's clock and by ours.
    """
    aged = [
        (one.acknowledged_utc_us, one.name, one)
        for one in records
        if one.standing == "delivered"
        and not one.kept
        and one.acknowledged_utc_us is not None
        and now_us - one.acknowledged_utc_us >= keep_days * _DAY_US
    ]
    chosen: list[SealedRecord] = []
    for _, _, one in sorted(aged, key=lambda key: key[:2]):
        if sum(other.bytes for other in chosen) >= need_bytes:
            break
        chosen.append(one)
    return chosen


def why_it_stays(record: SealedRecord, *, now_us: int, keep_days: float, free_bytes: int, need_bytes: int) -> str:
    """Why a record that the archive has is not deleted yet, by [retention]; empty where nothing there keeps it. Pure."""
    if record.standing != "delivered" or record.acknowledged_utc_us is None:
        return ""
    if not free_bytes:
        return "stays: [retention] free_gib = 0 deletes nothing"
    over_us = record.acknowledged_utc_us + int(keep_days * _DAY_US)
    if now_us < over_us:
        day = dt.datetime.fromtimestamp(over_us / 1e6, dt.UTC)
        return f"stays until {day:%Y-%m-%d}, as [retention] says"
    return "stays while the disks have room" if need_bytes <= 0 else ""


def need_bytes(bases: Sequence[Path], free_bytes: int) -> int:
    """How much must be deleted so that each disk has ``free_bytes`` of room; nothing, or less, where none must.

    Raises:
        OSError: a disk does not answer.
    """
    return max((free_bytes - shutil.disk_usage(base).free for base in bases), default=0)


def delete(record: SealedRecord, authorities: Authorities, stopped: Callable[[], bool] = lambda: False) -> Tombstone:
    """Delete a record that ``choose`` named, on every disk, after a last look at each byte of it.

    ``stopped`` is asked behind each file of that look, which takes long: True ends it. What comes behind it is done to its end.

    Raises:
        RetentionError: it may not, or cannot, be deleted.
        DeletionStoppedError: it was ended.
    """
    if record.kept:
        raise RetentionError(f"{record.name} is not deleted: {record.kept}")
    try:
        tombstone, touched = _judge(record, authorities, stopped)
        for root in record.copies:
            try:
                _bury(root, tombstone, touched[root])
            except (OSError, RetentionError):
                finish(root.parent)  # it comes back, or goes altogether; where the disk fails, at the next try
                raise
    except (OfferError, AcknowledgementError) as error:
        raise RetentionError(f"{record.name} is not deleted: {error}") from error
    except OSError as error:
        raise RetentionError(f"{record.name} cannot be deleted: {error.filename or ''} {error.strerror or error}") from error
    return tombstone


def finish(base: Path) -> None:
    """Put right what a crash left of deletions on this disk.

    Raises:
        OSError: the disk failed.
    """
    leaving, deleting = base / LEAVING, base / DELETING
    for root in sorted(leaving.iterdir()) if leaving.is_dir() else []:
        root.rename(base / root.name)
    if leaving.is_dir():
        sync_directory(base)
        leaving.rmdir()
    for root in sorted(deleting.iterdir()) if deleting.is_dir() else []:
        _remove(root, base / root.name)
    if deleting.is_dir():
        deleting.rmdir()
    for tombstone in base.glob(f"*{layout.TOMBSTONE}"):
        root = base / tombstone.name.removesuffix(layout.TOMBSTONE)
        if (root / layout.JOURNAL).exists():
            tombstone.unlink()
        else:
            acknowledgement.place(root).unlink(missing_ok=True)
    sync_directory(base)


def tombstone_file(root: Path) -> Path:
    """Where a record's tombstone is: beside the place where it was."""
    return root.with_name(f"{root.name}{layout.TOMBSTONE}")


def tombstones(base: Path, tell: Callable[[str], None]) -> list[Tombstone]:
    """What was deleted on this disk, the first coming first; ``tell`` hears of each file that cannot be read, and the others count.

    Raises:
        OSError: the disk failed.
    """
    found = []
    for path in base.glob(f"*{layout.TOMBSTONE}"):
        gone = path.name.removesuffix(layout.TOMBSTONE)
        if not (base / gone).exists() and not (base / LEAVING / gone).exists():
            try:
                found.append(msgspec.json.decode(read_small(path), type=Tombstone))
            except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
                tell(f"{path} does not say any more what was deleted: {error}")
    return sorted(found, key=lambda one: (one.deleted_utc_us, one.name))


def _judge(record: SealedRecord, authorities: Authorities, stopped: Callable[[], bool]) -> tuple[Tombstone, dict[Path, _Touched]]:
    """Whether every copy is what was acknowledged, by its bytes on the disk; the tombstone, and how each copy's files stand."""

    def go_on(_done: int, _total: int) -> None:
        if stopped():
            raise DeletionStoppedError(record.name)

    touched = {root: _files(root) for root in record.copies}
    leader = record.root
    ack = record.acknowledgement
    if ack is None:
        raise RetentionError(f"{record.name} is not deleted: the archive has not acknowledged it")
    found = files_by_bytes(leader, go_on)
    check_acknowledgement(
        ack, record=record.record, room=record.room, sums_sha256=found[layout.SUMS], authorities=authorities,
        others=acknowledgement.intermediates(leader), now_us=time.time_ns() // 1000,
    )  # fmt: skip
    signer = parse_certificate(base64.b64decode(ack.certificate))
    if authorities.revocation_lists and not is_listed_by(authorities, signer, acknowledgement.intermediates(leader)):
        raise RetentionError(f"{record.name} is not deleted: no revocation list here is of who issued the certificate of {name(signer)}")
    if files_sha256(found) != ack.files_sha256:
        raise RetentionError(f"{record.name} is not deleted: the archive does not hold all of its files as they are now")
    for copy in record.copies:
        delivered = found if copy == leader else _compare(leader, copy, found, go_on)
        strange = sorted(touched[copy].keys() - delivered.keys() - set(GROWING))
        if strange:
            raise RetentionError(f"{record.name} is not deleted: {copy / strange[0]} belongs to no delivery")
    size = sum(stamp[1] for stamp in touched[leader].values())
    tombstone = Tombstone(
        name=record.name, record=record.record, room=record.room, sums_sha256=ack.sums_sha256, files_sha256=ack.files_sha256, bytes=size,
        files=len(found), deleted_utc_us=time.time_ns() // 1000, acknowledgement=ack,
    )  # fmt: skip
    return tombstone, touched


def _compare(leader: Path, copy: Path, files: dict[str, str], go_on: Progress) -> dict[str, str]:
    """Hold another disk's copy against the one that was acknowledged: it may lack what came after the seal, and may have nothing else."""
    found = files_by_bytes(copy, go_on)
    for path, sha256 in found.items():
        if path in GROWING:
            there = set(read_small(leader / path, LIST_BYTES).splitlines()) if (leader / path).exists() else set[bytes]()
            if set(read_small(copy / path, LIST_BYTES).splitlines()[: _lines(copy / path)]) <= there:
                continue
        elif files.get(path) == sha256:
            continue
        raise RetentionError(f"{leader.name} is not deleted: {copy / path} is another than on the other disk")
    return found


def _lines(path: Path) -> int:
    """How many whole lines a file has."""
    return read_small(path, LIST_BYTES).count(b"\n")


def _bury(root: Path, tombstone: Tombstone, touched: _Touched) -> None:
    base = root.parent
    leaving, deleting = base / LEAVING, base / DELETING
    leaving.mkdir(mode=0o700, exist_ok=True)
    deleting.mkdir(mode=0o700, exist_ok=True)
    acknowledgement.write_durably(tombstone_file(root), msgspec.json.format(msgspec.json.encode(tombstone), indent=2) + b"\n")
    root.rename(leaving / root.name)
    if _files(leaving / root.name) != touched:
        (leaving / root.name).rename(root)
        sync_directory(base)
        tombstone_file(root).unlink()
        raise RetentionError(f"{root.name} is not deleted: something came to it in this moment")
    (leaving / root.name).rename(deleting / root.name)
    for directory in (leaving, deleting, base):
        sync_directory(directory)
    _remove(deleting / root.name, root)
    leaving.rmdir()
    deleting.rmdir()


def _remove(directory: Path, was: Path) -> None:
    shutil.rmtree(directory)
    acknowledgement.place(was).unlink(missing_ok=True)


def _files(root: Path) -> _Touched:
    """All files of a record with what tells that they were not touched."""
    sizes, others = inventory(root)
    if others:
        raise OSError(f"{root / others[0]} is no regular file")
    touched = {}
    for path in sizes:
        status = (root / path).lstat()
        touched[path] = (status.st_ino, status.st_size, status.st_mtime_ns)
    return touched
