"""The public door and the relay: what pages and rooms say goes to each other and nowhere else, and neither can harm the other."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from agent.upstream import relay
from agent.upstream.centre.public import REQUESTS_PER_MIN, Pace, public_door
from agent.upstream.centre.relays import Relays
from tests.lab.centre import centre, free_port
from tests.lab.public_door import Place, serving


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    async with serving() as it:
        yield it


async def test_a_page_and_its_room_hear_each_other_and_no_other_page_does(place: Place) -> None:
    room = await place.room()
    first, second = await place.page(), await place.page()
    channels = []
    for _ in range(2):
        frame = await room.hear()
        assert isinstance(frame, relay.Connect)
        assert frame.source == "127.0.0.1"
        channels.append(frame.channel)
    await first.send_str("hello")
    frame = await room.hear()
    assert isinstance(frame, relay.Said)
    assert (frame.channel, frame.text) == (channels[0], "hello")
    await room.say(relay.Said(channel=channels[1], text="for the second"))
    assert await asyncio.wait_for(second.receive_str(), 10) == "for the second"
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(first.receive(), 0.2)
    await room.say(relay.Gone(channel=channels[0]))
    assert (await asyncio.wait_for(first.receive(), 10)).type is aiohttp.WSMsgType.CLOSE
    await second.close()
    ended = {(await room.hear()).channel for _ in range(2)}
    assert ended == set(channels)


async def test_a_page_that_looks_in_comes_to_its_room_as_what_it_is(place: Place) -> None:
    room = await place.room()
    page = await place.http.ws_connect(f"{place.url}/r/r1/api/look")
    frame = await room.hear()
    assert isinstance(frame, relay.Look)
    await room.say(relay.Said(channel=frame.channel, text="looking"))
    assert await asyncio.wait_for(page.receive_str(), 10) == "looking"
    with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
        await place.http.ws_connect(f"{place.url}/r/r1/api/look", origin="https://evil.example")
    await page.close()


async def test_a_link_is_used_by_a_request_that_the_room_answers(place: Place) -> None:
    room = await place.room()
    asked = asyncio.create_task(place.http.post(f"{place.url}/r/r1/api/join", data=b'{"token":"t"}'))
    frame = await room.hear()
    assert isinstance(frame, relay.Request)
    assert frame.body == b'{"token":"t"}'
    await room.say(relay.Response(channel=frame.channel, status=403, body=b'{"code":"unknown"}'))
    answer = await asked
    assert (answer.status, await answer.json()) == (403, {"code": "unknown"})


async def test_where_no_room_has_called_a_page_is_told_so(place: Place) -> None:
    async with place.http.post(f"{place.url}/r/r1/api/join", data=b"{}") as answer:
        assert (answer.status, (await answer.json())["code"]) == (503, "room_away")
    with pytest.raises(aiohttp.WSServerHandshakeError, match="503"):
        await place.page()


async def test_when_the_room_is_gone_its_pages_are_and_a_new_call_takes_the_old_ones_place(place: Place) -> None:
    room = await place.room()
    page = await place.page()
    await room.hear()
    again = await place.room()
    assert (await asyncio.wait_for(room.socket.receive(), 10)).type is aiohttp.WSMsgType.CLOSE
    assert (await asyncio.wait_for(page.receive(), 10)).type is aiohttp.WSMsgType.CLOSE
    page = await place.page()
    assert isinstance(await again.hear(), relay.Connect)
    await again.socket.close()
    assert (await asyncio.wait_for(page.receive(), 10)).type is aiohttp.WSMsgType.CLOSE


@pytest.mark.parametrize("garbage", [b"", b"\x00", b"\xff" * 100, relay.encoder.encode({"f": "connect", "channel": 1, "source": "me"})])
async def test_a_room_that_says_what_is_no_frame_is_cut_off_and_others_are_not(place: Place, garbage: bytes) -> None:
    bad, good = await place.room("bad"), await place.room("good")
    await bad.socket.send_bytes(garbage)
    assert (await asyncio.wait_for(bad.socket.receive(), 10)).type is aiohttp.WSMsgType.CLOSE
    await place.page("good")
    assert isinstance(await good.hear(), relay.Connect)


async def test_a_page_that_does_not_read_is_given_up_and_the_others_go_on(place: Place) -> None:
    room = await place.room()
    slow, quick = await place.page(), await place.page()
    channels = [(await room.hear()).channel for _ in range(2)]
    reading = asyncio.create_task(quick.receive_str())
    for _ in range(relay.QUEUE * 40):
        await room.say(relay.Said(channel=channels[0], text="x" * 16_000))
    while True:
        frame = await room.hear()
        if isinstance(frame, relay.Gone):
            break
    assert frame.channel == channels[0]
    await room.say(relay.Said(channel=channels[1], text="still here"))
    assert await asyncio.wait_for(reading, 10) == "still here"
    await slow.close()


async def test_a_page_of_another_origin_and_a_message_that_is_too_long_are_refused(place: Place) -> None:
    room = await place.room()
    with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
        await place.page(origin="https://evil.example")
    page = await place.page()
    await room.hear()
    with contextlib.suppress(ConnectionError):
        await page.send_str("x" * (relay.TEXT_BYTES + 1))
    assert isinstance(await room.hear(), relay.Gone)
    async with place.http.post(f"{place.url}/r/r1/api/join", data=b"x" * (relay.BODY_BYTES + 1)) as answer:
        assert answer.status == 413


@given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 30)), max_size=300))
def test_no_source_asks_more_often_than_it_may_and_none_costs_another(asked: list[tuple[str, float]]) -> None:
    pace, now_s, taken = Pace(REQUESTS_PER_MIN), 0.0, {"a": 0, "b": 0}
    for source, later_s in asked:
        now_s += later_s
        taken[source] += pace.takes(source, now_s)
    assert all(count <= REQUESTS_PER_MIN + now_s * REQUESTS_PER_MIN / 60 + 1 for count in taken.values())
    assert pace.takes("another", now_s)


@pytest.mark.parametrize(
    ("told", "source"),
    [
        (["198.51.100.7"], "198.51.100.7"),
        (["203.0.113.9, 198.51.100.7"], "198.51.100.7"),
        (["203.0.113.9", "203.0.113.8,2001:db8::7"], "2001:db8::7"),
        (["::ffff:198.51.100.7"], "198.51.100.7"),
        (["203.0.113.9, unknown"], "127.0.0.1"),
        (["203.0.113.9,"], "127.0.0.1"),
        ([], "127.0.0.1"),
    ],
)
async def test_a_room_is_told_the_address_that_the_server_before_the_door_saw(told: list[str], source: str) -> None:
    headers = CIMultiDict([("X-Forwarded-For", value) for value in told])
    async with serving(forwarded=True) as place:
        room = await place.room()
        async with place.http.ws_connect(f"{place.url}/r/r1/api/connect", headers=headers):
            connect = await room.hear()
            assert isinstance(connect, relay.Connect)
            assert connect.source == source
            joining = asyncio.create_task(place.http.post(f"{place.url}/r/r1/api/join", data=b"{}", headers=headers))
            request = await room.hear()
            assert isinstance(request, relay.Request)
            assert request.source == source
            await room.say(relay.Response(channel=request.channel, status=200, body=b"{}"))
            assert (await joining).status == 200


async def test_who_asks_too_often_through_a_server_before_the_door_costs_nobody_else_there() -> None:
    async def join(place: Place, source: str) -> int:
        async with place.http.post(f"{place.url}/r/none/api/join", headers={"X-Forwarded-For": f"192.0.2.1, {source}"}) as answer:
            return answer.status

    async with serving(forwarded=True) as place:
        assert {await join(place, "203.0.113.9") for _ in range(REQUESTS_PER_MIN + 30)} == {503, 429}
        assert await join(place, "198.51.100.7") == 503


async def test_a_door_that_stands_for_itself_believes_nobody_about_who_asks(place: Place) -> None:
    room = await place.room()
    async with place.http.ws_connect(f"{place.url}/r/r1/api/connect", headers={"X-Forwarded-For": "198.51.100.7"}):
        frame = await room.hear()
        assert isinstance(frame, relay.Connect)
        assert frame.source == "127.0.0.1"


async def test_a_centre_believes_the_server_before_its_door_where_its_settings_say_so(tmp_path: Path) -> None:
    port = free_port()
    with centre(tmp_path, public=f"127.0.0.1:{port}", public_forwarded_for=True):
        async with aiohttp.ClientSession() as http:
            statuses = []
            for number in range(REQUESTS_PER_MIN + 30):
                headers = {"X-Forwarded-For": f"198.51.100.{number}"}
                async with http.post(f"http://127.0.0.1:{port}/r/none/api/join", headers=headers) as answer:
                    statuses.append(answer.status)
            assert set(statuses) == {503}, "each is an address of its own"


async def test_who_asks_is_another_servers_word_on_this_machine_alone() -> None:
    with pytest.raises(ValueError, match="public_forwarded_for"):
        async with public_door(Relays(), "0.0.0.0", 0, "", "", forwarded=True):  # noqa: S104 - what is refused
            pass


async def test_without_a_certificate_the_door_stands_on_this_machine_alone() -> None:
    with pytest.raises(ValueError, match="public_certificate"):
        async with public_door(Relays(), "0.0.0.0", 0, "", ""):  # noqa: S104 - what is refused
            pass
    async with public_door(Relays(), "127.0.0.1", 0, "", "") as port:
        assert port > 0


async def test_every_answer_of_the_public_door_tells_browsers_what_they_may_do(place: Place) -> None:
    for path in ("/r/r1/join/", "/r/r1/api/connect", "/none"):
        async with place.http.get(f"{place.url}{path}") as answer:
            assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"], path
            assert answer.headers["Strict-Transport-Security"], path
