"""The strict readers: what signs a record can be written in one form only."""

import base64
import datetime as dt

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from provisioning.keys import Hierarchy, build
from recorder.record import checksums
from recorder.record.cms import CmsError, check_detached
from recorder.record.trust import Authorities, TrustError, parse_certificate, parse_chain, rooms
from recorder.seal import cms_signature
from tests.record.record_builder import signer_of

LIST = b"a" * 64 + b"  journal.jsonl\n" + b"b" * 64 + b"  tracks/cam/seg-000000.m4s\n"
COMMON_NAME = bytes.fromhex("0603550403")  # its object identifier, RFC 5280, in DER; tag and length of the text follow
NOW_US = int(dt.datetime.now(dt.UTC).timestamp() * 1e6)


@pytest.fixture(scope="module")
def signature(keys: Hierarchy) -> bytes:
    return cms_signature(LIST, signer_of(keys.device, keys.issuing))


def test_every_changed_byte_of_a_signature_is_refused(keys: Hierarchy, signature: bytes) -> None:
    ours = {keys.device.certificate, keys.issuing.certificate}
    assert set(check_detached(signature, LIST).certificates) == ours
    for at in range(len(signature)):
        for bit in (0x01, 0x20, 0x80):
            changed = signature[:at] + bytes([signature[at] ^ bit]) + signature[at + 1 :]
            try:
                signed = check_detached(changed, LIST)
            except CmsError:
                continue
            # What the signature does not cover are the certificates beside it; those are compared with the record's own.
            assert set(signed.certificates) != ours, at


@settings(max_examples=300)
@given(data=st.binary(max_size=200))
def test_what_is_no_signature_is_refused(data: bytes) -> None:
    with pytest.raises(CmsError):
        check_detached(data, LIST)


def test_a_signature_over_other_bytes_is_refused(signature: bytes) -> None:
    with pytest.raises(CmsError, match="other bytes"):
        check_detached(signature, LIST + b"\n")


def test_a_list_of_checksums_is_read() -> None:
    assert list(checksums.parse(LIST)) == ["journal.jsonl", "tracks/cam/seg-000000.m4s"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        LIST[:-1],
        LIST + LIST,
        LIST.replace(b"  ", b" *"),
        LIST.replace(b"a" * 64, b"A" * 64),
        LIST.replace(b"tracks/", b"../"),
        LIST.replace(b"tracks/", b"/etc/"),
        LIST.replace(b"tracks/", b"zoo//"),
        LIST.replace(b"journal", b"journal\xff"),
        b"\n".join(reversed(LIST.splitlines())) + b"\n",
    ],
)
def test_a_list_in_any_other_form_is_refused(data: bytes) -> None:
    with pytest.raises(checksums.ChecksumsError):
        checksums.parse(data)


def test_an_authority_vouches_for_its_own_and_for_no_other(keys: Hierarchy) -> None:
    authorities = Authorities([keys.root.certificate])
    device, issuing = keys.device.certificate, keys.issuing.certificate
    assert authorities.refusal(device, [issuing], NOW_US) is None
    assert authorities.refusal(keys.centre.certificate, [], NOW_US) is None
    assert authorities.refusal(device, [], NOW_US) is not None
    assert "and was not on" in str(authorities.refusal(device, [issuing], NOW_US + 40 * 365 * 86_400_000_000))
    lookalike = build("room-1", dt.datetime.now(dt.UTC))
    assert authorities.refusal(lookalike.device.certificate, [lookalike.issuing.certificate], NOW_US) is not None
    assert rooms(device) == ["room-1"]
    assert rooms(keys.centre.certificate) == []


def test_a_device_cannot_issue_certificates(keys: Hierarchy) -> None:
    from provisioning.keys import _leaf, _p256

    forged = _leaf(_p256(), "room-1", keys.device, dt.datetime.now(dt.UTC), 10, usage=[])
    chain = [keys.device.certificate, keys.issuing.certificate]
    assert Authorities([keys.root.certificate]).refusal(forged.certificate, chain, NOW_US) is not None


@pytest.mark.parametrize(("purposes", "holds"), [([], True), (["1.3.6.1.5.5.7.3.4"], True), (["1.3.6.1.5.5.7.3.1"], False)])
def test_a_certificate_for_tls_alone_is_no_recipients(keys: Hierarchy, purposes: list[str], *, holds: bool) -> None:
    from provisioning.keys import _leaf

    usage = [x509.ObjectIdentifier(purpose) for purpose in purposes]
    leaf = _leaf(rsa.generate_private_key(65537, 2048), "court.example", keys.root, dt.datetime.now(dt.UTC), 10, usage=usage)
    assert (Authorities([keys.root.certificate]).recipient_refusal(leaf.certificate, NOW_US) is None) == holds


def with_a_name_of_bits(certificate: x509.Certificate) -> bytes:
    """The certificate with its issuer's common name said to be a bit string."""
    der = bytearray(certificate.public_bytes(serialization.Encoding.DER))
    at = der.index(COMMON_NAME) + len(COMMON_NAME)
    der[at], der[at + 2] = 0x03, 0
    return bytes(der)


def test_a_certificate_whose_name_is_no_text_is_a_damaged_one(keys: Hierarchy) -> None:
    der = with_a_name_of_bits(keys.centre.certificate)
    with pytest.raises(TrustError, match="damaged"):
        parse_certificate(der)
    pem = f"-----BEGIN CERTIFICATE-----\n{base64.b64encode(der).decode()}\n-----END CERTIFICATE-----\n"
    with pytest.raises(TrustError, match="damaged"):
        parse_chain(pem.encode(), "chain.pem")


@settings(max_examples=100)
@given(data=st.binary(max_size=100))
def test_what_is_no_certificate_is_refused(data: bytes) -> None:
    with pytest.raises(TrustError):
        parse_certificate(data)
