"""A room takes part in another room's hearing: two processes' services, each with its agent, and a participant who hears and sees both."""

import asyncio
import contextlib
import itertools
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest

from recorder.contract import conference as contract
from tests.lab.tls import Authority
from tests.vks.browsers import NEAR, Browser, PictureEncoder, has_tone, until
from tests.vks.hearing import free_port
from tests.vks.test_display import screen
from tests.vks.test_mixing import tone
from tests.vks.test_service import CLERK, Agent, House, invited
from vks import signalling
from vks.mixing import Block
from vks.sound import BLOCK_US
from vks.times import mono_us

pytestmark = pytest.mark.alone
PARTY_HZ, PARTY_SHADE = 1_000.0, 200
VISITOR_HZ, VISITOR_SHADE = 2_000.0, 120
DEVICE = "visiting-room-1"
SECRET = bytes(32)


@dataclass
class Rooms:
    """Two rooms; ``visiting`` has a camera and microphones, and notes what its loudspeakers are given."""

    hosting: House
    visiting: House
    agent: Agent
    own_agent: Agent
    played: list[Block] = field(default_factory=list)
    invitations: list[contract.Invitation] = field(default_factory=list)
    visits: int = 0
    echo: deque[Block] = field(default_factory=deque)
    """What the loudspeakers play and the microphones have not heard yet."""
    echo_gain: float = 0.0

    def play(self, block: Block, _at_us: int) -> None:
        """The visiting room's loudspeakers."""
        self.played.append(block)
        self.echo.append(block)

    async def run(self) -> None:
        """The visiting room's camera and microphones."""
        encoder, due_us = PictureEncoder(), mono_us()
        for number in itertools.count():
            due_us += BLOCK_US
            await asyncio.sleep(max(0, due_us - mono_us()) / 1e6)
            pauses = self.echo_gain > 0 and number % 75 >= 50  # between words, as all who speak do: there the echo alone is heard
            said = tone(VISITOR_HZ, 0 if pauses else 6_000, number)
            heard = self.echo.popleft() if self.echo else np.zeros_like(said)
            self.visiting.service._take_sound((said + self.echo_gain * heard).astype(np.int16))
            if number % 4 == 0:
                feed = self.visiting.service._pictures[0].feed
                feed.take(encoder.units(VISITOR_SHADE, key=number % 40 == 0), mono_us(), mono_us())

    async def invite(self, person: str) -> str:
        """A link's token."""
        token, invitation = invited(person)
        self.invitations.append(invitation)
        await self.hold()
        return token

    async def hold(self, state: str = "open", *, closed: bool = False) -> None:
        """The hosting room's state."""
        await self.agent.hold(*self.invitations, state=state, closed=closed)
        hall = self.hosting.service.hall
        await until(lambda: hall.hearing and (hall.hearing.state, hall.hearing.invitations) == (state, self.invitations), "the state")

    async def visit(self, token: str, **more: Any) -> str:
        """The visiting room is to go there."""
        self.visits += 1
        visit = contract.Visit(id=f"v{self.visits}", root=more.pop("root", self.hosting.url), token=token, device=DEVICE, **more)
        await self.own_agent.hold(hearing="", state="idle", visit=visit)
        return visit.id

    async def leave(self) -> None:
        """It is to come back."""
        await self.own_agent.hold(hearing="", state="idle", visit=None)

    async def ask(self, act: contract.OfStaff) -> None:
        assert (await self.agent.ask(act)).code == ""

    async def until_phase(self, visit: str, phase: str) -> contract.VisitIs:
        """Wait until the visit stands so."""
        told = self.own_agent.visits
        await until(lambda: told and (told[-1].visit, told[-1].phase) == (visit, phase), f"that it {phase}")
        return told[-1]

    def hears(self, hz: float) -> bool:
        """Whether a tone comes from the visiting room's loudspeakers."""
        return has_tone(self.played, hz)


@asynccontextmanager
async def house(base: Path, **settings: Any) -> AsyncIterator[House]:
    """A service that runs."""
    base.mkdir()  # noqa: ASYNC240 - before anything runs
    inside = aiohttp.ClientSession(connector=aiohttp.UnixConnector(contract.socket_path(str(base))))
    async with aiohttp.ClientSession() as http, inside:
        house = House(base, http, inside, **settings)
        ready = asyncio.Event()
        running = asyncio.create_task(house.service.run(ready.set))
        await ready.wait()
        yield house
        running.cancel()
        for task in (running, *house.agents):
            with contextlib.suppress(asyncio.CancelledError):
                await task


