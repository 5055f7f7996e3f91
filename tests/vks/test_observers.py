"""An observer, a person or a room, hears and sees, and sends nothing: no line is agreed on by which he would."""

import asyncio

import msgspec

from recorder.contract import conference as contract
from tests.vks.browsers import Browser, until
from tests.vks.test_service import CLERK, House, invited
from tests.vks.test_service import house as house  # noqa: PLC0414 - a fixture is used by its name
from tests.vks.test_visit import PARTY_HZ, VISITOR_HZ, Rooms, party
from tests.vks.test_visit import rooms as rooms  # noqa: PLC0414 - a fixture is used by its name
from vks import signalling


async def test_an_observer_hears_and_sees_and_no_line_is_agreed_on_by_which_he_would_send(house: House) -> None:
    (token, invitation), (observers, observer) = invited("p1"), invited("p2")
    agent = await house.agent()
    await agent.hold(invitation, msgspec.structs.replace(observer, role="observer"))
    await until(lambda: agent.stands, "the hearing is held")
    browsers = {"p1": Browser(1_000, 120), "p2": Browser(2_000, 200)}
    for person, link in (("p1", token), ("p2", observers)):
        page = await house.come(link, f"device-{person}")
        await page.first(signalling.Welcome)
        await agent.ask(contract.Admit(by=CLERK, person=person))
        await browsers[person].dial(page.answer)
    sdp = (await page.first(signalling.Answer)).sdp
    assert "a=sendonly" in sdp
    assert "a=sendrecv" not in sdp
    assert "a=recvonly" not in sdp
    await until(lambda: browsers["p2"].hears(1_000) and browsers["p2"].sees(120), "the observer hears and sees")
    await asyncio.gather(*(browser.close() for browser in browsers.values()))


async def test_a_room_that_was_invited_as_an_observer_hears_and_is_not_heard(rooms: Rooms) -> None:
    there = await party(rooms)
    token, invitation = invited("court-2")
    rooms.invitations.append(msgspec.structs.replace(invitation, role="observer"))
    await rooms.hold()
    visit = await rooms.visit(token)
    await rooms.until_phase(visit, "waits")
    await rooms.ask(contract.Admit(by=CLERK, person="court-2"))
    await rooms.until_phase(visit, "takes_part")
    await until(lambda: rooms.hears(PARTY_HZ), "the visiting room hears")
    assert not there.hears(VISITOR_HZ)
    assert rooms.own_agent.visits[-1].phase == "takes_part"
    await there.close()
