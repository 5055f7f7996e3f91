"""A signer for whom nobody vouches is told from bytes that were changed, in words that a court can act on."""

import datetime as dt
from dataclasses import replace
from pathlib import Path

import pytest

from provisioning.keys import Hierarchy, build
from recorder.record import layout
from recorder.record.trust import Authorities
from recorder.record.verify import Outside, verify
from tests.record.record_builder import Builder


def test_another_authority_is_named_beside_the_one_that_issued_it(sealed: Builder, keys: Hierarchy) -> None:
    stranger = build("room-1", dt.datetime.now(dt.UTC)).issuing.certificate
    verdict = verify(sealed.root, Outside(authorities=Authorities([stranger])))
    said = verdict.sentence()
    assert verdict.exit_status == 1
    assert "no byte contradicts the record" in said
    assert keys.issuing.certificate.issuer.rfc4514_string() in said
    assert "candidates" not in said + verdict.errors[0].text


def test_an_expired_certificate_is_called_that(tmp_path: Path) -> None:
    now = dt.datetime.now(dt.UTC)
    old = build("room-1", now - dt.timedelta(days=30), days=20)
    builder = Builder(tmp_path, old)
    builder.record(3)
    builder.close()
    verdict = verify(builder.root, Outside(authorities=Authorities([old.root.certificate])))
    said = verdict.sentence()
    assert verdict.exit_status == 1
    assert "no byte contradicts the record" in said
    assert f"to {old.device.certificate.not_valid_after_utc:%Y-%m-%d}" in said


@pytest.mark.parametrize("name", [layout.segment_file("cam-judge", 0), layout.MANIFEST])
def test_where_a_byte_is_wrong_too_nothing_is_said_to_be_sound(sealed: Builder, outside: Outside, name: str) -> None:
    stranger = build("room-1", dt.datetime.now(dt.UTC)).root.certificate
    (sealed.root / name).write_bytes(b"x")
    verdict = verify(sealed.root, replace(outside, authorities=Authorities([stranger])))
    assert verdict.sentence().startswith("BROKEN: ")
