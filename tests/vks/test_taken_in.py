"""A speaker of the large audience in the hearing: heard, seen and recorded as any participant, until dismissed."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from recorder.contract import conference as contract
from tests.lab.whep_speaker import WhepSpeaker
from tests.vks.browsers import Shades, Tone, until
from tests.vks.test_display import Held, held
from tests.vks.test_service import CLERK, House
from tests.vks.test_service import house as house  # noqa: PLC0414 - a fixture is used by its name

HZ, SHADE, TOKEN = 2_500, 75, "a-publishers-token"
PERSON = "from-audience-1"


class Scene:
    """A hearing with a party on the floor, and a media server with a speaker."""

    def __init__(self, hearing: Held, speaker: WhepSpeaker, url: str) -> None:
        self.hearing, self.speaker, self.url = hearing, speaker, url
        self.listener = hearing.browsers[0]

    async def take_in(self, role: contract.Role = "specialist") -> contract.Answer:
        """As staff do."""
        return await self.hearing.agent.ask(contract.TakeIn(by=CLERK, feed=f"{self.url}/speaker", name="C. Expert", role=role))

    def takes_part(self) -> bool:
        """Whether the party hears and sees the speaker."""
        return self.listener.hears(HZ) and self.listener.sees(SHADE)

    @property
    def told(self) -> list[str]:
        """What the record has of it."""
        return [fact.name for fact in self.hearing.agent.told if fact.data.get("person") == PERSON]


@pytest.fixture
async def scene(house: House, request: pytest.FixtureRequest) -> AsyncIterator[Scene]:
    """A parameter is whether the server tells levels."""
    speaker = WhepSpeaker(Tone(HZ), Shades(SHADE), TOKEN, tells_levels=getattr(request, "param", True))
    runner = web.AppRunner(speaker.application())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        async with held(house) as (hearing, _):
            await hearing.agent.hold(*hearing.invitations, audience=contract.AudienceServer(whip=f"{url}/whip", token=TOKEN))
            await hearing.ask(contract.Admit(by=CLERK, person="party"))
            yield Scene(hearing, speaker, url)
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("scene", [True, False], ids=["levels told", "levels heard"], indirect=True)
async def test_a_speaker_is_heard_and_seen_until_dismissed_and_again_when_called(scene: Scene) -> None:
    assert (await scene.take_in()).code == ""
    await until(scene.takes_part, "the speaker takes part")
    await scene.hearing.ask(contract.Dismiss(by=CLERK, person=PERSON))
    await until(lambda: scene.speaker.asked == ["POST", "DELETE"], "the speaker is fetched no more")
    await until(lambda: scene.hearing.agent.place(PERSON) == "", "the clerk sees that")
    scene.listener.forget()
    await scene.hearing.ask(contract.Call(by=CLERK, person=PERSON))
    await until(scene.takes_part, "the speaker takes part again")
    await until(lambda: len(scene.told) == 7, "all of it is told")
    assert scene.told == ["came", "admitted", "connected", "dismissed", "disconnected", "called", "connected"]
    came = next(fact.data for fact in scene.hearing.agent.told if fact.name == "came" and fact.data["person"] == PERSON)
    assert came == {"person": PERSON, "name": "C. Expert", "role": "specialist", "from": f"{scene.url}/speaker", "by": CLERK}


async def test_a_connection_that_is_lost_is_made_again(scene: Scene) -> None:
    assert (await scene.take_in()).code == ""
    await until(scene.takes_part, "the speaker takes part")
    await scene.speaker.hang_up()
    await until(lambda: "disconnected" in scene.told, "the connection is lost")
    scene.listener.forget()
    await until(scene.takes_part, "the speaker takes part again")
    assert scene.told == ["came", "admitted", "connected", "disconnected", "connected"]


async def test_a_witness_of_the_audience_waits_apart_until_called(scene: Scene) -> None:
    assert (await scene.take_in("witness")).code == ""
    await until(lambda: scene.hearing.agent.place(PERSON) == "isolated", "the witness waits")
    scene.listener.forget()
    camera = scene.hearing.browsers[0].camera
    before = camera.sent
    await until(lambda: camera.sent > before + 12, "a second goes by")
    assert not scene.listener.hears(HZ)
    assert not scene.listener.sees(SHADE)
    await scene.hearing.ask(contract.Call(by=CLERK, person=PERSON))
    await until(scene.takes_part, "the witness takes part")


async def test_a_speaker_whom_the_server_refuses_is_dismissed_and_that_is_told_once(scene: Scene) -> None:
    scene.speaker.token = "another"
    with capture_logs() as logs:
        assert (await scene.take_in()).code == ""
        await until(lambda: "dismissed" in scene.told, "that it was given up")
    assert scene.speaker.asked == ["POST"]
    assert [one["error"] for one in logs if one["log_level"] == "error"] == ["the server answers 401 Unauthorized"]
    dismissed = next(fact.data for fact in scene.hearing.agent.told if fact.name == "dismissed")
    assert dismissed == {"person": PERSON, "reason": "the server answers 401 Unauthorized"}


async def test_nobody_is_taken_in_twice_or_as_an_observer(scene: Scene) -> None:
    assert (await scene.take_in("observer")).code == "silent"
    assert (await scene.take_in()).code == ""
    assert (await scene.take_in()).code == "taken_in"
