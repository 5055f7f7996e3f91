"""The forms of CMS (RFC 5652) that a record holds; everything else is refused.

Detached signatures (SignedData) have a strict reader, so that no byte of the file can change unnoticed: DER with shortest lengths, one
signer by issuer and serial number, SHA-256, signed attributes, no unsigned ones, no content, no revocation lists. A device signs by ECDSA;
a recipient has an RSA key (PKCS #1 v1.5, RFC 3370, section 3.2). Of wrapped keys (EnvelopedData) anybody can read to whom they are wrapped.
"""

import hashlib
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from recorder.record.trust import TrustError, parse_certificate

_INTEGER, _OCTETS, _NULL, _OID, _SEQUENCE, _SET = 0x02, 0x04, 0x05, 0x06, 0x30, 0x31
_CONTEXT_0 = 0xA0

_ID_DATA = bytes.fromhex("2a864886f70d010701")
_ID_SIGNED_DATA = bytes.fromhex("2a864886f70d010702")
_ID_ENVELOPED_DATA = bytes.fromhex("2a864886f70d010703")
_ID_CONTENT_TYPE = bytes.fromhex("2a864886f70d010903")
_ID_MESSAGE_DIGEST = bytes.fromhex("2a864886f70d010904")
_ID_SHA256 = bytes.fromhex("608648016503040201")
_ID_ECDSA_SHA256 = bytes.fromhex("2a8648ce3d040302")
_ID_RSA = bytes.fromhex("2a864886f70d010101")


class CmsError(ValueError):
    """It is damaged, of another form, or not over these bytes; the message says which."""


@dataclass(frozen=True, slots=True)
class CmsSigner:
    """Who signed, and the certificates that came along (the signer's too), in the file's order."""

    certificate: x509.Certificate
    certificates: list[x509.Certificate]


@dataclass(frozen=True, slots=True)
class Addressee:
    """To whose certificate a key is wrapped: its issuer (DER of the name) and serial number."""

    issuer: bytes
    serial: int

    @classmethod
    def of(cls, certificate: x509.Certificate) -> "Addressee":
        """How a wrapped key calls the owner of this certificate."""
        return cls(certificate.issuer.public_bytes(), certificate.serial_number)


def addressees(wrapped: bytes) -> frozenset[Addressee]:
    """To whom a key is wrapped. Needs no key; whether the key is in it at all only its addressees can tell.

    Raises:
        CmsError: it is no EnvelopedData as this recorder writes it.
    """
    outer = _Der(_Der(wrapped).only(_SEQUENCE))
    _insist(outer.take(_OID) == _ID_ENVELOPED_DATA, "not an EnvelopedData")
    enveloped = _Der(_Der(outer.last(_CONTEXT_0)).only(_SEQUENCE))
    _insist(enveloped.take(_INTEGER) == b"\x00", "unknown version")
    recipients, found = _Der(enveloped.take(_SET)), set[Addressee]()
    while recipients.more:
        info = _Der(recipients.take(_SEQUENCE))
        _insist(info.take(_INTEGER) == b"\x00", "unknown version of a recipient")
        named = _Der(info.take(_SEQUENCE))
        issuer = named.raw(_SEQUENCE)
        found.add(Addressee(issuer, int.from_bytes(named.last(_INTEGER), "big")))
    return frozenset(found)


def check_detached(signature: bytes, content: bytes) -> CmsSigner:
    """Check a detached signature over ``content``. Whether the signer is to be trusted is another question (``trust``).

    Raises:
        CmsError: it does not hold.
    """
    outer = _Der(_Der(signature).only(_SEQUENCE))
    _insist(outer.take(_OID) == _ID_SIGNED_DATA, "not a SignedData")
    signed = _Der(_Der(outer.last(_CONTEXT_0)).only(_SEQUENCE))
    _insist(signed.take(_INTEGER) == b"\x01", "unknown version")
    algorithms = _Der(signed.take(_SET))
    _insist_algorithm(algorithms.last(_SEQUENCE), _ID_SHA256)
    _insist(_Der(signed.take(_SEQUENCE)).only(_OID) == _ID_DATA, "it carries a content of its own")
    certificates = _certificates(signed.take(_CONTEXT_0))
    info = _Der(_Der(signed.last(_SET)).only(_SEQUENCE))
    _insist(info.take(_INTEGER) == b"\x01", "unknown version of the signer")
    issuer = _Der(info.take(_SEQUENCE))
    name, serial = issuer.raw(_SEQUENCE), issuer.last(_INTEGER)
    _insist_algorithm(info.take(_SEQUENCE), _ID_SHA256)
    attributes = info.take(_CONTEXT_0)
    algorithm, value = info.take(_SEQUENCE), info.last(_OCTETS)
    found = [
        certificate
        for certificate in certificates
        if certificate.issuer.public_bytes() == name and certificate.serial_number == int.from_bytes(serial, "big")
    ]
    _insist(len(found) == 1, "the signer's certificate is not in it")
    _check_attributes(attributes, content)
    # RFC 5652, section 5.4: what is signed is the attributes as a SET, not under their context tag.
    _check_value(found[0], algorithm, value, _tlv(_SET, attributes))
    return CmsSigner(found[0], certificates)


