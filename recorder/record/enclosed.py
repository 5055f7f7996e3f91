"""A signature from elsewhere that brings its certificate along: whether it holds, and who vouches for its signer. Pure."""

import base64
from collections.abc import Sequence

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from recorder.record.trust import Authorities, name, parse_certificate

EARLY_US = 300_000_000
"""By how much the signer's clock may be ahead of ours."""


class EnclosedError(ValueError):
    """A signature that proves nothing; the message says why."""


def check_enclosed(
    what: str,
    text: bytes,
    *,
    sig: str,
    certificate: str,
    signed_at_us: int,
    authorities: Authorities,
    others: Sequence[x509.Certificate],
    now_us: int,
) -> x509.Certificate:
    """Hold a signature against its text and the authorities; what its signer may say is for the caller to judge.

    Args:
        what: what is signed, for the message: "acknowledgement".
        text: what was signed.
        sig: base64 of a DER ECDSA P-256 signature with SHA-256.
        certificate: base64 of the signer's DER certificate.
        signed_at_us: when, as the signer says (microseconds since 1970).
        authorities: who vouches for the signer.
        others: certificates that may stand between the signer and an authority.
        now_us: our clock.

    Returns:
        The signer's certificate.

    Raises:
        EnclosedError: the signature does not hold, is dated ahead of our clock, or nobody vouches for its signer.
    """
    try:
        signer = parse_certificate(base64.b64decode(certificate, validate=True))
        signature = base64.b64decode(sig, validate=True)
    except ValueError as error:
        raise EnclosedError(f"the {what}'s certificate or signature is damaged: {error}") from error
    key = signer.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise EnclosedError(f"the {what}'s signer has no elliptic curve key")
    try:
        key.verify(signature, text, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise EnclosedError(f"the {what}'s signature does not hold: it was changed, or is another's") from None
    if signed_at_us > now_us + EARLY_US:
        raise EnclosedError(f"the {what} is dated in the future: compare its signer's clock with this one")
    refusal = authorities.refusal(signer, others, signed_at_us)
    if refusal is not None:
        raise EnclosedError(refusal)
    revoked = authorities.revoked(signer, others)
    if revoked is not None:
        # Whenever that was: whoever stole the key dates what he signs as he likes. The owner signs anew, with another key.
        raise EnclosedError(f"the certificate of {name(signer)} was revoked ({revoked.reason})")
    return signer
