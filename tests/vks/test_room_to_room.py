"""Two courtrooms in one hearing, by their real processes: what each hears and sees of the other, what the record has, what a kill costs."""

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import aiohttp
import numpy as np
import pytest

from recorder.contract import conference as contract
from recorder.contract.framing import FrameReader
from tests.lab import readback
from tests.lab.room import Room, room
from tests.lab.site import COURTROOM, Site, site
from tests.vks.browsers import Browser, Watcher, has_tone, until
from tests.vks.hearing import BY, asked, clerk, free_port, stanzas
from tests.vks.hearing import has_tone as has_tone_recorded
from tests.vks.test_hearing import call, come
from tests.vks.test_hearing import closed_room as closed_room  # noqa: PLC0414 - a fixture is used by its name
from tests.vks.test_service import CLERK, Agent, PageInTest, invited
from tests.vks.test_visit import house
from vks import signalling
from vks.mixing import Block

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]
HOSTING_HZ, VISITING_HZ, PARTY_HZ = 800.0, 400.0, 1_700.0
HOSTING_WIDTH, VISITING_WIDTH = 640, 320
LONG_S = 150.0
"""So long pictures may be away where a busy machine loses packets: whose link is bad gets sound alone for a while."""
HOSTING_DEVICES = """
[[camera]]
id = "cam"
driver = "test-pattern"
width = 640
height = 360

[[microphone]]
id = "mic"
driver = "test-tone"
channels = [ { id = "bench", number = 5 } ]
"""
"""The visiting room's are those of every room in the lab: 320 pixels wide, and tones of 400 and 500 Hz."""


class Hosting:
    """The hosting room: its recorder and its videoconference are processes, its agent is the test."""

    def __init__(self, it: Room, port: int, agent: Agent) -> None:
        self.room, self.root, self.agent = it, f"http://127.0.0.1:{port}", agent
        self._invitations: list[contract.Invitation] = []

    async def invite(self, person: str) -> str:
        """A link."""
        token, invitation = invited(person)
        self._invitations.append(invitation)
        await self.hold("open")
        return f"{self.root}/join/#{token}"

    async def hold(self, state: str) -> None:
        """The room's state."""
        await self.agent.hold(*self._invitations, state=state)

    async def ask(self, act: contract.OfStaff) -> None:
        """What the clerk orders."""
        assert (await self.agent.ask(act)).code == ""


