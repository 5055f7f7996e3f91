"""A person's signature by openssl under an authority of the test: it vouches for what was signed, by whom, and for nothing else."""

import base64
import contextlib
import time
from pathlib import Path

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from recorder.contract.conference import iin_sha256_of
from recorder.record.trust import load_certificates
from tests.lab.persons import Key, Persons
from tests.lab.tls import Authority
from vks.signed import SignatureError, signer

TEXT = b"courtroom-dtls-v1\nh1\ng1\n"
IIN = "123456789011"
YEAR_US = 366 * 86_400_000_000


@pytest.fixture(scope="module")
def persons(tmp_path_factory: pytest.TempPathFactory) -> Persons:
    return Persons(tmp_path_factory.mktemp("authority") / "persons")


@pytest.fixture(scope="module")
def person(persons: Persons) -> Key:
    return persons.issue("ТЕСТОВ ТЕСТ", IIN)


def checked(persons: Persons, cms: str, *, text: bytes = TEXT, iin: str = IIN, later_us: int = 0) -> str:
    now_us = time.time_ns() // 1_000 + later_us
    return signer(cms, text, load_certificates(persons.roots), iin_sha256_of(iin) if iin else "", now_us)


def refused(persons: Persons, cms: str, *, text: bytes = TEXT, iin: str = IIN, later_us: int = 0) -> str:
    with pytest.raises(SignatureError) as error:
        checked(persons, cms, text=text, iin=iin, later_us=later_us)
    return error.value.code


def test_the_persons_own_signature_vouches_and_the_certificate_says_whose_it_is(persons: Persons, person: Key) -> None:
    assert checked(persons, person.sign(TEXT)) == "ТЕСТОВ ТЕСТ"


def test_a_key_on_an_elliptic_curve_does_as_well(persons: Persons) -> None:
    assert checked(persons, persons.issue("T. Est", IIN, curve=True).sign(TEXT)) == "T. Est"


def test_the_frame_of_pem_and_its_lines_mean_nothing(persons: Persons, person: Key) -> None:
    cms = person.sign(TEXT)
    lines = "\r\n".join(cms[at : at + 64] for at in range(0, len(cms), 64))
    assert checked(persons, f"-----BEGIN CMS-----\r\n{lines}\r\n-----END CMS-----\r\n") == "ТЕСТОВ ТЕСТ"


def test_a_signature_over_another_text_vouches_for_nothing(persons: Persons, person: Key) -> None:
    assert refused(persons, person.sign(TEXT), text=TEXT + b"x") == "signature_bad"


def test_a_signature_that_brings_its_own_text_is_refused(persons: Persons, person: Key) -> None:
    assert refused(persons, person.sign(TEXT, detached=False)) == "signature_bad"


def test_somebody_elses_signature_does_not_vouch_for_the_person(persons: Persons) -> None:
    assert refused(persons, persons.issue("ТЕСТОВ ТЕСТ", "123456789012").sign(TEXT)) == "signature_of_other"


@pytest.mark.parametrize("iin", ["", "12345678901", "IIN123456789011"])
def test_where_no_number_or_none_that_fits_was_given_nobodys_signature_vouches(persons: Persons, person: Key, iin: str) -> None:
    assert refused(persons, person.sign(TEXT), iin=iin) == "signature_of_other"


def test_a_certificate_without_a_number_is_nobodys_even_where_none_is_asked_for(persons: Persons) -> None:
    assert refused(persons, persons.issue("T. Est", "").sign(TEXT), iin="") == "signature_of_other"


def test_a_certificate_by_another_authority_of_the_same_name_vouches_for_nothing(persons: Persons, tmp_path: Path) -> None:
    assert refused(persons, Persons(tmp_path / "false").issue("ТЕСТОВ ТЕСТ", IIN).sign(TEXT)) == "signature_unknown"


def test_a_certificate_whose_time_is_over_vouches_for_nothing(persons: Persons, person: Key) -> None:
    assert refused(persons, person.sign(TEXT), later_us=YEAR_US) == "signature_unknown"
    assert refused(persons, person.sign(TEXT), later_us=-YEAR_US) == "signature_unknown"


def test_a_certificate_that_is_not_for_signing_vouches_for_nothing(persons: Persons) -> None:
    assert refused(persons, persons.issue("ТЕСТОВ ТЕСТ", IIN, usage="keyEncipherment").sign(TEXT)) == "signature_unknown"


def test_a_person_is_no_authority(persons: Persons) -> None:
    """A certificate that somebody with a good key has issued himself."""
    forged = persons.issue("ТЕСТОВ ТЕСТ", IIN, by=persons.issue("O. Ther", "999999999999"))
    assert refused(persons, forged.sign(TEXT)) == "signature_unknown"


def test_without_an_authority_no_signature_vouches(person: Key) -> None:
    with pytest.raises(SignatureError) as error:
        signer(person.sign(TEXT), TEXT, [], iin_sha256_of(IIN), time.time_ns() // 1_000)
    assert error.value.code == "signature_unknown"


def test_the_certificate_of_the_rooms_own_tls_vouches_for_nobody(persons: Persons, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "tls")
    pair = authority.issue("room", address="127.0.0.1")
    assert refused(persons, Key(pair.key, pair.certificate, authority.roots).sign(TEXT)) == "signature_unknown"


@given(st.one_of(st.text(), st.binary().map(lambda data: base64.b64encode(data).decode())))
def test_whatever_else_comes_is_refused(cms: str) -> None:
    roots: list[x509.Certificate] = []
    with pytest.raises(SignatureError):
        signer(cms, TEXT, roots, iin_sha256_of(IIN), 0)


def test_a_signature_in_which_a_byte_was_changed_names_nobody_else(persons: Persons, person: Key) -> None:
    whole = base64.b64decode(person.sign(TEXT))
    vouching = 0
    for at in range(len(whole)):
        changed = whole[:at] + bytes([whole[at] ^ 0x01]) + whole[at + 1 :]
        with contextlib.suppress(SignatureError):
            assert checked(persons, base64.b64encode(changed).decode()) == "ТЕСТОВ ТЕСТ"
            vouching += 1  # a byte of the authority's certificate, which came along and is not needed
    assert vouching < len(whole) / 2
