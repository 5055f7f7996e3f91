"""The room says in time that the certificate by which it signs ends, and records whatever the certificate says."""

import datetime as dt
import shutil
from pathlib import Path

import pytest
from cryptography import x509

from provisioning.keys import LEAF_DAYS, build, write
from provisioning.room_file import load
from recorder.own_certificate import WARN_DAYS, ends_soon, watch
from tests.lab.room import Room

NOW = dt.datetime(2026, 11, 2, tzinfo=dt.UTC)


def device_chain(tmp_path: Path, made: dt.datetime) -> x509.Certificate:
    files = write(build("lab", made), tmp_path)
    return x509.load_pem_x509_certificates(files.chain.read_bytes())[0]


def us(moment: dt.datetime) -> int:
    return round(moment.timestamp() * 1e6)


def test_it_is_time_from_two_months_before_the_end_on_and_afterwards(tmp_path: Path) -> None:
    certificate = device_chain(tmp_path, NOW)
    ends, minute = NOW + dt.timedelta(days=LEAF_DAYS), dt.timedelta(minutes=1)
    begins_us = us(ends - dt.timedelta(days=WARN_DAYS))
    assert not ends_soon(certificate, us(NOW))
    assert not ends_soon(certificate, begins_us - us(dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + minute))
    for late in (minute, dt.timedelta(days=WARN_DAYS), dt.timedelta(days=4_000)):
        assert ends_soon(certificate, begins_us + round(late.total_seconds() * 1e6))


async def test_it_is_told_once_when_the_time_has_come_with_what_is_to_be_done(tmp_path: Path) -> None:
    it = Room(tmp_path / "room")
    certificate, told = device_chain(tmp_path / "keys", NOW), list[str]()
    days = iter([0, 100, 600, 680])

    def utc_us() -> int:
        return us(NOW + dt.timedelta(days=next(days)))

    await watch(certificate, load(it.config), utc_us, told.append, look_s=0.0)
    (words,) = told
    assert f"{NOW + dt.timedelta(days=LEAF_DAYS):%Y-%m-%d}" in words
    assert "ask its authority" in words
    assert next(days, None) is None


@pytest.mark.parametrize("age_days", [LEAF_DAYS - WARN_DAYS + 1, LEAF_DAYS + 100])
def test_a_room_whose_certificate_ends_or_ended_raises_the_alarm_and_records(tmp_path: Path, age_days: int) -> None:
    it = Room(tmp_path / "room")
    old = write(build("lab", dt.datetime.now(dt.UTC) - dt.timedelta(days=age_days)), tmp_path / "old")
    for mine, other in ((it.keys.device_key, old.device_key), (it.keys.chain, old.chain), (it.keys.root, old.root)):
        shutil.copyfile(other, mine)
    try:
        it.start()
        it.wait_live()
        it.begin()
        status = it.wait(lambda now: now.state == "open", "a session")
        assert [alarm.code for alarm in status.alarms] == ["certificate_ends"]
        it.stop()
    finally:
        it.close()
