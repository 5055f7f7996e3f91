"""The seal: what is written beside a finished journal, so that anyone can check a record with openssl and sha256sum.

In this order, each file complete under its name or not there at all: device-chain.pem, manifest.json, SHA256SUMS, SHA256SUMS.p7s, and the
timestamp where an authority is configured. A crash in between is no harm: sealing again writes what is missing.
"""

import errno
import hashlib
import http.client
import os
import re
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.serialization import pkcs7
from rfc3161_client import TimestampRequestBuilder, decode_timestamp_response

from provisioning.room import Timestamp
from recorder.disk import is_full, sync_directory
from recorder.manifest import manifest
from recorder.record import canonical, entries, layout
from recorder.record.entries import AnyEntry, Line
from recorder.record.file_check import blocks, inventory, open_plain
from recorder.record.journal import BEFORE_FIRST, Head, JournalError, read_line, read_line_fast
from recorder.record.journal_reader import split_lines
from recorder.signing import Signer, SigningError
from recorder.threads import within

log = structlog.get_logger()

SIGN_S = 10.0
"""A key that takes longer for one signature hangs: the session ends, and its record is sealed when the key is back."""
_TOKEN_BYTES = 64 * 1024
_END_BYTES = 60
_passed_over = re.compile(rb'"type":"(?:frag|ckpt)","utc_us":[0-9]{1,16},"v":1}$')
"""How the line of a fragment or checkpoint ends, within its last bytes."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """How sealing went: whether a timestamp was got, and in words why not."""

    timestamped: bool
    detail: str


def seal(record: Path, signer: Signer, timestamp: Timestamp | None) -> Sealed:
    """Seal a record whose journal ends with its Seal entry and the last checkpoint, and get its timestamp. Blocks."""
    put_seal_files(record, signer)
    return stamp(record, timestamp)


def put_seal_files(record: Path, signer: Signer) -> None:
    """Write all of the seal but the timestamp, the signature last. Blocks; media whose hash is journaled is not read.

    Raises:
        OSError: the disk failed, or what was written is not there any more.
        SigningError: the key failed, or does not answer in time.
    """
    known: dict[str, str] = {}
    journal = []
    for line, entry in read_story(record):
        if isinstance(entry, entries.Init | entries.Segment | entries.Key):
            known[entry.file] = entry.sha256
        if not isinstance(entry, entries.Alive):
            journal.append((line, entry))
    if not journal:
        raise OSError(errno.ENOENT, "its journal is not there any more", str(record))
    put_file(record / layout.DEVICE_CHAIN, chain_pem(signer))
    put_file(record / layout.MANIFEST, canonical.encode(manifest(journal)) + b"\n")
    sums = "".join(f"{known.get(path) or file_sha256(record / path)}  {path}\n" for path in listed_files(record))
    put_file(record / layout.SUMS, sums.encode())
    try:
        signature = within(partial(cms_signature, sums.encode(), signer), SIGN_S, "sign the seal")
    except Exception as error:  # a token's library raises anything
        raise SigningError(key_failed(error)) from error
    put_file(record / layout.SUMS_SIGNATURE, signature)


def key_failed(error: Exception) -> str:
    """In words, how the signing key did not sign."""
    return f"the signing key {f'does not answer within {SIGN_S:g} s' if isinstance(error, TimeoutError) else f'failed ({error})'}"


def not_sealed(error: Exception, record: Path) -> str:
    """In words, that a finished record could not be sealed, why, and what to do."""
    why, remedy = str(error), "see the recorder's log"
    if isinstance(error, SigningError):
        remedy = "repair it"
    elif isinstance(error, OSError):
        why = f"{error.filename or record}: {error.strerror or error}"
        remedy = "make room there" if is_full(error) else f"look after the disk of {record.parent}, and who may change files there"
    return f"the record is complete but not sealed: {why}; {remedy} and start the recorder again"


def stamp(record: Path, timestamp: Timestamp | None) -> Sealed:
    """Get the timestamp of a sealed record, if an authority is configured and answers in time. Blocks.

    Raises:
        OSError: the disk failed.
    """
    if timestamp is None:
        return Sealed(timestamped=False, detail="no timestamp authority is configured")
    signature = (record / layout.SUMS_SIGNATURE).read_bytes()
    try:
        token = request_timestamp(signature, timestamp)
    except (OSError, ValueError, http.client.HTTPException) as error:
        log.warning("sealed without a timestamp", authority=timestamp.url, error=str(error))
        return Sealed(timestamped=False, detail=f"the timestamp authority did not answer: {error}")
    put_file(record / layout.SUMS_TIMESTAMP, token)
    return Sealed(timestamped=True, detail=timestamp.url)


def read_journal(record: Path) -> Iterator[tuple[Line, AnyEntry]]:
    """The valid lines of a record's journal in order, over all its files; what is torn or repeated is passed over (``verify`` judges).

    Raises:
        OSError: a file of the journal cannot be read, or is no regular file.
    """
    return ((line, entry) for line, entry, _ in read_heads(record))


def read_heads(record: Path) -> Iterator[tuple[Line, AnyEntry, Head]]:
    """``read_journal`` with the head at each line.

    Raises:
        OSError: as there.
    """
    head, number = BEFORE_FIRST, 1
    while (record / layout.journal_file(number)).exists():
        for raw in split_lines(blocks(record / layout.journal_file(number), lambda _: None)):
            try:
                line, entry, head = read_line(raw.removesuffix(b"\n"), head)
            except JournalError:
                continue
            yield line, entry, head
        number += 1


def read_story(record: Path) -> Iterator[tuple[Line, AnyEntry]]:
    """``read_journal`` without fragments and checkpoints, which are nearly all lines: of these no more than the chain is followed.

    A long hearing has millions of lines, and whoever stops it waits for the seal.
    """
    head, number, passed, sha256 = BEFORE_FIRST, 1, 0, BEFORE_FIRST.sha256
    follows = _follows(sha256)
    while (record / layout.journal_file(number)).exists():
        for raw in split_lines(blocks(record / layout.journal_file(number), lambda _: None)):
            body = raw.removesuffix(b"\n")
            if _passed_over.search(body, len(body) - _END_BYTES) and body.find(follows) > 0:
                passed, sha256 = passed + 1, hashlib.sha256(body).hexdigest()
                follows = _follows(sha256)
                continue
            try:
                line, entry, head = read_line_fast(body, Head(head.at + passed, sha256))
            except JournalError:
                continue
            passed, sha256, follows = 0, head.sha256, _follows(head.sha256)
            if not isinstance(entry, entries.Frag | entries.Checkpoint):
                yield line, entry
        number += 1


def _follows(sha256: str) -> bytes:
    return b'"prev":"%b"' % sha256.encode()


def chain_pem(signer: Signer) -> bytes:
    """The device's certificate and those that issued it, as PEM."""
    return b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in signer.chain)


