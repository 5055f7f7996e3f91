"""The display's page in a real browser, at the real process: it shows the room's hearing, and comes back by itself."""

import asyncio
from pathlib import Path

import pytest

from recorder.contract import conference as contract
from tests.lab import browser
from tests.vks.browsers import until
from tests.vks.test_display import held
from tests.vks.test_pages import STEPS
from tests.vks.test_service import CLERK, House
from tests.vks.test_service import house as house  # noqa: PLC0414 - a fixture is used by its name
from vks import signalling
from vks.door import STATIC

pytestmark = [
    pytest.mark.skipif(browser.missing(), reason="chromium is not installed"),
    pytest.mark.skipif(not (STATIC / "display/index.html").exists(), reason="the pages are not built (scripts/build-pages)"),
]
SHOWS = """
  const picture = () => [...document.querySelectorAll(".tile")].some(
    tile => tile.innerText.includes("Party") && tile.querySelector("video").getVideoPlaybackQuality().totalVideoFrames > 0);
  await find("the picture", picture);
  for (const words of ["Case 1", "Идёт судебное заседание.", "The hearing is in progress.", "Сот отырысы жүріп жатыр."]) await sees(words);
  if (document.querySelector(".lamp.on") && document.body.innerText.includes("Идёт запись")) seen.push("recorded");
  seen.push(document.querySelectorAll("button, a, input, select, audio").length);
  new WebSocket(location.href.replace("http", "ws").replace("/display/", "/api/display"));
"""
"""The second connection tells the test that all this was seen."""
GOES = """
  await find("another state", () => document.querySelector(".banner.stop"));
  await sees("Суд совещается.");
  await sees("The court deliberates.");
  if (document.querySelector(".lamp.off") && !document.querySelector(".lamp.on") && !document.querySelector("video")) seen.push("nothing");
"""
COMES_BACK = """
  await find("the loss is told", () => document.querySelector(".banner.trouble"));
  if (!document.querySelector("video") && !document.querySelector(".lamp")) seen.push("lost");
  await find("the picture again", picture);
  seen.push("back");
"""


async def test_it_shows_the_hearing_in_three_languages_and_nothing_while_the_court_deliberates(house: House, tmp_path: Path) -> None:
    async with held(house) as (hearing, _):
        await hearing.ask(contract.Admit(by=CLERK, person="party"))
        steps = STEPS % (SHOWS + GOES)
        browsing = asyncio.create_task(asyncio.to_thread(browser.ask, f"{house.url}/display/", steps, tmp_path / "display.png"))
        await until(lambda: browsing.done() or len(house.service.hall.displays) == 3, "the page shows the hearing", timeout_s=60)
        await hearing.room("deliberation")
        assert await browsing == ["recorded", 0, "nothing"]


async def test_it_comes_back_by_itself_after_the_connection_is_lost(house: House) -> None:
    async with held(house) as (hearing, _):
        await hearing.ask(contract.Admit(by=CLERK, person="party"))
        steps = STEPS % (SHOWS + COMES_BACK)
        browsing = asyncio.create_task(asyncio.to_thread(browser.ask, f"{house.url}/display/", steps))
        await until(lambda: browsing.done() or len(house.service.hall.displays) == 3, "the page shows the hearing", timeout_s=60)
        house.service.hall.displays.close(signalling.Bye(code="closing", again=True))
        assert await browsing == ["recorded", 0, "lost", "back"]
