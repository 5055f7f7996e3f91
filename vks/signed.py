"""Whether a person's own signature vouches for a page: detached CMS, as NCALayer makes it, over ``vouching.Unvouched.text``. Pure.

It counts where an authority that room.toml names vouches for the certificate, and the certificate bears the identification number that the
clerk gave when he invited the person. Without such a number anybody's key would do, and a hostile centre has people with keys.
"""

import base64
import binascii
import datetime as dt
import hmac
import re
from collections.abc import Sequence

from cryptography import x509
from cryptography.x509.verification import Criticality, ExtensionPolicy, Policy, PolicyBuilder, Store, VerificationError

from recorder.contract.conference import iin_sha256_of
from recorder.record.cms import CmsError, check_detached
from recorder.record.trust import name

_FRAME = re.compile(r"-----[A-Z0-9 ]+-----|\s")
_IIN = re.compile(r"IIN(?P<iin>[0-9]{12})")


class SignatureError(Exception):
    """It does not vouch. ``code`` is what the page translates; the message is for logs, and names nobody."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def signer(cms: str, text: bytes, roots: Sequence[x509.Certificate], iin_sha256: str, now_utc_us: int) -> str:
    """Whom the certificate names by which this text was signed.

    Args:
        cms: the signature in base64, with PEM's frame or without it.
        text: what was to be signed.
        roots: the authorities that vouch for persons.
        iin_sha256: of the identification number of the person whose signature is asked for.
        now_utc_us: the time at which the certificate has to be good (microseconds since 1970).

    Raises:
        SignatureError: it does not vouch.
    """
    try:
        signed = check_detached(base64.b64decode(_FRAME.sub("", cms), validate=True), text)
    except (binascii.Error, ValueError, CmsError) as error:
        raise SignatureError("signature_bad", f"the signature does not hold: {error}") from None
    refusal = _refusal(signed.certificate, signed.certificates, roots, now_utc_us)
    if refusal:
        raise SignatureError("signature_unknown", refusal)
    if not iin_sha256 or not hmac.compare_digest(_iin_sha256(signed.certificate), iin_sha256):
        raise SignatureError("signature_of_other", "the certificate is not that of the person who was invited")
    return name(signed.certificate)


def _iin_sha256(certificate: x509.Certificate) -> str:
    numbers = [str(one.value) for one in certificate.subject.get_attributes_for_oid(x509.NameOID.SERIAL_NUMBER)]
    found = _IIN.fullmatch(numbers[0]) if len(numbers) == 1 else None
    return "" if found is None else iin_sha256_of(found["iin"])


def _refusal(leaf: x509.Certificate, others: Sequence[x509.Certificate], roots: Sequence[x509.Certificate], now_utc_us: int) -> str:
    """Why no authority vouches for a certificate; empty: one does."""
    if not roots:
        return "room.toml names no authority that vouches for persons"
    verifier = (
        PolicyBuilder()
        .store(Store(list(roots)))
        .time(dt.datetime.fromtimestamp(now_utc_us // 1_000_000, dt.UTC))
        .extension_policies(ca_policy=_AUTHORITY, ee_policy=_PERSON)
        .build_client_verifier()
    )
    try:
        verifier.verify(leaf, [one for one in others if one != leaf])
    except (VerificationError, ValueError) as error:
        return f"no authority of room.toml vouches for the certificate: {error}"
    return ""


def _require_authority(_policy: Policy, _certificate: x509.Certificate, extension: x509.BasicConstraints) -> None:
    if not extension.ca:
        raise ValueError("an issuer that is no authority")


def _require_issuing(_policy: Policy, _certificate: x509.Certificate, extension: x509.KeyUsage | None) -> None:
    if extension is not None and not extension.key_cert_sign:
        raise ValueError("an issuer that may not issue")


def _require_signing(_policy: Policy, _certificate: x509.Certificate, extension: x509.KeyUsage) -> None:
    if not extension.digital_signature:
        raise ValueError("a certificate that is not for signing")


# A person's certificate has no host name, which the library's own policies want of everybody.
_AUTHORITY = (
    ExtensionPolicy.permit_all()
    .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, _require_authority)
    .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _require_issuing)
)
_PERSON = ExtensionPolicy.permit_all().require_present(x509.KeyUsage, Criticality.AGNOSTIC, _require_signing)
