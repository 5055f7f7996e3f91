"""The archive's side of a closed network: takes records from a disk into the archive, verifies them there, and signs receipts."""

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
from agent.archive.acknowledgement import VERDICTS, AcknowledgementError
from agent.archive.handover import Handover, HandoverError, People, Progress, copied, note
from agent.archive.offer import OfferError, sealed_files, sums_sha256
from agent.upstream.transfer import Acknowledgement
from recorder.record import layout
from recorder.record.checkpoint import Receipt
from recorder.record.shown import shown
from recorder.record.trust import Authorities, TrustError, load_certificates, name
from recorder.record.verify import Outside, verify

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

    def take(self, root: Path, who: People, progress: Progress | None = None) -> Acknowledgement:
        """Copy one record into the archive, verify the copy, sign, and lay ``<record>.receipt.json`` beside the record on the disk.

        Raises:
            HandoverError: it does not verify, or a disk fails; nothing is signed then.
        """
        named = _name.fullmatch(root.name)
        if named is None:
            raise HandoverError(f"{root.name} is not named as a record is: <date>_<room>_<record>")
        target = self.into / root.name
        was_there = target.exists()
        handover = copied(root, target, who, "archived", progress)
        verdict = verify(target, Outside(authorities=self.authorities, ledger=self.ledger))
        if verdict.level not in VERDICTS or verdict.record != named[1]:
            if not was_there:
                shutil.rmtree(target)
            errors = "".join(f"\n  {finding.place}: {finding.text}" for finding in verdict.errors[:5])
            raise HandoverError(shown(f"{root.name} is not taken. {verdict.sentence()}") + errors)
        try:
            ack = self._sign(handover, verdict.room, verdict.level, who)
            acknowledgement.write_durably(receipt_file(root), msgspec.json.format(msgspec.json.encode(ack), indent=2) + b"\n")
        except OSError as error:
            raise HandoverError(f"the receipt for {root.name} cannot be written: {error}") from error
        return ack

    def _sign(self, handover: Handover, room: str, level: str, who: People) -> Acknowledgement:
        with _locked(self.into / GIVEN) as (given, counter):
            bare = Acknowledgement(
                record=handover.record, room=room, sums_sha256=handover.sums_sha256, bytes=handover.bytes, files=handover.files,
                verdict=level, counter=counter, utc_us=time.time_ns() // 1000, by=f"{name(self.certificate)}: {who}", sig="",
                certificate="",
            )  # fmt: skip
            ack = acknowledgement.sign(bare, self.key, self.certificate)
            given(msgspec.json.encode(ack) + b"\n")
            note(self.into, handover)
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


def records(directory: Path) -> list[Path]:
    """The sealed records in a directory.

    Raises:
        HandoverError: it cannot be read, or holds none.
    """
    try:
        found = sorted(path for path in directory.iterdir() if not path.name.startswith(".") and (path / layout.SUMS_SIGNATURE).is_file())
    except OSError as error:
        raise HandoverError(f"{directory} cannot be read: {error.strerror}") from error
    if not found:
        raise HandoverError(f"{directory} holds no sealed record")
    return found


def receipt_file(root: Path) -> Path:
    """Where a station lays its receipt, on the disk that goes back."""
    return root.with_name(f"{root.name}.receipt.json")


def receive(file: Path, directory: Path, authorities: Authorities, who: People) -> tuple[Path, Acknowledgement]:
    """Check a station's receipt against the record here, and store it as the record's acknowledgement.

    Raises:
        HandoverError: it is about no record here, or proves nothing.
    """
    try:
        ack = acknowledgement.load(file)
        roots = [path for path in directory.iterdir() if path.is_dir() and path.name.endswith(f"_{ack.record}")]
        if len(roots) != 1:
            raise HandoverError(f"{file} is for record {shown(ack.record)}, which is not in {directory}")
        root = roots[0]
        acknowledgement.check_for(root, ack, authorities)
        sizes = sealed_files(root)
        if (ack.files, ack.bytes) != (len(sizes), sum(sizes.values())):
            raise HandoverError(f"files came to {root.name} after it was copied (orders, receipts); take it to the archive again")
        acknowledgement.store(root, ack)
        handover = Handover(
            what="received", record=ack.record, name=root.name, sums_sha256=sums_sha256(root), bytes=ack.bytes, files=ack.files, by=who.by,
            witness=who.witness, utc_us=time.time_ns() // 1000,
        )  # fmt: skip
        note(directory, handover)
    except (AcknowledgementError, OfferError) as error:
        raise HandoverError(f"{file}: {error}") from error
    except OSError as error:
        raise HandoverError(f"{error.filename or file}: {error.strerror or error}") from error
    return root, ack


@contextmanager
def _locked(path: Path) -> Iterator[tuple[Callable[[bytes], None], int]]:
    """The station's list of receipts, for one process at a time: how to add a line durably, and the counter of the next."""
    with path.open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
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
