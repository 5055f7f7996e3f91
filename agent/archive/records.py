"""The sealed records of a room on its two disks, and what the archive has acknowledged of each."""

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from agent.archive import acknowledgement
from agent.archive.offer import GROWING, Genesis, OfferError, files_by_seal, hash_file, read_genesis, read_sums, sums_sha256
from recorder.record import layout
from recorder.record.acknowledgement import Acknowledgement, AcknowledgementError, check_acknowledgement
from recorder.record.file_check import LIST_BYTES, read_small
from recorder.record.trust import Authorities

Standing = Literal["pending", "late", "delivered"]
"""``pending``: no acknowledgement for this seal. ``late``: there is one, and files came since. ``delivered``: the archive holds it all."""

_DIFFER = "its copies in {} differ: each is delivered, none deleted; compare them by `courtroom verify`, and move one away"
"""Short enough that the agent is told all of it (``process.ALARM_CHARS``)."""


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
    others: tuple[Acknowledgement, ...] = ()
    """Those of its copies that are delivered by themselves, for none of them has all that the others have."""
    acknowledged_utc_us: int | None = None
    """When it was acknowledged or the room got to know of it, whichever is later."""
    why: str = ""
    kept: str = ""
    """Why it is not deleted whatever the archive has: a copy cannot be read, or the copies differ."""

    @property
    def acknowledged(self) -> list[Acknowledgement]:
        """All that the archive has acknowledged of it, by whatever seals."""
        return [*([self.acknowledgement] if self.acknowledgement is not None else []), *self.others]

    @property
    def root(self) -> Path:
        """The copy that is delivered."""
        return self.copies[0]


@dataclass(slots=True)
class _Known:
    stamp: tuple[object, ...]
    made: list[SealedRecord]


