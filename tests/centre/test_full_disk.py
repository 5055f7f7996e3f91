"""A centre whose disk is full says so, to who runs it and to who sends, and takes things again when there is room."""

import asyncio
import datetime as dt
from pathlib import Path

import aiohttp
import msgspec
import pytest

from agent.upstream.centre import admin
from agent.upstream.centre.seldom import Seldom
from agent.upstream.centre.service import running
from agent.upstream.centre.settings import CentreHome, Settings
from agent.upstream.centre.sqlite_backend import SqlitePlan
from agent.upstream.client import Credentials
from tests.lab.events import hearing


async def test_a_full_disk_is_named_and_nothing_is_lost_when_there_is_room_again(tmp_path: Path) -> None:
    home = CentreHome(tmp_path / "centre")
    home.make(Settings(port=0), dt.datetime.now(dt.UTC))
    many = [hearing(f"full-{number}", "r", title="x" * 1_000) for number in range(100)]
    async with running(home) as centre:
        await asyncio.to_thread(admin.ask, home.socket, admin.MakeRole(role="case_system", to=str(tmp_path)))
        plan = centre.backend.plan
        assert isinstance(plan, SqlitePlan)
        await plan._database.do(lambda connection: connection.execute("PRAGMA max_page_count=1").fetchall())  # no page more than it has
        with pytest.raises(admin.AdminError, match="disk of the centre's directory is full"):
            await asyncio.to_thread(admin.ask, home.socket, admin.PutSchedule(hearings=many))
        tls = Credentials(key=tmp_path / "case_system.key", certificate=tmp_path / "case_system.pem", roots=home.roots).context()
        url, body = f"https://127.0.0.1:{centre.port}/v1/hearings", msgspec.json.encode({"hearings": many})
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls)) as session:
            async with session.post(url, data=body) as refused:
                assert refused.status == 507
                assert "disk is full" in await refused.text()
                assert int(refused.headers["Retry-After"]) > 0
            await plan._database.do(lambda connection: connection.execute("PRAGMA max_page_count=1000000").fetchall())
            async with session.post(url, data=body) as taken:
                assert (taken.status, (await taken.json())["changed"]) == (200, len(many))


def test_one_line_in_each_period_is_told_and_the_others_are_counted() -> None:
    seldom = Seldom(60.0)
    assert [seldom.untold(at_s) for at_s in (0.0, 1.0, 59.0, 60.0, 61.0, 200.0)] == [0, None, None, 2, None, 1]
