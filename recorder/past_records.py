"""The records that lie on the room's disks and are not being made: whoever missed how one was made gets to know of it.

Whoever had one of the disks can lay anything there. A seal counts as everywhere; a record that is left without one counts where its first
line names the device, or one of the room's for which the authorities vouch.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from recorder.contract import control
from recorder.left_records import was_deleted
from recorder.record import layout
from recorder.record.binding import check_bindings
from recorder.record.cms import check_detached
from recorder.record.entries import Genesis
from recorder.record.file_check import LIST_BYTES, open_plain, read_small
from recorder.record.journal import BEFORE_FIRST, MAX_LINE_BYTES, read_line
from recorder.record.trust import read_device_chain, rooms
from recorder.room_disks import RoomDisks
from recorder.seal_trust import SealTrust

log = structlog.get_logger()


class _Manifest(msgspec.Struct, frozen=True):
    class _Hearing(msgspec.Struct, frozen=True):
        id: str

    hearing: _Hearing
    room: str
    started_utc_us: int


def past_records(
    disks: RoomDisks, left: Mapping[str, control.LeftUnsealed], *, since_utc_us: int, now_utc_us: int
) -> control.RecordsFound:  # fmt: skip
    """The records that were begun since then, by the room's clock; what one of them tells wrongly hides no other one.

    Args:
        disks: the room's.
        left: the records, by their ids, that are left without a seal.
        since_utc_us: what was begun before is passed over.
        now_utc_us: what is left without a seal and says that it was begun later is passed over, too.
    """
    first_day = f"{datetime.fromtimestamp(since_utc_us / 1e6, tz=UTC) - timedelta(days=1):%Y-%m-%d}"
    answering, trust = disks.answering(), disks.trust
    young = [root for base in answering for root in base.iterdir() if _may_be_record(root.name) and root.name >= first_day]
    sealed = dict(_each(young, lambda root: _sealed(root, trust)))
    unsealed = dict(_each([root for root in young if root.name not in sealed], lambda root: _unsealed(root, trust)))
    unsealed = {name: one for name, one in unsealed.items() if one.began_utc_us >= since_utc_us}
    unsealed = {name: one for name, one in unsealed.items() if not was_deleted(name, answering, trust, log.warning)}
    found = [one for one in sealed.values() if one.began_utc_us >= since_utc_us]
    waiting = list[str]()
    for one in unsealed.values():
        if _record(Path(one.path)) not in left:
            waiting.append(one.path)
        elif one.began_utc_us <= now_utc_us:
            found.append(one)
    past = sorted(found, key=lambda one: (one.began_utc_us, one.path))
    return control.RecordsFound(past=past, unsealed=sorted(waiting), silent=[name for name, base in disks.named() if base not in answering])


def _may_be_record(name: str) -> bool:
    # The answer is text: a name that is no UTF-8 would hide all the others.
    return layout.may_be_record(name) and layout.can_be_listed(name) and layout.is_id(name.rpartition("_")[2])


def _record(root: Path) -> str:
    return root.name.rpartition("_")[2]


def _each(roots: Sequence[Path], read: Callable[[Path], control.PastRecord | None]) -> Iterator[tuple[str, control.PastRecord]]:
    """What is read of each record, by its directory's name, from the first copy of which it can be."""
    done = set[str]()
    for root in roots:
        try:
            one = None if root.name in done else read(root)
        except Exception as error:  # noqa: BLE001 - whoever had the disk may have put anything there
            log.warning("of which hearing a record is cannot be read", record=str(root), error=str(error))
            continue
        if one is not None:
            done.add(root.name)
            yield root.name, one


def _sealed(root: Path, trust: SealTrust) -> control.PastRecord | None:
    if not trust.is_sealed(root):
        return None
    told = msgspec.json.decode(read_small(root / layout.MANIFEST, LIST_BYTES), type=_Manifest)  # the seal was held to it
    bound = _bound_to(root)
    hearing = told.hearing.id if bound is None else bound
    return control.PastRecord(path=str(root), room=told.room, hearing=hearing, began_utc_us=told.started_utc_us)


def _unsealed(root: Path, trust: SealTrust) -> control.PastRecord | None:
    with open_plain(root / layout.JOURNAL) as journal:
        line, first, _ = read_line(journal.readline(MAX_LINE_BYTES).removesuffix(b"\n"), BEFORE_FIRST)
    own = trust.chain[0]
    if not isinstance(first, Genesis) or first.record != _record(root) or first.room not in (rooms(own) or [first.room]):
        return None
    if first.device_certificate_sha256 != _fingerprint(own):
        chain = read_device_chain(root)
        if first.device_certificate_sha256 != _fingerprint(chain[0]) or not trust.knows(chain):
            return None
    return control.PastRecord(path=str(root), room=first.room, hearing=first.hearing, began_utc_us=line.utc_us)


def _fingerprint(certificate: x509.Certificate) -> str:
    return certificate.fingerprint(hashes.SHA256()).hex()


def _bound_to(root: Path) -> str | None:
    """The hearing that a record was bound to behind its seal, which counts; None: to none. Empty where a binding does not hold."""
    if not (root / layout.BINDINGS).exists():
        return None
    sums = read_small(root / layout.SUMS, LIST_BYTES)
    # The device that sealed it, which may have been replaced since, and not whose certificate lies beside the seal.
    sealer = check_detached(read_small(root / layout.SUMS_SIGNATURE), sums).certificate
    bound = check_bindings(read_small(root / layout.BINDINGS), _record(root), hashlib.sha256(sums).hexdigest(), [sealer])
    if bound.problems:
        log.warning("to which hearing a record was bound cannot be told", record=str(root), problems=bound.problems)
        return ""
    return bound.given[-1].hearing if bound.given else None
