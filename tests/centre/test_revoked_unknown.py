"""What a centre issued since the copy from which it was restored, and a revocation of its name: whatever keeps it."""

import asyncio
import contextlib
import shutil
import sqlite3
from importlib.resources import files
from pathlib import Path

import pytest

from agent.upstream.centre import admin
from agent.upstream.centre.authority import BACKDATED
from agent.upstream.centre.backend import Backend, DeniedError, Shown, now_utc_us
from agent.upstream.centre.callers import peer_of
from agent.upstream.centre.database import Database
from agent.upstream.centre.sqlite_registry import SqliteRegistry
from agent.upstream.client import RefusedError
from tests.centre.test_backends import DAY_US
from tests.lab.centre import centre
from tests.lab.events import beat
from tests.lab.fronts import seen


async def test_a_certificate_that_the_restored_centre_does_not_know_is_denied_and_not_renewed(fronts: list[Backend]) -> None:
    one, two = fronts
    now_us = now_utc_us()
    await one.registry.issued(4, "r", now_us + DAY_US, "PEM")
    stolen, known = Shown(5, "r", now_us - 1), Shown(4, "r", now_us - 2)
    assert not await one.registry.is_revoked(stolen)
    assert await one.registry.revoke("r", now_us) == [4]
    assert await one.registry.is_revoked(stolen)
    assert await one.registry.is_revoked(known)
    assert not await one.registry.is_revoked(Shown(5, "other", now_us - 1))
    await seen(lambda: two.registry.is_revoked(stolen))
    with pytest.raises(DeniedError):
        await two.registry.issued(6, "r", now_us + DAY_US, "PEM", renewed_from=stolen)


async def test_a_name_of_which_the_restored_centre_knows_nothing_is_denied_all_the_same(fronts: list[Backend]) -> None:
    one, two = fronts
    now_us = now_utc_us()
    assert await one.registry.revoke("r", now_us) == []
    assert await one.registry.is_revoked(Shown(5, "r", now_us - 1))
    await seen(lambda: two.registry.is_revoked(Shown(5, "r", now_us - 1)))


async def test_a_room_that_is_enrolled_again_after_a_revocation_is_let_in_and_renewed(fronts: list[Backend]) -> None:
    one, _ = fronts
    now_us = now_utc_us()
    await one.registry.revoke("r", now_us)
    # Its certificate is known, whatever a clock said when it was issued; and if it was lost by another restore, its time is behind.
    await one.registry.issued(7, "r", now_us + DAY_US, "PEM")
    for again in (Shown(7, "r", now_us), Shown(8, "r", now_us + 1)):
        assert not await one.registry.is_revoked(again)
        await one.registry.issued(again.serial + 10, "r", now_us + DAY_US, "PEM", renewed_from=again)


async def test_an_older_file_knows_by_its_certificates_which_names_were_revoked(tmp_path: Path) -> None:
    path = tmp_path / "centre.sqlite"
    steps = files("agent.upstream.centre.schema")
    with sqlite3.connect(path) as old:
        for step in ("0001.sql", "0002.sql"):
            old.executescript((steps / step).read_text(encoding="utf-8"))
        old.executescript("PRAGMA user_version=2; INSERT INTO certificate VALUES ('4', 'r', 9, 'PEM', 100), ('6', 'r', 9, 'PEM', NULL);")
    old.close()
    database = Database(path)
    registry = SqliteRegistry(database)
    found = [await registry.is_revoked(Shown(serial, "r", at)) for serial, at in ((4, 50), (5, 100), (5, 101), (6, 50))]
    database.close()
    assert found == [True, True, False, False]


def test_the_time_when_a_callers_certificate_was_issued_is_behind_its_beginning() -> None:
    shown = {"subjectAltName": (("URI", "urn:courtroom:room:r"),), "serialNumber": "0A", "notBefore": "Jan  1 00:00:00 1970 GMT"}
    assert peer_of(shown).certificate == Shown(10, "r", int(BACKDATED.total_seconds()) * 1_000_000)
    role = {**shown, "subjectAltName": (("URI", "urn:courtroom:role:custodian"),)}
    assert peer_of(role).certificate.name == "custodian"


async def test_a_stolen_room_is_refused_by_a_restored_centre_and_the_one_in_its_place_is_let_in(tmp_path: Path) -> None:
    with centre(tmp_path) as it:
        stolen = await asyncio.to_thread(it.enrol, "r")
        await asyncio.to_thread(it.stop)
        with contextlib.closing(sqlite3.connect(it.home.database)) as copy:
            copy.execute("DELETE FROM certificate")  # as of a copy from before
            copy.commit()
        it.start()
        async with it.client(stolen) as client:
            await client.beat(beat())
            with pytest.raises(admin.AdminError, match="since a copy"):
                await asyncio.to_thread(it.ask, admin.Revoke(name="r"))
            with pytest.raises(RefusedError, match="revoked"):
                await client.beat(beat())
        shutil.rmtree(stolen.roots.parent)
        async with it.client(await asyncio.to_thread(it.enrol, "r")) as client:
            await client.beat(beat())
