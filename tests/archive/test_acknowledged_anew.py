"""A centre whose certificate was revoked, or renewed, and rooms that offer a record again which it acknowledged by the one before."""

import dataclasses
import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from agent.archive.acknowledgement import check_for
from agent.archive.offer import make_offer
from agent.upstream.centre.authority import Authority, Issuer
from agent.upstream.centre.uploads import REFUSED_DAYS
from provisioning.keys import Hierarchy, Identity
from recorder.record.acknowledgement import AcknowledgementError
from recorder.record.trust import Authorities
from tests.archive.test_revocations import revocation_list
from tests.archive.test_upload_sweep import ROOM, archive, in_days, make_old, others
from tests.record.record_builder import Builder

Make = Callable[..., Builder]


def certified(keys: Hierarchy, key: ec.EllipticCurvePrivateKey) -> Hierarchy:
    """The same authorities, of which the root certifies this key for the centre."""
    assert isinstance(keys.root.key, ec.EllipticCurvePrivateKey)
    root = Authority(Issuer(keys.root.key, keys.root.certificate), keys.root.certificate)
    made = root.notary(key.public_key(), "Centre", dt.datetime.now(dt.UTC))
    return dataclasses.replace(keys, centre=Identity(key, made))


def renewed(keys: Hierarchy) -> Hierarchy:
    assert isinstance(keys.centre.key, ec.EllipticCurvePrivateKey)
    return certified(keys, keys.centre.key)


def with_another_key(keys: Hierarchy) -> Hierarchy:
    return certified(keys, ec.generate_private_key(ec.SECP256R1()))


@pytest.mark.parametrize("change", [renewed, with_another_key])
async def test_a_room_is_given_an_acknowledgement_that_it_takes_when_the_certificate_of_the_first_was_revoked(
    keys: Hierarchy, make_record: Make, tmp_path: Path, change: Callable[[Hierarchy], Hierarchy]
) -> None:
    record = make_record().root
    offer = make_offer(record)
    revoked = Authorities([keys.root.certificate], [x509.load_pem_x509_crl(revocation_list(keys.root, keys.centre))])
    async with archive(tmp_path / "centre", keys) as at:
        first = (await at.sent(record, offer)).acknowledgement
        assert first is not None
        assert (await at.uploads.offer(ROOM, offer)).acknowledgement == first
    with pytest.raises(AcknowledgementError, match="was revoked"):
        check_for(record, first, revoked)
    async with archive(tmp_path / "centre", change(keys)) as at:
        assert (await at.uploads.offer(ROOM, offer)).acknowledgement is None
        second = (await at.sent(record, offer)).acknowledgement
        assert second is not None
        check_for(record, second, revoked)
        assert second.counter > first.counter
        assert (await at.uploads.offer(ROOM, offer)).acknowledgement == second


async def test_what_was_acknowledged_and_does_not_verify_any_more_is_refused_and_kept(
    keys: Hierarchy, make_record: Make, tmp_path: Path
) -> None:
    record = make_record().root
    offer = make_offer(record)
    async with archive(tmp_path / "centre", keys) as at:
        assert (await at.sent(record, offer)).state == "acknowledged"
    async with archive(tmp_path / "centre", with_another_key(keys)) as at:
        at.trusted = others()
        assert (await at.sent(record, offer)).state == "refused"
        make_old(at, REFUSED_DAYS + 1)
        assert await at.uploads.discard(in_days(0)) == 0
        assert len(at.files()) == len(offer.files)
        at.trusted = keys
        assert (await at.sent(record, offer)).state == "acknowledged"
