"""The large audience, by a real Janus: what is public arrives there, and nothing else; what is lost comes back by itself."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from recorder.contract import conference as contract
from tests.lab import janus
from tests.vks.audience_scene import TOKEN, Scene, audience_scene
from tests.vks.browsers import NEAR, until
from tests.vks.test_display import COUNSEL, PARTY, SCREEN, WHILE
from tests.vks.test_service import CLERK, House
from tests.vks.test_service import house as house  # noqa: PLC0414 - a fixture is used by its name
from vks import acts, kept, signalling

pytestmark = [pytest.mark.lab, pytest.mark.skipif(janus.missing(), reason="janus is not installed (scripts/setup-debian test)")]


SECRET_HZ, SECRET = 3_000, 75
"""What the party sends while the hearing is not public."""
REFUSED = "the server answers 401 Unauthorized"


async def sent(scene: Scene, pictures: int) -> None:
    """Wait until the party has sent so many more."""
    camera = scene.hearing.browsers[0].camera
    before = camera.sent
    await until(lambda: camera.sent >= before + pictures, "more is sent")


@pytest.fixture
async def scene(tmp_path: Path, house: House) -> AsyncIterator[Scene]:
    async with audience_scene(tmp_path, house) as it:
        yield it


async def test_whoever_watches_there_sees_and_hears_the_floor(scene: Scene) -> None:
    await scene.on_air()
    viewer = await scene.watch()
    await until(lambda: viewer.sees(PARTY) and viewer.hears(1_000), "the party")
    assert scene.told == ["audience_on", "audience_began"]
    assert (await scene.switch(on=False)).code == ""
    await until(lambda: scene.shim.asked[-1].method == "DELETE", "what was published is deleted")
    assert scene.told == ["audience_on", "audience_began", "audience_ended", "audience_off"]


@pytest.mark.parametrize("state", ["privileged", "deliberation", "off_record"])
async def test_nothing_of_what_is_not_public_arrives_and_it_goes_on_when_the_hearing_does(scene: Scene, state: str) -> None:
    party = scene.hearing.browsers[0]
    await scene.on_air()
    viewer = await scene.watch()
    party.microphone.hz, party.camera.shade = SECRET_HZ, SECRET
    await until(lambda: viewer.sees(SECRET) and viewer.hears(SECRET_HZ), "the control: while it is public the same arrives")
    party.microphone.hz, party.camera.shade = 1_000, PARTY
    await until(lambda: viewer.sees(PARTY) and viewer.hears(1_000), "the party")
    await scene.room(state)
    await scene.stands("silent")
    viewer.forget()
    party.microphone.hz, party.camera.shade = SECRET_HZ, SECRET
    await sent(scene, 3 * WHILE)
    party.microphone.hz, party.camera.shade = 2_000, PARTY
    await sent(scene, 2)  # what is last said in private may be on its way when the hearing is public again
    await scene.room("open")
    await until(lambda: viewer.sees(PARTY) and viewer.hears(2_000), "the party again")
    assert not viewer.heard_ever(SECRET_HZ)
    assert not any(abs(shade - SECRET) < NEAR for shade in viewer.shades)
    assert scene.told == ["audience_on", "audience_began", "audience_silent", "audience_hears"], "the connection stood all the time"


async def test_what_a_server_reports_shows_it_nothing_while_private_words_may_still_be_on_their_way(scene: Scene, house: House) -> None:
    await scene.on_air()
    hall = house.service.hall
    assert hall.conference is not None
    await scene.room("off_record")
    await scene.stands("silent")
    await scene.room("open")
    hall.audience._show(hall.conference)  # as a report of losses has it called
    assert hall.audience._shown_by is None
    viewer = await scene.watch()
    await until(lambda: viewer.sees(PARTY) and viewer.hears(1_000), "the party, afterwards")


async def test_a_room_that_does_not_know_its_server_just_now_goes_on_when_it_does(scene: Scene) -> None:
    await scene.on_air()
    server, scene.server = scene.server, None
    await scene.room("open")
    await scene.stands("dials")
    stands = scene.hearing.agent.stands
    assert stands is not None
    assert stands.audience_fault == "the room has no server of a large audience now"
    scene.server = server
    await scene.room("open")
    await scene.stands("on_air")
    assert "audience_off" not in scene.told


async def test_the_shared_screen_is_shown_and_else_whoever_speaks(scene: Scene) -> None:
    party, counsel = scene.hearing.browsers
    await scene.hearing.ask(contract.Admit(by=CLERK, person="counsel"))
    party.microphone.amplitude = 0
    await scene.on_air()
    viewer = await scene.watch()
    await until(lambda: viewer.sees(COUNSEL), "counsel, who speaks")
    counsel.microphone.amplitude, party.microphone.amplitude = 0, 12_000
    await until(lambda: viewer.sees(PARTY), "the party, who speaks now")
    await scene.hearing.pages[1].say(signalling.Do(act=acts.Share(on=True)))
    await until(lambda: viewer.sees(SCREEN), "counsel's screen")
    await scene.hearing.ask(contract.StopShare(by=CLERK))
    await until(lambda: viewer.sees(PARTY), "the party again")


@pytest.mark.long
async def test_a_server_that_was_killed_is_published_to_again(scene: Scene) -> None:
    await scene.on_air()
    scene.janus.kill()
    await scene.stands("dials", timeout_s=25)
    await scene.janus.start()
    await scene.stands("on_air")
    viewer = await scene.watch()
    await until(lambda: viewer.sees(PARTY) and viewer.hears(1_000), "the party")
    assert scene.told == ["audience_on", "audience_began", "audience_lost", "audience_began"]
    assert next(fact.data for fact in scene.hearing.agent.told if fact.name == "audience_lost")["reason"]


async def test_a_server_that_refuses_is_asked_once_and_that_is_told_once(scene: Scene) -> None:
    scene.shim.token = "another-token"
    with capture_logs() as logs:
        assert (await scene.switch(on=True)).code == ""
        await until(lambda: scene.told == ["audience_on", "audience_off"], "that it was given up")
        await sent(scene, 2 * WHILE)
    assert [asked.method for asked in scene.shim.asked] == ["POST"]
    assert [one["log_level"] for one in logs if "audience" in one["event"]] == ["error"]
    assert not any(TOKEN in str(one) for one in logs)
    assert [fact.data for fact in scene.hearing.agent.told if fact.name == "audience_off"] == [{"reason": REFUSED}]
    stands = scene.hearing.agent.stands
    assert stands is not None
    assert (stands.audience, stands.audience_fault) == ("off", REFUSED)


async def test_a_server_that_is_away_is_asked_again_and_the_clerk_reads_why(scene: Scene) -> None:
    scene.shim.refuses = 503
    assert (await scene.switch(on=True)).code == ""
    await until(lambda: len(scene.shim.asked) > 1, "it is asked again")
    stands = scene.hearing.agent.stands
    assert stands is not None
    assert (stands.audience, stands.audience_fault) == ("dials", "the server answers 503 Service Unavailable")
    scene.shim.refuses = 0
    await scene.stands("on_air")
    assert scene.hearing.agent.stands is not None
    assert scene.hearing.agent.stands.audience_fault == ""
    assert scene.told == ["audience_on", "audience_began"]


class StunServer(asyncio.DatagramProtocol):
    """Notes that it is asked, and answers nothing."""

    def __init__(self) -> None:
        self.asked: list[tuple[bytes, tuple[str, int]]] = []

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.asked.append((data, addr))


async def test_where_no_way_is_found_the_servers_that_it_names_are_asked_for_one(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "CONNECT_S", 1.0)
    transport, stun = await asyncio.get_running_loop().create_datagram_endpoint(StunServer, local_addr=("127.0.0.1", 0))
    scene.shim.unreachable = 1
    scene.shim.links = [f'<stun:127.0.0.1:{transport.get_extra_info("sockname")[1]}>; rel="ice-server"']
    assert (await scene.switch(on=True)).code == ""
    await until(lambda: [one.method for one in scene.shim.asked] == ["POST", "DELETE"], "the first try is given up")
    assert not stun.asked
    await scene.stands("on_air")
    assert stun.asked
    transport.close()


async def test_a_hearing_that_is_closed_or_over_ends_it(scene: Scene) -> None:
    await scene.on_air()
    await scene.room("closing")
    await scene.stands("off")
    await until(lambda: scene.shim.asked[-1].method == "DELETE", "what was published is deleted")
    assert (await scene.switch(on=True)).code == "not_open"


async def test_a_conference_that_was_killed_hands_it_over_again(scene: Scene) -> None:
    await scene.on_air()
    kept = scene.hearing.agent.order
    hall = scene.hearing.house.service.hall
    hall.hearing = hall.conference = None  # as in a new process
    hall.audience.follow()
    await until(lambda: scene.shim.asked[-1].method == "DELETE", "the old connection ends")
    await scene.hearing.agent.hold(*scene.hearing.invitations, kept=kept, audience=scene.server)
    await until(lambda: [asked.method for asked in scene.shim.asked] == ["POST", "DELETE", "POST"], "a new one is made")
    await until(lambda: scene.told.count("audience_began") == 2, "it begins again")
    await scene.stands("on_air")