@pytest.fixture
async def rooms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> AsyncIterator[Rooms]:
    """Two rooms; a parameter is whether the visiting one cancels the echo."""
    async with house(tmp_path / "hosting") as hosting, house(tmp_path / "visiting", echo=getattr(request, "param", True)) as visiting:
        made = Rooms(hosting, visiting, await hosting.agent(), await visiting.agent())
        monkeypatch.setattr(visiting.service._room_out, "play", made.play)
        await made.hold()
        devices = asyncio.create_task(made.run())
        yield made
        devices.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await devices


async def party(rooms: Rooms) -> Browser:
    """Somebody who is in the hearing already."""
    page, browser = await rooms.hosting.come(await rooms.invite("party"), "device-party"), Browser(PARTY_HZ, PARTY_SHADE)
    await page.first(signalling.Welcome)
    await browser.dial(page.answer)
    await rooms.ask(contract.Admit(by=CLERK, person="party"))
    return browser


async def test_the_rooms_hear_and_see_each_other_and_the_visiting_room_s_screen_shows_the_hearing(rooms: Rooms) -> None:
    there, shown = await party(rooms), await screen(rooms.visiting)
    await shown.call()
    visit = await rooms.visit(await rooms.invite("court-2"))
    assert (await rooms.until_phase(visit, "waits")).title == "Case 1"
    await until(lambda: shown.now is not None and shown.now.visit == "lobby", "the screen says that this room waits")
    assert shown.now is not None
    assert (shown.now.title, shown.names) == ("Case 1", [])
    await rooms.ask(contract.Admit(by=CLERK, person="court-2"))
    await rooms.until_phase(visit, "takes_part")
    await until(lambda: there.hears(VISITOR_HZ) and there.sees(VISITOR_SHADE), "the party hears and sees the visiting room")
    await until(lambda: rooms.hears(PARTY_HZ), "the visiting room hears the party")
    await until(lambda: shown.pictures.sees(PARTY_SHADE), "and its screen shows the party")
    await until(lambda: shown.names == ["party"] and shown.tiles == ["party"], "by name")
    assert shown.now.recording
    assert not rooms.hears(VISITOR_HZ), "nobody hears himself"
    await rooms.leave()
    await until(lambda: shown.now is not None and shown.now.visit == "" and shown.tiles == [], "its own screen again")
    await until(lambda: rooms.agent.place("court-2") == "", "it has left")
    await asyncio.gather(there.close(), shown.pictures.close())


async def admitted(rooms: Rooms) -> tuple[Browser, str]:
    """The party, and the visiting room, which hear and see each other."""
    there = await party(rooms)
    visit = await rooms.visit(await rooms.invite("court-2"))
    await rooms.until_phase(visit, "waits")
    await rooms.ask(contract.Admit(by=CLERK, person="court-2"))
    await until(lambda: there.hears(VISITOR_HZ) and there.sees(VISITOR_SHADE) and rooms.hears(PARTY_HZ), "both ways")
    return there, visit


async def quiet(rooms: Rooms, there: Browser) -> None:
    """Wait for what is under way, and then for a second of both microphones: nothing of them has arrived."""
    for _ in range(2):
        there.forget()
        rooms.played.clear()
        before = there.camera.sent
        await until(lambda before=before: there.camera.sent >= before + 12, "a second")  # type: ignore[misc]
    assert not there.hears(VISITOR_HZ)
    assert not any(abs(one - VISITOR_SHADE) < NEAR for shades in there.shades for one in shades)
    assert not rooms.hears(PARTY_HZ)


async def sent(rooms: Rooms) -> int:
    """So many bytes of its own media the visiting room has sent, when nothing more is under way."""
    media = rooms.visiting.service._visits.media
    assert media is not None
    connection = media._connection
    assert connection is not None
    return connection.outbound(0).sent_bytes + connection.outbound(1).sent_bytes


async def test_nothing_passes_while_the_visiting_room_is_isolated_and_it_sends_nothing(rooms: Rooms) -> None:
    there, visit = await admitted(rooms)
    shown = await screen(rooms.visiting)
    await shown.call()
    await until(lambda: shown.pictures.sees(PARTY_SHADE), "the party on the screen")
    await rooms.ask(contract.Isolate(by=CLERK, person="court-2"))
    await rooms.until_phase(visit, "apart")
    before = await sent(rooms)
    await quiet(rooms, there)
    assert await sent(rooms) == before
    assert shown.now is not None
    assert (shown.now.visit, shown.names, shown.tiles, shown.now.recording) == ("isolated", [], [], False)
    await rooms.ask(contract.Call(by=CLERK, person="court-2"))
    await until(lambda: there.hears(VISITOR_HZ) and there.sees(VISITOR_SHADE) and rooms.hears(PARTY_HZ), "both ways again")
    await asyncio.gather(there.close(), shown.pictures.close())


