"""The pages for whoever sees little, has a screen reader, or no mouse: judged by axe-core (WCAG 2.2 AA), and used by the keyboard alone."""

from pathlib import Path
from typing import Any, Literal

import pytest

from recorder.contract import conference as contract
from tests.lab import browser
from tests.lab.participant import participant
from tests.vks.browsers import until
from tests.vks.test_pages import held
from tests.vks.test_service import CLERK, House, invited
from tests.vks.test_service import house as house  # noqa: PLC0414 - a fixture is used by its name
from vks.door import STATIC

AXE = Path(__file__).parents[2] / "web/node_modules/axe-core/axe.min.js"
pytestmark = [
    pytest.mark.skipif(browser.missing(), reason="chromium is not installed"),
    pytest.mark.skipif(
        not AXE.exists() or not (STATIC / "join/index.html").exists(), reason="the pages are not built (scripts/build-pages)"
    ),
]
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
MOST_TABS = 40
FOCUS = """(() => {
  const one = document.activeElement, { outlineStyle, outlineWidth } = getComputedStyle(one);
  const shows = one.matches(":focus-visible") && outlineStyle !== "none" && parseFloat(outlineWidth) > 0;
  return [one.tagName === "BUTTON" ? one.innerText : "", shows];
})()"""
IS_SAID = """[document.activeElement, ...document.querySelectorAll("[role=alert], [role=status], [aria-live]")].some(
  one => one.innerText.includes(%r))"""
"""Whether a screen reader says these words by itself: they have come into a live region, or have the focus."""


async def assert_accessible(tab: browser.Tab) -> None:
    """axe finds nothing on the page as it is now, in light and in dark colours."""
    await tab.run(f"{AXE.read_text(encoding='utf-8')}; 0")
    colours: Literal["light", "dark"]
    for colours in ("light", "dark"):
        await tab.page.emulate_media(color_scheme=colours)
        found: list[dict[str, Any]] = await tab.run(f"axe.run({{ runOnly: {RULES} }}).then(done => done.violations)")
        assert [(colours, one["id"], one["help"], [node["html"][:200] for node in one["nodes"]]) for one in found] == []


async def choose(tab: browser.Tab, words: str) -> None:
    """By the keyboard alone: go to the button with these words, which shows where one is, and press it."""
    await tab.until(f"[...document.querySelectorAll('button')].some(one => one.innerText.includes({words!r}))", f"the button '{words}'")
    passed = []
    for _ in range(MOST_TABS):
        await tab.page.keyboard.press("Tab")
        text, shows = await tab.run(FOCUS)
        passed.append(text)
        if words in text:
            assert shows, f"nobody sees that '{words}' is chosen"
            await tab.page.keyboard.press("Enter")
            return
    raise AssertionError(f"'{words}' is not reached by the keyboard, but {passed}")


async def test_no_page_has_what_wcag_forbids_in_any_state_of_a_hearing(house: House, tmp_path: Path) -> None:
    (token, own), (others_token, others) = invited("p1"), invited("p2")
    agent = await held(house, own, others)
    async with (
        participant(tmp_path / "p1", "P1", "party", 1_000, 200, phone=True) as phone,
        participant(tmp_path / "p2", "P2", "party", 1_300, 100) as desk,
    ):
        await desk.join(f"{house.url}/join/#{others_token}")
        await desk.reads("You are in the waiting room")
        await assert_accessible(desk.tab)
        await agent.ask(contract.Admit(by=CLERK, person="p2"))
        await phone.tab.go(f"{house.url}/join/#{token}")
        await phone.reads("Check your microphone")
        await assert_accessible(phone.tab)
        await phone.press("Check microphone and camera")
        await phone.reads("Join the hearing")
        await assert_accessible(phone.tab)
        await phone.press("Join the hearing")
        await phone.reads("You are in the waiting room")
        await agent.ask(contract.Admit(by=CLERK, person="p1"))
        await phone.reads("In the hearing")
        await phone.reads("P2, party")
        await agent.ask(contract.Mute(by=CLERK, person="p1", on=True))
        await phone.reads("The clerk has turned off your microphone")
        await phone.tab.run("document.querySelectorAll('details').forEach(one => { one.open = true })")
        await assert_accessible(phone.tab)
        await phone.press("Leave")
        await phone.reads("Yes, leave")
        await assert_accessible(phone.tab)
        await phone.press("Yes, leave")
        await phone.reads("You have left the hearing")
        await assert_accessible(phone.tab)
        for page in ("display/", "identity/", "join/#forged"):
            await phone.tab.go(f"{house.url}/{page}")
            await phone.tab.until("document.readyState === 'complete' && document.querySelector('h1')?.innerText.length > 0", page)
            await assert_accessible(phone.tab)


async def test_somebody_without_a_mouse_joins_is_told_what_happens_and_leaves(house: House, tmp_path: Path) -> None:
    token, own = invited("p1")
    agent = await held(house, own)
    async with participant(tmp_path / "p1", "P1", "party", 1_000, 200) as person:
        tab = person.tab
        await tab.go(f"{house.url}/join/#{token}")
        await choose(tab, "Check microphone and camera")
        await choose(tab, "Join the hearing")
        await tab.until(IS_SAID % "You are in the waiting room", "the lobby to be said")
        await agent.ask(contract.Admit(by=CLERK, person="p1"))
        await tab.until(IS_SAID % "Court hearing", "the hearing to be said")
        await choose(tab, "Raise hand")
        await until(lambda: agent.stands is not None and any(one.hand for one in agent.stands.people), "the hand")
        await agent.ask(contract.Mute(by=CLERK, person="p1", on=True))
        await tab.until(IS_SAID % "The clerk has turned off your microphone", "the muting to be said")
        await choose(tab, "Leave")
        await choose(tab, "Yes, leave")
        await until(lambda: agent.place("p1") == "", "the person is gone")
