"""A centre whose clock was wrong when it acknowledged, or whose certificate had ended: no room takes that, and it is made anew."""

import dataclasses
import datetime as dt
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from structlog.testing import capture_logs

from agent.archive.acknowledgement import check_for, sign
from agent.archive.offer import make_offer
from agent.upstream.centre.authority import Authority, Issuer
from provisioning.keys import Hierarchy, Identity
from recorder.record.acknowledgement import Acknowledgement, AcknowledgementError
from recorder.record.trust import Authorities
from tests.archive.test_upload_sweep import ROOM, Archive, archive
from tests.lab.waiting import until
from tests.record.record_builder import Builder

Make = Callable[..., Builder]
DAY_US = 86_400_000_000


def notary_of(keys: Hierarchy, days_ago: int) -> Hierarchy:
    """The same authorities, whose notary was certified so many days ago; before, by a clock that is behind since."""
    assert isinstance(keys.root.key, ec.EllipticCurvePrivateKey)
    assert isinstance(keys.centre.key, ec.EllipticCurvePrivateKey)
    root = Authority(Issuer(keys.root.key, keys.root.certificate), keys.root.certificate)
    made = root.notary(keys.centre.key.public_key(), "Centre", dt.datetime.now(dt.UTC) - dt.timedelta(days=days_ago))
    return dataclasses.replace(keys, centre=Identity(keys.centre.key, made))


def store_one_of(at: Archive, keys: Hierarchy, given: Acknowledgement, utc_us: int) -> Acknowledgement:
    """As a centre stored it whose clock said this."""
    assert isinstance(keys.centre.key, ec.EllipticCurvePrivateKey)
    wrong = sign(msgspec.structs.replace(given, utc_us=utc_us), keys.centre.key, keys.centre.certificate)
    with sqlite3.connect(at.root / "uploads.sqlite") as db:
        db.execute("UPDATE acknowledgements SET ack = ?", (msgspec.json.encode(wrong),))
    db.close()
    return wrong


@pytest.mark.parametrize("days_ago", [900, -2])
async def test_nothing_is_signed_outside_the_certificates_time_and_all_is_when_that_is_right(
    keys: Hierarchy, make_record: Make, authorities: Authorities, tmp_path: Path, days_ago: int
) -> None:
    record = make_record().root
    offer = make_offer(record)
    with capture_logs() as logs:
        async with archive(tmp_path / "centre", notary_of(keys, days_ago)) as at:
            upload = (await at.uploads.offer(ROOM, offer)).upload
            for file in offer.files:
                await at.send(record, upload, file)
            await until(lambda: any("waits to be verified" in log["event"] for log in logs), "the waiting to be told")
            state = await at.uploads.state(ROOM, upload)
    assert (state.state, state.acknowledgement) == ("verifying", None)
    assert "the verification waits: the centre's clock says" in state.detail
    async with archive(tmp_path / "centre", keys) as at:
        ack = (await at.judged(upload)).acknowledgement
        assert ack is not None
        check_for(record, ack, authorities)


@pytest.mark.parametrize("days", [-1000, 1000, 30])
async def test_an_acknowledgement_of_a_wrong_clock_is_made_anew_when_the_record_is_offered_again(
    keys: Hierarchy, make_record: Make, authorities: Authorities, tmp_path: Path, days: int
) -> None:
    record = make_record().root
    offer = make_offer(record)
    async with archive(tmp_path / "centre", keys) as at:
        first = (await at.sent(record, offer)).acknowledgement
        assert first is not None
        wrong = store_one_of(at, keys, first, time.time_ns() // 1000 + days * DAY_US)
        with pytest.raises(AcknowledgementError):
            check_for(record, wrong, authorities)
        second = (await at.sent(record, offer)).acknowledgement
        assert second is not None
        check_for(record, second, authorities)
        assert second.counter > first.counter
        assert (await at.uploads.offer(ROOM, offer)).acknowledgement == second