@pytest.mark.parametrize("state", ["privileged", "deliberation"])
async def test_nothing_passes_while_the_hosting_room_is(rooms: Rooms, state: str) -> None:
    there, _ = await admitted(rooms)
    await rooms.hold(state)
    await quiet(rooms, there)
    await rooms.hold("open")
    await until(lambda: there.hears(VISITOR_HZ) and there.sees(VISITOR_SHADE) and rooms.hears(PARTY_HZ), "both ways again")
    await there.close()


@pytest.mark.parametrize(
    "rooms", [pytest.param(True, marks=pytest.mark.long, id="cancels"), pytest.param(False, id="does not")], indirect=True
)
async def test_what_the_loudspeakers_give_the_microphones_is_not_sent_back_where_the_room_cancels_it(rooms: Rooms) -> None:
    there, _ = await admitted(rooms)
    rooms.echo_gain = 0.4
    if rooms.visiting.service._settings.echo:
        await until(lambda: there.heard and not there.hears(PARTY_HZ), "it is learnt")
        there.forget()
        await until(lambda: len(there.heard) > 100, "two seconds")
        assert not there.hears(PARTY_HZ, 100)
    else:
        await until(lambda: there.hears(PARTY_HZ), "he hears himself")
    await until(lambda: there.hears(VISITOR_HZ), "and what is said in the room")
    await there.close()


async def test_who_mutes_the_visiting_room_hears_it_no_more_and_still_sees_it(rooms: Rooms) -> None:
    there, _ = await admitted(rooms)
    await rooms.ask(contract.Mute(by=CLERK, person="court-2", on=True))
    await until(lambda: there.heard and not there.hears(VISITOR_HZ), "silence")
    there.forget()
    await until(lambda: there.sees(VISITOR_SHADE), "its picture")
    await there.close()


async def test_a_visit_that_was_put_out_is_over_and_says_why(rooms: Rooms) -> None:
    visit = await rooms.visit(await rooms.invite("court-2"))
    await rooms.until_phase(visit, "waits")
    await rooms.ask(contract.Remove(by=CLERK, person="court-2"))
    assert "put out" in (await rooms.until_phase(visit, "over")).words


def flows(rooms: Rooms) -> bool:
    """Whether the rooms have agreed on keys for media, and some has come."""
    media = rooms.visiting.service._visits.media
    return media is not None and media.packets > 0


async def vouched(rooms: Rooms, visit: str) -> contract.VisitIs:
    """The hosting room's clerk is read the visiting room's code."""
    code = (await rooms.until_phase(visit, "unvouched")).code
    assert (await rooms.agent.ask(contract.Vouch(by=CLERK, person="court-2", code=f"{int(code[0]) ^ 1}{code[1:]}"))).code == "other_code"
    await rooms.ask(contract.Vouch(by=CLERK, person="court-2", code=code))
    return await rooms.until_phase(visit, "waits")


async def test_in_a_hearing_that_is_not_public_a_room_takes_part_when_its_clerk_has_read_out_the_code(rooms: Rooms) -> None:
    await rooms.hold(closed=True)
    token, invitation = invited("court-2")
    rooms.invitations.append(invitation)
    await rooms.hold(closed=True)
    visit = await rooms.visit(token, secret=SECRET)
    stands = await vouched(rooms, visit)
    shown = await screen(rooms.visiting)
    await rooms.ask(contract.Admit(by=CLERK, person="court-2"))
    await until(lambda: shown.now is not None and (shown.now.visit, shown.now.closed) == ("hearing", True), "its screen says so")
    await rooms.until_phase(visit, "takes_part")
    await until(lambda: flows(rooms), "media")
    await rooms.leave()
    await until(lambda: rooms.agent.place("court-2") == "", "it has left")
    again = await rooms.visit("forgotten", resume=stands.resume, secret=SECRET, host=stands.host)
    await rooms.until_phase(again, "waits")  # it left by its own will
    await rooms.ask(contract.Admit(by=CLERK, person="court-2"))
    await rooms.until_phase(again, "takes_part")
    assert all(one.phase != "unvouched" for one in rooms.own_agent.visits if one.visit == again), "a process that follows needs no code"


async def test_a_hearing_that_becomes_closed_sends_a_room_away_until_it_is_vouched_for(rooms: Rooms) -> None:
    there, visit = await admitted(rooms)
    await rooms.hold(closed=True)
    assert (await rooms.until_phase(visit, "unvouched")).code
    await rooms.hold()
    await rooms.until_phase(visit, "takes_part")
    await until(lambda: flows(rooms), "media, where the hearing is public again")
    await there.close()


