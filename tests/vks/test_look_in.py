"""A look-in by the process's own doors: what comes to it, what ends it, and what it cannot do."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import msgspec
import pytest
from aiortc import RTCPeerConnection, RTCSessionDescription

from recorder.contract import conference as contract
from tests.vks.browsers import Shades, Tone, Watcher, until
from tests.vks.test_display import COUNSEL, PARTY, Held, held
from tests.vks.test_service import CLERK, House, PageInTest, invited
from tests.vks.test_service import house as house  # noqa: PLC0414 - a fixture is used by its name
from vks import signalling

TOKEN = "a-token-of-32-random-bytes-in-base64url"
DEVICE = "device-of-the-inspector"


def begin(length_s: int = 600) -> contract.BeginLookIn:
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    return contract.BeginLookIn(look_in="l1", person="B. Inspector", reason="a complaint", length_s=length_s, token_sha256=digest)


async def opened(house: House, token: str = TOKEN, device: str = DEVICE) -> PageInTest:
    """A page that comes by the agent's socket, as the relay's do."""
    page = PageInTest(await house.inside.ws_connect("http://vks/api/look"), signalling.to_look_in)
    await page.say(signalling.Look(token=token, device=device))
    return page


async def dialled(page: PageInTest) -> Watcher:
    async def answer(offer: str) -> str:
        await page.say(signalling.Offer(sdp=offer))
        return str((await page.first(signalling.Answer)).sdp)

    viewer = Watcher(sound=True)
    await viewer.dial(answer)
    return viewer


@asynccontextmanager
async def looked_into(house: House) -> AsyncIterator[tuple[Held, PageInTest, Watcher]]:
    """A hearing with the party on the floor and counsel in the lobby, and somebody who looks in."""
    async with held(house) as (hearing, _):
        await hearing.ask(contract.Admit(by=CLERK, person="party"))
        assert (await hearing.agent.ask(begin())).code == ""
        page = await opened(house)
        looking = await page.first(signalling.Looking)
        assert (looking.person, 590 <= looking.left_s <= 600) == ("B. Inspector", True)
        viewer = await dialled(page)
        try:
            yield hearing, page, viewer
        finally:
            await viewer.close()


async def is_cut(page: PageInTest, viewer: Watcher) -> None:
    assert (await page.first(signalling.Bye)).code == "look_in_over"
    await until(lambda: page.closed and viewer.over, "it is sent away, and its media ends")


async def test_it_hears_and_sees_the_floor_and_everybody_there_reads_its_name(house: House) -> None:
    async with looked_into(house) as (hearing, page, viewer):
        await until(lambda: viewer.hears(1_000) and viewer.sees(PARTY, 3), "the party")
        assert not viewer.sees(COUNSEL), "counsel waits in the lobby"
        assert page.all(signalling.Screen)[-1].look_ins == ["B. Inspector"]
        assert [one.person for one in page.all(signalling.Screen)[-1].people] == ["party"]
        party = hearing.pages[0]
        await until(lambda: party.all(signalling.View)[-1].look_ins == ["B. Inspector"], "the party is told")
        stands = hearing.agent.stands
        assert stands is not None
        assert [(one.person, one.reason, one.watches) for one in stands.look_ins] == [("B. Inspector", "a complaint", True)]
        told = [fact.name for fact in hearing.agent.told if fact.name.startswith("look_in")]
        assert told == ["look_in_began", "look_in_connected"]


async def test_it_is_cut_when_the_clerk_ends_it(house: House) -> None:
    async with looked_into(house) as (hearing, page, viewer):
        await until(lambda: viewer.sees(PARTY), "the party")
        await hearing.ask(contract.StopLookIn(by=CLERK, look_in="l1", reason="a witness is afraid"))
        await is_cut(page, viewer)
        assert house.service.hall.conference is not None
        assert not house.service.hall.conference.order.look_ins


@pytest.mark.parametrize("state", ["off_record", "privileged", "deliberation", "closing"])
async def test_it_is_cut_when_the_room_leaves_the_open_state_and_does_not_come_back_with_it(house: House, state: str) -> None:
    async with looked_into(house) as (hearing, page, viewer):
        await until(lambda: viewer.sees(PARTY), "the party")
        await hearing.room(state)
        await is_cut(page, viewer)
        await hearing.room("open")
        again = await opened(house)
        assert (await again.first(signalling.Bye)).code == "unknown"


async def test_it_is_cut_when_another_hearing_is_held(house: House) -> None:
    async with looked_into(house) as (hearing, page, viewer):
        await until(lambda: viewer.sees(PARTY), "the party")
        await hearing.agent.hold(hearing="h2")
        await is_cut(page, viewer)


async def test_a_link_that_was_opened_opens_for_no_other_device_and_for_that_one_again(house: House) -> None:
    async with looked_into(house) as (_, page, viewer):
        thief = await opened(house, device="another-device")
        assert (await thief.first(signalling.Bye)).code == "look_in_used"
        assert not thief.all(signalling.Screen)
        await until(lambda: viewer.sees(PARTY), "the first one goes on")
        again = await opened(house)
        await again.first(signalling.Looking)
        assert (await page.first(signalling.Bye)).code == "elsewhere"
        assert not again.all(signalling.Bye)


async def test_relays_are_told_to_whoever_opens_the_link_and_to_nobody_else(house: House) -> None:
    server = contract.IceServer(urls=["turn:192.0.2.1"], username="1800000000:lab.look-ins_", credential="of look-ins")
    agent = await house.agent()
    await agent.hold(look_in_relays=contract.Relays(page=[server], room=[]))
    await until(lambda: agent.stands, "the hearing is held")
    await agent.ask(begin())
    stranger, page = await opened(house, "forged"), await opened(house)
    assert (await page.first(signalling.Looking)).ice == [server]
    await stranger.first(signalling.Bye)
    assert [type(message) for message in stranger.heard] == [signalling.Bye]


async def test_a_forged_link_opens_nothing_nor_does_a_participants(house: House) -> None:
    token, invitation = invited("p1")
    agent = await house.agent()
    await agent.hold(invitation)
    await until(lambda: agent.stands, "the hearing is held")
    assert (await agent.ask(begin())).code == ""
    for wrong in ("forged", token, hashlib.sha256(TOKEN.encode()).hexdigest()):
        page = await opened(house, wrong)
        assert (await page.first(signalling.Bye)).code == "unknown"
    assert (await house.join(TOKEN))[1]["code"] == "unknown"


async def test_nobody_looks_in_by_the_courts_own_network(house: House) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError, match="404"):
        await house.http.ws_connect(f"{house.url}/api/look")


WHAT_PARTICIPANTS_SAY = [
    '{"m":"do","act":{"act":"raise_hand","on":true}}', '{"m":"do","act":{"act":"share","on":true}}', '{"m":"resume","token":"t"}', "{",
]  # fmt: skip


@pytest.mark.parametrize("text", WHAT_PARTICIPANTS_SAY)
async def test_it_can_say_nothing_that_a_participant_can(house: House, text: str) -> None:
    async with looked_into(house) as (_, page, _viewer):
        await page.raw(text)
        assert (await page.first(signalling.Bye)).code == "bad_message"
        await until(lambda: page.closed, "it is sent away")


@pytest.mark.parametrize(("kind", "direction"), [("audio", "sendrecv"), ("video", "sendonly"), ("video", "sendrecv"), ("channel", "")])
async def test_an_offer_that_would_send_anything_is_refused(house: House, kind: str, direction: str) -> None:
    agent = await house.agent()
    await agent.hold()
    await until(lambda: agent.stands, "the hearing is held")
    await agent.ask(begin())
    page, peer = await opened(house), RTCPeerConnection()
    peer.addTransceiver(Tone() if kind == "audio" else "audio", "sendrecv" if kind == "audio" else "recvonly")
    peer.addTransceiver(Shades(PARTY) if kind == "video" else "video", direction if kind == "video" else "recvonly")
    if kind == "channel":
        peer.createDataChannel("words")
    await peer.setLocalDescription(await peer.createOffer())
    await page.say(signalling.Offer(sdp=peer.localDescription.sdp))
    assert (await page.first(signalling.Refused)).code == "bad_offer"
    assert not page.all(signalling.Answer)
    await peer.close()


async def test_lines_in_another_order_than_sound_and_pictures_are_refused(house: House) -> None:
    agent = await house.agent()
    await agent.hold()
    await until(lambda: agent.stands, "the hearing is held")
    await agent.ask(begin())
    page, peer = await opened(house), RTCPeerConnection()
    peer.addTransceiver("video", "recvonly")
    await peer.setLocalDescription(await peer.createOffer())
    await page.say(signalling.Offer(sdp=peer.localDescription.sdp))
    answer = await page.first(signalling.Answer)
    await peer.setRemoteDescription(RTCSessionDescription(answer.sdp, "answer"))
    assert (await page.first(signalling.Bye)).code == "bad_offer"
    await peer.close()


async def test_a_restart_keeps_its_place_and_its_end_and_it_is_not_said_to_watch_until_it_is_back(house: House) -> None:
    agent = await house.agent()
    await agent.hold()
    await until(lambda: agent.stands, "the hearing is held")
    await agent.ask(begin())
    page = await opened(house)
    await page.first(signalling.Looking)
    await until(lambda: agent.stands and agent.stands.look_ins[0].watches, "it watches")
    kept = agent.order
    hall = house.service.hall
    hall.hearing = hall.conference = None  # as in a new process
    await agent.hold(kept=kept)
    await until(lambda: agent.stands and not agent.stands.look_ins[0].watches, "nobody watches yet")
    again = await opened(house)
    assert (await again.first(signalling.Looking)).person == "B. Inspector"
    thief = await opened(house, device="another-device")
    assert (await thief.first(signalling.Bye)).code == "look_in_used"


async def test_the_agent_has_what_was_begun_before_it_is_told_that_it_was(house: House) -> None:
    async with contextlib.AsyncExitStack() as stack:
        link = await stack.enter_async_context(house.inside.ws_connect("http://vks/agent"))
        hearing = contract.HearingIs(hearing="h1", title="", state="open", closed=False, invitations=[], secret=bytes(32))
        await link.send_str(msgspec.json.encode(hearing).decode())
        await link.send_str(msgspec.json.encode(contract.Ask(number=1, act=begin())).decode())
        shown = False
        async with asyncio.timeout(10):
            while not isinstance(said := contract.from_vks.decode(await link.receive_str()), contract.Answer):
                shown = shown or (isinstance(said, contract.Stands) and bool(said.look_ins))
        assert (said.code, shown) == ("", True)
