"""The certificate that the room shows in one hearing's DTLS. Pure.

It comes from a key that the agent keeps for the hearing, so that it stays the same when this process is killed: a page that was told once
which certificate is the room's takes no other afterwards, and what was signed over it stays true. Nothing of it is written down here.
"""

import datetime as dt

from aiortc import RTCCertificate
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_KEY_BYTES = 48
"""Of which the remainder by the order is as good as any number below it (FIPS 186-5, appendix A.2.1)."""
_FROM, _UNTIL = dt.datetime(2020, 1, 1, tzinfo=dt.UTC), dt.datetime(2120, 1, 1, tzinfo=dt.UTC)
"""Browsers look at the fingerprint alone; the same bytes have to come out at any time."""


def certificate_of(secret: bytes) -> RTCCertificate:
    """The certificate of the hearing whose key this is: the same for the same key."""
    bits = HKDF(hashes.SHA256(), _KEY_BYTES, salt=None, info=b"courtroom-dtls-key-v1").derive(secret)
    key = ec.derive_private_key(1 + int.from_bytes(bits) % (_P256_ORDER - 1), ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "courtroom")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, _FROM, _UNTIL)
    return RTCCertificate(key, builder.sign(key, hashes.SHA256(), ecdsa_deterministic=True))


def fingerprint(certificate: RTCCertificate) -> str:
    """Its SHA-256, hexadecimal."""
    (value,) = (one.value for one in certificate.getFingerprints() if one.algorithm == "sha-256")
    return value.replace(":", "").lower()