async def test_a_link_that_another_device_uses_is_refused(rooms: Rooms) -> None:
    token = await rooms.invite("court-2")
    page = await rooms.hosting.come(token, "a-browser")
    await page.first(signalling.View)
    visit = await rooms.visit(token)
    assert "another device" in (await rooms.until_phase(visit, "over")).words
    assert page.place == "lobby"
    assert not page.all(signalling.Bye)


async def test_a_forged_link_is_refused(rooms: Rooms) -> None:
    visit = await rooms.visit("forged")
    assert "does not know this link" in (await rooms.until_phase(visit, "over")).words


async def test_a_room_that_cannot_be_reached_is_dialled_until_it_can(rooms: Rooms) -> None:
    visit = await rooms.visit(await rooms.invite("court-2"), root=f"http://127.0.0.1:{free_port()}")
    assert "cannot be reached" in (await rooms.until_phase(visit, "dials")).words
    await rooms.leave()
    visit = await rooms.visit(await rooms.invite("court-3"))
    await rooms.until_phase(visit, "waits")


async def test_a_hosting_room_that_is_started_anew_has_the_visiting_one_back_in_its_place(tmp_path: Path) -> None:
    port = free_port()
    async with house(tmp_path / "visiting") as visiting:
        async with house(tmp_path / "hosting", port=port) as hosting:
            rooms = Rooms(hosting, visiting, await hosting.agent(), await visiting.agent())
            visit, shown = await rooms.visit(await rooms.invite("court-2")), await screen(visiting)
            await rooms.until_phase(visit, "waits")
            await rooms.ask(contract.Admit(by=CLERK, person="court-2"))
            await rooms.until_phase(visit, "takes_part")
            await until(lambda: rooms.agent.place("court-2") == "hearing", "what is kept")
            kept = rooms.agent.order
        await rooms.until_phase(visit, "dials")
        await until(lambda: shown.now is not None and shown.now.visit == "lost", "the screen claims nothing")
        async with house(tmp_path / "hosting again", port=port) as hosting:
            told = rooms.own_agent.visits
            await until(lambda: "is starting" in told[-1].words, "it asks before that room knows its hearing")
            await (await hosting.agent()).hold(*rooms.invitations, kept=kept)
            await rooms.until_phase(visit, "takes_part")


async def test_a_process_that_follows_comes_back_by_the_resume_token_alone(rooms: Rooms) -> None:
    there, visit = await admitted(rooms)
    resume = rooms.own_agent.visits[-1].resume
    await rooms.leave()
    await until(lambda: rooms.agent.place("court-2") == "", "it has left")
    visit = await rooms.visit("forgotten", resume=resume)
    await rooms.until_phase(visit, "waits")  # it left by its own will
    await rooms.ask(contract.Admit(by=CLERK, person="court-2"))
    await rooms.until_phase(visit, "takes_part")
    there.forget()
    await until(lambda: there.hears(VISITOR_HZ) and there.sees(VISITOR_SHADE), "it is heard and seen")
    await there.close()


async def test_a_resume_token_that_is_forgotten_leads_back_to_the_link(rooms: Rooms) -> None:
    visit = await rooms.visit(await rooms.invite("court-2"), resume="forgotten")
    await rooms.until_phase(visit, "waits")


async def test_a_door_under_another_authority_is_refused_and_one_under_the_court_s_is_not(tmp_path: Path) -> None:
    court, other = Authority(tmp_path / "court"), Authority(tmp_path / "other", "Other root")
    pair = court.issue("room-1", address="127.0.0.1")
    settings = {"certificate": pair.certificate, "key": pair.key}
    async with house(tmp_path / "hosting", **settings) as hosting, house(tmp_path / "visiting") as visiting:
        rooms = Rooms(hosting, visiting, await hosting.agent(), await visiting.agent())
        token, root = await rooms.invite("court-2"), hosting.url.replace("http://", "https://")
        for authorities in ("", other.roots.read_text()):
            visit = await rooms.visit(token, root=root, authorities=authorities)
            assert "certificate" in (await rooms.until_phase(visit, "over")).words
        visit = await rooms.visit(token, root=root, authorities=court.roots.read_text())
        await rooms.until_phase(visit, "waits")


async def test_the_token_stands_in_no_log(rooms: Rooms, capsys: pytest.CaptureFixture[str]) -> None:
    token = await rooms.invite("court-2")
    visit = await rooms.visit(token, root=f"http://127.0.0.1:{free_port()}")
    await rooms.until_phase(visit, "dials")
    visit = await rooms.visit(token)
    resume = (await rooms.until_phase(visit, "waits")).resume
    said = "".join(capsys.readouterr())
    assert "this room's visit" in said
    assert token not in said
    assert resume not in said
