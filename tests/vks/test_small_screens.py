"""The join page on a phone that has much to tell at once: all is told, and the courtroom's picture is seen whole nevertheless."""

from pathlib import Path

import pytest

from recorder.contract import conference as contract
from tests.lab import browser
from tests.lab.participant import participant
from tests.vks.closed import held
from tests.vks.test_service import CLERK
from vks import acts
from vks.door import STATIC

pytestmark = [
    pytest.mark.skipif(browser.missing(), reason="chromium is not installed"),
    pytest.mark.skipif(not (STATIC / "join/index.html").exists(), reason="the pages are not built (scripts/build-pages)"),
]
TOLD = ("Break in the record", "The clerk has turned off your microphone", "This hearing is not public")
CODE = "document.querySelector('.code')?.innerText ?? ''"
HEIGHTS = """['.banners', '.tile.large', '.controls'].map(one => document.querySelector(one).getBoundingClientRect().height)"""
WIDE_ENOUGH = "document.documentElement.scrollWidth <= innerWidth"
SHOWN = """[...document.querySelectorAll('.banner')].map(one => {
  const { top, bottom } = one.getBoundingClientRect();
  return bottom - top > 16 && top >= 0 && bottom <= innerHeight ? one.innerText : "";
})"""
CUT = "[...document.querySelectorAll('.controls button')].filter(one => one.scrollHeight > one.clientHeight + 1).length"
WHOLE = "(() => { const one = document.querySelectorAll('.banner')[1]; one.focus(); return one.scrollWidth <= one.clientWidth })()"


@pytest.mark.parametrize(("width", "height"), [(740, 360), (360, 640)])
@pytest.mark.parametrize("language", ["en", "ru", "kk"])
async def test_all_is_told_and_the_picture_is_seen_whole(tmp_path: Path, width: int, height: int, language: str) -> None:
    async with held(tmp_path, closed=True) as it, participant(tmp_path / "p1", "P1", "party", 700, 120, phone=True) as one:
        await one.tab.page.set_viewport_size({"width": width, "height": height})
        await one.join(f"{it.house.url}/join/#{it.token}")
        await it.vouch(str(await one.tab.until(CODE, "the code")))
        await it.agent.ask(contract.Admit(by=CLERK, person="p1"))
        await one.reads("In the hearing")
        await it.agent.ask(contract.Mute(by=CLERK, person="p1", on=True))
        conference = it.house.service.hall.conference
        assert conference is not None
        conference.act(acts.RoomIs(hearing="h1", state="off_record", closed=True))
        conference.act(acts.Share(on=True), "p2")
        await one.tab.until("document.querySelector('.tile.large') !== null", "a large picture")
        for words in TOLD:
            await one.reads(words)
        await one.tab.run(f"""(() => {{
          const list = document.querySelector('.language select');
          list.value = '{language}';
          list.dispatchEvent(new Event('change', {{ bubbles: true }}));
        }})()""")
        await one.tab.until(f"document.documentElement.lang === '{language}'", "the language")
        assert await one.tab.run(WIDE_ENOUGH)
        heights = await one.tab.run(HEIGHTS)
        assert sum(heights) <= height, heights
        await one.tab.run("document.querySelector('.tile.large').scrollIntoView({ block: 'center' })")
        assert all(await one.tab.run(SHOWN))
        assert await one.tab.run(CUT) == 0
        assert await one.tab.run(WHOLE), "what is cut is whole for whoever goes to it"
