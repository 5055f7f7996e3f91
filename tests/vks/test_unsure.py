"""What is not known of the room is taken for what must not be: nobody hears anybody, and no lamp is on."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from recorder.contract import conference as staff
from tests.vks.browsers import until
from tests.vks.test_rules import CLERK, everything, opened
from tests.vks.test_service import House, invited, running
from vks import acts, agent_link, signalling
from vks.order import Unsure, recorded
from vks.rules import apply
from vks.story import facts
from vks.view import screen_of, view_of


def room_is(unsure: Unsure) -> acts.RoomIs:
    return acts.RoomIs(hearing="h1", state="open", unsure=unsure)


def test_while_nobody_says_the_rooms_state_nobody_hears_sees_or_is_recorded() -> None:
    order = apply(opened("party", "counsel", "prosecutor"), staff.Consult(by=CLERK, people=["party", "counsel"]), 0)
    unknown = apply(order, room_is("room"), 0)
    assert not everything(unknown)
    assert not any(recorded(unknown, name) for name in unknown.people)
    assert [fact.name for fact in facts(order, unknown)] == ["room_unknown"]
    assert everything(apply(unknown, room_is(""), 0)) == everything(order)


@pytest.mark.parametrize("unsure", ["recording", "room"])
def test_no_lamp_is_on_where_it_is_not_known_and_pages_are_told(unsure: Unsure) -> None:
    order = apply(opened("party"), room_is(unsure), 0)
    screen = screen_of(order, "Case 1")
    assert (screen.recording, screen.unsure, view_of(order, "party").unsure) == (False, unsure, unsure)


def test_a_silent_recorder_ends_nobodys_hearing() -> None:
    order = opened("party", "counsel")
    assert everything(apply(order, room_is("recording"), 0)) == everything(order)


@pytest.fixture
async def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    monkeypatch.setattr(agent_link, "HEARTBEAT_S", 0.5)
    async with running(tmp_path) as house:
        yield house


STAND_IN = """
import asyncio, sys, aiohttp
async def main():
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(sys.argv[1])) as session:
        async with session.ws_connect("http://vks/agent") as socket:
            await socket.send_str(sys.argv[2])
            async for _ in socket:
                pass
asyncio.run(main())
"""
"""An agent in a process of its own, so that it can be stopped."""


@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL])
async def test_an_agent_that_hangs_or_is_gone_closes_the_room_to_everybody_until_one_is_back(house: House, how: signal.Signals) -> None:
    token, invitation = invited("p1")
    said = staff.HearingIs(hearing="h1", title="Case 1", state="open", closed=False, invitations=[invitation], secret=bytes(32))
    path = staff.socket_path(str(house.service._settings.own_run_dir))
    words = (path, staff.encoder.encode(said).decode())
    agent = await asyncio.create_subprocess_exec(sys.executable, "-c", STAND_IN, *words)
    try:
        await until(lambda: house.service.hall.conference, "the hearing is held")
        page = await house.come(token)
        await page.first(signalling.View)
        agent.send_signal(how)
        await until(lambda: page.all(signalling.View)[-1].unsure == "room", "the page is told that nobody knows")
        back = await house.agent()
        await back.hold(invitation, state="privileged")
        await until(lambda: page.all(signalling.View)[-1].room == "privileged", "the new agent's word")
        assert page.all(signalling.View)[-1].unsure == ""
    finally:
        with contextlib.suppress(ProcessLookupError):
            agent.kill()
        await agent.wait()


async def test_what_the_agent_says_of_a_silent_recorder_reaches_the_pages(house: House) -> None:
    token, invitation = invited("p1")
    agent = await house.agent()
    await agent.hold(invitation)
    await until(lambda: agent.stands, "the hearing is held")
    page = await house.come(token)
    await page.first(signalling.View)
    await agent.hold(invitation, unsure=True)
    await until(lambda: page.all(signalling.View)[-1].unsure == "recording", "the page is told")
    await agent.hold(invitation)
    await until(lambda: page.all(signalling.View)[-1].unsure == "", "it is known again")
