"""A look-in from end to end: the centre's command, the room's real processes, a page in a real browser, and what is known of it then."""

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from agent.upstream import contract
from agent.upstream.centre.public import STATIC
from recorder.record import entries
from recorder.seal import read_journal
from tests.lab import browser
from tests.lab.site import COURTROOM, Site, site
from tests.vks.browsers import until
from tests.vks.hearing import BY, asked, clerk, free_port, sealed, stanzas
from tests.vks.test_pages import STEPS
from tests.vks.test_service import PageInTest
from vks import signalling

pytestmark = pytest.mark.lab
LOOKS = """
  await press("Look in");
  await sees("You look in as B. Inspector.");
  await sees("Time left: 4:");
  await find("the room's picture", () => [...document.querySelectorAll(".tile.large")].some(
    tile => tile.innerText.includes("Courtroom") && tile.querySelector("video").getVideoPlaybackQuality().totalVideoFrames > 0));
  seen.push("picture");
  await find("sound", () => { const sound = document.querySelector("audio"); return !sound.paused && sound.currentTime > 0 });
  seen.push("sound");
"""
LEAVES = """
  await press("Look in no longer");
  await sees("You have ended this yourself");
  seen.push(document.querySelectorAll("video").length);
"""
ENDS = 'await sees("You no longer look in"); await sees("The look-in is over"); seen.push(document.querySelectorAll("video").length)'


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Site]:
    """A room that nobody can connect to, and its centre with a public door."""
    port = free_port()
    root = f"http://127.0.0.1:{port}"
    with site(tmp_path, stanzas(f'address = ""\npublic_url = "{root}"'), public=f"127.0.0.1:{port}", public_url=root) as it:
        yield it


def look_in(room: Site) -> tuple[str, str]:
    """The centre's command; returns the look-in's name, and the link."""
    wanted = ["look-in", str(room.centre.home.root), "lab", "--person", "B. Inspector", "--reason", "a complaint", "--minutes", "5"]
    done = subprocess.run([*COURTROOM, "centre", *wanted], capture_output=True, text=True, check=True)
    return done.stderr.strip().rstrip(":"), done.stdout.strip()


def phases(room: Site) -> list[tuple[str, str]]:
    """What the centre knows of look-ins."""
    return [(event.phase, event.by) for event in room.data(contract.LookedIn)]


async def begun(room: Site) -> tuple[str, str]:
    """A session with a look-in; returns its name and its link."""
    await asyncio.to_thread(room.order, "start", *BY)
    await asyncio.to_thread(room.until, lambda: asked(room).startswith("hearing local:"), "the session, and vks")
    name, link = await asyncio.to_thread(look_in, room)
    await asyncio.to_thread(room.until, lambda: phases(room) == [("began", "")], "the look-in to begin")
    return name, link


async def opened(http: aiohttp.ClientSession, link: str) -> PageInTest:
    """The page of a link, by hand."""
    root, token = link.split("/look/#")
    page = PageInTest(await http.ws_connect(f"{root}/api/look"), signalling.to_look_in)
    await page.say(signalling.Look(token=token, device="device-of-the-inspector"))
    return page


@pytest.mark.skipif(browser.missing(), reason="chromium is not installed")
@pytest.mark.skipif(not (STATIC / "look/index.html").exists(), reason="the pages are not built (scripts/build-pages)")
async def test_the_situation_centre_sees_and_hears_until_the_clerk_ends_it_and_everybody_knows(room: Site) -> None:
    name, link = await begun(room)
    async with browser.opened(("--lang=en",)) as tab:
        await tab.go(link)
        assert await tab.run(STEPS % LOOKS) == ["picture", "sound"]
        assert "B. Inspector of the Situation Centre looks in" in await clerk(room, "list")
        await clerk(room, "stop-look-in", name, *BY)
        assert await tab.run(STEPS % ENDS) == [0]
    await asyncio.to_thread(room.until, lambda: phases(room) == [("began", ""), ("ended", "A. Clerk")], "the centre to know")
    record = await sealed(room)
    told = [entry for _, entry in read_journal(record) if isinstance(entry, entries.Event) and entry.name.startswith("look_in")]
    assert [entry.name for entry in told][:2] == ["look_in_began", "look_in_connected"]
    assert told[0].data == {"look_in": name, "person": "B. Inspector", "reason": "a complaint", "at_us": told[0].data["at_us"]}
    assert [entry.data.get("by") for entry in told if entry.name == "look_in_ended"] == ["A. Clerk"]


@pytest.mark.skipif(browser.missing(), reason="chromium is not installed")
@pytest.mark.skipif(not (STATIC / "look/index.html").exists(), reason="the pages are not built (scripts/build-pages)")
async def test_who_leaves_or_closes_the_page_is_not_told_to_look_in_and_may_come_back_while_it_lasts(room: Site) -> None:
    _, link = await begun(room)
    async with browser.opened(("--lang=en",)) as tab:
        await tab.go(link)
        assert await tab.run(STEPS % LOOKS) == ["picture", "sound"]
        assert await tab.run(STEPS % LEAVES) == [0]
        await asyncio.to_thread(room.until, lambda: "Situation Centre may look in" in asked(room), "the clerk to see that it was left")
        again = 'await press("Try again"); await sees("You look in as B. Inspector.")'
        await tab.run(STEPS % again)
        await asyncio.to_thread(room.until, lambda: "Situation Centre looks in" in asked(room), "the clerk to see it again")
        await tab.go("about:blank")
        await asyncio.to_thread(room.until, lambda: "Situation Centre may look in" in asked(room), "the clerk to see that it was closed")
    await sealed(room)


@pytest.mark.long
async def test_it_outlives_the_agent_and_the_conference_and_ends_with_the_open_state(room: Site) -> None:
    _, link = await begun(room)
    async with aiohttp.ClientSession() as http:
        page = await opened(http, link)
        await page.first(signalling.Looking)
        for process in ("agent", "vks"):
            room.kill(process)
            await until(lambda page=page: page.closed, "the page to lose its connection")  # type: ignore[misc]
            await asyncio.to_thread(room.until, lambda: "B. Inspector of" in asked(room), "the clerk to see it again")
            page = await again(http, link)
        await asyncio.to_thread(room.order, "pause", "off_record", *BY)
        assert (await page.first(signalling.Bye)).code == "look_in_over"
    await asyncio.to_thread(room.until, lambda: phases(room) == [("began", ""), ("ended", "")], "the centre to know")
    await sealed(room)


async def again(http: aiohttp.ClientSession, link: str) -> PageInTest:
    """The page as it dials again, until it is answered."""
    end_s = asyncio.get_running_loop().time() + 30
    while True:
        assert asyncio.get_running_loop().time() < end_s, "the room is not back"
        try:
            page = await opened(http, link)
        except aiohttp.ClientError:
            await asyncio.sleep(0.1)
            continue
        await until(lambda page=page: page.heard or page.closed, "an answer")  # type: ignore[misc]
        if page.all(signalling.Looking):
            return page
        assert all(bye.again for bye in page.all(signalling.Bye)), page.heard
        await asyncio.sleep(0.1)
