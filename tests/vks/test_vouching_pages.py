"""The join page of a closed hearing in a real browser: what it shows, what it signs, and what it keeps for the next time."""

import re
from pathlib import Path

import pytest

from recorder.contract import conference as contract
from tests.lab import browser
from tests.lab.ncalayer import TRUSTED, ncalayer
from tests.lab.participant import Participant, participant
from tests.lab.tls import Authority
from tests.vks.browsers import until
from tests.vks.closed import IIN, OTHER_HZ, Scene, held
from tests.vks.test_service import CLERK
from vks.connection import Connection
from vks.door import STATIC

pytestmark = [
    pytest.mark.skipif(browser.missing(), reason="chromium is not installed"),
    pytest.mark.skipif(not (STATIC / "join/index.html").exists(), reason="the pages are not built (scripts/build-pages)"),
]
HZ = 700
CODE = "document.querySelector('.code')?.innerText ?? ''"


async def admitted(it: Scene) -> None:
    assert (await it.agent.ask(contract.Admit(by=CLERK, person="p1"))).code == ""


async def hear_each_other(it: Scene, one: Participant) -> None:
    await one.hears(OTHER_HZ, "the other")
    await until(lambda: it.other.browser.hears(HZ), "the other hears the page")


async def test_the_page_shows_a_code_and_once_it_is_read_to_the_clerk_a_reload_needs_none(tmp_path: Path) -> None:
    async with held(tmp_path, closed=True) as it, participant(tmp_path / "p1", "P1", "party", HZ, 120) as one:
        await one.join(f"{it.house.url}/join/#{it.token}")
        code = str(await one.tab.until(CODE, "the code"))
        await admitted(it)
        assert [len(group) for group in code.split()] == [5, 5, 5, 5]
        assert await one.tab.run(CODE) == code, "who is admitted is shown nothing before the page is vouched for"
        assert not it.other.browser.hears(HZ)
        assert (await it.vouch("12345 67890 12345 67890")).code == "other_code"
        assert (await it.vouch(code)).code == ""
        await one.reads("In the hearing")
        await hear_each_other(it, one)
        assert len(it.told()) == 1
        await one.tab.page.reload()
        it.other.browser.forget()
        await until(lambda: it.other.browser.hears(HZ), "the page that was loaded anew is heard")
        assert await one.tab.run(CODE) == ""
        assert len(it.told()) == 1


async def test_who_signs_by_ncalayer_needs_no_telephone(tmp_path: Path) -> None:
    own = Authority(tmp_path / "tls").issue("NCALayer", address="127.0.0.1")
    async with held(tmp_path, closed=True) as it, participant(tmp_path / "p1", "P1", "party", HZ, 120, flags=(TRUSTED,)) as one:
        await one.join(f"{it.house.url}/join/#{it.token}")
        await one.press("Sign with NCALayer")
        await one.reads("NCALayer does not answer")
        async with ncalayer(None, own) as program:
            await one.press("Sign with NCALayer")
            await one.reads("Nothing was signed")
            program.key = it.persons.issue("O. Ther", "999999999999")
            await one.press("Sign with NCALayer")
            await one.reads("belongs to somebody else")
            program.key = it.persons.issue("ТЕСТОВ ТЕСТ", IIN)
            await one.press("Sign with NCALayer")
            await until(it.told, "the signature vouches")
        await admitted(it)
        await one.reads("In the hearing")
        await hear_each_other(it, one)
        (told,) = it.told()
        assert (told["by"], told["how"]) == ("ТЕСТОВ ТЕСТ", "signature")
        assert [asked["args"]["locale"] for asked in program.asked] == ["en"] * 3


async def test_the_page_takes_no_other_answer_than_from_the_courtroom_that_was_vouched_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    between = [True]
    whole = Connection.answer

    async def answer(connection: Connection, offer: str) -> str:
        sdp = await whole(connection, offer)
        return re.sub(r"(a=fingerprint:sha-256 )\S+", rf"\1{':'.join(['AB'] * 32)}", sdp) if between[0] else sdp

    async with held(tmp_path, closed=True) as it, participant(tmp_path / "p1", "P1", "party", HZ, 120) as one:
        monkeypatch.setattr(Connection, "answer", answer)
        await one.join(f"{it.house.url}/join/#{it.token}")
        code = str(await one.tab.until(CODE, "the code"))
        await admitted(it)
        assert (await it.vouch(code)).code == ""
        await one.reads("It is not certain that the courtroom itself answers")
        await one.tab.page.reload()
        await one.reads("It is not certain that the courtroom itself answers")
        assert not it.other.browser.hears(HZ)
        between[0] = False
        await one.tab.page.reload()
        await until(lambda: it.other.browser.hears(HZ), "the page is heard when nobody is between")


async def test_the_page_of_an_open_hearing_asks_for_nothing(tmp_path: Path) -> None:
    async with held(tmp_path, closed=False) as it, participant(tmp_path / "p1", "P1", "party", HZ, 120) as one:
        await one.join(f"{it.house.url}/join/#{it.token}")
        await one.reads("You are in the waiting room")
        await admitted(it)
        await hear_each_other(it, one)
        assert await one.tab.run(CODE) == ""
