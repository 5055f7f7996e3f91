"""The page of all rooms: troubled rooms first, in three languages, for a nation's rooms, and for nobody who may not see it."""

import asyncio
import datetime as dt
import re
import time

import aiohttp
import msgspec
import pytest
from aiohttp import TCPConnector

from agent.upstream import contract
from agent.upstream.centre.flags import Code, Wrong
from agent.upstream.centre.overview import RoomView
from agent.upstream.centre.page import CONTENT_SECURITY_POLICY, language_of, render
from agent.upstream.centre.page_server import loopback_place
from agent.upstream.enrolment import RoomFiles
from tests.lab import browser
from tests.lab.centre import Centre
from tests.lab.events import beat, hearing
from tests.lab.waiting import until

NOW = dt.datetime(2026, 11, 24, 9, 0, tzinfo=dt.timezone(dt.timedelta(hours=5)))
NOW_US = int(NOW.timestamp() * 1e6)


def view(room: str, *wrongs: Code, state: str = "idle", alarms: tuple[str, ...] = ()) -> RoomView:
    heartbeat = msgspec.structs.replace(beat(state=state), alarms=list(alarms))
    found = contract.RoomState(room=room, heard_utc_us=NOW_US - 7_000_000, heartbeat=heartbeat, flags=list(wrongs))
    return RoomView(found, tuple(Wrong(code, NOW_US, "hearing-1", "record-1") for code in wrongs))


FLEET = [
    view("almaty-2", "alarm", alarms=("disk_full", "a_new_code")),
    view("almaty-3", state="open"),
    view("astana-1", "late"),
    view("astana-2", "contradiction"),
    view("astana-4"),
]


@pytest.mark.parametrize(("language", "words"), [("kk", "диск толды"), ("ru", "диск заполнен"), ("en", "the disk is full")])
def test_troubled_rooms_come_first_in_the_readers_language(language: str, words: str) -> None:
    page = render(FLEET, language_of(language, ""), NOW, show_all=True)
    places = [page.index(f">{room}<") for room in ("astana-2", "astana-1", "almaty-2", "almaty-3")]
    assert places == sorted(places)
    assert page.index("astana-4") > places[-1]
    assert words in page
    assert "a_new_code" in page
    assert "astana-4" not in render(FLEET, language_of(language, ""), NOW, show_all=False)


def test_an_archive_that_takes_nothing_is_said_before_all_rooms() -> None:
    page = render(FLEET, "en", NOW, show_all=False, no_room=True)
    assert page.index("The archive's disk is full") < page.index("astana-2")
    assert "archive" not in render(FLEET, "en", NOW, show_all=False)


def test_what_rooms_say_stays_text() -> None:
    evil = view("r", "alarm", state="<script>x</script>", alarms=("<img src=x>",))
    page = render([evil], "en", NOW, show_all=True)
    assert "<script" not in page
    assert "<img" not in page


@pytest.mark.parametrize(
    ("asked", "accepted", "expected"),
    [("ru", "en", "ru"), (None, "en-GB,en;q=0.9", "en"), (None, "fr, ru;q=0.5", "ru"), ("xx", "", "kk"), (None, "", "kk")],
)
def test_the_language_is_the_one_asked_for_or_the_browsers(asked: str | None, accepted: str, expected: str) -> None:
    assert language_of(asked, accepted) == expected


@pytest.mark.skipif(browser.missing(), reason="needs Debian's chromium")
async def test_a_nations_rooms_fit_a_page_that_a_browser_shows_as_it_was_meant(page_url: str) -> None:
    fleet = [view(f"room-{number:04}") if number % 50 else view(f"room-{number:04}", "silent") for number in range(1_479)]
    text = render(fleet, "ru", NOW, show_all=True)
    assert len(text) < 500_000
    assert text.count("<li>") > 1_400
    style = "getComputedStyle(document.querySelector('ul.counts')).display"
    assert await asyncio.to_thread(browser.ask, page_url, style) == "flex"


@pytest.mark.parametrize("place", ["0.0.0.0:8080", "192.168.0.1:80", "127.0.0.1", "localhost:80", "127.0.0.1:99999", ""])
def test_the_page_is_served_without_a_certificate_on_loopback_alone(place: str) -> None:
    with pytest.raises(ValueError, match=r"address|loopback"):
        loopback_place(place)


@pytest.fixture
def page_url(shared: Centre) -> str:
    found = re.findall(r"page=(\d+)", re.sub(r"\x1b\[[0-9;]*m", "", shared.log))
    return f"http://127.0.0.1:{found[-1]}/"


async def test_the_loopback_page_answers_to_its_own_name_alone(page_url: str) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.get(page_url, headers={"Accept-Language": "ru"}) as response:
            assert response.status == 200
            assert response.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
            assert 'lang="ru"' in await response.text()
        for path in ("", "rooms"):
            async with session.get(page_url + path, headers={"Host": "evil.example:80"}) as response:
                assert response.status == 421


async def test_the_page_is_for_the_situation_centre_alone(shared: Centre, first_room: RoomFiles) -> None:
    staff = (await asyncio.to_thread(shared.role, "situation_centre")).context()
    for context, status in ((first_room.credentials.context(), 403), (staff, 200)):
        async with (
            aiohttp.ClientSession(connector=TCPConnector(ssl=context)) as session,
            session.get(shared.url + "/rooms") as response,
        ):
            assert response.status == status
            assert (status == 200) == (response.content_type == "text/html")


async def test_flags_are_computed_from_what_the_rooms_of_a_real_centre_say(shared: Centre) -> None:
    files = await asyncio.to_thread(shared.enrol, "flagged-1")
    now_us = time.time_ns() // 1000
    await asyncio.to_thread(shared.plan, hearing("flagged", "flagged-1", starts_utc_us=now_us - 600_000_000))
    state: list[contract.RoomState] = []

    def flags() -> list[str]:
        state[:] = [each for each in shared.rooms().values() if each.room == "flagged-1"]
        return state[0].flags

    assert await asyncio.to_thread(flags) == ["silent"]
    async with shared.client(files) as client:
        await client.beat(beat())
        await until(lambda: flags() == ["late"], "the hearing to be late")
        await client.beat(msgspec.structs.replace(beat(state="open"), hearing="flagged"))
        await until(lambda: flags() == [], "the hearing to be recorded")
    async with (
        aiohttp.ClientSession(connector=TCPConnector(ssl=(await asyncio.to_thread(shared.role, "situation_centre")).context())) as session,
        session.get(shared.url + "/v1/rooms") as response,
    ):
        states = [msgspec.json.decode(line, type=contract.RoomState) for line in (await response.read()).splitlines()]
    assert "flagged-1" in {each.room for each in states}
