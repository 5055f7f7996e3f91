"""A check of who somebody is in real browsers, at the real process: what the person reads, what the clerk sees, what the recorder gets."""

import hashlib
import secrets
from pathlib import Path

import pytest
from aioice import ice

from recorder.contract import child
from recorder.contract import conference as contract
from tests.children.linked import linked
from tests.children.test_ingest import DEVICE
from tests.lab import browser
from tests.lab.participant import Participant, participant
from tests.vks.browsers import NEAR, until
from tests.vks.test_conference import record
from tests.vks.test_identity_check import shades
from tests.vks.test_pages import DEVICES, held
from tests.vks.test_service import CLERK, House, invited
from tests.vks.test_service import house as house  # noqa: PLC0414 - a fixture is used by its name
from vks.door import STATIC

pytestmark = [
    pytest.mark.skipif(browser.missing(), reason="chromium is not installed"),
    pytest.mark.skipif(not (STATIC / "identity/index.html").exists(), reason="the pages are not built (scripts/build-pages)"),
]
FACE = 200


@pytest.fixture(autouse=True)
def _own_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """aioice keeps a lock for each thread, and it belongs to the first event loop that waits for it; each test has its own."""
    monkeypatch.delattr(ice._mdns, "lock", raising=False)


PICTURE = "(document.querySelector('.identity video')?.getVideoPlaybackQuality().totalVideoFrames ?? 0) > 0"


async def test_the_person_is_led_through_the_check_in_the_lobby_and_the_clerk_sees_it(house: House, tmp_path: Path) -> None:
    token, own = invited("p1")
    agent = await held(house, own)
    link = secrets.token_urlsafe(32)
    with linked("recorder.children.ingest", DEVICE, tmp_path) as ingest:
        async with participant(tmp_path / "p1", "P1", "party", 1_000, FACE) as person, browser.opened(("--lang=en",)) as clerk:
            await person.join(f"{house.url}/join/#{token}")
            await person.reads("You are in the waiting room")
            digest = hashlib.sha256(link.encode()).hexdigest()
            assert (await agent.ask(contract.Identify(by=CLERK, person="p1", token_sha256=digest))).code == ""
            await person.reads("look into the camera")
            await person.reads("stay in the court's record")
            await person.tab.page.screenshot(path=tmp_path / "person.png")
            await until(lambda: ingest.all(child.TrackOpened), "the track of stills")
            record(ingest)

            await clerk.go(f"{house.url}/identity/#{link}")
            await clerk.until(PICTURE, "the clerk to see the person")
            await clerk.until("document.body.innerText.includes('P1, party')", "the name")
            assert await clerk.run("[location.hash, document.querySelectorAll('button, a, input, audio').length]") == ["", 0]
            await clerk.page.screenshot(path=tmp_path / "clerk.png")
            for of, then in (("face", "Hold your document"), ("document", "Put the document away")):
                await agent.ask(contract.TakeStill(by=CLERK, person="p1", of=of))  # type: ignore[arg-type]
                await person.reads(then)
                await clerk.until(f"document.body.innerText.includes('of the {of} in the record: 1')", f"the still of the {of}")
            assert (await agent.ask(contract.ConfirmIdentity(by=CLERK, person="p1"))).code == ""
            await clerk.until("document.body.innerText.includes('The check is over')", "the end of it")
            assert not await clerk.run("document.querySelector('video') !== null")
            await person.reads("You are in the waiting room")
            await until(lambda: ingest.all(child.TrackClosed), "the end of the track")
    assert [one.track for one in ingest.all(child.TrackOpened)] == ["remote-p1-identity"], "nothing else of the lobby is recorded"
    stills = shades(ingest, "remote-p1-identity")
    assert len(stills) == 2
    assert all(abs(shade - FACE) < NEAR for shade in stills)
    assert agent.stands is not None
    assert [one.identity for one in agent.stands.people] == ["confirmed"]


@pytest.mark.long
async def test_a_link_that_was_opened_shows_nobody_a_second_time(house: House, tmp_path: Path) -> None:
    token, own = invited("p1")
    agent = await held(house, own)
    link = secrets.token_urlsafe(32)
    async with participant(tmp_path / "p1", "P1", "party", 1_000, FACE) as person, browser.opened(("--lang=en",)) as clerk:
        await person.join(f"{house.url}/join/#{token}")
        await person.reads("You are in the waiting room")
        await agent.ask(contract.Identify(by=CLERK, person="p1", token_sha256=hashlib.sha256(link.encode()).hexdigest()))
        await clerk.go(f"{house.url}/identity/#{link}")
        await clerk.until(PICTURE, "the clerk to see the person")
        await clerk.go(f"{house.url}/identity/")  # what a reload would open
        await clerk.until("document.body.innerText.includes('This link opens no check')", "the token to be kept nowhere in the browser")
        await clerk.go("about:blank")
        await clerk.go(f"{house.url}/identity/#{link}")
        await clerk.until("document.body.innerText.includes('was opened already')", "the link to be used up")
        assert not await clerk.run("document.querySelector('video') !== null")


async def test_the_clerk_reads_a_document_in_larger_pictures_than_a_hearing_has(house: House, tmp_path: Path) -> None:
    token, own = invited("p1")
    agent = await held(house, own)
    size = "[document.querySelector('.check video')?.videoWidth, document.querySelector('.check video')?.videoHeight].join('x')"
    with linked("recorder.children.ingest", DEVICE, tmp_path) as ingest:
        async with browser.opened(DEVICES) as tab:
            person = Participant("P1", "party", 0, 0, tab, tmp_path)
            await person.join(f"{house.url}/join/#{token}")
            await person.reads("You are in the waiting room")
            await agent.ask(contract.Identify(by=CLERK, person="p1", token_sha256="a" * 64))
            await tab.until(f"{size} === '1280x720'", "larger pictures")
            await until(lambda: ingest.all(child.TrackOpened), "the track of stills")
            record(ingest)
            await agent.ask(contract.TakeStill(by=CLERK, person="p1", of="document"))
            await person.reads("look into the camera")
            await until(lambda: agent.stands and agent.stands.people[0].documents == 1, "the still")
            await agent.ask(contract.RefuseIdentity(by=CLERK, person="p1", reason="r"))
            await until(lambda: ingest.all(child.TrackClosed), "the end of the track")
        (init,) = ingest.all(child.Init)
    assert (init.width, init.height) == (1280, 720)
