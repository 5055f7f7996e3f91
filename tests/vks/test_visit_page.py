"""The visiting room's own screen in a real browser, while the room takes part in another one's hearing."""

import asyncio
import contextlib
from pathlib import Path

import pytest

from recorder.contract import conference as contract
from tests.lab import browser
from tests.vks.browsers import PictureEncoder, until
from tests.vks.test_pages import STEPS
from tests.vks.test_service import CLERK
from tests.vks.test_visit import Rooms, party
from tests.vks.test_visit import rooms as rooms  # noqa: PLC0414 - a fixture is used by its name
from vks.door import STATIC
from vks.times import mono_us

pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(browser.missing(), reason="chromium is not installed"),
    pytest.mark.skipif(not (STATIC / "display/index.html").exists(), reason="the pages are not built (scripts/build-pages)"),
]
WAITS_AND_IS_LET_IN = """
  for (const words of ["Case 1", "Этот зал ждёт, пока его впустят", "This courtroom waits to be admitted", "Бұл зал басқа сот залындағы"]) {
    await sees(words);
  }
  if (document.querySelector(".lamp.off") && !document.querySelector("video")) seen.push("waits");
  new WebSocket(location.href.replace("http", "ws").replace("/display/", "/api/display"));
  const shows = words => [...document.querySelectorAll(".tile")].some(
    tile => tile.innerText.includes(words) && tile.querySelector("video").getVideoPlaybackQuality().totalVideoFrames > 0);
  await find("the party", () => shows("Party"));
  await find("the hosting courtroom", () => shows("Courtroom") && shows("Зал суда"));
  await sees("The hearing is held in another courtroom");
  if (document.querySelector(".lamp.on")) seen.push("recorded");
"""
HOSTING_SHADE = 60


async def camera(rooms: Rooms) -> None:
    """The hosting room's."""
    encoder = PictureEncoder()
    while True:
        await asyncio.sleep(0.08)
        rooms.hosting.service._pictures[0].feed.take(encoder.units(HOSTING_SHADE, key=True), mono_us(), mono_us())


async def test_it_says_in_three_languages_that_it_waits_and_then_shows_the_hearing_and_the_other_courtroom(
    rooms: Rooms, tmp_path: Path
) -> None:
    filming, there = asyncio.create_task(camera(rooms)), await party(rooms)
    visit = await rooms.visit(await rooms.invite("court-2"))
    await rooms.until_phase(visit, "waits")
    steps, url = STEPS % WAITS_AND_IS_LET_IN, f"{rooms.visiting.url}/display/"
    browsing = asyncio.create_task(asyncio.to_thread(browser.ask, url, steps, tmp_path / "display.png"))
    await until(lambda: browsing.done() or len(rooms.visiting.service.hall.displays) == 2, "the page says that the room waits")
    await rooms.ask(contract.Admit(by=CLERK, person="court-2"))
    assert await browsing == ["waits", "recorded"]
    filming.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await filming
    await there.close()
