"""Who knocks at the process's doors otherwise than he may: he stays outside, or costs himself alone."""

import asyncio
import contextlib
import time
from functools import partial

import aiohttp
import pytest

from recorder.contract import conference as contract
from recorder.contract.page_door import MOST_PER_SOURCE
from tests.vks.browsers import until
from tests.vks.test_service import CLERK, House, PageInTest, invited
from tests.vks.test_service import house as house  # noqa: PLC0414 - a fixture is used by its name
from vks import acts, signalling
from vks.hall import FACTS_BURST, FACTS_PER_S
from vks.talk import BURST

NO_MESSAGES = [
    "", "{", "[]", '{"m":"admit","person":"p1","by":"me"}', '{"m":"do","act":{"act":"admit","by":"me","person":"p1"}}', '{"m":"resume"}',
    "{" * 50_000,
]  # fmt: skip


@pytest.mark.parametrize("text", NO_MESSAGES)
async def test_what_is_no_message_of_a_participant_ends_that_connection_alone(house: House, text: str) -> None:
    first, second = invited("p1"), invited("p2")
    agent = await house.agent()
    await agent.hold(first[1], second[1])
    await until(lambda: agent.stands, "the hearing is held")
    page, other = await house.come(first[0], "device-1"), await house.come(second[0], "device-2")
    await page.first(signalling.Welcome)
    await other.first(signalling.View)
    await page.raw(text)
    assert (await page.first(signalling.Bye)).code == "bad_message"
    await agent.ask(contract.Admit(by=CLERK, person="p2"))
    await until(lambda: other.place == "hearing", "the other goes on")


async def test_whoever_floods_is_sent_away_and_one_address_has_so_many_connections(house: House) -> None:
    token, invitation = invited("p1")
    agent = await house.agent()
    await agent.hold(invitation)
    await until(lambda: agent.stands, "the hearing is held")
    page = await house.come(token)
    await page.first(signalling.Welcome)
    for _ in range(BURST + 40):
        await page.raw('{"m":"do","act":{"act":"raise_hand","on":true}}')
    assert (await page.first(signalling.Bye)).code == "too_many"
    sockets = [await house.http.ws_connect(f"{house.url}/api/connect") for _ in range(MOST_PER_SOURCE - 1)]
    with contextlib.suppress(aiohttp.WSServerHandshakeError):
        sockets.append(await house.http.ws_connect(f"{house.url}/api/connect"))
    with pytest.raises(aiohttp.WSServerHandshakeError, match="429"):
        await house.http.ws_connect(f"{house.url}/api/connect")
    await asyncio.gather(*(socket.close() for socket in sockets))


def _is_answered(page: PageInTest) -> bool:
    return bool(page.all(signalling.Bye) or page.all(signalling.Welcome))


async def test_nobody_fills_the_record_by_what_he_does_or_by_coming_and_going(house: House) -> None:
    (token, invitation), (quiet, other) = invited("p1"), invited("p2")
    agent = await house.agent()
    await agent.hold(invitation, other)
    await until(lambda: agent.stands, "the hearing is held")
    began_s = time.monotonic()
    page = await house.come(token)
    resume = (await page.first(signalling.Welcome)).resume
    await agent.ask(contract.Admit(by=CLERK, person="p1"))
    for number in range(30):
        await page.say(signalling.Do(act=acts.RaiseHand(on=number % 2 == 0)))
    assert (await page.first(signalling.Refused)).code == "too_often"
    refused = len(page.all(signalling.Refused))
    await page.say(signalling.Do(act=acts.RaiseHand(on=False)))
    await page.say(signalling.Ping())
    await page.first(signalling.Pong)
    assert len(page.all(signalling.Refused)) == refused, "what ends something is never refused"
    await page.close()
    byes: list[signalling.Bye] = []
    for _ in range(FACTS_BURST):
        again = await house.page(resume)
        await until(partial(_is_answered, again), "an answer")
        byes += again.all(signalling.Bye)
        await again.close()
    assert ("too_many", True) in [(bye.code, bye.again) for bye in byes]
    told = [fact.name for fact in agent.told if fact.data.get("person") == "p1"]
    assert len(told) <= 2 * (FACTS_BURST + FACTS_PER_S * (time.monotonic() - began_s)) + 3
    page = await house.come(quiet, "device-2")
    await page.first(signalling.Welcome)


async def test_a_page_of_another_origin_cannot_connect(house: House) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
        await house.http.ws_connect(f"{house.url}/api/connect", headers={"Origin": "https://evil.example"})
    socket = await house.http.ws_connect(f"{house.url}/api/connect", headers={"Origin": house.url})
    await socket.close()


async def test_the_agents_door_is_not_at_the_network(house: House) -> None:
    async with house.http.get(f"{house.url}/agent") as answer:
        assert answer.status == 404


async def test_at_the_agents_door_other_users_are_sent_away(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = await house.agent()
    await agent.hold()
    monkeypatch.setattr("vks.agent_link._peer_uid", lambda _: 12_345)
    for path in ("/agent", "/join/", "/api/connect"):
        async with house.inside.get(f"http://vks{path}") as answer:
            assert answer.status == 403, path


async def test_every_answer_forbids_foreign_scripts_and_frames(house: House) -> None:
    for path in ("/join/", "/nothing", "/api/connect"):
        async with house.http.get(f"{house.url}{path}") as answer:
            assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"], path
