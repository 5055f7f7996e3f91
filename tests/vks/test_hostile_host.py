"""Whatever another room says to a visiting one, that room's own process goes on, and its clerk reads why the visit is over."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from aiohttp import web

from recorder.contract import conference as contract
from tests.vks.browsers import until
from tests.vks.test_ice import NO_ICE_URLS
from tests.vks.test_visit_state import VIEW
from vks import signalling
from vks.connection import Connection
from vks.display import Displays
from vks.mixing import Block
from vks.times import mono_us
from vks.visit import Visits
from vks.visit_media import VisitMedia
from vks.vouching import Unvouched

WELCOME = {"m": "welcome", "person": "p1", "name": "Court 2", "role": "party", "title": "Case 1", "resume": "r", "ice": []}
UNVOUCHED = {"m": "unvouched", "hearing": "h1", "commitment": "0" * 64, "sign": False}
SHOWN = {"m": "shown", "room": "1" * 64, "number": "2" * 64}
ANSWER = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"


class Host:
    """A room that says what the test wants."""

    def __init__(self) -> None:
        self.says: list[Any] = []
        self.joined: Any = {"resume": "r"}
        self.dials = 0
        self.answers = 0
        """How often it answers an offer."""
        self.shows: list[Any] = []
        """What it says when it has been told the visiting room's number; it answers no offer before."""
        self.is_told = False
        self.connection: Connection | None = None

    async def join(self, _: web.Request) -> web.Response:
        raw = self.joined if isinstance(self.joined, bytes) else msgspec.json.encode(self.joined)
        return web.Response(body=raw, content_type="application/json")

    async def connect(self, request: web.Request) -> web.StreamResponse:
        self.dials += 1
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        for one in self.says:
            await socket.send_str(one if isinstance(one, str) else msgspec.json.encode(one).decode())
        async for message in socket:
            said = msgspec.json.decode(message.data)
            if said["m"] == "offer" and self.answers and (self.is_told or not self.shows):
                self.connection = Connection([])
                sdp = await self.connection.answer(said["sdp"])
                for _ in range(self.answers):
                    await socket.send_str(signalling.encoder.encode(signalling.Answer(sdp=sdp)).decode())
            if said["m"] == "number":
                self.is_told = True
                for one in self.shows:
                    await socket.send_str(msgspec.json.encode(one).decode())
        return socket


@pytest.fixture
async def host() -> AsyncIterator[tuple[Host, str]]:
    made, application = Host(), web.Application()
    application.router.add_post("/api/join", made.join)
    application.router.add_get("/api/connect", made.connect)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield made, f"http://127.0.0.1:{runner.addresses[0][1]}"
    if made.connection is not None:
        await made.connection.close()
    await runner.cleanup()


def _silent(_block: Block, _at_us: int) -> None:
    """No loudspeakers."""


class Guest:
    """A visiting room."""

    def __init__(self) -> None:
        self.told: list[contract.VisitIs] = []
        self.visits = Visits(lambda: VisitMedia([], _silent, None, mono_us), Displays(), self.told.append)
        self.running = asyncio.create_task(self.visits.run())

    async def go(self, root: str) -> None:
        self.visits.hold(contract.Visit(id="v1", root=root, token="t", device="device-1"))

    async def phase(self, phase: str) -> contract.VisitIs:
        await until(lambda: self.told and self.told[-1].phase == phase, phase)
        return self.told[-1]


@pytest.fixture
async def guest() -> AsyncIterator[Guest]:
    made = Guest()
    yield made
    assert not made.running.done(), "whatever it was told, it goes on"
    made.running.cancel()
    await asyncio.gather(made.running, return_exceptions=True)


