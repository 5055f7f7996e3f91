"""A hearing of people with real browsers: who hears and sees whom there, and what the record has of it afterwards."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from recorder.record import entries
from recorder.seal import read_journal
from tests.lab import browser
from tests.lab.participant import PHONE_WIDTH, SAME_SHADE, SCREEN_MEAN, SHADES, Participant, participant
from tests.lab.site import Site, site
from tests.vks.browsers import until
from tests.vks.hearing import BY, clerk, free_port, green_in, sealed, shade_in, stanzas, tone_in
from vks.door import STATIC

pytestmark = [
    pytest.mark.lab,
    pytest.mark.long,
    pytest.mark.timeout(600),
    pytest.mark.skipif(browser.missing(), reason="chromium is not installed"),
    pytest.mark.skipif(not (STATIC / "join/index.html").exists(), reason="the pages are not built (scripts/build-pages)"),
]
ROOM_HZ = 400
"""A tone of the room's microphones (drivers/microphones/test_tone.py)."""
SECRETS_HZ = (3_640.0, 4_400.0)
"""What the party and the counsel say in private, and nowhere else."""
ENOUGH_LOOKS = 60
"""So often was listened when it is told that something was not heard: three seconds, in which each tone comes several times."""


@dataclass(frozen=True, slots=True)
class People:
    """Who takes part, in the order of their ids (g1, g2, ...)."""

    party: Participant
    counsel: Participant
    witness: Participant
    phone: Participant

    @property
    def all(self) -> tuple[Participant, ...]:
        return self.party, self.counsel, self.witness, self.phone


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path, stanzas(f"port = {free_port()}")) as it:
        yield it


@pytest_asyncio.fixture
async def people(tmp_path: Path) -> AsyncIterator[People]:
    async with AsyncExitStack() as browsers:
        enter = browsers.enter_async_context
        yield People(
            await enter(participant(tmp_path / "party", "A. Party", "party", 1_270, 140)),
            await enter(participant(tmp_path / "counsel", "B. Counsel", "counsel", 1_930, 20)),
            await enter(participant(tmp_path / "witness", "C. Witness", "witness", 2_710, 175)),
            await enter(participant(tmp_path / "phone", "D. Phone", "party", 3_390, 225, phone=True)),
        )


async def test_a_hearing_of_four_browsers(room: Site, people: People) -> None:
    await asyncio.to_thread(room.order, "start", *BY)
    await until(lambda: room.recorder_state() == "open", "the session")
    await come_and_are_admitted(room, people)
    await the_witness_waits_apart(people)
    await the_witness_is_called(room, people)
    await the_phone_takes_part(people)
    await a_screen_is_shown(people)
    await two_talk_in_private(room, people)
    await the_witness_is_dismissed(room, people)
    for one in people.all:
        await one.press("Leave")
        await one.press("Yes, leave")
        await one.reads("You have left the hearing")
    record = await sealed(room)
    await asyncio.to_thread(the_record_has_what_was_open, room, people, record)
    await asyncio.to_thread(the_record_has_nothing_private, room, record)


async def come_and_are_admitted(room: Site, people: People) -> None:
    for number, one in enumerate(people.all, 1):
        await one.join((await clerk(room, "invite", one.name, one.role, *BY)).strip())
        await one.reads("You are in the waiting room")
        await clerk(room, "admit", f"g{number}", *BY)
        await one.reads("Wait until you are called" if one is people.witness else "In the hearing")
    listed = await clerk(room, "list")
    assert all(one.name in listed for one in people.all), f"the clerk does not see everybody: {listed}"


async def the_witness_waits_apart(people: People) -> None:
    await people.witness.forget()
    await hear_each_other(people.party, people.counsel, people.phone)
    for one in (people.party, people.counsel):
        assert not await one.heard(people.witness.hz), f"{one.name} hears a witness who waits apart"
    await hears_and_sees_nothing(people.witness, people)


async def the_witness_is_called(room: Site, people: People) -> None:
    await clerk(room, "call", "g3", *BY)
    await people.witness.reads("In the hearing")
    await hear_each_other(*people.all)
    for viewer in (people.party, people.counsel, people.witness):
        for shown in people.all:
            if shown is not viewer:
                await viewer.sees(shown.name, shown.shade)


async def the_phone_takes_part(people: People) -> None:
    phone = people.phone
    shade_by_name = {one.name: one.shade for one in people.all}
    right = f"""(() => {{
      const shades = {json.dumps(shade_by_name)}, shown = Object.entries({SHADES});
      return shown.length === 2 && shown.every(([words, mean]) => {{
        const name = words.split(",")[0];
        return name === "Courtroom" || Math.abs(mean - shades[name]) < {SAME_SHADE};
      }});
    }})()"""
    await phone.tab.until(right, "the phone to show two tiles, each with the picture of whom it names")
    width, scale = await phone.tab.run("[document.documentElement.scrollWidth, visualViewport.scale]")
    assert width <= PHONE_WIDTH, f"the phone's page is {width} pixels wide"
    assert scale == 1, f"the phone's page is shown at a scale of {scale}, so that it fits"