def _check_value(certificate: x509.Certificate, algorithm: bytes, value: bytes, signed: bytes) -> None:
    key = certificate.public_key()
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            _insist_algorithm(algorithm, _ID_ECDSA_SHA256)
            key.verify(value, signed, ec.ECDSA(hashes.SHA256()))
        elif isinstance(key, rsa.RSAPublicKey):
            _insist_algorithm(algorithm, _ID_RSA)
            key.verify(value, signed, padding.PKCS1v15(), hashes.SHA256())
        else:
            raise CmsError("the signer's key is neither an elliptic curve key nor an RSA key")
    except InvalidSignature as error:
        raise CmsError("the signature does not hold") from error


def _check_attributes(attributes: bytes, content: bytes) -> None:
    reader, known = _Der(attributes), dict[bytes, bytes]()
    while reader.more:
        attribute = _Der(reader.take(_SEQUENCE))
        kind = attribute.take(_OID)
        _insist(kind not in known, "a repeated attribute")
        known[kind] = attribute.last(_SET)
    _insist(_ID_CONTENT_TYPE in known and _Der(known[_ID_CONTENT_TYPE]).only(_OID) == _ID_DATA, "no content type")
    _insist(_ID_MESSAGE_DIGEST in known, "no digest")
    _insist(_Der(known[_ID_MESSAGE_DIGEST]).only(_OCTETS) == hashlib.sha256(content).digest(), "it was made over other bytes")


def _certificates(data: bytes) -> list[x509.Certificate]:
    reader, found = _Der(data), []
    while reader.more:
        try:
            found.append(parse_certificate(reader.raw(_SEQUENCE)))
        except TrustError as error:
            raise CmsError(str(error)) from error
    return found


def _insist(holds: bool, otherwise: str) -> None:
    if not holds:
        raise CmsError(otherwise)


def _insist_algorithm(data: bytes, oid: bytes) -> None:
    reader = _Der(data)
    _insist(reader.take(_OID) == oid, "another algorithm than SHA-256 with the ECDSA or RSA of the signer's key")
    if reader.more:
        _insist(reader.last(_NULL) == b"", "an algorithm with parameters")


def _tlv(tag: int, value: bytes) -> bytes:
    size = len(value)
    if size < 0x80:
        return bytes((tag, size)) + value
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + value


class _Der:
    """Reads DER values one after another (X.690, section 8.1, one-byte tags, shortest definite lengths)."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def more(self) -> bool:
        return self._at < len(self._data)

    def raw(self, tag: int) -> bytes:
        """The next value with its tag and length."""
        begin = self._at
        value = self.take(tag)
        whole = self._data[begin : self._at]
        _insist(whole == _tlv(tag, value), "not in its shortest form")
        return whole

    def take(self, tag: int) -> bytes:
        """The next value, which must have this tag."""
        data, at = self._data, self._at
        _insist(len(data) >= at + 2 and data[at] == tag, f"damaged at byte {at}")
        size, begin = data[at + 1], at + 2
        if size & 0x80:
            count = size & 0x7F
            size = int.from_bytes(data[begin : begin + count], "big")
            begin += count
        self._at = begin + size
        _insist(self._at <= len(data), f"cut off at byte {at}")
        value = data[begin : self._at]
        _insist(data[at : self._at] == _tlv(tag, value), "not in its shortest form")
        return value

    def last(self, tag: int) -> bytes:
        """The next value, after which nothing may follow."""
        value = self.take(tag)
        _insist(not self.more, f"unexpected bytes at {self._at}")
        return value

    def only(self, tag: int) -> bytes:
        """The one value there is."""
        _insist(self._at == 0, "read twice")
        return self.last(tag)
