"""The courtroom's own screen: whom it shows, and that it shows nothing that the room may not see."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from recorder.contract import conference as contract
from tests.vks.browsers import Browser, Watcher, until
from tests.vks.test_service import CLERK, Agent, House, PageInTest, invited
from tests.vks.test_service import house as house  # noqa: PLC0414 - a fixture is used by its name
from vks import acts, signalling
from vks.display import MOST_DISPLAYS

PARTY, COUNSEL, SCREEN = 200, 120, 30
"""Brightness of what each sends; ``browsers.Browser`` sends the last as a shared screen."""
WHILE = 12
"""Pictures that somebody sends while nothing of them may arrive: a second's."""


class Screen:
    """A display's page, and what it shows."""

    def __init__(self, page: PageInTest, tiles: int = 6) -> None:
        self.page = page
        self.pictures = Watcher(tiles)

    async def call(self) -> None:
        """Media."""
        await self.pictures.dial(self.page.answer)

    @property
    def now(self) -> signalling.Screen | None:
        """What it was told last."""
        told = self.page.all(signalling.Screen)
        return told[-1] if told else None

    @property
    def names(self) -> list[str]:
        """Who stands on it."""
        return [] if self.now is None else [one.person for one in self.now.people]

    @property
    def tiles(self) -> list[str]:
        """Whose pictures come."""
        told = self.page.all(signalling.Tiles)
        return [name for name in told[-1].shown if name] if told else []


async def screen(house: House) -> Screen:
    return Screen(PageInTest(await house.http.ws_connect(f"{house.url}/api/display"), signalling.to_display))


class Held:
    """A hearing of two participants who send pictures, and a screen."""

    def __init__(self, house: House, agent: Agent) -> None:
        self.house, self.agent = house, agent
        self.invitations: list[contract.Invitation] = []
        self.pages: list[PageInTest] = []
        self.browsers: list[Browser] = []

    async def come(self, person: str, token: str, shade: int) -> None:
        page, come = await self.house.come(token, f"device-{person}"), Browser(1_000, shade)
        await page.first(signalling.Welcome)
        await come.dial(page.answer)
        self.pages.append(page)
        self.browsers.append(come)

    async def ask(self, act: contract.OfStaff) -> None:
        assert (await self.agent.ask(act)).code == ""

    async def room(self, state: str) -> None:
        await self.agent.hold(*self.invitations, state=state)


@asynccontextmanager
async def held(house: House) -> AsyncIterator[tuple[Held, Screen]]:
    tokens = [invited("party"), invited("counsel")]
    agent = await house.agent()
    hearing = Held(house, agent)
    hearing.invitations = [invitation for _, invitation in tokens]
    await hearing.room("open")
    await until(lambda: agent.stands, "the hearing is held")
    shown = await screen(house)
    try:
        await shown.call()
        for (token, invitation), shade in zip(tokens, (PARTY, COUNSEL), strict=True):
            await hearing.come(invitation.person, token, shade)
        yield hearing, shown
    finally:
        await asyncio.gather(shown.pictures.close(), *(one.close() for one in hearing.browsers))


async def nothing_comes(hearing: Held, shown: Screen, shade: int, sends: int) -> None:
    """Nothing of what somebody sends arrives, while a second of it is sent."""
    camera = hearing.browsers[sends].camera
    before = camera.sent
    await until(lambda: camera.sent >= before + WHILE, "what was under way is there")
    shown.pictures.forget()
    before = camera.sent
    await until(lambda: camera.sent >= before + WHILE, "more is sent")
    assert not shown.pictures.sees(shade)


async def test_a_picture_comes_with_admission_and_goes_with_isolation_alone(house: House) -> None:
    async with held(house) as (hearing, shown):
        await until(lambda: shown.now is not None, "what the public reads")
        assert shown.now == signalling.Screen(title="Case 1", room="open", recording=True, people=[], sharing="", look_ins=[], closed=False)
        await nothing_comes(hearing, shown, PARTY, 0)
        await hearing.ask(contract.Admit(by=CLERK, person="party"))
        await hearing.ask(contract.Admit(by=CLERK, person="counsel"))
        await until(lambda: shown.pictures.sees(PARTY) and shown.pictures.sees(COUNSEL), "both pictures")
        assert shown.names == ["party", "counsel"]
        await hearing.ask(contract.Isolate(by=CLERK, person="party"))
        await until(lambda: shown.names == ["counsel"] and shown.tiles == ["counsel"], "the party is gone from it")
        await nothing_comes(hearing, shown, PARTY, 0)
        shown.pictures.forget()
        await until(lambda: shown.pictures.sees(COUNSEL, 5), "the other's picture goes on")


async def test_who_talks_in_private_is_not_shown_until_it_is_over(house: House) -> None:
    async with held(house) as (hearing, shown):
        for person in ("party", "counsel"):
            await hearing.ask(contract.Admit(by=CLERK, person=person))
        await until(lambda: shown.pictures.sees(PARTY) and shown.pictures.sees(COUNSEL), "both pictures")
        await hearing.ask(contract.Consult(by=CLERK, people=["party", "counsel"]))
        await until(lambda: shown.names == [] and shown.tiles == [], "both are gone from it")
        await nothing_comes(hearing, shown, PARTY, 0)
        assert not shown.pictures.sees(COUNSEL)
        conference = house.service.hall.conference
        assert conference is not None
        await hearing.ask(contract.EndConsultation(by=CLERK, consultation=conference.order.consultations))
        await until(lambda: shown.pictures.sees(PARTY) and shown.pictures.sees(COUNSEL), "both are back")


