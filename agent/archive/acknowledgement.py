"""The archive's word that it holds a whole record: made, checked, and kept beside the record as ``<record>.ack.json``."""

import base64
import os
import secrets
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from agent.archive.offer import read_genesis, sums_sha256
from agent.upstream.transfer import Acknowledgement, acknowledgement_text
from recorder.record import layout
from recorder.record.file_check import read_small
from recorder.record.trust import Authorities, TrustError, may_sign_documents, name, parse_certificate, parse_chain, rooms

VERDICTS = frozenset({"sealed", "anchored", "sealed in part", "anchored in part"})
"""What the archive must have found. ``in part``: more than 10 s before a crash were signed only when the recorder was back."""
MAX_BYTES = 64 * 1024
EARLY_US = 300_000_000
"""By how much the signer's clock may be ahead of ours."""


class AcknowledgementError(Exception):
    """An acknowledgement that proves nothing; the message says why."""


def sign(ack: Acknowledgement, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> Acknowledgement:
    """The acknowledgement with signature and certificate; what stood there before does not count."""
    signature = key.sign(acknowledgement_text(ack), ec.ECDSA(hashes.SHA256()))
    return msgspec.structs.replace(ack, sig=base64.b64encode(signature).decode(), certificate=encoded(certificate))


def encoded(certificate: x509.Certificate) -> str:
    """A certificate as it stands in an acknowledgement: DER in Base64."""
    return base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode()


def check(
    ack: Acknowledgement,
    *,
    record: str,
    room: str,
    sums_sha256: str,
    authorities: Authorities,
    others: Sequence[x509.Certificate],
    now_us: int,
) -> None:
    """Hold an acknowledgement against a record and the authorities.

    Args:
        ack: what came from outside.
        record: the record's id, room and hash of its SHA256SUMS as they are here.
        room: likewise.
        sums_sha256: likewise.
        authorities: who vouches for its signer.
        others: certificates that may stand between the signer and an authority.
        now_us: our clock.

    Raises:
        AcknowledgementError: it is about something else, or nobody vouches for it.
    """
    for what, theirs, ours in (("record", ack.record, record), ("room", ack.room, room), ("SHA256SUMS", ack.sums_sha256, sums_sha256)):
        if theirs != ours:
            raise AcknowledgementError(f"the acknowledgement is about {what} {theirs}, not {ours}")
    if ack.verdict not in VERDICTS:
        raise AcknowledgementError(f"the archive found the record to be '{ack.verdict}', not sealed")
    if any(not text.isprintable() for text in (ack.by, *ack.people)):
        raise AcknowledgementError("the acknowledgement's signer or people have names that are not for printing")
    try:
        certificate = parse_certificate(base64.b64decode(ack.certificate, validate=True))
        signature = base64.b64decode(ack.sig, validate=True)
    except ValueError as error:
        raise AcknowledgementError(f"the acknowledgement's certificate or signature is damaged: {error}") from error
    key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise AcknowledgementError("the acknowledgement's signer has no elliptic curve key")
    try:
        key.verify(signature, acknowledgement_text(ack), ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise AcknowledgementError("the acknowledgement's signature does not hold") from None
    if rooms(certificate):
        raise AcknowledgementError(f"the acknowledgement is signed by a room ({name(certificate)}); only an archive can give one")
    if not may_sign_documents(certificate):
        raise AcknowledgementError(f"the certificate of {name(certificate)} is not for signing documents")
    if ack.utc_us > now_us + EARLY_US:
        raise AcknowledgementError("the acknowledgement is dated in the future: compare this room's clock with the archive's")
    refusal = authorities.refusal(certificate, others, ack.utc_us)
    if refusal is not None:
        raise AcknowledgementError(refusal)
    revoked = authorities.revoked(certificate, others)
    if revoked is not None:
        # Whenever that was: whoever stole the key dates what he signs as he likes. The archive gives another acknowledgement.
        raise AcknowledgementError(f"the certificate of {name(certificate)} was revoked ({revoked.reason})")


def check_for(root: Path, ack: Acknowledgement, authorities: Authorities) -> None:
    """Hold an acknowledgement against the record in a directory, by this machine's clock.

    Raises:
        AcknowledgementError: as ``check``.
        OfferError: there is no sealed record.
    """
    genesis = read_genesis(root)
    check(
        ack, record=genesis.record, room=genesis.room, sums_sha256=sums_sha256(root), authorities=authorities,
        others=intermediates(root), now_us=time.time_ns() // 1000,
    )  # fmt: skip


def intermediates(root: Path) -> list[x509.Certificate]:
    """The authorities that a record's own device chain brings along; they need no trust of their own."""
    try:
        return parse_chain(read_small(root / layout.DEVICE_CHAIN), layout.DEVICE_CHAIN)[1:]
    except (OSError, TrustError):
        return []


def place(root: Path) -> Path:
    """Where a record's acknowledgement is kept: beside its directory, not in it."""
    return root.with_name(f"{root.name}.ack.json")


def store(root: Path, ack: Acknowledgement) -> Path:
    """Keep a checked acknowledgement; it is durable when this returns.

    Raises:
        OSError: it cannot be written.
    """
    target = place(root)
    write_durably(target, msgspec.json.format(msgspec.json.encode(ack), indent=2) + b"\n")
    return target


def load(path: Path) -> Acknowledgement:
    """Read an acknowledgement; it is not checked yet.

    Raises:
        AcknowledgementError: the file is none.
        OSError: it cannot be read.
    """
    data = read_small(path, MAX_BYTES)
    try:
        return msgspec.json.decode(data, type=Acknowledgement)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise AcknowledgementError(f"{path} holds no acknowledgement: {error}") from error


def write_durably(target: Path, data: bytes) -> None:
    """Write a small file so that it is there whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    # A name that nobody guesses, and never a file or link that is there: the target may be on a disk that somebody prepared.
    half = target.with_name(f".{target.name}.{secrets.token_hex(8)}.part")
    descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        half.replace(target)
    except OSError:
        half.unlink(missing_ok=True)
        raise
    sync_directory(target.parent)


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable.

    Raises:
        OSError: it cannot be done.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
