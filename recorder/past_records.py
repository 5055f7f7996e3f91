"""The records that lie on the room's disks and are not being made: whoever missed how one was made gets to know of it."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import structlog
from cryptography import x509

from recorder.contract import control
from recorder.record import layout
from recorder.record.binding import check_bindings
from recorder.record.file_check import LIST_BYTES, open_plain, read_small
from recorder.record.journal import MAX_LINE_BYTES
from recorder.recovery import is_sealed
from recorder.room_disks import RoomDisks

log = structlog.get_logger()


class _First(msgspec.Struct, frozen=True):
    room: str
    hearing: str
    utc_us: int


class _Manifest(msgspec.Struct, frozen=True):
    class _Hearing(msgspec.Struct, frozen=True):
        id: str

    hearing: _Hearing


def past_records(
    disks: RoomDisks, chain: Sequence[x509.Certificate], left: Mapping[str, control.LeftUnsealed], since_utc_us: int
) -> control.RecordsFound:
    """The records that were begun since then, by the room's clock; what one of them tells wrongly hides no other one.

    Args:
        disks: the room's.
        chain: the device's certificate first; by it bindings count.
        left: the records, by their ids, that are left without a seal.
        since_utc_us: what was begun before is passed over.
    """
    first_day = f"{datetime.fromtimestamp(since_utc_us / 1e6, tz=UTC) - timedelta(days=1):%Y-%m-%d}"
    answering, found = disks.answering(), dict[str, control.PastRecord]()
    for root in (root for base in answering for root in base.iterdir()):
        if not layout.may_be_record(root.name) or root.name < first_day or root.name in found:
            continue
        try:
            one = _read(root, chain, left)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            log.warning("of which hearing a record is cannot be read", record=str(root), error=str(error))
            continue
        if one is not None and one.began_utc_us >= since_utc_us:
            found[root.name] = one
    past = sorted(found.values(), key=lambda one: (one.began_utc_us, one.path))
    return control.RecordsFound(past=past, silent=[name for name, base in disks.named() if base not in answering])


def _read(root: Path, chain: Sequence[x509.Certificate], left: Mapping[str, control.LeftUnsealed]) -> control.PastRecord | None:
    record = root.name.rpartition("_")[2]
    if not layout.is_id(record) or not (is_sealed(root) or left.get(record) is not None):
        return None  # it is being made, or will be taken up or sealed
    with open_plain(root / layout.JOURNAL) as journal:
        first = msgspec.json.decode(journal.readline(MAX_LINE_BYTES), type=_First)
    hearing = _hearing_by_seal(root, record, chain) if is_sealed(root) else first.hearing
    return control.PastRecord(path=str(root), room=first.room, hearing=hearing, began_utc_us=first.utc_us)


def _hearing_by_seal(root: Path, record: str, chain: Sequence[x509.Certificate]) -> str:
    if (root / layout.BINDINGS).exists():
        sums_sha256 = hashlib.sha256(read_small(root / layout.SUMS, LIST_BYTES)).hexdigest()
        if given := check_bindings(read_small(root / layout.BINDINGS), record, sums_sha256, chain).given:
            return given[-1].hearing
    return msgspec.json.decode(read_small(root / layout.MANIFEST, LIST_BYTES), type=_Manifest).hearing.id
