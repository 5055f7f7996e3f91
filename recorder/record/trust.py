"""Who is vouched for by the authorities that the verifier was given: paths (RFC 5280), purpose, revocation, and the room that is named."""

import contextlib
import datetime as dt
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier
from cryptography.x509.verification import Criticality, ExtensionPolicy, Policy, PolicyBuilder, Store, VerificationError

from recorder.record import layout
from recorder.record.file_check import LIST_BYTES, read_given, read_small

ROOM_URN = "urn:courtroom:room:"
DOCUMENT_SIGNING = ObjectIdentifier("1.3.6.1.5.5.7.3.36")
"""id-kp-documentSigning, RFC 9336."""
MOST_IN_CHAIN = 16
"""The most certificates that a device's chain has; there are two to four. What is judged by them is so once for each receipt."""
_UNUSABLE = (
    ValueError,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
    UnsupportedAlgorithm,
    CryptographyDeprecationWarning,
    TypeError,  # a name that holds a bit string and is no unique identifier
)
_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"
_LIST_END = b"-----END X509 CRL-----"
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class TrustError(ValueError):
    """A file of certificates or revocation lists cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Revoked:
    """A certificate was withdrawn at this time."""

    utc_us: int
    reason: str


@dataclass(slots=True)
class Authorities:
    """The roots that the verifier trusts, and what they withdrew."""

    roots: list[x509.Certificate]
    revocation_lists: list[x509.CertificateRevocationList] = field(default_factory=list)

    def refusal(self, leaf: x509.Certificate, others: Sequence[x509.Certificate], at_us: int) -> str | None:
        """Why ``leaf`` is not vouched for as a signer at this time (microseconds since 1970), or None if it is.

        ``others`` may stand between it and a root; they need no trust of their own.
        """
        # The same authorities vouch for TLS keys, which processes hold that the network reaches: those sign nothing here.
        if not may_sign_documents(leaf):
            return f"the certificate of {name(leaf)} is not for signing documents (it lacks documentSigning, RFC 9336)"
        return self._path_refusal(leaf, others, at_us, _SIGNER)

    def recipient_refusal(self, leaf: x509.Certificate, at_us: int) -> str | None:
        """Why ``leaf`` is not vouched for as a recipient of records at this time, or None if it is.

        It may have any purpose or none said, but not that of TLS alone: such keys are held by processes that the network reaches.
        """
        if _is_for_transport_alone(leaf):
            return f"the certificate of {name(leaf)} is for TLS alone, and signs no copies"
        return self._path_refusal(leaf, [], at_us, ExtensionPolicy.permit_all())

    def _path_refusal(self, leaf: x509.Certificate, others: Sequence[x509.Certificate], at_us: int, policy: ExtensionPolicy) -> str | None:
        try:
            verifier = (
                PolicyBuilder()
                .store(Store(self.roots))
                .time(_datetime(at_us).replace(microsecond=0))
                .extension_policies(ca_policy=_AUTHORITY, ee_policy=policy)
                .build_client_verifier()
            )
            verifier.verify(leaf, list(others))
        except (VerificationError, ValueError):
            # The library's words name none of the certificates.
            return self._why(leaf, others, _datetime(at_us))
        return None

    def _why(self, leaf: x509.Certificate, others: Sequence[x509.Certificate], at: dt.datetime) -> str:
        for certificate in (leaf, *others):
            if not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
                span = f"{certificate.not_valid_before_utc:%Y-%m-%d} to {certificate.not_valid_after_utc:%Y-%m-%d}"
                return f"the certificate of {name(certificate)} is valid from {span}, and was not on {at:%Y-%m-%d %H:%M} UTC"
        given = ", ".join(name(root) for root in self.roots) or "none"
        issuers = {other.subject for other in (*others, *self.roots)}
        missing = [certificate for certificate in (leaf, *others) if certificate.issuer not in issuers]
        if missing:
            issuer = missing[0].issuer.rfc4514_string()
            return f"no given authority vouches for {name(leaf)}: {name(missing[0])} was issued by {issuer}, and given (--ca) is: {given}"
        return (
            f"no given authority vouches for {name(leaf)}: an issuer of that name did not sign it, or may not, or was not valid ({given})"
        )

    def revoked(self, leaf: x509.Certificate, others: Sequence[x509.Certificate]) -> Revoked | None:
        """Whether one of the lists that its issuer signed withdraws ``leaf`` or one of ``others``."""
        issuers = (*others, *self.roots)
        signed = [listed for listed in self.revocation_lists if any(_is_signed_by(listed, issuer) for issuer in issuers)]
        for certificate in (leaf, *others):
            for listed in signed:
                if listed.issuer != certificate.issuer:
                    continue
                entry = listed.get_revoked_certificate_by_serial_number(certificate.serial_number)
                if entry is not None:
                    return Revoked(_us(entry.revocation_date_utc), _reason(entry))
        return None


def load_certificates(path: Path) -> list[x509.Certificate]:
    """The certificates of a PEM file.

    Raises:
        TrustError: none is in it.
        OSError: it cannot be read.
    """
    return parse_chain(read_given(path, LIST_BYTES), str(path))


def parse_chain(pem: bytes, place: str) -> list[x509.Certificate]:
    """The certificates of a PEM text.

    Raises:
        TrustError: none is in it, or one is damaged.
    """
    try:
        with _strict():
            certificates = x509.load_pem_x509_certificates(pem)
    except _UNUSABLE as error:
        # Where there is none, the library says no more than the address of its questions and answers.
        why = f": one in it is damaged ({error})" if _CERTIFICATE in pem else ""
        raise TrustError(f"{place} holds no PEM certificate{why}") from error
    for certificate in certificates:
        _read_whole(certificate)
    return certificates


def read_device_chain(root: Path) -> list[x509.Certificate]:
    """The certificates that a record brings along, its device's first.

    Raises:
        TrustError: there is none, one is damaged, or there are more than a chain has.
        OSError: they cannot be read.
    """
    chain = parse_chain(read_small(root / layout.DEVICE_CHAIN), layout.DEVICE_CHAIN)
    if len(chain) > MOST_IN_CHAIN:
        raise TrustError(f"{layout.DEVICE_CHAIN} holds {len(chain)} certificates, and a chain has at most {MOST_IN_CHAIN}")
    return chain


def parse_certificate(der: bytes) -> x509.Certificate:
    """A certificate, every part of which can be read.

    Raises:
        TrustError: it is damaged.
    """
    try:
        with _strict():
            certificate = x509.load_der_x509_certificate(der)
    except _UNUSABLE as error:
        raise TrustError(f"a damaged certificate: {error}") from error
    _read_whole(certificate)
    return certificate


def load_revocation_lists(path: Path) -> list[x509.CertificateRevocationList]:
    """The revocation lists of a file: any number as PEM, or one as DER.

    Raises:
        TrustError: it holds none, or one that cannot be read.
        OSError: it cannot be read.
    """
    data = read_given(path, LIST_BYTES)
    try:
        if not data.startswith(b"-----"):
            return [x509.load_der_x509_crl(data)]
        return [x509.load_pem_x509_crl(part + _LIST_END) for part in data.split(_LIST_END)[:-1]] or [x509.load_pem_x509_crl(data)]
    except ValueError as error:
        raise TrustError(f"{path} holds no revocation list, neither PEM nor DER, or a damaged one") from error


def name(certificate: x509.Certificate) -> str:
    """What a certificate calls its owner."""
    found = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else certificate.subject.rfc4514_string()


def may_sign_documents(certificate: x509.Certificate) -> bool:
    """Whether a certificate names documentSigning among its purposes; one for transport does not, and "any purpose" is not enough."""
    try:
        return DOCUMENT_SIGNING in certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (x509.ExtensionNotFound, ValueError):
        return False


def _is_for_transport_alone(certificate: x509.Certificate) -> bool:
    try:
        purposes = set(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except (x509.ExtensionNotFound, ValueError):
        return False
    return purposes <= {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}


def rooms(certificate: x509.Certificate) -> list[str]:
    """The rooms that a certificate names as ``urn:courtroom:room:<id>``; a receipt's or timestamp's signer names none."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    return [uri.removeprefix(ROOM_URN) for uri in uris if uri.startswith(ROOM_URN)]


