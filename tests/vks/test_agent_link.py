"""The agent's door, where agents hang, come twice and are away."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from recorder.contract import conference as contract
from tests.lab.waiting import until
from vks.agent_link import AgentLink
from vks.hall import Hall


@dataclass(frozen=True)
class Door:
    """The door, and the way to it."""

    link: AgentLink
    inside: aiohttp.ClientSession

    async def agent(self) -> aiohttp.ClientWebSocketResponse:
        """An agent that has connected, and is heard."""
        agent = await self.inside.ws_connect("http://vks/agent")
        await agent.send_str(contract.encoder.encode(contract.Ask(number=1, act=contract.StopShare(by="A. Clerk"))).decode())
        assert isinstance(await hear(agent), contract.Answer)
        return agent


async def hear(agent: aiohttp.ClientWebSocketResponse) -> contract.Message:
    """What the agent is told next."""
    message: contract.Message = contract.from_vks.decode(await agent.receive_str(timeout=10))
    return message


async def facts(agent: aiohttp.ClientWebSocketResponse, count: int) -> list[str]:
    """The names of the facts that it is told next."""
    told = [await hear(agent) for _ in range(count)]
    return [one.name for message in told if isinstance(message, contract.Told) for one in message.facts]


async def hand_over(agent: aiohttp.ClientWebSocketResponse, told: contract.Message) -> None:
    """The agent says that this, and what was told before it, stands in the record."""
    assert isinstance(told, contract.Told)
    await agent.send_str(contract.encoder.encode(contract.Handed(until_mono_us=told.mono_us)).decode())


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    link = AgentLink(lambda: hall, [])
    hall = Hall(lambda _changed, _order: pytest.fail("no hearing is near"), lambda: 0, link.changed)
    application = web.Application()
    link.add_to(application)
    runner = web.AppRunner(application, shutdown_timeout=1.0)
    await runner.setup()
    path = str(tmp_path / "vks.sock")
    await web.UnixSite(runner, path).start()
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(path)) as inside:
        yield Door(link, inside)
        await link.close()
    await runner.cleanup()


def fact(name: str) -> list[contract.Fact]:
    return [contract.Fact(name=name, data={})]


async def test_an_agent_that_hangs_takes_nothing_from_the_one_that_follows(door: Door) -> None:
    hung = await door.agent()
    agent = await door.agent()
    door.link.tell(fact("first"))
    door.link.tell(fact("second"))
    assert await facts(agent, 2) == ["first", "second"]
    assert (await hung.receive(timeout=10)).type is aiohttp.WSMsgType.CLOSE, "and hears nothing itself any more"


async def test_a_fact_that_is_dropped_while_another_is_sent_takes_no_third_with_it(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vks.agent_link.MOST_FACTS", 2)
    sending, sent = asyncio.Event(), asyncio.Event()
    send_str = web.WebSocketResponse.send_str

    async def slow(link: web.WebSocketResponse, data: str, compress: int | None = None) -> None:
        sending.set()
        await sent.wait()
        await send_str(link, data, compress)

    agent = await door.agent()
    monkeypatch.setattr(web.WebSocketResponse, "send_str", slow)
    for name in ("first", "second"):
        door.link.tell(fact(name))
    await asyncio.wait_for(sending.wait(), 10)
    door.link.tell(fact("third"))
    sent.set()
    assert await facts(agent, 3) == ["first", "second", "third"]


async def test_what_an_agent_that_is_killed_had_not_handed_over_its_successor_is_told(door: Door) -> None:
    agent = await door.agent()
    for name in ("first", "second", "third"):
        door.link.tell(fact(name))
    first = await hear(agent)
    assert await facts(agent, 2) == ["second", "third"]
    await hand_over(agent, first)
    await agent.close()
    agent = await door.agent()
    assert await facts(agent, 2) == ["second", "third"]
    door.link.tell(fact("fourth"))
    fourth = await hear(agent)
    await hand_over(agent, fourth)
    agent = await door.agent()
    door.link.tell(fact("fifth"))
    assert await facts(agent, 1) == ["fifth"]


async def test_facts_that_were_told_are_not_called_lost_when_room_is_made_for_others(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vks.agent_link.MOST_FACTS", 2)
    agent = await door.agent()
    with capture_logs() as logs:
        for name in ("first", "second", "third"):
            door.link.tell(fact(name))
            assert await facts(agent, 1) == [name]
        assert await facts(await door.agent(), 2) == ["second", "third"]
    assert logs == []


async def test_facts_that_an_agent_heard_who_is_gone_are_called_lost(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vks.agent_link.MOST_FACTS", 2)
    agent = await door.agent()
    for name in ("first", "second"):
        door.link.tell(fact(name))
    assert await facts(agent, 2) == ["first", "second"]
    await agent.close()
    await until(lambda: not door.link._open, "the door to see that it is gone")
    with capture_logs() as logs:
        door.link.tell(fact("third"))
        assert await facts(await door.agent(), 2) == ["second", "third"]
    assert [line["lost"] for line in logs] == [1]


async def test_facts_that_nobody_heard_are_called_lost(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vks.agent_link.MOST_FACTS", 2)
    with capture_logs() as logs:
        for name in ("first", "second", "third"):
            door.link.tell(fact(name))
        assert await facts(await door.agent(), 2) == ["second", "third"]
    assert [line["lost"] for line in logs] == [1]
