"""The archive's word that it holds a whole record: signed, and kept beside the record as ``<record>.ack.json``."""

import base64
import os
import secrets
import time
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from agent.archive.offer import read_genesis, sums_sha256
from recorder.record.acknowledgement import Acknowledgement, AcknowledgementError, acknowledgement_text, check_acknowledgement
from recorder.record.file_check import read_small
from recorder.record.trust import Authorities, TrustError, read_device_chain

MAX_BYTES = 64 * 1024


def sign(ack: Acknowledgement, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> Acknowledgement:
    """The acknowledgement with signature and certificate; what stood there before does not count."""
    signature = key.sign(acknowledgement_text(ack), ec.ECDSA(hashes.SHA256()))
    return msgspec.structs.replace(ack, sig=base64.b64encode(signature).decode(), certificate=encoded(certificate))


def encoded(certificate: x509.Certificate) -> str:
    """A certificate as it stands in an acknowledgement: DER in Base64."""
    return base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode()


def check_for(root: Path, ack: Acknowledgement, authorities: Authorities) -> None:
    """Hold an acknowledgement against the record in a directory, by this machine's clock.

    Raises:
        AcknowledgementError: as ``check_acknowledgement``.
        OfferError: there is no sealed record.
    """
    genesis = read_genesis(root)
    check_acknowledgement(
        ack, record=genesis.record, room=genesis.room, sums_sha256=sums_sha256(root), authorities=authorities,
        others=intermediates(root), now_us=time.time_ns() // 1000,
    )  # fmt: skip


def intermediates(root: Path) -> list[x509.Certificate]:
    """The authorities that a record's own device chain brings along; they need no trust of their own."""
    try:
        return read_device_chain(root)[1:]
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
