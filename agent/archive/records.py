"""The sealed records of a room on its two disks, and what the archive has acknowledged of each."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from agent.archive import acknowledgement
from agent.archive.acknowledgement import AcknowledgementError
from agent.archive.offer import OfferError, files_by_seal, read_genesis, sums_sha256
from agent.upstream.transfer import Acknowledgement
from recorder.record import layout
from recorder.record.trust import Authorities

Standing = Literal["pending", "late", "delivered"]
"""``pending``: no acknowledgement for this seal. ``late``: there is one, and files came since. ``delivered``: the archive holds it all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedRecord:
    """A sealed record and its copies, the one that is delivered first. ``why`` tells what is wrong with its acknowledgement."""

    name: str
    record: str
    room: str
    began_utc_us: int
    bytes: int
    files: int
    sums_sha256: str
    files_sha256: str
    copies: tuple[Path, ...]
    standing: Standing
    changed_utc_us: int
    """When the last of its files came, by the room's clock."""
    acknowledgement: Acknowledgement | None = None
    acknowledged_utc_us: int | None = None
    """When it was acknowledged or the room got to know of it, whichever is later."""
    why: str = ""

    @property
    def root(self) -> Path:
        """The copy that is delivered."""
        return self.copies[0]


@dataclass(slots=True)
class _Known:
    stamp: tuple[object, ...]
    made: SealedRecord | None


@dataclass(slots=True)
class Records:
    """The records under the disks' directories, the primary's first. What did not change since the last look is not read again."""

    bases: Sequence[Path]
    authorities: Authorities
    broken: dict[str, str] = field(default_factory=dict)
    """What cannot be told about, with the reason: sealed records by name, and by its path what a disk does not let be looked at."""
    _known: dict[str, _Known] = field(default_factory=dict)

    def look(self) -> list[SealedRecord]:
        """All sealed records, the oldest first. A disk that is not there has none, and what cannot be looked at hides no other record."""
        copies: dict[str, list[Path]] = {}
        closed: dict[str, str] = {}
        for base in self.bases:
            for root in _sealed(base, closed):
                copies.setdefault(root.name, []).append(root)
        self.broken = {name: why for name, why in self.broken.items() if name in copies} | closed
        self._known = {name: known for name, known in self._known.items() if name in copies}
        found = [self._one(name, roots) for name, roots in copies.items()]
        return sorted((one for one in found if one is not None), key=lambda one: (one.began_utc_us, one.name))

    def answering(self) -> list[Path]:
        """The disks' directories that can be read now."""
        found = []
        for base in self.bases:
            try:
                next(base.iterdir(), None)
            except OSError:
                continue
            found.append(base)
        return found

    def trust(self, authorities: Authorities) -> None:
        """Others vouch from now on, or somebody was withdrawn: what was believed before is looked at anew."""
        if authorities != self.authorities:
            self.authorities = authorities
            self._known.clear()

    def store(self, record: SealedRecord, ack: Acknowledgement) -> None:
        """Keep a checked acknowledgement beside every copy.

        Raises:
            OSError: no disk took it.
        """
        failed: list[OSError] = []
        for root in record.copies:
            try:
                acknowledgement.store(root, ack)
            except OSError as error:
                failed.append(error)
        if len(failed) == len(record.copies):
            raise failed[0]

    def _one(self, name: str, roots: list[Path]) -> SealedRecord | None:
        try:
            stamp = tuple(_stamp(root) for root in roots)
            known = self._known.get(name)
            if known is not None and known.stamp == stamp:
                return known.made
            made = self._read(name, roots)
        except (OfferError, OSError) as error:
            self.broken[name] = str(error)
            return None
        self.broken.pop(name, None)  # not before: others ask meanwhile, and a broken record is read at each look
        self._known[name] = _Known(stamp, made)
        return made

    def _read(self, name: str, roots: list[Path]) -> SealedRecord:
        # A disk that missed a receipt or an order is behind the other one: the copy with more of them is delivered.
        listed = sorted(((root, *files_by_seal(root)) for root in roots), key=lambda one: -sum(one[1].values()))
        root, sizes, named = listed[0]
        genesis, sums = read_genesis(root), sums_sha256(root)
        standing: Standing = "pending"
        ack, acknowledged_us, why = None, None, ""
        for copy in roots:
            try:
                path = acknowledgement.place(copy)
                found = acknowledgement.load(path)
                acknowledgement.check(
                    found, record=genesis.record, room=genesis.room, sums_sha256=sums, authorities=self.authorities,
                    others=acknowledgement.intermediates(root), now_us=time.time_ns() // 1000,
                )  # fmt: skip
                came_us = max(found.utc_us, path.stat().st_mtime_ns // 1000)
            except FileNotFoundError:
                continue
            except (AcknowledgementError, OSError) as error:
                why = str(error)
                continue
            if ack is None or found.counter > ack.counter or found.files_sha256 == named:
                ack, acknowledged_us = found, came_us
                standing = "delivered" if found.files_sha256 == named else "late"
            if standing == "delivered":
                break
        return SealedRecord(
            name=name, record=genesis.record, room=genesis.room, began_utc_us=genesis.utc_us, bytes=sum(sizes.values()), files=len(sizes),
            sums_sha256=sums, files_sha256=named, copies=tuple(one[0] for one in listed), standing=standing,
            changed_utc_us=max(int((root / path).stat().st_mtime_ns // 1000) for path in (layout.SUMS_SIGNATURE, *_late(sizes))),
            acknowledgement=ack, acknowledged_utc_us=acknowledged_us, why="" if ack is not None else why,
        )  # fmt: skip


def _sealed(base: Path, closed: dict[str, str]) -> list[Path]:
    """The sealed records on a disk; in ``closed`` is put what cannot be looked at, and why."""
    try:
        entries = sorted(base.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        closed[str(base)] = f"cannot be read: {error.strerror or error}"
        return []
    found = []
    for root in entries:
        try:
            if layout.may_be_record(root.name) and not root.is_symlink() and (root / layout.SUMS_SIGNATURE).is_file():
                found.append(root)
        except OSError as error:
            closed[str(root)] = f"cannot be read: {error.strerror or error}"
    return found


def _late(sizes: dict[str, int]) -> list[str]:
    return [path for path in sizes if path in layout.UNHASHED - {layout.SUMS} or path.startswith(f"{layout.ORDERS}/")]


def _stamp(root: Path) -> tuple[object, ...]:
    """What changes when a file of the record comes that is not in its seal, or its acknowledgement does."""
    places = [root, acknowledgement.place(root), *(root / path for path in sorted(layout.UNHASHED))]
    orders = root / layout.ORDERS
    if orders.is_dir():
        places += [orders, *sorted(orders.iterdir())]
    return (root, *((path.name, *_touched(path)) for path in places))


def _touched(path: Path) -> tuple[int, int, int]:
    try:
        status = path.stat()
    except FileNotFoundError:
        return (0, 0, 0)
    return (status.st_ino, status.st_size, status.st_mtime_ns)
