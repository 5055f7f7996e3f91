"""A signature from elsewhere that brings its certificate along: whether it holds, and who vouches for its signer. Pure."""

import base64
from collections.abc import Sequence
from typing import Protocol

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from recorder.record.trust import Authorities, name, parse_certificate

EARLY_US = 300_000_000
"""By how much the signer's clock may be ahead of ours."""


class Signed(Protocol):
    """What brings its signature along, and the signer's certificate."""

    @property
    def sig(self) -> str:
        """Base64 of a DER ECDSA P-256 signature with SHA-256."""
        ...

    @property
    def certificate(self) -> str:
        """Base64 of the signer's DER certificate."""
        ...

    @property
    def utc_us(self) -> int:
        """When it was signed, as the signer says (microseconds since 1970)."""
        ...


class EnclosedSignatureError(ValueError):
    """A signature that proves nothing; the message says why."""


def check_enclosed_signature(
    what: str, signed: Signed, text: bytes, *, authorities: Authorities, others: Sequence[x509.Certificate], now_us: int
) -> x509.Certificate:  # fmt: skip
    """Hold a signature against its text and the authorities; what its signer may say is for the caller to judge.

    Args:
        what: what is signed, for the message: "acknowledgement".
        signed: the signature and its signer.
        text: what was signed.
        authorities: who vouches for the signer.
        others: certificates that may stand between the signer and an authority.
        now_us: our clock.

    Returns:
        The signer's certificate.

    Raises:
        EnclosedSignatureError: the signature does not hold, is dated ahead of our clock, or nobody vouches for its signer.
    """
    try:
        signer = parse_certificate(base64.b64decode(signed.certificate, validate=True))
        signature = base64.b64decode(signed.sig, validate=True)
    except ValueError as error:
        raise EnclosedSignatureError(f"the {what}'s certificate or signature is damaged: {error}") from error
    key = signer.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise EnclosedSignatureError(f"the {what}'s signer has no elliptic curve key")
    try:
        key.verify(signature, text, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise EnclosedSignatureError(f"the {what}'s signature does not hold: it was changed, or is another's") from None
    if signed.utc_us > now_us + EARLY_US:
        raise EnclosedSignatureError(f"the {what} is dated in the future: compare its signer's clock with this one")
    refusal = authorities.refusal(signer, others, signed.utc_us)
    if refusal is not None:
        raise EnclosedSignatureError(refusal)
    revoked = authorities.revoked(signer, others)
    if revoked is not None:
        # Whenever that was: whoever stole the key dates what he signs as he likes. The owner signs anew, with another key.
        raise EnclosedSignatureError(f"the certificate of {name(signer)} was revoked ({revoked.reason})")
    return signer
