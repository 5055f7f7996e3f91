"""The centre's certificate authority: rooms' transport and signing certificates, roles', and the centre's own.

One root signs ``issuing``, which signs all else. Who somebody is stands in the alternative names: ``urn:courtroom:room:<id>`` or
``urn:courtroom:role:<role>``. A transport certificate serves TLS alone (RFC 5280, 4.2.1.12: serverAuth, clientAuth), a signing certificate
signs records or receipts alone (documentSigning, RFC 9336): neither is good in the other's place.
"""

import datetime as dt
import ipaddress
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from agent.upstream.requests import RequestError, new_key

ROOM_URN, ROLE_URN = "urn:courtroom:room:", "urn:courtroom:role:"
DOCUMENT_SIGNING = ObjectIdentifier("1.3.6.1.5.5.7.3.36")
TRANSPORT_DAYS, SIGNING_DAYS, OWN_DAYS, AUTHORITY_DAYS = 30, 730, 365, 3650
LIST_DAYS, ROOT_LIST_DAYS = 7, 365
"""A list of what was revoked is to be replaced so soon; the root's is made where its key is, which is kept elsewhere."""
NAME_BYTES = 64
"""A certificate's common name has at most so many bytes in UTF-8 (RFC 5280, ub-common-name)."""
BACKDATED = dt.timedelta(hours=1)
"""A clock that is a little behind must not find its own certificate not yet valid."""
_TRANSPORT = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
_SIGNING = [ExtendedKeyUsageOID.EMAIL_PROTECTION, DOCUMENT_SIGNING]


@dataclass(frozen=True, slots=True)
class Issuer:
    """A key and its certificate."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def key_pem(self) -> bytes:
        """The key as PKCS #8 PEM."""
        return self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())

    @property
    def pem(self) -> bytes:
        """The certificate as PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)


class Authority:
    """Issues by one key; the root's key is not needed."""

    def __init__(self, issuing: Issuer, root: x509.Certificate) -> None:
        self._issuing = issuing
        self.root = root

    @property
    def chain_pem(self) -> str:
        """What stands between a leaf and the root."""
        return self._issuing.pem.decode()

    @property
    def root_pem(self) -> str:
        """Whom the rooms trust."""
        return self.root.public_bytes(serialization.Encoding.PEM).decode()

    def transport(self, request_pem: str, room: str, now: dt.datetime) -> x509.Certificate:
        """A room's certificate for TLS. What the request says of names and purposes counts for nothing.

        Raises:
            RequestError: it is no request, its signature does not hold, its key is of another kind, or the room's name is too long.
        """
        return self._sign(_requested_key(request_pem), _fitting(room), now, TRANSPORT_DAYS, _TRANSPORT, [_urn(ROOM_URN + room)])

    def signing(self, request_pem: str, room: str, now: dt.datetime) -> x509.Certificate:
        """A room's certificate for its records.

        Raises:
            RequestError: as ``transport``.
        """
        return self._sign(_requested_key(request_pem), _fitting(room), now, SIGNING_DAYS, _SIGNING, [_urn(ROOM_URN + room)])

    def role(self, key: ec.EllipticCurvePublicKey, role: str, now: dt.datetime) -> x509.Certificate:
        """The certificate of a case system, the Situation Centre or a custodian."""
        return self._sign(key, role, now, OWN_DAYS, _TRANSPORT, [_urn(ROLE_URN + role)])

    def server(self, key: ec.EllipticCurvePublicKey, names: list[str], now: dt.datetime) -> x509.Certificate:
        """The centre's own certificate for TLS, for these names or addresses."""
        return self._sign(key, names[0], now, OWN_DAYS, _TRANSPORT, [_host(name) for name in names])

    def notary(self, key: ec.EllipticCurvePublicKey, name: str, now: dt.datetime, since: dt.datetime | None = None) -> x509.Certificate:
        """The certificate of what signs receipts and acknowledgements; it names no room. One that is renewed is good ``since`` then."""
        return self._sign(key, name, now, SIGNING_DAYS, _SIGNING, [], since)

    def revocation_list(
        self, revoked: list[tuple[int, dt.datetime]], now: dt.datetime, days: int = LIST_DAYS
    ) -> x509.CertificateRevocationList:
        """The list of denied certificates, for those who verify records (RFC 5280, 5)."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._issuing.certificate.subject)
            .last_update(now)
            .next_update(now + dt.timedelta(days=days))
        )
        for serial, when in revoked:
            builder = builder.add_revoked_certificate(x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(when).build())
        return builder.sign(self._issuing.key, hashes.SHA256())

    def _sign(
        self,
        key: ec.EllipticCurvePublicKey,
        name: str,
        now: dt.datetime,
        days: int,
        usage: list[ObjectIdentifier],
        names: list[x509.GeneralName],
        since: dt.datetime | None = None,
    ) -> x509.Certificate:
        until = min(now + dt.timedelta(days=days), self._issuing.certificate.not_valid_after_utc)
        builder = (
            _begin(key, name, self._issuing, since or now - BACKDATED, until)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usage), critical=False)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._issuing.key, hashes.SHA256())


def found(name: str, now: dt.datetime) -> tuple[Issuer, Issuer]:
    """A new root and the issuer under it."""
    root_key, issuing_key = new_key(), new_key()
    since, until = now - BACKDATED, now + dt.timedelta(days=AUTHORITY_DAYS)
    root = Issuer(root_key, _authority(_begin(root_key.public_key(), f"{name} root", None, since, until), root_key, 1))
    begun = _begin(issuing_key.public_key(), f"{name} issuing", root, since, until)
    return root, Issuer(issuing_key, _authority(begun, root_key, 0))


def name_problem(room: str) -> str:
    """Why a room of this name can have no certificate, or empty."""
    if (size := len(room.encode())) > NAME_BYTES:
        return f"the room's name has {size} bytes, and a certificate's has at most {NAME_BYTES}: give the room a shorter one"
    return ""


def _fitting(room: str) -> str:
    if problem := name_problem(room):
        raise RequestError(problem)
    return room


def _requested_key(pem: str) -> ec.EllipticCurvePublicKey:
    try:
        asked = x509.load_pem_x509_csr(pem.encode())
        key = asked.public_key()
        # First of all: to check what an RSA key with a long exponent signed takes a hundred times as long.
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
            raise RequestError("the certificate request is for another kind of key than P-256")
        valid = asked.is_signature_valid
    except (ValueError, InvalidSignature, UnsupportedAlgorithm) as error:
        raise RequestError(f"not a certificate request (PKCS #10, PEM): {error}") from error
    if not valid:
        raise RequestError("the certificate request is not signed by its own key")
    return key


def _authority(builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey, path_length: int) -> x509.Certificate:
    return (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(_key_usage(authority=True), critical=True)
        .sign(key, hashes.SHA256())
    )


def _begin(
    key: ec.EllipticCurvePublicKey, name: str, issuer: Issuer | None, since: dt.datetime, until: dt.datetime
) -> x509.CertificateBuilder:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.certificate.subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(since)
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(key if issuer is None else issuer.key.public_key()), critical=False
        )
    )


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority, content_commitment=False, key_encipherment=False, data_encipherment=False, key_agreement=False,
        key_cert_sign=authority, crl_sign=authority, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _urn(text: str) -> x509.GeneralName:
    return x509.UniformResourceIdentifier(text)


def _host(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
