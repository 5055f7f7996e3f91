"""The join page in Debian's Firefox, which brings no H.264 of its own: it takes part by sound alone, and is told so."""

import asyncio

import pytest

from recorder.contract import conference as contract
from tests.lab import firefox
from tests.vks.browsers import until
from tests.vks.test_pages import STEPS, held, there_already
from tests.vks.test_service import CLERK, House, invited
from tests.vks.test_service import house as house  # noqa: PLC0414 - a fixture is used by its name
from vks.door import STATIC

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(firefox.missing(), reason="firefox-esr is not installed"),
    pytest.mark.skipif(not (STATIC / "join/index.html").exists(), reason="the pages are not built (scripts/build-pages)"),
]
FIREFOX_HZ, OTHER_HZ = 1_000.0, 1_300.0
"""What its stand-in for a microphone gives; and the other participant's."""
JOINS = """
  await press("Check microphone and camera");
  await press("Join the hearing");
  await sees("In the hearing");
  seen.push("hearing");
  await sees("This browser cannot show or send pictures");
  seen.push("told");
  await find("sound", () => { const sound = document.querySelector("audio:not([src])"); return !sound.paused && sound.currentTime > 0 });
  seen.push("sound");
"""
LEAVES = """
  await press("Leave");
  await press("Yes, leave");
  await sees("You have left the hearing");
  seen.push("left");
"""


async def test_firefox_takes_part_by_sound_alone_and_is_told_so(house: House) -> None:
    (token, own), (others_token, others) = invited("p1"), invited("p2")
    agent = await held(house, own, others)
    other = await there_already(house, agent, others_token, OTHER_HZ)
    async with firefox.opened(answer_s=60) as tab:
        await tab.go(f"{house.url}/join/#{token}")
        browsing = asyncio.create_task(tab.run(STEPS % JOINS))
        await until(lambda: browsing.done() or agent.place("p1") == "lobby", "the lobby", timeout_s=60)
        await agent.ask(contract.Admit(by=CLERK, person="p1"))
        assert await browsing == ["hearing", "told", "sound"]
        await until(lambda: other.hears(FIREFOX_HZ), "the other one hears it")
        assert await tab.run(STEPS % LEAVES) == ["left"]
        await until(lambda: agent.place("p1") == "", "the person is gone")
    await other.close()