@pytest.mark.parametrize("state", ["privileged", "deliberation", "closing", "idle"])
async def test_nothing_is_shown_while_the_room_is(house: House, state: str) -> None:
    async with held(house) as (hearing, shown):
        await hearing.ask(contract.Admit(by=CLERK, person="party"))
        await until(lambda: shown.pictures.sees(PARTY), "the picture")
        await hearing.room(state)
        await until(lambda: shown.now is not None and shown.now.room == state, "the state")
        assert (shown.names, shown.tiles) == ([], [])
        assert shown.now is not None
        assert not shown.now.recording
        await nothing_comes(hearing, shown, PARTY, 0)
        await hearing.room("off_record")
        await until(lambda: shown.pictures.sees(PARTY), "the picture is back")
        assert not shown.now.recording


async def test_a_shared_screen_is_shown_with_the_name_of_whoever_shows_it(house: House) -> None:
    async with held(house) as (hearing, shown):
        await hearing.ask(contract.Admit(by=CLERK, person="party"))
        await until(lambda: shown.pictures.sees(PARTY), "the picture")
        await hearing.pages[0].say(signalling.Do(act=acts.Share(on=True)))
        await until(lambda: shown.pictures.sees(SCREEN), "the shared screen")
        assert shown.now is not None
        assert shown.now.sharing == "party"
        assert sorted(shown.tiles) == ["party", "screen"]
        await hearing.ask(contract.StopShare(by=CLERK))
        await until(lambda: shown.now is not None and shown.now.sharing == "" and shown.tiles == ["party"], "the end of it")


async def test_it_never_shows_the_room_to_itself(house: House) -> None:
    async with held(house) as (hearing, shown):
        await hearing.ask(contract.Admit(by=CLERK, person="party"))
        await until(lambda: shown.pictures.sees(PARTY), "the picture")
        conference = house.service.hall.conference
        assert conference is not None
        assert "room" in conference.peers["party"].tiles, "the party sees the room"
        assert all("room" not in told.shown for told in shown.page.all(signalling.Tiles))


async def test_who_looks_in_is_told_and_whether_the_hearing_is_public(house: House) -> None:
    async with held(house) as (hearing, shown):
        conference = house.service.hall.conference
        assert conference is not None
        conference.act(contract.BeginLookIn(look_in="l1", person="C. Centre", reason="inspection", length_s=60, token_sha256="0" * 64))
        await until(lambda: shown.now is not None and shown.now.look_ins == ["C. Centre"], "who looks in")
        await hearing.agent.hold(*hearing.invitations, title="Case 2")
        await until(lambda: shown.now is not None and shown.now.title == "Case 2", "another title")


async def test_a_screen_stays_from_one_hearing_to_the_next(house: House) -> None:
    async with held(house) as (hearing, shown):
        await hearing.ask(contract.Admit(by=CLERK, person="party"))
        await until(lambda: shown.pictures.sees(PARTY), "the picture")
        await hearing.agent.hold(hearing="", title="", state="idle")
        await until(lambda: shown.now is not None and shown.now.title == "" and shown.tiles == [], "no hearing")
        token, invitation = invited("party")
        await hearing.agent.hold(invitation, hearing="h2", title="Case 2")
        await until(lambda: shown.now is not None and shown.now.title == "Case 2", "the next hearing")
        shown.pictures.forget()
        await hearing.come("party", token, PARTY)
        await hearing.ask(contract.Admit(by=CLERK, person="party"))
        await until(lambda: shown.pictures.sees(PARTY), "the picture, by the same connection")


async def test_nothing_is_said_before_the_agent_has_spoken(house: House) -> None:
    shown = await screen(house)
    await shown.call()
    assert shown.now is None
    await (await house.agent()).hold()
    await until(lambda: shown.now is not None, "what the agent says")
    await shown.pictures.close()


async def test_so_many_screens_are_there_at_most(house: House) -> None:
    await (await house.agent()).hold()
    screens = [await screen(house) for _ in range(MOST_DISPLAYS)]
    for one in screens:
        await one.page.first(signalling.Screen)
    refused = await (await screen(house)).page.first(signalling.Bye)
    assert (refused.code, refused.again) == ("too_many", True)
    await screens[0].page.close()
    await until(lambda: screens[0].page.closed, "one goes")
    another = await screen(house)
    assert await another.page.first(signalling.Screen)


@pytest.mark.parametrize("text", ['{"m":"resume","token":"t"}', '{"m":"do","act":{"act":"raise_hand","on":true}}', "x"])
async def test_a_screen_can_ask_for_nothing_but_pictures(house: House, text: str) -> None:
    shown = await screen(house)
    await shown.page.raw(text)
    assert (await shown.page.first(signalling.Bye)).code == "bad_message"


async def test_a_screen_that_would_send_sound_is_sent_away(house: House) -> None:
    shown, participant = await screen(house), Browser(1_000, PARTY)
    await participant.dial(shown.page.answer)
    assert (await shown.page.first(signalling.Bye)).code == "bad_offer"
    await participant.close()
