"""The archive's side of a closed network: takes records from a disk into the archive, verifies them there, and signs receipts."""

import asyncio
import contextlib
import fcntl
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from agent.archive import acknowledgement
from agent.archive.acknowledgement import sync_directory
from agent.archive.handover import (
    INCOMING,
    HandoverError,
    Progress,
    check_handover,
    copy_into,
    handover_file,
    load_handover,
    may_replace,
    receipt_file,
    two_people,
)
from agent.archive.offer import GROWING, OfferError, read_sums
from agent.archive.offer import sums_sha256 as sums_of
from agent.archive.records import SealedRecord
from agent.upstream.centre.record_check import Found, RecordCheckError, check_record
from agent.upstream.transfer import files_sha256
from recorder.record import layout
from recorder.record.acknowledgement import VERDICTS, Acknowledgement, AcknowledgementError, check_acknowledgement
from recorder.record.checkpoint import Receipt
from recorder.record.file_check import LIST_BYTES, read_small
from recorder.record.handover import Handover
from recorder.record.trust import Authorities, TrustError, load_certificates, name, rooms

GIVEN = "acknowledgements.jsonl"
"""In the archive: every receipt that this station signed, in the order of their counters."""
_name = re.compile(r"\d{4}-\d{2}-\d{2}_.*_([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """An archive station: where it keeps records, whom it trusts, and what it signs with."""

    into: Path
    authorities: Authorities
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    ledger: Sequence[Receipt] = ()

    def take(self, root: Path, people: tuple[str, str], progress: Progress | None = None) -> Acknowledgement:
        """Copy one record into the archive, verify the copy, sign, and lay ``<record>.receipt.json`` beside the record on the disk.

        Until it is verified it lies under ``.incoming/``. To a record that the archive has, only that is added which came to it since. One
        that is sealed otherwise lies beside it (``place_of``).

        Raises:
            HandoverError: nobody signed for it, it does not verify, or a disk fails; nothing is signed then.
        """
        named = _name.fullmatch(root.name)
        if named is None:
            raise HandoverError(f"{root.name} is not named as a record is: <date>_<room>_<record>")
        if root.is_symlink():
            raise HandoverError(f"{root} is a link; a record on a disk is a directory")
        people = two_people(people)
        handover = load_handover(handover_file(root))
        if handover.record != named[1]:
            raise HandoverError(f"{handover_file(root)} is for record {handover.record}")
        others, now_us = acknowledgement.intermediates(root), time.time_ns() // 1000
        check_handover(handover, self.authorities, others, now_us)
        check_signer(self.certificate, self.authorities, others, now_us)
        try:
            target = self.place_of(root.name, handover.sums_sha256)
            place = self.into / INCOMING / target.name
            if sums_of(root) != handover.sums_sha256:
                raise HandoverError(f"{root.name} is not taken: its seal is not the one that {' and '.join(handover.people)} signed for")
            _link(target, place)
            delivered = copy_into(root, self.into, f"{INCOMING}/{target.name}", progress)
            found = asyncio.run(check_record(place, self.authorities, self.ledger))
            refusal = _refusal(handover, delivered, found)
            if refusal is not None:
                shutil.rmtree(place)
                raise HandoverError(f"{root.name} is not taken. {refusal}")
            _put(place, target, delivered)
            ack = self._sign(handover, found.verdict, people)
            acknowledgement.write_durably(receipt_file(root), msgspec.json.format(msgspec.json.encode(ack), indent=2) + b"\n")
        except (RecordCheckError, OfferError) as error:
            raise HandoverError(f"{root.name} is not taken: {error}") from error
        except OSError as error:
            raise HandoverError(f"{root.name} is not taken: {error.filename or ''} {error.strerror or error}") from error
        return ack

    def place_of(self, record: str, sums_sha256: str) -> Path:
        """Where a record of this name and seal lies in the archive, or will.

        Where the archive has it under another seal (the room's two disks were apart), it lies beside that one, named by its seal too.

        Raises:
            OfferError: the seal of the one in the archive cannot be read.
        """
        place = self.into / record
        return place if not place.exists() or sums_of(place) == sums_sha256 else self.into / f"{record}.{sums_sha256}"

    def _sign(self, handover: Handover, verdict: str, people: tuple[str, str]) -> Acknowledgement:
        with _locked(self.into / GIVEN) as (given, counter):
            bare = Acknowledgement(
                record=handover.record, room=handover.room, sums_sha256=handover.sums_sha256, files_sha256=handover.files_sha256,
                bytes=handover.bytes, files=handover.files, verdict=verdict, counter=counter, utc_us=time.time_ns() // 1000,
                by=name(self.certificate), people=people, sig="", certificate="",
            )  # fmt: skip
            ack = acknowledgement.sign(bare, self.key, self.certificate)
            given(msgspec.json.encode(ack) + b"\n")
        return ack


def load_signer(key: Path, certificate: Path) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    """A station's key and certificate (PEM).

    Raises:
        HandoverError: they cannot be used, or do not belong together.
    """
    try:
        loaded = serialization.load_pem_private_key(key.read_bytes(), None)
        found = load_certificates(certificate)[0]
    except (OSError, ValueError, TypeError, TrustError) as error:
        raise HandoverError(f"the station's key or certificate cannot be used: {error}") from error
    if not isinstance(loaded, ec.EllipticCurvePrivateKey) or loaded.public_key() != found.public_key():
        raise HandoverError(f"{key} is not the elliptic curve key of {certificate}")
    return loaded, found


def check_signer(certificate: x509.Certificate, authorities: Authorities, others: Sequence[x509.Certificate], now_us: int) -> None:
    """Hold a station's certificate against what a room asks of a receipt's signer (``check_acknowledgement``), before anything is signed.

    Args:
        certificate: the station's.
        authorities: whom it is held against.
        others: certificates that may stand between the two, as the records bring them along.
        now_us: this machine's clock.

    Raises:
        HandoverError: no room would take its receipts.
    """
    named, revoked = rooms(certificate), authorities.revoked(certificate, others)
    if named:
        why: str | None = f"it is room {', '.join(sorted(named))}'s, and only an archive can give receipts"
    elif revoked is not None:
        why = f"the certificate of {name(certificate)} was revoked ({revoked.reason})"
    else:
        why = authorities.refusal(certificate, others, now_us)
    if why is not None:
        raise HandoverError(f"no room would take receipts of this station: {why}; see --certificate and --ca")


def records_on(directory: Path) -> list[Path]:
    """The sealed records in a directory, and what is named as one and cannot be read: that is told of in its turn.

    Raises:
        HandoverError: it cannot be read, or holds none.
    """
    try:
        found = sorted(path for path in directory.iterdir() if layout.may_be_record(path.name) and _may_be_sealed(path))
    except OSError as error:
        raise HandoverError(f"{directory} cannot be read: {error.strerror}") from error
    if not found:
        raise HandoverError(f"{directory} holds no sealed record")
    return found


def receipts_in(places: Sequence[Path]) -> list[Path]:
    """The receipt files that are named, or lie in the directories that are.

    Raises:
        HandoverError: there is none.
    """
    found: list[Path] = []
    for place in places:
        found += sorted(place.glob("*.receipt.json")) if place.is_dir() else [place]
    if not found:
        raise HandoverError(f"{', '.join(map(str, places))}: no receipt is there (<record>.receipt.json)")
    return found


def accepted(file: Path, records: Sequence[SealedRecord], authorities: Authorities) -> tuple[SealedRecord, Acknowledgement]:
    """The record that a station's receipt is about, and the receipt, which counts.

    Raises:
        HandoverError: it is about no record here, or proves nothing.
    """
    try:
        ack = acknowledgement.load(file)
    except AcknowledgementError as error:
        raise HandoverError(str(error)) from error
    except OSError as error:
        raise HandoverError(f"{file} cannot be read: {error.strerror}") from error
    named = [one for one in records if one.record == ack.record]
    fits = [one for one in named if one.sums_sha256 == ack.sums_sha256]
    record = next((one for one in fits if one.files_sha256 == ack.files_sha256), next(iter(fits or named), None))
    if record is None:
        raise HandoverError(f"{file}: it is about a record that is not here")
    try:
        check_acknowledgement(
            ack, record=record.record, room=record.room, sums_sha256=record.sums_sha256, authorities=authorities,
            others=acknowledgement.intermediates(record.root), now_us=time.time_ns() // 1000,
        )  # fmt: skip
        two_people(ack.people)
    except (AcknowledgementError, HandoverError) as error:
        raise HandoverError(f"{file}: {error}") from error
    return record, ack


def is_news(record: SealedRecord, ack: Acknowledgement) -> bool:
    """Whether a checked receipt says more than what is known; an old one that comes again does not."""
    known = record.acknowledgement
    if known is None:
        return True
    if record.standing == "delivered":
        return False
    return ack.files_sha256 == record.files_sha256 or (ack.certificate == known.certificate and ack.counter > known.counter)


def _may_be_sealed(root: Path) -> bool:
    try:
        return (root / layout.SUMS_SIGNATURE).is_file()
    except OSError:
        return _name.fullmatch(root.name) is not None


def _refusal(handover: Handover, delivered: dict[str, str], found: Found) -> str | None:
    """Why a copied record is not the one that was signed for, or is not sound; None where it is."""
    if found.verdict not in VERDICTS:
        return found.words
    if (found.record, found.room) != (handover.record, handover.room):
        return f"It is record {found.record} of room {found.room}, and another was signed for."
    # Nothing is in the copy but what was delivered: where more was, the verified files have another hash.
    if (found.sums_sha256, found.files_sha256, files_sha256(delivered)) != (
        handover.sums_sha256, handover.files_sha256, handover.files_sha256,
    ):  # fmt: skip
        return f"Its files are not those that {' and '.join(handover.people)} signed for."
    return None


def _link(target: Path, place: Path) -> None:
    """Begin with what the archive has of the record already. Files are replaced in a copy, never written to: links are safe."""
    if not target.exists():
        return
    for path in read_sums(target):
        (place / path).parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.link(target / path, place / path)


def _put(place: Path, target: Path, delivered: dict[str, str]) -> None:
    """Bring what was verified to its place in the archive.

    Raises:
        HandoverError: the archive has another record of this name.
    """
    if not target.exists():
        place.rename(target)
        sync_directory(target.parent)
        return
    for path in delivered:
        old, new = target / path, place / path
        if old.exists() and (old.samefile(new) or _has_all(old, new, path)):
            continue
        if not may_replace(old, new, path):
            shutil.rmtree(place)
            raise HandoverError(
                f"{target / path} is in the archive already and is another: compare both records by `courtroom verify`; "
                "where both are sound, take this one --into another directory"
            )
        old.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        new.replace(old)
        sync_directory(old.parent)
    shutil.rmtree(place)


def _has_all(old: Path, new: Path, path: str) -> bool:
    """Whether the archive's file is the same, or has what came and more."""
    there, came = read_small(old, LIST_BYTES), read_small(new, LIST_BYTES)
    return there == came or (path in GROWING and there.startswith(came))


@contextmanager
def _locked(path: Path) -> Iterator[tuple[Callable[[bytes], None], int]]:
    """The station's list of receipts, for one process at a time: how to add a line durably, and the counter of the next."""
    with path.open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        sync_directory(path.parent)
        file.seek(0)
        lines = file.read().splitlines(keepends=True)
        if lines and not lines[-1].endswith(b"\n"):
            # A crash tore the last line: its receipt never left.
            file.truncate(sum(map(len, lines[:-1])))
            lines.pop()

        def add(line: bytes) -> None:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())

        yield add, len(lines) + 1
