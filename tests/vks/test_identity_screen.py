"""The clerk's screen at the real process: its link opens once, it shows one person alone, and the public's screen shows nothing of it."""

import hashlib
import secrets

import pytest

from recorder.contract import conference as contract
from tests.vks.browsers import Browser, until
from tests.vks.test_display import PARTY, Held, Screen, held, nothing_comes
from tests.vks.test_service import CLERK, House, PageInTest
from tests.vks.test_service import house as house  # noqa: PLC0414 - a fixture is used by its name
from vks import signalling


async def begin(hearing: Held, person: str = "party") -> str:
    """The clerk begins to check somebody; the link's token."""
    token = secrets.token_urlsafe(32)
    await hearing.ask(contract.Identify(by=CLERK, person=person, token_sha256=hashlib.sha256(token.encode()).hexdigest()))
    return token


async def opened(house: House, token: str, device: str = "screen-1") -> Screen:
    """A screen that comes by the link."""
    page = PageInTest(await house.http.ws_connect(f"{house.url}/api/identity"), signalling.to_identity)
    await page.say(signalling.See(token=token, device=device))
    return Screen(page, tiles=1)


async def test_the_screen_shows_the_person_and_the_courtrooms_own_shows_nothing_of_it(house: House) -> None:
    async with held(house) as (hearing, public):
        for person in ("party", "counsel"):
            await hearing.ask(contract.Admit(by=CLERK, person=person))
        await until(lambda: public.pictures.sees(PARTY), "the public sees the party")
        screen = await opened(house, await begin(hearing))
        assert await screen.page.first(signalling.Checking) == signalling.Checking(
            name="Party", role="party", step="face", faces=0, documents=0
        )
        await screen.call()
        await until(lambda: screen.pictures.sees(PARTY), "the clerk sees the party")
        await until(lambda: public.tiles == ["counsel"], "the public sees counsel alone")
        await nothing_comes(hearing, public, PARTY, 0)
        await hearing.ask(contract.RefuseIdentity(by=CLERK, person="party", reason="another face"))
        assert (await screen.page.first(signalling.Bye)).code == "check_over"
        await until(lambda: public.pictures.sees(PARTY), "the public sees the party again")
        await screen.pictures.close()


async def test_who_waits_in_the_lobby_is_shown_to_the_clerk_too(house: House) -> None:
    async with held(house) as (hearing, public):
        screen = await opened(house, await begin(hearing))
        await screen.call()
        await until(lambda: screen.pictures.sees(PARTY), "the clerk sees the party")
        await nothing_comes(hearing, public, PARTY, 0)
        await screen.pictures.close()


async def test_the_link_opens_for_one_page_and_for_that_one_again(house: House) -> None:
    async with held(house) as (hearing, _):
        token = await begin(hearing)
        first = await opened(house, token)
        await first.page.first(signalling.Checking)
        assert (await (await opened(house, token, "screen-2")).page.first(signalling.Bye)).code == "check_seen"
        await first.page.close()
        await (await opened(house, token)).page.first(signalling.Checking, "the same page again")
        assert (await (await opened(house, "forged")).page.first(signalling.Bye)).code == "unknown"
        other = await begin(hearing)
        assert (await (await opened(house, token)).page.first(signalling.Bye)).code == "unknown", "the check was begun anew"
        await (await opened(house, other, "screen-2")).page.first(signalling.Checking)


@pytest.mark.parametrize(
    "text", ['{"m":"resume","token":"t"}', '{"m":"do","act":{"act":"raise_hand","on":true}}', '{"m":"candidate","candidate":"c"}', "x"]
)
async def test_a_screen_can_ask_for_nothing_but_the_picture(house: House, text: str) -> None:
    async with held(house) as (hearing, _):
        screen = await opened(house, await begin(hearing))
        await screen.page.first(signalling.Checking)
        await screen.page.raw(text)
        assert (await screen.page.first(signalling.Bye)).code == "bad_message"


async def test_a_screen_that_would_send_something_is_refused(house: House) -> None:
    async with held(house) as (hearing, _):
        screen, participant = await opened(house, await begin(hearing)), Browser(1_000, PARTY)
        offers: list[str] = []

        async def answer(offer: str) -> str:
            offers.append(offer)
            raise ConnectionAbortedError

        with pytest.raises(ConnectionAbortedError):
            await participant.dial(answer)
        await screen.page.say(signalling.Offer(sdp=offers[0]))
        assert (await screen.page.first(signalling.Refused)).code == "bad_offer"
        await participant.close()


async def test_a_check_ends_with_the_persons_connection_and_the_screen_with_it(house: House) -> None:
    async with held(house) as (hearing, _):
        screen = await opened(house, await begin(hearing))
        await screen.page.first(signalling.Checking)
        await hearing.pages[0].close()
        assert (await screen.page.first(signalling.Bye)).code == "check_over"
        await until(lambda: "identity_check_ended" in [fact.name for fact in hearing.agent.told], "the line of the record")
