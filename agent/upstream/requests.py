"""Tokens and certificate requests: what the room's and the centre's half of enrolment both know."""

import hashlib
import re
import secrets

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_token = re.compile(r"courtroom-([0-9a-f]{64})::([A-Za-z0-9_-]{20,200})")


class RequestError(Exception):
    """A token or a certificate request that is none; the message says why."""


def new_key() -> ec.EllipticCurvePrivateKey:
    """A P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def request(key: ec.EllipticCurvePrivateKey, room: str) -> str:
    """A certificate request (PKCS #10, RFC 2986), PEM."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, room)])
    signed = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM).decode()


def new_token(root: x509.Certificate) -> tuple[str, str]:
    """A token for a room, and the SHA-256 of its secret.

    ``courtroom-<hash of the root>::<secret>``: the hash tells the room whom to trust.
    """
    secret = secrets.token_urlsafe(32)
    return f"courtroom-{root.fingerprint(hashes.SHA256()).hex()}::{secret}", secret_sha256(secret)


def read_token(token: str) -> tuple[str, str]:
    """The root's hash and the secret.

    Raises:
        RequestError: it is no token.
    """
    match = _token.fullmatch(token.strip())
    if match is None:
        raise RequestError("this is no token: copy the whole of what `courtroom centre token` printed, from 'courtroom-' on")
    return match[1], match[2]


def secret_sha256(secret: str) -> str:
    """How a secret is kept."""
    return hashlib.sha256(secret.encode()).hexdigest()
