"""Media keys: one for each track and part, wrapped to the recipients in CMS (RFC 5652), so that ``openssl cms -decrypt`` opens them too."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.serialization import pkcs7

from recorder.record import canonical
from recorder.record.entries import Level

KEY_BYTES = 16


class MediaKeyError(Exception):
    """A wrapped key cannot be opened; the message says why."""


class WrappedKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a key file holds, as canonical JSON: the content key and its id (hex), and which part of which record they open."""

    record: str
    track: str
    part: int
    kid: str
    key: str

    def __repr__(self) -> str:
        """Without the key: what is printed ends in a log."""
        return f"WrappedKey({self.track}, {self.part}, …)"


@dataclass(frozen=True, slots=True)
class RecipientKey:
    """Somebody who may open keys of these levels."""

    name: str
    certificate: x509.Certificate
    levels: frozenset[Level]


def new_key(record: str, track: str, part: int) -> WrappedKey:
    """A fresh random key for a part."""
    return WrappedKey(record=record, track=track, part=part, kid=os.urandom(KEY_BYTES).hex(), key=os.urandom(KEY_BYTES).hex())


def wrap(key: WrappedKey, recipients: Sequence[RecipientKey], level: Level) -> bytes:
    """Wrap a key to all recipients who may open this level: CMS EnvelopedData, DER, AES-256-CBC, RSA.

    Raises:
        MediaKeyError: nobody may open this level.
    """
    builder = pkcs7.PKCS7EnvelopeBuilder().set_data(canonical.encode(key)).set_content_encryption_algorithm(AES256)
    allowed = [recipient for recipient in recipients if level in recipient.levels]
    if not allowed:
        raise MediaKeyError(f"no recipient may open level '{level}'; add one to [[recipient]]")
    for recipient in allowed:
        builder = builder.add_recipient(recipient.certificate)
    return builder.encrypt(serialization.Encoding.DER, [pkcs7.PKCS7Options.Binary])


def unwrap(data: bytes, certificate: x509.Certificate, private_key: rsa.RSAPrivateKey) -> WrappedKey:
    """Open a wrapped key.

    Raises:
        MediaKeyError: it was wrapped to others, or is damaged.
    """
    try:
        plain = pkcs7.pkcs7_decrypt_der(data, certificate, private_key, [])
        return msgspec.convert(canonical.decode(plain), WrappedKey)
    except (ValueError, msgspec.ValidationError) as error:
        raise MediaKeyError(f"this key does not open it: {error}") from error
