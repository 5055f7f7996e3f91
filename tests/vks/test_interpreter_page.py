"""An interpreter's page, in a real browser: it says, and says aloud, who hears the interpreter."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from recorder.contract import conference as contract
from tests.lab import browser
from tests.lab.participant import participant
from tests.vks.test_accessible import AXE, IS_SAID, assert_accessible
from tests.vks.test_pages import held
from tests.vks.test_service import CLERK, House, invited
from tests.vks.test_service import house as house  # noqa: PLC0414 - a fixture is used by its name
from vks.door import STATIC

pytestmark = [
    pytest.mark.skipif(browser.missing(), reason="chromium is not installed"),
    pytest.mark.skipif(
        not AXE.exists() or not (STATIC / "join/index.html").exists(), reason="the pages are not built (scripts/build-pages)"
    ),
]
EVERYBODY, CHANNEL = "You speak to everybody", "You speak into the language channel: Қазақша"
IS_SHOWN = "document.querySelector('.controls [role=status]')?.innerText === %r"


@pytest.mark.parametrize("phone", [False, True], ids=["desk", "phone"])
async def test_an_interpreter_reads_beside_the_microphone_who_hears(house: House, tmp_path: Path, *, phone: bool) -> None:
    token, own = invited("p1")
    agent = await held(house, replace(own, role="interpreter"))
    async with participant(tmp_path / "p1", "P1", "interpreter", 1_000, 200, phone=phone) as person:
        await person.tab.go(f"{house.url}/join/#{token}")
        await person.press("Check microphone and camera")
        await person.reads("Join the hearing")
        await person.press("Join the hearing")
        await person.reads("You are in the waiting room")
        await agent.ask(contract.Admit(by=CLERK, person="p1"))
        await person.tab.until(IS_SHOWN % EVERYBODY, "that everybody hears")
        await agent.ask(contract.Interpret(by=CLERK, person="p1", channel="kk"))
        await person.tab.until(IS_SHOWN % CHANNEL, "the channel")
        assert await person.tab.run(IS_SAID % CHANNEL)
        await assert_accessible(person.tab)
        await agent.ask(contract.Mute(by=CLERK, person="p1", on=True))
        await person.tab.until(IS_SHOWN % "", "that nobody hears")
        await agent.ask(contract.Mute(by=CLERK, person="p1", on=False))
        await agent.ask(contract.Interpret(by=CLERK, person="p1", channel=""))
        await person.tab.until(IS_SHOWN % EVERYBODY, "that everybody hears again")
