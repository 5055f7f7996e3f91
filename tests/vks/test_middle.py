"""A centre in the middle: it hears all of an open hearing that its relaying brings it to, and nothing of one that is not public."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiortc import RTCCertificate

from recorder.contract import conference as contract
from tests.vks.browsers import until
from tests.vks.closed import IIN, OTHER_HZ, Guest, Middle, Scene, held
from tests.vks.test_service import CLERK, PageInTest, invited, running
from vks import signalling
from vks.vouching import TRIES

PAGE_HZ = 700


@contextlib.asynccontextmanager
async def scene(run_dir: Path, *, closed: bool) -> AsyncIterator[tuple[Scene, PageInTest]]:
    """The hearing, and a connection to the room by the link of p1, who is admitted."""
    async with held(run_dir, closed=closed) as it:
        page = await it.house.come(it.token)
        try:
            await page.first(signalling.Welcome)
            assert (await it.agent.ask(contract.Admit(by=CLERK, person="p1"))).code == ""
            yield it, page
        finally:
            await page.close()


async def test_in_an_open_hearing_the_middle_hears_both_sides_which_is_what_vouching_is_for(tmp_path: Path) -> None:
    async with scene(tmp_path, closed=False) as (it, page):
        middle = Middle(page, "p1")
        victim = Guest(middle, "p1", PAGE_HZ)
        try:
            victim.dial()
            await until(lambda: middle.hears_page(PAGE_HZ), "the middle hears the page")
            await until(lambda: middle.own.browser.hears(OTHER_HZ), "the middle hears the hearing")
            await until(lambda: it.other.browser.hears(PAGE_HZ), "nobody notices: the page is heard in the hearing")
        finally:
            await victim.close()
            await middle.close()


async def test_in_a_closed_hearing_the_middle_hears_nothing_and_neither_code_nor_signature_lets_it_in(tmp_path: Path) -> None:
    async with scene(tmp_path, closed=True) as (it, page):
        middle = Middle(page, "p1")
        victim = Guest(middle, "p1", PAGE_HZ)
        try:
            victim.dial()
            await until(lambda: victim.seen, "the page shows a code")
            assert victim.seen is not None
            assert it.unvouched("p1")
            # the clerk is read the page's code, and the person signs what the page shows
            assert (await it.vouch(victim.seen.code)).code == "other_code"
            person = it.persons.issue("ТЕСТОВ ТЕСТ", IIN)
            await page.say(signalling.Signed(cms=person.sign(victim.seen.text)))
            assert (await page.first(signalling.Refused)).code == "signature_bad"
            # and somebody of the centre signs for the certificate in the middle
            assert middle.own.seen is not None
            insider = it.persons.issue("I. Nsider", "999999999999")
            await page.say(signalling.Signed(cms=insider.sign(middle.own.seen.text)))
            await until(lambda: len(page.all(signalling.Refused)) == 2, "an answer")
            assert page.all(signalling.Refused)[-1].code == "signature_of_other"
            assert not middle.own.answered
            assert middle.own.browser.heard == []
            assert it.unvouched("p1")
            assert it.told() == []
        finally:
            await victim.close()
            await middle.close()


async def test_a_code_that_is_read_to_the_clerk_lets_the_page_in_through_a_centre_that_only_relays(tmp_path: Path) -> None:
    async with scene(tmp_path, closed=True) as (it, page):
        guest = Guest(page, "p1", PAGE_HZ)
        try:
            guest.dial()
            await until(lambda: guest.seen, "the page shows a code")
            assert guest.seen is not None
            assert (await it.vouch(guest.seen.code)).code == ""
            await until(lambda: guest.browser.hears(OTHER_HZ) and it.other.browser.hears(PAGE_HZ), "they hear each other")
            assert not it.unvouched("p1")
            assert it.told() == [{"by": CLERK, "person": "p1", "fingerprint": guest.seen.page, "how": "code"}]
        finally:
            await guest.close()


async def test_the_persons_own_signature_lets_the_page_in_and_the_record_says_whose_it_is(tmp_path: Path) -> None:
    async with scene(tmp_path, closed=True) as (it, page):
        guest = Guest(page, "p1", PAGE_HZ)
        try:
            guest.dial()
            await until(lambda: guest.seen, "the page shows a text to sign")
            assert guest.seen is not None
            assert page.all(signalling.Unvouched)[0].sign
            await page.say(signalling.Signed(cms=it.persons.issue("ТЕСТОВ ТЕСТ", IIN).sign(guest.seen.text)))
            await until(lambda: guest.browser.hears(OTHER_HZ) and it.other.browser.hears(PAGE_HZ), "they hear each other")
            assert it.told() == [{"by": "ТЕСТОВ ТЕСТ", "person": "p1", "fingerprint": guest.seen.page, "how": "signature"}]
        finally:
            await guest.close()


async def test_after_some_wrong_codes_the_page_shows_another_and_the_first_is_good_no_more(tmp_path: Path) -> None:
    async with scene(tmp_path, closed=True) as (it, page):
        guest = Guest(page, "p1", PAGE_HZ)
        try:
            guest.dial()
            await until(lambda: guest.seen, "the page shows a code")
            assert guest.seen is not None
            for half in (guest.seen.code[:10], guest.seen.code + "0", "twenty", ""):
                assert (await it.vouch(half)).code == "no_digits", "it is no try"
            for _ in range(TRIES):
                assert len(page.all(signalling.Unvouched)) == 1
                assert (await it.vouch("0" * 20)).code == "other_code"
            await until(lambda: len(page.all(signalling.Unvouched)) == 2, "another exchange")
            await until(lambda: len(it.facts("vouching_failed")) == TRIES, "each wrong code to stand in the record")
            assert page.all(signalling.Unvouched)[1].commitment != page.all(signalling.Unvouched)[0].commitment
            assert (await it.vouch(guest.seen.code)).code == "no_code"
            await page.say(signalling.Number(number="0" * 64))
            await until(lambda: len(page.all(signalling.Shown)) == 2, "the room's new number")
            assert (await it.vouch(guest.seen.code)).code == "other_code"
        finally:
            await guest.close()


async def test_the_rooms_number_is_shown_once_whoever_asks_again(tmp_path: Path) -> None:
    async with scene(tmp_path, closed=True) as (it, page):
        guest = Guest(page, "p1", PAGE_HZ)
        try:
            guest.dial()
            await until(lambda: guest.seen, "the page shows a code")
            assert guest.seen is not None
            await page.say(signalling.Number(number="0" * 64))
            await page.say(signalling.Ping())
            await page.first(signalling.Pong)
            assert len(page.all(signalling.Shown)) == 1
            assert (await it.vouch(guest.seen.code)).code == ""
        finally:
            await guest.close()


async def test_a_reload_and_a_killed_conference_need_no_second_vouching(tmp_path: Path) -> None:
    kept = RTCCertificate.generateCertificate()
    async with scene(tmp_path, closed=True) as (it, page):
        guest = Guest(page, "p1", PAGE_HZ, kept)
        guest.dial()
        await until(lambda: guest.seen, "the page shows a code")
        assert guest.seen is not None
        assert (await it.vouch(guest.seen.code)).code == ""
        await until(lambda: guest.answered, "the answer")
        await guest.close()
        await page.close()
        again = await it.house.come(it.token)
        reloaded = Guest(again, "p1", PAGE_HZ, kept)
        reloaded.dial()
        await until(lambda: it.other.browser.hears(PAGE_HZ), "the page that was loaded anew is heard")
        await reloaded.close()
        await again.close()
        assert reloaded.seen is None
        order, room = it.agent.order, guest.seen.room
    (tmp_path / "again").mkdir()
    async with running(tmp_path / "again") as house:
        agent = await house.agent()
        token, invitation = invited("p1")
        await agent.hold(invitation, closed=True, kept=order)
        await until(lambda: agent.stands, "the hearing is held")
        after = await house.come(token)
        back = Guest(after, "p1", PAGE_HZ, kept)
        back.dial()
        await until(lambda: back.answered, "the page is answered by the process that came after")
        assert back.seen is None
        other_page = await house.come(token)
        stranger = Guest(other_page, "p1", PAGE_HZ)
        stranger.dial()
        await until(lambda: stranger.seen, "another certificate has to be vouched for")
        assert stranger.seen is not None
        assert stranger.seen.room == room
        for gone in (back, stranger, after, other_page):
            await gone.close()


async def test_a_hearing_that_becomes_closed_sends_those_away_for_whom_nobody_has_vouched(tmp_path: Path) -> None:
    async with scene(tmp_path, closed=False) as (it, page):
        guest = Guest(page, "p1", PAGE_HZ)
        try:
            guest.dial()
            await until(lambda: guest.browser.hears(OTHER_HZ), "the hearing is heard")
            token, invitation = invited("p1")
            await it.agent.hold(invitation, closed=True)
            bye = await page.first(signalling.Bye)
            assert (bye.code, bye.again) == ("unvouched", True)
            await until(lambda: page.closed, "the page is gone")
            again = await it.house.come(token)
            second = Guest(again, "p1", PAGE_HZ)
            second.dial()
            await until(lambda: second.seen, "it has to be vouched for")
            await second.close()
            await again.close()
        finally:
            await guest.close()


async def test_a_hearing_that_becomes_public_lets_those_in_who_showed_a_code(tmp_path: Path) -> None:
    async with scene(tmp_path, closed=True) as (it, page):
        guest = Guest(page, "p1", PAGE_HZ)
        try:
            guest.dial()
            await until(lambda: guest.seen and it.unvouched("p1"), "the page shows a code")
            _, invitation = invited("p1")
            await it.agent.hold(invitation, closed=False)
            await until(lambda: guest.browser.hears(OTHER_HZ), "the hearing is heard")
            await until(lambda: not it.unvouched("p1"), "the clerk's list says so")
            assert it.told() == []
        finally:
            await guest.close()


@pytest.mark.parametrize(("old", "new"), [("a=fingerprint:sha-256", "a=fingerprint:sha-512"), ("a=fingerprint", "a=nothing")])
async def test_an_offer_that_promises_no_certificate_is_not_answered(tmp_path: Path, old: str, new: str) -> None:
    async with scene(tmp_path, closed=True) as (_, page):
        guest = Guest(page, "p1", PAGE_HZ)

        async def answer(offer: str) -> str:
            await page.say(signalling.Offer(sdp=offer.replace(old, new)))
            assert (await page.first(signalling.Refused)).code == "bad_offer"
            raise ConnectionError

        with pytest.raises(ConnectionError):
            await guest.browser.dial(answer)
        assert page.all(signalling.Answer) == []
        await guest.close()