@dataclass(slots=True)
class Records:
    """The records under the disks' directories, the primary's first. What did not change since the last look is not read again."""

    bases: Sequence[Path]
    authorities: Authorities
    broken: dict[str, str] = field(default_factory=dict)
    """What cannot be told about, with the reason: sealed records by name, and by its path what a disk does not let be looked at."""
    _known: dict[str, _Known] = field(default_factory=dict)

    def look(self) -> list[SealedRecord]:
        """All sealed records, the oldest first. A disk that is not there has none, and what cannot be looked at hides no other record.

        A record of whose copies none has all that the others have is there more than once, until the archive has each of them.
        """
        copies: dict[str, list[Path]] = {}
        closed: dict[str, str] = {}
        for base in self.bases:
            for root in _sealed(base, closed):
                copies.setdefault(root.name, []).append(root)
        self.broken = {name: why for name, why in self.broken.items() if name in copies} | closed
        self._known = {name: known for name, known in self._known.items() if name in copies}
        shut = {Path(path).name: f"{path} {why}" for path, why in closed.items()}
        found = [one for name, roots in copies.items() for one in self._all(name, roots, shut.get(name, ""))]
        return sorted(found, key=lambda one: (one.began_utc_us, one.name))

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

    def _all(self, name: str, roots: list[Path], closed: str) -> list[SealedRecord]:
        """What is to be delivered of a record: one, or each of several copies of which none has all that the others have."""
        copies, wrong = list[_Copy](), [closed] if closed else []
        stamp: tuple[object, ...] | None = None
        with contextlib.suppress(OSError):  # which copy it is, its reading tells
            stamp = tuple(_stamp(root) for root in roots)
        known = self._known.get(name)
        if known is not None and known.stamp == stamp and not closed:
            return known.made
        for root in roots:
            try:
                copies.append(_read_copy(root))
            except (OfferError, OSError) as error:
                wrong.append(f"its copy in {root.parent} cannot be used: {error}" if len(roots) > 1 else str(error))
        try:
            leading = _leading(copies)
            if len(leading) > 1:
                wrong.append(_DIFFER.format(" and ".join(str(group[0].root.parent) for group in leading)))
            made = [self._record(name, group, "; ".join(wrong)) for group in leading]
        except (OfferError, OSError) as error:
            made, wrong = [], [*wrong, str(error)]
        if wrong:
            self.broken[name] = "; ".join(wrong)
        else:
            self.broken.pop(name, None)  # not before: others ask meanwhile, and a broken record is read at each look
        acks = [one.acknowledgement for one in made if one.acknowledgement is not None]
        made = [replace(one, others=tuple(ack for ack in acks if ack != one.acknowledgement)) for one in made]
        # Where all of them are delivered the first one stands for the record.
        made = [one for one in made if one.standing != "delivered"] or made[:1]
        if stamp is not None and len(copies) == len(roots) and made and not closed:
            self._known[name] = _Known(stamp, made)
        else:
            self._known.pop(name, None)
        return made

    def _record(self, name: str, group: "Sequence[_Copy]", kept: str) -> SealedRecord:
        leader = group[0]
        standing: Standing = "pending"
        ack, acknowledged_us, why = None, None, ""
        for copy in group:
            try:
                path = acknowledgement.place(copy.root)
                found = acknowledgement.load(path)
                check_acknowledgement(
                    found, record=leader.genesis.record, room=leader.genesis.room, sums_sha256=leader.sums_sha256,
                    authorities=self.authorities, others=acknowledgement.intermediates(leader.root), now_us=time.time_ns() // 1000,
                )  # fmt: skip
                came_us = max(found.utc_us, path.stat().st_mtime_ns // 1000)
            except FileNotFoundError:
                continue
            except (AcknowledgementError, OSError) as error:
                why = str(error)
                continue
            if ack is None or found.counter > ack.counter or found.files_sha256 == leader.files_sha256:
                ack, acknowledged_us = found, came_us
                standing = "delivered" if found.files_sha256 == leader.files_sha256 else "late"
            if standing == "delivered":
                break
        late = (layout.SUMS_SIGNATURE, *_late(leader.sizes))
        return SealedRecord(
            name=name, record=leader.genesis.record, room=leader.genesis.room, began_utc_us=leader.genesis.utc_us,
            bytes=sum(leader.sizes.values()), files=len(leader.sizes), sums_sha256=leader.sums_sha256, files_sha256=leader.files_sha256,
            copies=tuple(copy.root for copy in group), standing=standing,
            changed_utc_us=max(int((leader.root / path).stat().st_mtime_ns // 1000) for path in late),
            acknowledgement=ack, acknowledged_utc_us=acknowledged_us, why="" if ack is not None else why, kept=kept,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Copy:
    """What one disk has of a record, as its seal tells."""

    root: Path
    genesis: Genesis
    sums_sha256: str
    sizes: dict[str, int]
    files_sha256: str
    late: dict[str, frozenset[bytes]]
    """What came after the seal: the lines of a file that grows, the hash of another."""

    def has_all_of(self, other: "_Copy") -> bool:
        """Whether whoever has this copy has the other one too."""
        same = (self.genesis.record, self.sums_sha256) == (other.genesis.record, other.sums_sha256)
        return same and all(came <= self.late.get(path, frozenset()) for path, came in other.late.items())


def _read_copy(root: Path) -> _Copy:
    sizes, named = files_by_seal(root)
    sealed, late = read_sums(root), dict[str, frozenset[bytes]]()
    for path, size in sizes.items():
        if path in GROWING:
            late[path] = frozenset(read_small(root / path, LIST_BYTES)[:size].split(b"\n"))
        elif path not in sealed:
            late[path] = frozenset({hash_file(root, path, size).encode()})
    return _Copy(root, read_genesis(root), sums_sha256(root), sizes, named, late)


def _leading(copies: "Sequence[_Copy]") -> "list[list[_Copy]]":
    """The copies that are delivered, each with those of which it has all: a disk that missed a receipt or an order is behind the other."""
    groups: list[list[_Copy]] = []
    for copy in sorted(copies, key=lambda one: -sum(one.sizes.values())):
        for group in groups:
            if group[0].has_all_of(copy):
                group.append(copy)
                break
            if copy.has_all_of(group[0]):
                group.insert(0, copy)
                break
        else:
            groups.append([copy])
    return groups


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