@pytest.mark.parametrize(
    "says",
    [
        ["x"], ["[]"], ["{" * 50_000], [{"m": "admit"}], [WELCOME, WELCOME], [WELCOME | {"resume": "r" * 5_000}],
        [{"m": "answer", "sdp": ANSWER}], [WELCOME, {"m": "answer", "sdp": "x"}], [WELCOME, {"m": "answer", "sdp": ANSWER}],
        [WELCOME, {"m": "answer", "sdp": "v" * 100_000}], [UNVOUCHED], [WELCOME, {"m": "vouched"}], [WELCOME, SHOWN],
        [WELCOME, UNVOUCHED, {"m": "answer", "sdp": ANSWER}],
    ],
    ids=str,
)  # fmt: skip
async def test_what_no_room_says_ends_the_visit_and_nothing_else(host: tuple[Host, str], guest: Guest, says: list[Any]) -> None:
    host[0].says = says
    await guest.go(host[1])
    assert "versions differ" in (await guest.phase("over")).words


@pytest.mark.parametrize("url", NO_ICE_URLS)
async def test_a_stun_or_turn_server_that_is_none_is_passed_over(host: tuple[Host, str], guest: Guest, url: str) -> None:
    host[0].says, host[0].answers = [WELCOME | {"ice": [{"urls": [url]}]}, VIEW], 1
    await guest.go(host[1])
    await guest.phase("takes_part")
    await until(lambda: host[0].connection is not None and host[0].connection.connectionState == "connected", "media")


async def test_what_nobody_foresaw_ends_the_visit_and_nothing_else(
    host: tuple[Host, str], guest: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> str:
        raise KeyError("unforeseen")

    monkeypatch.setattr("vks.visit.phase_of", fail)
    host[0].says = [WELCOME, VIEW]
    await guest.go(host[1])
    assert "versions differ" in (await guest.phase("over")).words


async def test_a_room_that_shows_another_certificate_than_it_had_fixed_is_told_to_the_clerk(host: tuple[Host, str], guest: Guest) -> None:
    host[0].says, host[0].shows = [WELCOME, UNVOUCHED], [SHOWN]
    await guest.go(host[1])
    assert "not the one that was compared" in (await guest.phase("over")).words


@pytest.mark.parametrize("public", [True, False], ids=["as if it were public", "after a code"])
async def test_nothing_goes_to_another_certificate_than_the_one_that_was_compared(
    host: tuple[Host, str], guest: Guest, public: bool
) -> None:
    """Also where whoever is between the rooms says that nothing has to be compared, or that it was."""
    fixed = Unvouched(hearing="h1", person="p1", page="", room="1" * 64, number="2" * 64).commitment
    host[0].answers = 1
    host[0].says = [WELCOME] if public else [WELCOME, UNVOUCHED | {"commitment": fixed}]
    host[0].shows = [] if public else [SHOWN, {"m": "vouched"}]
    guest.visits.hold(contract.Visit(id="v1", root=host[1], token="t", device="device-1", host="1" * 64 if public else ""))
    assert "not the one that was compared" in (await guest.phase("over")).words


async def test_an_answer_that_comes_twice_ends_the_visit_and_nothing_else(host: tuple[Host, str], guest: Guest) -> None:
    host[0].says, host[0].answers = [WELCOME], 2
    await guest.go(host[1])
    assert "versions differ" in (await guest.phase("over")).words


@pytest.mark.parametrize("joined", [b"", b"<html>", {"resume": 1}, {}], ids=str)
async def test_what_is_no_courtroom_s_door_is_told_so(host: tuple[Host, str], guest: Guest, joined: Any) -> None:
    host[0].joined = joined
    await guest.go(host[1])
    assert "no courtroom" in (await guest.phase("over")).words


async def test_names_that_would_write_over_the_clerk_s_terminal_are_told_without_it(host: tuple[Host, str], guest: Guest) -> None:
    view = msgspec.structs.replace(VIEW, place="lobby")
    host[0].says = [WELCOME | {"title": "\x1b]0;x", "name": "\x1b[2J"}, view]
    await guest.go(host[1])
    told = await guest.phase("waits")
    assert (told.title, told.name) == ("·]0;x", "·[2J")


async def test_a_room_that_asks_to_be_dialled_again_is(host: tuple[Host, str], guest: Guest) -> None:
    host[0].says = [{"m": "bye", "code": "closing", "again": True}]
    await guest.go(host[1])
    await until(lambda: host[0].dials >= 2, "it dials again")
    assert guest.told[-1].phase == "dials"
