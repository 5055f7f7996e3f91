"""A hearing with a participant from end to end: the room's real processes, the clerk's own commands, and what the record has afterwards."""

import asyncio
import contextlib
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from agent.desk import SOCKET
from recorder.record import entries
from recorder.seal import read_journal
from tests.lab.site import Site, site
from tests.vks.browsers import Browser, until
from tests.vks.hearing import BY, HZ, asked, clerk, free_port, sealed, shade_in, stanzas, tone_in
from tests.vks.test_service import PageInTest
from vks import signalling

SHADE = 200
LINKS = {"rtt", "jitter", "loss"}
PATIENCE = 300


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path, stanzas(f"port = {free_port()}")) as it:
        yield it


@pytest.fixture
def closed_room(tmp_path: Path) -> Iterator[Site]:
    """A room that nobody can connect to: participants come through the centre."""
    port = free_port()
    with site(tmp_path, stanzas(f'address = ""\npublic_url = "http://127.0.0.1:{port}"'), public=f"127.0.0.1:{port}") as it:
        yield it


async def come(http: aiohttp.ClientSession, link: str, device: str = "device-1") -> tuple[PageInTest, str]:
    """Use a link as its page does; returns the page, and its resume token."""
    root, token = link.split("/join/#")
    async with asyncio.timeout(10):
        while True:
            async with http.post(f"{root}/api/join", json={"token": token, "device": device}) as answer:
                said = await answer.json()
            if said.get("code") != "starting":
                break
            await asyncio.sleep(0.1)
    assert answer.status == 200, said
    resume = said["resume"]
    return await again(http, root, resume), resume


async def again(http: aiohttp.ClientSession, root: str, resume: str) -> PageInTest:
    """A page that has its resume token."""
    page = PageInTest(await http.ws_connect(f"{root}/api/connect"))
    await page.say(signalling.Resume(token=resume))
    return page


async def in_hearing(room: Site, http: aiohttp.ClientSession) -> PageInTest:
    """The page of somebody who is in a hearing that is recorded."""
    await asyncio.to_thread(room.order, "start", *BY)
    await until(lambda: room.recorder_state() == "open", "the session")
    page, _ = await come(http, (await clerk(room, "invite", "B. Party", "party", *BY)).strip())
    await clerk(room, "admit", "g1", *BY)
    await until(lambda: page.place == "hearing", "the hearing")
    return page


async def call(page: PageInTest, browser: Browser) -> None:
    """Media, by the page's connection."""
    await browser.dial(page.answer)


async def links(room: Site) -> dict[str, float]:
    """How good the participants' links are, by the room's own metrics."""
    connector = aiohttp.UnixConnector(str(room.run_dir / SOCKET))
    async with aiohttp.ClientSession(connector=connector) as http, http.get("http://agent/metrics") as answer:
        found = re.findall(r"^courtroom_conference_([a-z]+)_[a-z]+ (\S+)$", await answer.text(), re.MULTILINE)
    return {name: float(value) for name, value in found}


@pytest.mark.lab
async def test_a_participant_is_admitted_heard_seen_and_recorded(room: Site) -> None:
    await asyncio.to_thread(room.order, "start", *BY)
    await until(lambda: room.recorder_state() == "open", "the session")
    link = (await clerk(room, "invite", "B. Party", "party", *BY)).strip()
    async with aiohttp.ClientSession() as http:
        page, _ = await come(http, link)
        await until(lambda: page.place == "lobby", "the lobby")
        assert "B. Party" in await clerk(room, "list")
        browser = Browser(HZ, SHADE)
        await call(page, browser)
        await clerk(room, "admit", "g1", *BY)
        await until(lambda: page.place == "hearing", "the hearing")
        await until(lambda: any(browser.shades), "pictures of the room")
        measured = dict[str, float]()
        for _ in range(PATIENCE):
            if (measured := await links(room)).keys() >= LINKS:
                break
            await asyncio.sleep(0.2)
        assert measured.keys() >= LINKS
        assert 0 < measured["rtt"] < 1
        assert 0 <= measured["jitter"] < 1
        assert 0 <= measured["loss"] <= 1
        await browser.close()
        await page.close()
    record = await sealed(room)
    assert tone_in(room, record, "remote-g1-audio", HZ)
    assert not tone_in(room, record, "remote-g1-audio", 1.3 * HZ), "the search finds what was sent, and nothing else"
    assert shade_in(room, record, "remote-g1-video", SHADE)
    assert tone_in(room, record, "room-out", HZ), "the courtroom heard it"
    told = [entry for _, entry in read_journal(record) if isinstance(entry, entries.Event) and entry.source == "conference"]
    assert [entry.name for entry in told if entry.data.get("person") == "g1"][:3] == ["came", "connected", "admitted"]
    spoken = [entry.name for _, entry in read_journal(record) if isinstance(entry, entries.Event) and entry.track == "remote-g1-audio"]
    assert "speaks" in spoken, "the record tells when somebody spoke"