@contextlib.contextmanager
def _strict() -> Iterator[None]:
    """What the library tolerates with a warning (a negative serial number) is damage here."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", CryptographyDeprecationWarning)
        yield


def _read_whole(certificate: x509.Certificate) -> None:
    """What the library reads late fails here, in one place."""
    try:
        with _strict():
            _ = (certificate.subject, certificate.issuer, certificate.serial_number, certificate.public_key(), list(certificate.extensions))
            _ = (certificate.not_valid_before_utc, certificate.not_valid_after_utc, certificate.signature_hash_algorithm)
    except _UNUSABLE as error:
        raise TrustError(f"a damaged certificate: {error}") from error


def _require_authority(_policy: Policy, _certificate: x509.Certificate, extension: x509.BasicConstraints) -> None:
    if not extension.ca:
        raise ValueError("an issuer that is no authority")


def _require_issuing(_policy: Policy, _certificate: x509.Certificate, extension: x509.KeyUsage | None) -> None:
    if extension is not None and not extension.key_cert_sign:
        raise ValueError("an issuer that may not issue")


def _require_signing(_policy: Policy, certificate: x509.Certificate, extension: x509.KeyUsage | None) -> None:
    if extension is not None and not extension.digital_signature:
        raise ValueError("a certificate that is not for signing")
    if not isinstance(certificate.public_key(), ec.EllipticCurvePublicKey):
        raise ValueError("a certificate without an elliptic curve key")  # noqa: TRY004 - what the library takes for a refusal


# The web's defaults want a host name of every end entity; a device has none. What RFC 5280 wants of issuers stays.
_AUTHORITY = (
    ExtensionPolicy.permit_all()
    .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, _require_authority)
    .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _require_issuing)
)
_SIGNER = ExtensionPolicy.permit_all().may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _require_signing)


def _is_signed_by(listed: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    if listed.issuer != issuer.subject:
        return False
    try:
        return listed.is_signature_valid(issuer.public_key())  # type: ignore[arg-type]
    except (InvalidSignature, TypeError, ValueError):
        return False


def _reason(entry: x509.RevokedCertificate) -> str:
    try:
        return entry.extensions.get_extension_for_class(x509.CRLReason).value.reason.value
    except (x509.ExtensionNotFound, ValueError):
        return "no reason given"


def _datetime(utc_us: int) -> dt.datetime:
    return _EPOCH + dt.timedelta(microseconds=utc_us)


def _us(at: dt.datetime) -> int:
    return int((at - _EPOCH) / dt.timedelta(microseconds=1))
