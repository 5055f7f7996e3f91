"""Relays and their credentials: told to whoever is let in and to nobody else."""

import asyncio
import logging
import socket
from types import SimpleNamespace
from typing import cast

import pytest
from aioice.turn import TurnClientTcpProtocol, TurnTransport
from aiortc import RTCConfiguration, RTCDtlsTransport, RTCIceServer

from recorder.contract import conference as contract
from tests.vks.browsers import Browser, until
from tests.vks.test_service import CLERK, House, PageInTest, invited
from tests.vks.test_service import house as house  # noqa: PLC0414 - a fixture is used by its name
from vks import connection, signalling, wire

PAGE = contract.IceServer(urls=["turn:192.0.2.1"], username="1800000000:lab.p1", credential="of p1")
ROOM = contract.IceServer(urls=["stun:127.0.0.1:9"])
RELAYS = contract.Relays(page=[PAGE], room=[ROOM])


async def relayed(house: House, resume: str) -> PageInTest:
    """A page that comes through the centre: the agent brings it to vks's own socket."""
    page = PageInTest(await house.inside.ws_connect("http://vks/api/connect"))
    await page.say(signalling.Resume(token=resume))
    return page


async def test_whoever_is_let_in_is_told_his_own_and_whoever_guesses_nothing(house: House, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    (token, one), (others_token, other) = invited("p1"), invited("p2")
    agent = await house.agent()
    await agent.hold(one, other, relays={"p1": RELAYS})
    await until(lambda: agent.stands, "the hearing is held")
    page, others = await house.come(token), await house.come(others_token, "device-2")
    assert (await page.first(signalling.Welcome)).ice == [PAGE]
    assert (await others.first(signalling.Welcome)).ice == []
    status, body = await house.join("guessed")
    stranger = await house.page("guessed")
    await stranger.first(signalling.Bye)
    assert (status, PAGE.credential in str(body), stranger.all(signalling.Welcome)) == (403, False, [])
    assert PAGE.credential not in caplog.text


async def test_who_was_put_out_is_told_none(house: House) -> None:
    token, one = invited("p1")
    agent = await house.agent()
    await agent.hold(one, relays={"p1": RELAYS})
    await until(lambda: agent.stands, "the hearing is held")
    _, body = await house.join(token)
    page = await house.page(body["resume"])
    await page.first(signalling.Welcome)
    assert (await agent.ask(contract.Remove(by=CLERK, person="p1"))).code == ""
    again = await house.page(body["resume"])
    await again.first(signalling.Bye)
    assert all(welcome.ice == [] for welcome in again.all(signalling.Welcome))


@pytest.mark.parametrize("through_centre", [True, False])
async def test_vks_looks_for_another_way_only_for_who_comes_through_the_centre(
    house: House, monkeypatch: pytest.MonkeyPatch, *, through_centre: bool
) -> None:
    used: list[list[RTCIceServer]] = []

    def noted(**settings: object) -> RTCConfiguration:
        servers = settings["iceServers"]
        assert isinstance(servers, list)
        used.append(servers)
        return RTCConfiguration(iceServers=[])

    monkeypatch.setattr(connection, "RTCConfiguration", noted)
    token, one = invited("p1")
    agent = await house.agent()
    await agent.hold(one, relays={"p1": RELAYS})
    await until(lambda: agent.stands, "the hearing is held")
    _, body = await house.join(token)
    page = await (relayed(house, body["resume"]) if through_centre else house.page(body["resume"]))
    browser = Browser(1_000, 200)
    await browser.dial(page.answer)
    await browser.close()
    assert used == [[RTCIceServer(urls=["stun:127.0.0.1:9"])] if through_centre else []]


async def test_an_address_that_follows_the_offer_is_taken_and_one_before_it_does_no_harm(house: House) -> None:
    token, one = invited("p1")
    agent = await house.agent()
    await agent.hold(one)
    await until(lambda: agent.stands, "the hearing is held")
    page = await house.come(token)
    await page.say(signalling.Candidate(candidate="candidate:1 1 udp 1 192.0.2.9 9 typ host"))
    await page.say(signalling.Candidate(candidate="no candidate"))
    await page.say(signalling.Ping())
    await page.first(signalling.Pong)
    assert not page.closed


async def test_a_page_that_asks_whether_the_courtroom_is_there_is_answered(house: House) -> None:
    token, one = invited("p1")
    agent = await house.agent()
    await agent.hold(one)
    await until(lambda: agent.stands, "the hearing is held")
    page = await house.come(token)
    await page.say(signalling.Ping())
    await page.first(signalling.Pong)


async def test_what_waits_before_a_slow_relay_is_known() -> None:
    """Else it would grow without end, in a room whose own way out is a relay by TCP."""
    with socket.create_server(("127.0.0.1", 0)) as reads_nothing:
        address = reads_nothing.getsockname()
        out, client = await asyncio.get_running_loop().create_connection(
            lambda: TurnClientTcpProtocol(address, "", "", lifetime=600, channel_refresh_time=500), *address
        )
        peer = cast("RTCDtlsTransport", SimpleNamespace(_tx_srtp=SimpleNamespace(protect=bytes)))
        line = wire.Line(peer, cast("wire.Datagrams", TurnTransport(client)), ("192.0.2.1", 9))
        assert line.waiting_bytes == 0
        out.write(bytes(50_000_000))
        assert line.waiting_bytes > 1_000_000
        out.abort()
