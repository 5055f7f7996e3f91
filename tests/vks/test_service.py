"""The process at its doors: the agent says who may come, pages come by their links, and whoever knocks otherwise stays outside."""

import asyncio
import contextlib
import hashlib
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from cryptography import x509

from recorder.contract import conference as contract
from tests.vks.browsers import Browser, until
from vks import acts, signalling
from vks.service import Service, Settings

HOUR_US = 3_600_000_000
SECRET = secrets.token_bytes(32)
CLERK = "A. Clerk"


def now_utc_us() -> int:
    return time.time_ns() // 1_000


def invited(person: str, from_us: int = -HOUR_US, until_us: int = HOUR_US) -> tuple[str, contract.Invitation]:
    """A link's token and what the room knows of it."""
    token = secrets.token_urlsafe(32)
    invitation = contract.Invitation(
        token_sha256=hashlib.sha256(token.encode()).hexdigest(), person=person, name=person.title(), role="party",
        from_utc_us=now_utc_us() + from_us, until_utc_us=now_utc_us() + until_us,
    )  # fmt: skip
    return token, invitation


class Agent:
    """The agent's end of its link."""

    def __init__(self, link: aiohttp.ClientWebSocketResponse) -> None:
        self._link = link
        self._number = 0
        self.told: list[contract.Fact] = []
        self.stands: contract.Stands | None = None
        self.answers: dict[int, contract.Answer] = {}
        self.visits: list[contract.VisitIs] = []

    def place(self, person: str) -> str:
        """Where somebody is, as the clerk sees it."""
        people = [] if self.stands is None else self.stands.people
        return next((one.place for one in people if one.person == person and one.connected), "")

    @property
    def order(self) -> bytes:
        """What it keeps."""
        return b"" if self.stands is None else self.stands.order

    async def listen(self) -> None:
        async for message in self._link:
            said = contract.from_vks.decode(message.data)
            match said:
                case contract.Told():
                    self.told += said.facts
                case contract.Stands():
                    self.stands = said
                case contract.Answer():
                    self.answers[said.number] = said
                case contract.VisitIs():
                    self.visits.append(said)

    async def hold(self, *invitations: contract.Invitation, hearing: str = "h1", kept: bytes = b"", **more: Any) -> None:
        state, title, closed = more.pop("state", "open"), more.pop("title", "Case 1"), more.pop("closed", False)
        await self._say(
            contract.HearingIs(
                hearing=hearing, title=title, state=state, closed=closed, invitations=list(invitations), secret=SECRET, kept=kept, **more
            )
        )

    async def ask(self, act: contract.OfStaff | contract.OfCentre) -> contract.Answer:
        self._number += 1
        number = self._number
        await self._say(contract.Ask(number=number, act=act))
        await until(lambda: number in self.answers, "the answer")
        return self.answers[number]

    async def _say(self, message: contract.Message) -> None:
        await self._link.send_str(contract.encoder.encode(message).decode())


