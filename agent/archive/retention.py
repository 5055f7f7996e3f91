"""Which sealed records may be deleted here: acknowledged ones, after their time, oldest first, and no more than room is needed."""

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.archive.acknowledgement import AcknowledgementError, check, intermediates, load, place, sync_directory
from agent.archive.offer import OfferError, read_genesis, sealed_files, sums_sha256
from recorder.record import layout
from recorder.record.trust import Authorities

DELETING = ".deleting"
"""Records are moved here before they are deleted: a crash in the middle leaves no half record among the others."""
_DAY_US = 86_400_000_000


class RetentionError(Exception):
    """A record was not deleted; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A sealed record on this disk. ``acknowledged_utc_us`` is of a valid acknowledgement; None says that ``why`` it has none."""

    name: str
    record: str
    sums_sha256: str
    bytes: int
    acknowledged_utc_us: int | None
    why: str = ""


def choose(held: Sequence[Held], *, now_us: int, keep_days: float, need_bytes: int) -> list[Held]:
    """The records to delete so that ``need_bytes`` become free, or as many as may be. Pure.

    Nothing without a valid acknowledgement is chosen, nor what was acknowledged less than ``keep_days`` ago, by the archive's clock.
    """
    chosen: list[Held] = []
    free = 0
    aged = [(one.acknowledged_utc_us, one.name, one) for one in held if one.acknowledged_utc_us is not None]
    for acknowledged_us, _, one in sorted(aged, key=lambda key: key[:2]):
        if free >= need_bytes or now_us - acknowledged_us < keep_days * _DAY_US:
            break
        chosen.append(one)
        free += one.bytes
    return chosen


def survey(root: Path, authorities: Authorities, *, now_us: int | None = None) -> list[Held]:
    """The sealed records under ``root``, each with what its acknowledgement is worth.

    Raises:
        OSError: the directory cannot be read.
    """
    found = []
    for directory in sorted(root.iterdir()):
        if directory.name.startswith(".") or directory.is_symlink() or not (directory / layout.SUMS_SIGNATURE).is_file():
            continue
        try:
            found.append(look(directory, authorities, now_us=now_us))
        except OfferError:
            continue
    return found


def look(directory: Path, authorities: Authorities, *, now_us: int | None = None) -> Held:
    """One sealed record and what its acknowledgement is worth.

    Raises:
        OfferError: it is no sealed record.
    """
    sizes, genesis, sums = sealed_files(directory), read_genesis(directory), sums_sha256(directory)
    now_us = time.time_ns() // 1000 if now_us is None else now_us
    acknowledged_us, why = None, ""
    try:
        ack = load(place(directory))
        check(
            ack, record=genesis.record, room=genesis.room, sums_sha256=sums, authorities=authorities, others=intermediates(directory),
            now_us=now_us,
        )  # fmt: skip
        if (ack.files, ack.bytes) == (len(sizes), sum(sizes.values())):
            acknowledged_us = ack.utc_us
        else:
            why = "files came to the record after the archive acknowledged it (orders, receipts); send it again"
    except FileNotFoundError:
        why = "no acknowledgement has come"
    except (AcknowledgementError, OSError) as error:
        why = str(error)
    return Held(
        name=directory.name, record=genesis.record, sums_sha256=sums, bytes=sum(sizes.values()), acknowledged_utc_us=acknowledged_us,
        why=why,
    )  # fmt: skip


def delete(root: Path, chosen: Held, authorities: Authorities) -> int:
    """Delete one record that ``choose`` named, after a last look at its acknowledgement, which stays. Returns the bytes freed.

    Raises:
        RetentionError: it may not, or cannot, be deleted.
    """
    directory = root / chosen.name
    try:
        now = look(directory, authorities)
    except OfferError as error:
        raise RetentionError(f"{chosen.name} is not deleted: {error}") from error
    if now.acknowledged_utc_us is None or now.sums_sha256 != chosen.sums_sha256:
        raise RetentionError(f"{chosen.name} is not deleted: {now.why or 'it is another record by now'}")
    try:
        (root / DELETING).mkdir(exist_ok=True)
        directory.rename(root / DELETING / chosen.name)
        sync_directory(root)
        finish(root)
    except OSError as error:
        raise RetentionError(f"{chosen.name} cannot be deleted: {error}") from error
    return now.bytes


def finish(root: Path) -> None:
    """Delete what a crash left of deletions that had begun.

    Raises:
        OSError: something cannot be deleted.
    """
    leaving = root / DELETING
    if leaving.is_dir():
        for directory in leaving.iterdir():
            shutil.rmtree(directory)
        leaving.rmdir()
