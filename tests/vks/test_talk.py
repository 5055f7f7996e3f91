"""A page's WebSocket and its media: what becomes of the connections."""

import asyncio
import contextlib
from unittest.mock import create_autospec

import pytest
from aiohttp import WSMessage, WSMsgType, web

from tests.vks.browsers import until
from vks import signalling
from vks.connection import Connection, OfferError
from vks.talk import Talk


class Offers:
    """Connections as they are made, each with what it does with an offer."""

    def __init__(self, *errors: Exception | None) -> None:
        self._errors = list(errors)
        self.open: list[int] = []
        self._made = 0

    def __call__(self, _ice: object, *, takes_media: bool, receives: bool) -> Connection:
        assert takes_media
        assert receives
        number, error = self._made, self._errors[self._made]
        self._made += 1
        self.open.append(number)
        made = create_autospec(Connection, instance=True)
        made.answer.side_effect = error or ["v=0"]
        made.close.side_effect = lambda: self.open.remove(number)
        return made  # type: ignore[no-any-return]


async def talk() -> Talk[signalling.FromPage]:
    return Talk(create_autospec(web.WebSocketResponse, instance=True), "192.0.2.7", signalling.from_page)


async def test_media_goes_by_the_newest_connection_and_the_earlier_one_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    offers = Offers(None, None)
    monkeypatch.setattr("vks.talk.Connection", offers)
    page = await talk()
    await page.answer("offer", [], lambda _: None)
    await page.answer("offer", [], lambda _: None)
    assert offers.open == [1]
    await page.finish()
    assert offers.open == []


@pytest.mark.parametrize("error", [OfferError("bad_offer", "no offer"), OSError("no port is free")])
async def test_an_offer_that_fails_leaves_the_earlier_connection_and_none_of_its_own(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    offers = Offers(None, error)
    monkeypatch.setattr("vks.talk.Connection", offers)
    page = await talk()
    await page.answer("offer", [], lambda _: None)
    with contextlib.suppress(OSError):
        await page.answer("offer", [], lambda _: pytest.fail("there is nothing to use"))
    assert offers.open == [0]
    await page.finish()
    assert offers.open == []


async def test_a_connection_that_cannot_be_used_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    offers = Offers(None)
    monkeypatch.setattr("vks.talk.Connection", offers)
    page = await talk()

    def fails(_: Connection) -> None:
        raise RuntimeError("of the test")

    with pytest.raises(RuntimeError, match="of the test"):
        await page.answer("offer", [], fails)
    assert offers.open == []
    await page.finish()


async def test_who_is_sent_away_sends_no_media_and_says_nothing_more_though_his_page_does_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    offers = Offers(None)
    monkeypatch.setattr("vks.talk.Connection", offers)
    socket = create_autospec(web.WebSocketResponse, instance=True)
    stalled = asyncio.Event()

    async def stall(_: str) -> None:
        await stalled.wait()

    socket.send_str.side_effect = stall
    socket.receive.return_value = WSMessage(WSMsgType.TEXT, '{"m":"ping"}', None)
    page = Talk[signalling.FromPage](socket, "192.0.2.7", signalling.from_page)
    await page.answer("offer", [], lambda _: None)
    page.end(signalling.Bye(code="elsewhere", again=False))
    assert await page.receive() is None
    await until(lambda: offers.open == [], "its media ends")
    stalled.set()
    await page.finish()