@contextmanager
def vks(it: Room) -> Iterator[None]:
    """A room's videoconference."""
    command = [*COURTROOM, "vks", "run", "--config", str(it.config), "--run", str(it.run_dir)]
    with (it.base / "vks.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def takes_connections(path: Path) -> bool:
    """Whether somebody listens at a socket: there is a moment between its file and that."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


@pytest.fixture
async def hosting(tmp_path: Path, visiting: Site) -> AsyncIterator[Hosting]:  # noqa: ARG001 - what begins that room holds this loop up
    port = free_port()
    with ExitStack() as stack, room(tmp_path / "hosting", HOSTING_DEVICES, extra=stanzas(f"port = {port}")) as it:
        await asyncio.to_thread(it.wait_live, "cam", "bench", "room-mix")
        stack.enter_context(vks(it))
        door = Path(contract.socket_path(str(it.run_dir)))
        await until(lambda: takes_connections(door), "the videoconference")
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(door))) as inside:
            agent = Agent(await inside.ws_connect("http://vks/agent"))
            listening = asyncio.create_task(agent.listen())
            made = Hosting(it, port, agent)
            await asyncio.to_thread(it.begin)
            await made.hold("open")
            await until(lambda: agent.stands, "the hearing")
            yield made
            listening.cancel()


@pytest.fixture
def visiting(tmp_path: Path) -> Iterator[Site]:
    """The visiting room, with all its processes."""
    (tmp_path / "visiting").mkdir()
    with site(tmp_path / "visiting", f"[ingest]\nenabled = true\n[vks]\nport = {free_port()}\n") as it:
        yield it


class Loudspeakers:
    """What the visiting room's loudspeakers are given."""

    def __init__(self) -> None:
        self.played: list[Block] = []
        """By the videoconference that is connected now."""
        self.connections = 0
        self.writers: list[asyncio.StreamWriter] = []

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Note every block."""
        self.played, self.connections = [], self.connections + 1
        self.writers.append(writer)
        played, frames = self.played, FrameReader()
        while data := await reader.read(64 * 1024):
            played += [np.frombuffer(body, np.int16) for _, body in frames.feed(data)]

    def play(self, hz: float) -> bool:
        """Whether a tone is in what is played."""
        return has_tone(self.played, hz)


@pytest.fixture
async def loudspeakers(visiting: Site) -> AsyncIterator[Loudspeakers]:
    """In the place of the recorder's speaker child, which tells nobody what it plays."""
    made = Loudspeakers()
    async with await asyncio.start_unix_server(made.take, visiting.run_dir / "room-out.sock"):
        yield made
        for writer in made.writers:
            writer.close()


@asynccontextmanager
async def display(it: Site) -> AsyncIterator[tuple[PageInTest, Watcher]]:
    """The visiting room's screen."""
    port = it.config.read_text().split("[vks]\nport = ")[1].split()[0]
    async with aiohttp.ClientSession() as http:
        page, pictures = PageInTest(await http.ws_connect(f"http://127.0.0.1:{port}/api/display"), signalling.to_display), Watcher()
        await pictures.dial(page.answer)
        try:
            yield page, pictures
        finally:
            await pictures.close()
            await page.close()


def tiles(page: PageInTest) -> set[str]:
    """Whose pictures the screen shows."""
    told = page.all(signalling.Tiles)
    return {name for name in told[-1].shown if name} if told else set()


def names(page: PageInTest) -> list[str]:
    """Who stands on the screen."""
    return [one.person for one in page.all(signalling.Screen)[-1].people]


async def admitted(hosting: Hosting, visiting: Site, person: str = "court-2") -> None:
    """The visiting room goes to the hearing, and is let in."""
    said = await clerk(visiting, "visit", await hosting.invite(person), *BY)
    assert "waits" in said
    await hosting.ask(contract.Admit(by=CLERK, person=person))
    await asyncio.to_thread(visiting.until, lambda: "takes part" in asked(visiting), "the clerk reads it")


@pytest.mark.alone
async def test_two_courtrooms_hear_and_see_each_other_and_the_hosting_one_records_it(
    hosting: Hosting, visiting: Site, loudspeakers: Loudspeakers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aiortc.rate.RemoteBitrateEstimator.add", lambda *_, **__: None)  # a busy machine is not a slow link
    async with aiohttp.ClientSession() as http, display(visiting) as (screen, pictures):
        await admitted(hosting, visiting)
        await until(lambda: loudspeakers.play(HOSTING_HZ), "the hosting room's sound in the visiting room")
        await until(lambda: "room" in tiles(screen) and any(pictures.shades), "its pictures on the visiting room's screen")
        page, _ = await come(http, await hosting.invite("party"))
        party = Browser(PARTY_HZ, 200)
        await call(page, party)
        await hosting.ask(contract.Admit(by=CLERK, person="party"))
        await until(lambda: has_tone(party.heard, VISITING_HZ) and has_tone(party.heard, HOSTING_HZ), "both rooms' sound at a participant")
        seen = party.numbers
        await until(lambda: len(seen.get(VISITING_WIDTH, [])) > 25 and HOSTING_WIDTH in seen, "both rooms' pictures", LONG_S)
        await until(lambda: "party" in names(screen), "the party's name on the visiting room's screen")
        assert seen[VISITING_WIDTH] == sorted(seen[VISITING_WIDTH])
        await clerk(visiting, "leave-visit", *BY)
        await until(lambda: screen.all(signalling.Screen)[-1].visit == "", "its own screen again")
        await until(lambda: hosting.agent.place("court-2") == "", "it has left")
        await party.close()
        await page.close()
    record = await asyncio.to_thread(hosting.room.stop)
    keys = hosting.room.keys
    numbers = [number for _, number, _ in readback.frame_numbers(record, "remote-court-2-video", keys.court_key, keys.court) if number]
    assert len(numbers) > 25, "as many as the participant had seen"
    assert numbers == sorted(numbers)
    assert any(has_tone_recorded(one, VISITING_HZ) for one in readback.sounds(record, "remote-court-2-audio", keys.court_key, keys.court))


@pytest.mark.long
async def test_a_killed_videoconference_is_back_in_the_other_room_s_hearing(
    hosting: Hosting, visiting: Site, loudspeakers: Loudspeakers, capsys: pytest.CaptureFixture[str]
) -> None:
    await admitted(hosting, visiting)
    await until(lambda: loudspeakers.play(HOSTING_HZ), "the sound")
    visiting.kill("vks")
    killed_s = time.monotonic()
    await until(lambda: loudspeakers.connections == 2 and loudspeakers.play(HOSTING_HZ), "the sound again")
    with capsys.disabled():
        sys.stdout.write(
            f"\na killed videoconference is back in the other room's hearing, with sound, in {time.monotonic() - killed_s:.1f} s\n"
        )
    await until(lambda: hosting.agent.place("court-2") == "hearing", "it is in its place")
    visiting.kill("agent")
    await asyncio.to_thread(visiting.until, lambda: "takes part" in asked(visiting), "an agent that was started anew knows it")
    assert hosting.agent.place("court-2") == "hearing"


@pytest.mark.long
async def test_a_room_whose_own_hearing_is_held_visits_nobody(hosting: Hosting, visiting: Site) -> None:
    link = await hosting.invite("court-2")
    await asyncio.to_thread(visiting.order, "start", *BY)
    await asyncio.to_thread(visiting.until, lambda: visiting.recorder_state() == "open", "the session")
    command = [*COURTROOM, "conference", "visit", link, *BY, "--run", str(visiting.run_dir)]
    refused = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "courtroom hearing stop" in refused.stderr
    assert hosting.agent.place("court-2") == ""
    await asyncio.to_thread(visiting.order, "stop", *BY)
    await admitted(hosting, visiting)
    await asyncio.to_thread(visiting.order, "start", *BY)
    await until(lambda: hosting.agent.place("court-2") == "", "its own hearing ends the visit")
    await asyncio.to_thread(visiting.order, "stop", *BY)


async def test_a_room_comes_through_the_centre_to_one_that_takes_no_connection(
    closed_room: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await asyncio.to_thread(closed_room.order, "start", *BY)
    await asyncio.to_thread(closed_room.until, lambda: closed_room.recorder_state() == "open", "the session")
    root, token = (await clerk(closed_room, "invite", "Court 2", "party", *BY)).strip().split("/join/#")
    assert "/r/lab" in root
    async with house(tmp_path / "guest") as guest:
        agent, speakers = await guest.agent(), Loudspeakers()
        monkeypatch.setattr(guest.service._room_out, "play", lambda block, _at_us: speakers.played.append(block))
        visit = contract.Visit(id="v1", root=root, token=token, device="visiting-room-1")
        await agent.hold(hearing="", state="idle", visit=visit)
        await until(lambda: agent.visits and agent.visits[-1].phase == "waits", "the lobby")
        await clerk(closed_room, "admit", "g1", *BY)
        await until(lambda: speakers.play(VISITING_HZ), "the hosting room's sound")
    await asyncio.to_thread(closed_room.order, "stop", *BY)