async def a_screen_is_shown(people: People) -> None:
    await people.party.press("Show my screen")
    await people.counsel.sees("Screen: A. Party", SCREEN_MEAN)
    await people.phone.sees("Screen: A. Party", SCREEN_MEAN)
    await people.party.press("Stop showing my screen")
    await people.counsel.tab.until(
        "![...document.querySelectorAll('figcaption')].some(one => one.innerText.startsWith('Screen'))", "the screen to go"
    )


async def two_talk_in_private(room: Site, people: People) -> None:
    talkers, others = (people.party, people.counsel), (people.witness, people.phone)
    await clerk(room, "consult", "g1", "g2", *BY)
    for one in talkers:
        await one.reads("Private talk")
    for one in people.all:
        await one.forget()
    for one, hz in zip(talkers, SECRETS_HZ, strict=True):
        await one.say(hz)
    await people.party.hears(SECRETS_HZ[1], "the counsel in private")
    await people.counsel.hears(SECRETS_HZ[0], "the party in private")
    for one in talkers:  # what a browser held back of the floor was played before the other's secret
        await one.forget()
    await people.party.sees(people.counsel.name, people.counsel.shade)
    await hear_each_other(*others, anew=False)
    for one in others:
        names = [words.split(",")[0] for words in await one.tiles()]
        assert not {"A. Party", "B. Counsel"} & set(names), f"{one.name} sees those who talk in private: {names}"
    for one in talkers:
        assert not await one.heard(people.witness.hz), f"{one.name} hears the floor in a private talk"
        await one.say(one.hz)
    await people.counsel.hears(people.party.hz, "the party's first tone again")
    await people.party.hears(people.counsel.hz, "the counsel's first tone again")
    await clerk(room, "end-consult", "1", *BY)
    for one in others:
        await one.hears(people.party.hz, "the party on the floor again")
        await one.hears(people.counsel.hz, "the counsel on the floor again")
        for hz in SECRETS_HZ:
            assert not await one.heard(hz), f"{one.name} hears what is said in private ({hz:g} Hz)"


async def the_witness_is_dismissed(room: Site, people: People) -> None:
    await clerk(room, "dismiss", "g3", *BY)
    await people.witness.reads("You were heard")
    await people.witness.falls_silent()
    await people.witness.forget()
    await hear_each_other(people.party, people.counsel, people.phone)
    await hears_and_sees_nothing(people.witness, people)


async def hear_each_other(*together: Participant, anew: bool = True) -> None:
    """Each of them hears the others' tones, and not his own."""
    if anew:
        for one in together:
            await one.forget()
    for listener in together:
        for speaker in together:
            if speaker is not listener:
                await listener.hears(speaker.hz, speaker.name)
    for listener in together:
        await has_listened(listener)
    for listener in together:
        assert not await listener.heard(listener.hz), f"{listener.name} hears himself"


async def hears_and_sees_nothing(one: Participant, people: People) -> None:
    await has_listened(one)
    for hz, who in [(ROOM_HZ, "the room"), *((other.hz, other.name) for other in people.all)]:
        assert not await one.heard(hz), f"{one.name} hears {who} though apart"
    assert not await one.tiles(), f"{one.name} sees {await one.tiles()} though apart"


async def has_listened(one: Participant) -> None:
    await one.tab.until(f"ears.looks >= {ENOUGH_LOOKS}", f"{one.name} to listen long enough")


def the_record_has_what_was_open(room: Site, people: People, record: Path) -> None:
    for number, one in enumerate(people.all, 1):
        track = f"remote-g{number}-audio"
        assert tone_in(room, record, track, one.hz), f"the record has no sound of {one.name}"
        others = [other.name for other in people.all if other is not one and tone_in(room, record, track, other.hz)]
        assert not others, f"the sound of {one.name} has {others}: the search finds what is not there, or tracks are mixed up"
        assert tone_in(room, record, "room-out", one.hz), f"the courtroom did not hear {one.name}"
        assert shade_in(room, record, f"remote-g{number}-video", one.shade), f"the record has no pictures of {one.name}"
    assert green_in(room, record, "remote-g1-screen"), "the record has no pictures of the shown screen"


def the_record_has_nothing_private(room: Site, record: Path) -> None:
    tracks = {entry.track for _, entry in read_journal(record) if isinstance(entry, entries.Init) and entry.kind == "audio"}
    assert {"remote-g1-audio", "remote-g2-audio", "room-out"} < tracks
    for hz in SECRETS_HZ:
        found = [track for track in sorted(tracks) if tone_in(room, record, track, hz)]
        assert not found, f"what was said in private ({hz:g} Hz) is in the record: {found}"