def listed_files(record: Path) -> list[str]:
    """The files that SHA256SUMS lists, in its order: no link, no order, nothing half written, and no name that a list cannot hold.

    Raises:
        OSError: a directory cannot be read.
    """
    paths, _ = inventory(record)
    return sorted(path for path in paths if path not in layout.UNHASHED and _is_listed(path))


def _is_listed(path: str) -> bool:
    return not path.startswith(f"{layout.ORDERS}/") and not layout.is_half_written(path) and layout.can_be_listed(path)


def file_sha256(path: Path) -> str:
    """SHA-256 (hex) of a file."""
    with open_plain(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cms_signature(data: bytes, signer: Signer) -> bytes:
    """A detached CMS signature (RFC 5652, DER) with the device's chain."""
    builder = pkcs7.PKCS7SignatureBuilder().set_data(data).add_signer(signer.chain[0], signer.private_key, hashes.SHA256())
    for certificate in signer.chain[1:]:
        builder = builder.add_certificate(certificate)
    return builder.sign(serialization.Encoding.DER, [pkcs7.PKCS7Options.DetachedSignature, pkcs7.PKCS7Options.Binary])


def request_timestamp(data: bytes, timestamp: Timestamp) -> bytes:
    """Ask the authority for an RFC 3161 response over ``data``; within ``timeout_s`` all in all, its name's look-up included.

    Raises:
        OSError: it cannot be reached, or has not answered in time.
        ValueError: it answered with something else, or refused.
        http.client.HTTPException: it answered no HTTP.
    """
    response = within(partial(_ask_authority, data, timestamp), timestamp.timeout_s, "timestamp authority")
    decoded = decode_timestamp_response(response)
    if decoded.status not in {0, 1}:
        raise ValueError(f"refused with status {decoded.status}")
    if decoded.tst_info.message_imprint.message != hashlib.sha512(data).digest() and (
        decoded.tst_info.message_imprint.message != hashlib.sha256(data).digest()
    ):
        raise ValueError("answered for other bytes")
    return response


def _ask_authority(data: bytes, timestamp: Timestamp) -> bytes:
    end_s = time.monotonic() + timestamp.timeout_s
    request = TimestampRequestBuilder().data(data).build()
    post = urllib.request.Request(  # noqa: S310 - the URL is the administrator's
        timestamp.url, data=request.as_bytes(), headers={"Content-Type": "application/timestamp-query"}, method="POST"
    )
    response = b""
    with urllib.request.urlopen(post, timeout=timestamp.timeout_s) as answer:  # noqa: S310 - likewise
        while len(response) < _TOKEN_BYTES and (more := answer.read1(_TOKEN_BYTES - len(response))):
            response += more
            if time.monotonic() > end_s:  # nobody waits for it any more
                raise TimeoutError("it answers too slowly")
    return response


def put_file(path: Path, data: bytes) -> None:
    """Write a file that is complete under its name or not there at all."""
    part = path.with_name(path.name + ".part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    sync_directory(path.parent)
