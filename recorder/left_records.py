"""Which records on the room's disks have no seal, and on which disk each of them goes on."""

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import structlog

from recorder.copies import chain_end, longer
from recorder.file_copy import Pair, set_aside
from recorder.record import layout
from recorder.record.acknowledgement import Acknowledgement, AcknowledgementError, check_acknowledgement
from recorder.record.file_check import read_small
from recorder.seal_trust import SealTrust

log = structlog.get_logger()


class _Tombstone(msgspec.Struct, frozen=True):
    acknowledgement: Acknowledgement


def unsealed(bases: list[Path], trust: SealTrust, tell: Callable[[str], None]) -> list[Path]:
    """Records that have a seal on no disk, each on the disk where it goes on; ``tell`` hears of what somebody must have changed.

    What is left on one disk of a record that was sealed, delivered and deleted on the other is none of them.
    """
    found: dict[str, Path] = {}
    sealed: set[str] = set()
    for base in bases:
        for root in _there(base):
            try:
                if root.name in sealed or not (root / layout.JOURNAL).exists() or was_deleted(root.name, bases, trust, tell):
                    continue
                if any(trust.is_sealed(path / root.name) for path in bases):
                    sealed.add(root.name)
                    continue
                if trust.is_false(root):
                    tell(f"{root} is named as sealed, and is not: {trust.refusal(root)}; it counts as not sealed")
                other = found.get(root.name)
                found[root.name] = root if other is None else longer(other, root, trust.key, tell)
            except Exception as error:  # noqa: BLE001 - whoever had the disk may have put anything there, and the room starts all the same
                log.error("a copy of a record cannot be read; the other one is taken", record=str(root), error=repr(error))
                if root.name in found and not _has_readable_end(found[root.name]):
                    found[root.name] = root
    return list(found.values())


def was_deleted(name: str, bases: list[Path], trust: SealTrust, tell: Callable[[str], None]) -> bool:
    """Whether a disk proves that it had this record, and that it was deleted there; ``tell`` hears of what says so and proves nothing.

    Whoever had one disk can lay such a file there. What he cannot make is the archive's acknowledgement of this record, which is in it.
    """
    for tombstone in [base / f"{name}{layout.TOMBSTONE}" for base in bases]:
        if tombstone.exists():
            why = _doubt(tombstone, name.rpartition("_")[2], trust)
            if not why:
                return True
            tell(f"{tombstone} says that this record was deleted, and proves nothing: {why}; what is here of the record counts")
    return False


def set_false_seal_aside(root: Path, trust: SealTrust) -> None:
    """Keep beside the records what is named as the seal of one and is none.

    Raises:
        OSError: the disk failed.
    """
    if trust.is_false(root):
        # The signature last: as long as it is there, this is done again.
        for name in (layout.MANIFEST, layout.SUMS, layout.SUMS_TIMESTAMP, layout.SUMS_SIGNATURE):
            if os.path.lexists(root / name):
                set_aside(Pair(root, root, name))


def named(base: Path) -> list[Path]:
    """What may be a record on a disk, by its name."""
    return sorted(path for path in base.iterdir() if layout.may_be_record(path.name))


def _doubt(tombstone: Path, record: str, trust: SealTrust) -> str:
    """Why the acknowledgement in a tombstone proves nothing, in words; empty where it holds."""
    try:
        ack = msgspec.json.decode(read_small(tombstone), type=_Tombstone).acknowledgement
        if trust.archive is None:  # it is taken as it comes, as receipts are
            return "" if ack.record == record else f"it is about record {ack.record}"
        # By its own date: this clock may be wrong at a start. Who was revoked since had deleted the record all the same.
        check_acknowledgement(
            ack, record=record, room=ack.room, sums_sha256=ack.sums_sha256, authorities=trust.archive, others=trust.chain[1:],
            now_us=ack.utc_us,
        )  # fmt: skip
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, AcknowledgementError) as error:
        return str(error)
    return ""


def _there(base: Path) -> list[Path]:
    """What may be a record, as a disk lists it; nothing where it cannot, as the other one may."""
    try:
        return named(base)
    except OSError as error:
        log.error("a disk cannot list its records", disk=str(base), error=str(error))
        return []


def _has_readable_end(record: Path) -> bool:
    try:
        chain_end(record)
    except Exception:  # noqa: BLE001 - as in ``unsealed``
        return False
    return True