@pytest.mark.lab
async def test_a_participant_comes_through_the_centre_to_a_room_that_takes_no_connection(closed_room: Site) -> None:
    room = closed_room
    await asyncio.to_thread(room.order, "start", *BY)
    await until(lambda: room.recorder_state() == "open", "the session")
    link = (await clerk(room, "invite", "B. Party", "party", *BY)).strip()
    assert "/r/lab/join/#" in link
    async with aiohttp.ClientSession() as http:
        root = link.split("/join/#")[0]
        async with http.post(f"{root}/api/join", json={"token": "forged", "device": "device-1"}) as answer:
            assert (answer.status, (await answer.json())["code"]) == (403, "unknown")
        page, _ = await come(http, link)
        browser = Browser(HZ, SHADE)
        await call(page, browser)
        await clerk(room, "admit", "g1", *BY)
        await until(lambda: page.place == "hearing", "the hearing")
        await until(lambda: any(browser.shades), "pictures of the room")
        await browser.close()
        await page.close()
    await sealed(room)


@pytest.mark.lab
async def test_a_killed_agent_sends_nobody_out_of_the_hearing(room: Site) -> None:
    async with aiohttp.ClientSession() as http:
        page = await in_hearing(room, http)
        room.kill("agent")
        await asyncio.to_thread(room.until, lambda: "B. Party" in asked(room), "the new agent to know who is there")
        assert not page.all(signalling.Bye)
        assert page.place == "hearing"
        await page.close()
    await sealed(room)


@pytest.mark.lab
async def test_what_the_conference_told_an_agent_that_was_killed_is_in_the_record(room: Site) -> None:
    async with aiohttp.ClientSession() as http:
        page = await in_hearing(room, http)
        (recorder,) = room.pids("recorder")
        os.kill(recorder, signal.SIGSTOP)
        try:
            await clerk(room, "mute", "g1", *BY)  # waits in the recorder's socket
            await clerk(room, "unmute", "g1", *BY)
            room.kill("agent")
        finally:
            os.kill(recorder, signal.SIGCONT)
        await asyncio.to_thread(room.until, lambda: "B. Party" in asked(room), "the new agent to know who is there")
        await page.close()
    told = [entry.name for _, entry in read_journal(await sealed(room)) if isinstance(entry, entries.Event)]
    assert [name for name in told if name.endswith("muted")] == ["muted", "unmuted"]


@pytest.mark.lab
async def test_a_killed_conference_costs_the_room_nothing_and_is_back_with_everybody_in_his_place(room: Site) -> None:
    await killed(room, 2)


@pytest.mark.lab
@pytest.mark.long
@pytest.mark.timeout(600)
async def test_twenty_kills_of_the_conference_cost_the_room_nothing(room: Site) -> None:
    await killed(room, 20)


BACK_S = 5.0


async def killed(room: Site, times: int) -> None:
    """Kill vks so often while somebody takes part."""
    await asyncio.to_thread(room.order, "start", *BY)
    await until(lambda: room.recorder_state() == "open", "the session")
    link = (await clerk(room, "invite", "B. Party", "party", *BY)).strip()
    root = link.split("/join/#")[0]
    async with aiohttp.ClientSession() as http:
        page, resume = await come(http, link)
        await clerk(room, "admit", "g1", *BY)
        for _ in range(times):
            browser = Browser(HZ, SHADE)
            await call(page, browser)
            await until(lambda browser=browser: any(browser.shades), "pictures of the room")  # type: ignore[misc]
            room.kill("vks")
            await browser.close()
            end_s = asyncio.get_running_loop().time() + BACK_S
            while True:
                with contextlib.suppress(aiohttp.ClientError):  # its port is not open yet
                    page = await again(http, root, resume)
                    await until(lambda page=page: page.heard, "an answer", BACK_S)  # type: ignore[misc]
                    if page.all(signalling.Welcome):
                        break
                    assert page.all(signalling.Bye)[0].again, page.heard
                assert asyncio.get_running_loop().time() < end_s, "the conference is not back"
                await asyncio.sleep(0.1)
            await until(lambda page=page: page.place == "hearing", "the place again", BACK_S)  # type: ignore[misc]
        await page.close()
    record = await sealed(room)
    entries_made = [entry for _, entry in read_journal(record)]
    assert not [entry for entry in entries_made if isinstance(entry, entries.Gap) and not entry.track.startswith("remote-")]
    names = [entry.name for entry in entries_made if isinstance(entry, entries.Event) and entry.source == "conference"]
    assert names.count("admitted") == 1
    assert names.count("connected") >= times + 1