class House:
    """A running process, and the ways to it."""

    def __init__(self, run_dir: Path, http: aiohttp.ClientSession, inside: aiohttp.ClientSession, **more: Any) -> None:
        settings = Settings(run_dir=run_dir, own_run_dir=run_dir, cameras=["cam.low"], address="127.0.0.1", port=0)
        self.service = Service(replace(settings, **more))
        self.http, self.inside = http, inside
        self.agents: list[asyncio.Task[None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.service.port}"

    async def agent(self) -> Agent:
        agent = Agent(await self.inside.ws_connect("http://vks/agent"))
        self.agents.append(asyncio.create_task(agent.listen()))
        return agent

    async def join(self, token: str, device: str = "device-1") -> tuple[int, dict[str, Any]]:
        async with self.http.post(f"{self.url}/api/join", json={"token": token, "device": device}) as answer:
            return answer.status, await answer.json()

    async def page(self, resume: str) -> "PageInTest":
        page = PageInTest(await self.http.ws_connect(f"{self.url}/api/connect"))
        await page.say(signalling.Resume(token=resume))
        return page

    async def come(self, token: str, device: str = "device-1") -> "PageInTest":
        status, body = await self.join(token, device)
        assert status == 200, body
        return await self.page(body["resume"])


class PageInTest:
    """A page's WebSocket."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, decoder: msgspec.json.Decoder[Any] = signalling.to_page) -> None:
        self._socket = socket
        self._decoder = decoder
        self.heard: list[Any] = []
        self._listening = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        async for message in self._socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                self.heard.append(self._decoder.decode(message.data))

    async def say(self, message: signalling.Message) -> None:
        await self._socket.send_str(msgspec.json.encode(message).decode())

    async def raw(self, text: str) -> None:
        with contextlib.suppress(ConnectionError):
            await self._socket.send_str(text)

    async def answer(self, offer: str) -> str:
        await self.say(signalling.Offer(sdp=offer))
        return str((await self.first(signalling.Answer)).sdp)

    async def first(self, kind: type[signalling.Message], what: str = "") -> Any:
        await until(lambda: self.all(kind), what or kind.__name__)
        return self.all(kind)[0]

    def all(self, kind: type[signalling.Message]) -> list[Any]:
        return [message for message in self.heard if isinstance(message, kind)]

    @property
    def place(self) -> str:
        views = self.all(signalling.View)
        return views[-1].place if views else ""

    @property
    def closed(self) -> bool:
        """Whether the other side has hung up."""
        return self._listening.done()

    async def close(self) -> None:
        await self._socket.close()
        self._listening.cancel()


@contextlib.asynccontextmanager
async def running(run_dir: Path, roots: Sequence[x509.Certificate] = ()) -> AsyncIterator[House]:
    inside = aiohttp.ClientSession(connector=aiohttp.UnixConnector(contract.socket_path(str(run_dir))))
    async with aiohttp.ClientSession() as http, inside:
        house = House(run_dir, http, inside, roots=roots)
        ready = asyncio.Event()
        serving = asyncio.create_task(house.service.run(ready.set))
        await ready.wait()
        try:
            yield house
        finally:
            serving.cancel()
            for task in (serving, *house.agents):
                with contextlib.suppress(asyncio.CancelledError):
                    await task


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with running(tmp_path) as house:
        yield house


async def test_a_person_comes_by_the_link_waits_in_the_lobby_and_is_admitted(house: House) -> None:
    token, invitation = invited("p1")
    agent = await house.agent()
    await agent.hold(invitation)
    await until(lambda: agent.stands, "the hearing is held")
    page = await house.come(token)
    welcome = await page.first(signalling.Welcome)
    assert (welcome.person, welcome.name, welcome.role, welcome.title) == ("p1", "P1", "party", "Case 1")
    await until(lambda: page.place == "lobby", "the lobby")
    assert (await agent.ask(contract.Admit(by=CLERK, person="p1"))).code == ""
    await until(lambda: page.place == "hearing", "the hearing")
    assert (await agent.ask(contract.Admit(by=CLERK, person="p1"))).code == "not_in_lobby"
    await until(lambda: "admitted" in [fact.name for fact in agent.told], "the line for the record")
    assert [fact.data for fact in agent.told if fact.name == "admitted"] == [{"by": CLERK, "person": "p1"}]
    await page.say(signalling.Leave())
    await until(lambda: agent.place("p1") == "", "the person is gone")


async def test_what_the_clerk_arranged_before_the_session_is_told_when_it_begins(house: House) -> None:
    token, invitation = invited("p1")
    agent = await house.agent()
    await agent.hold(invitation, state="idle")
    await until(lambda: agent.stands, "the hearing is held")
    page = await house.come(token)
    await until(lambda: page.place == "lobby", "the lobby")
    await agent.ask(contract.Admit(by=CLERK, person="p1"))
    await agent.ask(contract.Mute(by=CLERK, person="p1", on=True))
    await until(lambda: "muted" in [fact.name for fact in agent.told], "what stands in no record")
    agent.told.clear()
    await agent.hold(invitation, record="r1")
    told = ["conference_began", "came", "admitted", "connected", "muted"]
    await until(lambda: [fact.name for fact in agent.told] == told, "what the record has to know")


async def test_who_comes_before_any_hearing_is_near_is_not_told_that_his_link_is_none(house: House) -> None:
    token, invitation = invited("p1")
    agent = await house.agent()
    await agent.hold(hearing="", state="idle")
    await until(lambda: house.service.hall.hearing is not None, "that there is no hearing")
    assert (await house.join(token))[1]["code"] == "no_hearing"
    await agent.hold(invitation)
    await until(lambda: agent.stands, "the hearing is held")
    assert (await house.join(token))[0] == 200


async def test_forged_early_expired_and_foreign_links_open_nothing(house: House) -> None:
    early, late = invited("p1", from_us=HOUR_US // 2), invited("p2", until_us=-1)
    agent = await house.agent()
    await agent.hold(early[1], late[1])
    await until(lambda: agent.stands, "the hearing is held")
    assert [(await house.join(token))[1]["code"] for token in ("forged", early[0], late[0])] == ["unknown", "early", "expired"]
    token, invitation = invited("p3")
    await agent.hold(invitation)
    await until(lambda: house.service.hall.hearing and house.service.hall.hearing.invitations == [invitation], "the invitation")
    page = await house.come(token)
    resume = (await page.first(signalling.Welcome)).resume
    await agent.hold(hearing="h2")
    assert (await page.first(signalling.Bye)).code == "hearing_over"
    again = await house.page(resume)
    assert (await again.first(signalling.Bye)).code == "unknown"


async def test_a_reload_keeps_the_place_and_a_second_device_waits_for_the_clerk(house: House) -> None:
    token, invitation = invited("p1")
    agent = await house.agent()
    await agent.hold(invitation)
    await until(lambda: agent.stands, "the hearing is held")
    phone = await house.come(token, "phone-01")
    resume = (await phone.first(signalling.Welcome)).resume
    await agent.ask(contract.Admit(by=CLERK, person="p1"))
    await phone.close()
    phone = await house.page(resume)
    await until(lambda: phone.place == "hearing", "the place again")
    laptop = await house.come(token, "laptop-1")
    await laptop.first(signalling.Wait)
    assert laptop.all(signalling.View) == []
    await laptop.say(signalling.Do(act=acts.RaiseHand(on=True)))
    assert (await laptop.first(signalling.Refused)).code == "not_there"
    await agent.ask(contract.ChooseDevice(by=CLERK, person="p1", accept=True))
    assert (await phone.first(signalling.Bye)).code == "elsewhere"
    await until(lambda: laptop.place == "hearing", "the laptop has the seat")


async def test_after_this_process_was_killed_everybody_comes_back_to_his_place(tmp_path: Path) -> None:
    token, invitation = invited("p1")
    kept, resume = b"", ""
    for life in range(2):
        inside = aiohttp.ClientSession(connector=aiohttp.UnixConnector(contract.socket_path(str(tmp_path))))
        async with aiohttp.ClientSession() as http, inside:
            house, ready = House(tmp_path, http, inside), asyncio.Event()
            running = asyncio.create_task(house.service.run(ready.set))
            await ready.wait()
            agent = await house.agent()
            await agent.hold(invitation, kept=kept)
            await until(lambda agent=agent: agent.stands, "the hearing is held")  # type: ignore[misc]
            if life == 0:
                page = await house.come(token)
                resume = (await page.first(signalling.Welcome)).resume
                await agent.ask(contract.Admit(by=CLERK, person="p1"))
                await until(lambda agent=agent: agent.place("p1") == "hearing", "what is kept")  # type: ignore[misc]
                kept = agent.order
            else:
                page = await house.page(resume)
                await until(lambda page=page: page.place == "hearing", "the place again")  # type: ignore[misc]
            running.cancel()
            for task in (running, *house.agents):
                with contextlib.suppress(asyncio.CancelledError):
                    await task


async def test_what_ended_with_a_killed_process_is_told_by_the_one_that_follows(house: House) -> None:
    token, invitation = invited("p1")
    agent = await house.agent()
    await agent.hold(invitation, record="r1")
    await until(lambda: [fact.name for fact in agent.told] == ["conference_began"], "a record that begins with nobody")
    page = await house.come(token)
    await until(lambda: page.place == "lobby", "the lobby")
    await agent.ask(contract.Admit(by=CLERK, person="p1"))
    await page.say(signalling.Do(act=acts.Share(on=True)))
    await until(lambda: agent.stands and agent.stands.sharing == "p1", "the shared screen")
    kept = agent.order
    agent.told.clear()
    hall = house.service.hall
    hall.hearing = hall.conference = None  # as in a new process
    await agent.hold(invitation, record="r1", kept=kept)
    await until(lambda: [fact.name for fact in agent.told] == ["disconnected", "share_ended"], "what ended")
    agent.told.clear()
    hall.hearing = hall.conference = None
    await agent.hold(invitation, record="r1")
    await until(lambda: [fact.name for fact in agent.told] == ["conference_began"], "nothing was kept, and the record is told so")


async def test_a_look_in_is_over_when_its_time_is_also_where_no_participant_is_there(house: House) -> None:
    agent = await house.agent()
    await agent.hold()
    await until(lambda: agent.stands, "the hearing is held")
    assert house.service.hall.conference is not None
    house.service.hall.conference.act(
        contract.BeginLookIn(look_in="l1", person="B. Inspector", reason="late start", length_s=1, token_sha256="0" * 64)
    )
    await until(lambda: agent.stands and agent.stands.look_ins, "the look-in")
    await until(lambda: agent.stands and not agent.stands.look_ins, "its end", 10)
    assert [fact.name for fact in agent.told] == ["look_in_began", "look_in_ended"]


async def test_media_flows_through_the_page_s_connection(house: House) -> None:
    tokens = {person: invited(person) for person in ("p1", "p2")}
    agent = await house.agent()
    await agent.hold(*(invitation for _, invitation in tokens.values()))
    await until(lambda: agent.stands, "the hearing is held")
    browsers = {"p1": Browser(1_000, 120), "p2": Browser(2_000, 200)}
    for number, (person, (token, _)) in enumerate(tokens.items()):
        page = await house.come(token, f"device-{number}")
        await page.first(signalling.Welcome)
        await agent.ask(contract.Admit(by=CLERK, person=person))
        await browsers[person].dial(page.answer)
    await until(lambda: browsers["p1"].hears(2_000) and browsers["p2"].hears(1_000), "they hear each other")
    await until(lambda: browsers["p1"].sees(200) and browsers["p2"].sees(120), "they see each other")
    await asyncio.gather(*(browser.close() for browser in browsers.values()))


async def test_before_the_agent_has_spoken_a_page_is_told_to_try_again(house: House) -> None:
    page = await house.page("anything")
    bye = await page.first(signalling.Bye)
    assert (bye.code, bye.again) == ("starting", True)
    assert (await house.join("anything"))[0] == 503
    agent = await house.agent()
    await agent.hold(hearing="")
    await until(lambda: house.service.hall.hearing, "no hearing is near")
    again = await house.page("anything")
    assert (await again.first(signalling.Bye)).again is False
