"""The room's end of the wire, against a real TLS server that may be anybody and may say anything."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from aiohttp import web

from agent.upstream import client as module
from agent.upstream import contract, transfer
from agent.upstream.client import Credentials, RefusedError, UntrustedError, UpstreamClient, UpstreamError
from tests.lab.tls import Authority, Pair

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
TAKEN = contract.HeartbeatTaken(utc_us=7, receipt=None)
BEAT = contract.Heartbeat(
    utc_us=1, boot="b", version="1", clock=contract.ClockQuality(source="chrony"), state="idle", session="", hearing="", head=None,
    applied_offset=0, outbox_depth=0, indicators={},
)  # fmt: skip


class Site:
    """A server's and a room's certificates."""

    def __init__(self, home: Path) -> None:
        self.authority = Authority(home)
        self.server = self.authority.issue("centre", address="127.0.0.1")
        self.room = self.authority.issue("room", urn="urn:courtroom:room:1")

    def credentials(self, *, roots: Path | None = None, room: Pair | None = None) -> Credentials:
        """What the room has."""
        pair = room or self.room
        return Credentials(key=pair.key, certificate=pair.certificate, roots=roots or self.authority.roots)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "tls")


@asynccontextmanager
async def serving(site: Site, handler: Handler, server: Pair | None = None) -> AsyncIterator[str]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(site.authority.roots))
    context.verify_mode = ssl.CERT_REQUIRED
    pair = server or site.server
    context.load_cert_chain(pair.certificate, pair.key)
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(application, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    listener = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await listener.start()
    try:
        yield f"https://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def always(answer: bytes, status: int = 200, **headers: str) -> Handler:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=answer, status=status, headers={name.replace("_", "-"): value for name, value in headers.items()})

    return handler


async def beat(base: str, credentials: Credentials) -> contract.HeartbeatTaken:
    async with UpstreamClient(base, credentials) as client:
        return await client.beat(BEAT)


async def test_a_heartbeat_reaches_the_centre_with_the_rooms_own_certificate(site: Site) -> None:
    seen: list[tuple[contract.Heartbeat, object]] = []

    async def handler(request: web.Request) -> web.Response:
        peer = request.get_extra_info("peercert")
        seen.append((msgspec.json.decode(await request.read(), type=contract.Heartbeat), peer["subjectAltName"]))
        return web.Response(body=msgspec.json.encode(TAKEN))

    async with serving(site, handler) as base:
        assert await beat(base, site.credentials()) == TAKEN
    assert seen == [(BEAT, (("URI", "urn:courtroom:room:1"),))]


async def test_a_feed_of_a_whole_year_arrives_whole(site: Site) -> None:
    hearing = contract.Hearing(id="7599-26-00-2/1", room="1", title="Т" * 200, starts_utc_us=1, ends_utc_us=2)
    feed = contract.Feed(as_of=9, snapshot=contract.Snapshot(as_of=9, hearings=[hearing] * 3_000))

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        data = msgspec.json.encode(feed)
        for start in range(0, len(data), 50_000):
            await response.write(data[start : start + 50_000])
            await asyncio.sleep(0)
        return response

    async with serving(site, handler) as base, UpstreamClient(base, site.credentials()) as client:
        assert await client.feed(0, 0, 0) == feed


async def test_a_server_that_nobody_vouches_for_is_told_nothing(site: Site, tmp_path: Path) -> None:
    stranger = Authority(tmp_path / "stranger", "Another root")
    said: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        said.append(request.path)
        return web.Response(body=msgspec.json.encode(TAKEN))

    for pair in (
        stranger.issue("centre", address="127.0.0.1"),
        site.authority.issue("other-name", address="127.0.0.9"),
        site.authority.issue("old", address="127.0.0.1", expired=True),
    ):
        async with serving(site, handler, pair) as base:
            with pytest.raises(UntrustedError, match=r"vouches for the centre: .*certificate"):
                await beat(base, site.credentials())
    assert not said


async def test_a_room_without_a_good_certificate_gets_an_error_and_no_crash(site: Site, tmp_path: Path) -> None:
    stranger = Authority(tmp_path / "stranger", "Another root").issue("room", urn="urn:courtroom:room:1")
    expired = site.authority.issue("expired", urn="urn:courtroom:room:1", expired=True)
    async with serving(site, always(msgspec.json.encode(TAKEN))) as base:
        for pair in (stranger, expired):
            with pytest.raises(UntrustedError, match="perhaps it does not know the authority of this room's certificate"):
                await beat(base, site.credentials(room=pair))


async def test_a_connection_that_ends_where_an_answer_is_due_is_told_from_one_that_never_stood(site: Site) -> None:
    async def handler(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async with serving(site, handler) as base:
        with pytest.raises(UntrustedError, match="the centre ended the connection"):
            await beat(base, site.credentials())
    with pytest.raises(UpstreamError) as away:
        await beat(base, site.credentials())
    assert type(away.value) is UpstreamError


NO_ANSWERS = [
    b"",
    b"[]",
    b"\xff\xfe",
    b'{"utc_us":"now"}',
    b'{"utc_us":7,"receipt":null,"do":"stop"}',
    b'{"utc_us":7,"receipt":null' + b" " * 100,
    b"[" * 200_000,
]


@pytest.mark.parametrize("answer", NO_ANSWERS, ids=range(len(NO_ANSWERS)))
async def test_an_answer_that_is_none_is_an_error_and_no_more(site: Site, answer: bytes) -> None:
    async with serving(site, always(answer)) as base:
        with pytest.raises(UpstreamError, match="not an answer of the contract"):
            await beat(base, site.credentials())


async def test_an_endless_answer_takes_no_more_memory_than_the_longest_that_is_due(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ANSWER_BYTES", 100_000)
    sent_bytes = 0

    async def handler(request: web.Request) -> web.StreamResponse:
        nonlocal sent_bytes
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" " * 65_536)
            sent_bytes += 65_536

    async with serving(site, handler) as base:
        with pytest.raises(UpstreamError):
            await beat(base, site.credentials())
    assert sent_bytes < 20_000_000


async def test_a_centre_that_never_answers_is_given_up(site: Site) -> None:
    async def handler(_: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    async with serving(site, handler) as base, UpstreamClient(base, site.credentials(), request_s=0.3) as client:
        with pytest.raises(UpstreamError):
            await client.beat(BEAT)


async def test_a_refusal_says_why_and_is_not_to_be_tried_again(site: Site) -> None:
    problem = transfer.Problem(type="about:blank", title="The room is not known.", status=403, detail="Enrol it again.")
    async with serving(site, always(msgspec.json.encode(problem), 403)) as base:
        with pytest.raises(RefusedError, match=r"The room is not known\. Enrol it again\.") as refused:
            await beat(base, site.credentials())
    assert refused.value.problem == problem


async def test_a_refusal_in_other_words_is_a_refusal_too(site: Site) -> None:
    async with serving(site, always(b"<html>no</html>", 404)) as base:
        with pytest.raises(RefusedError, match="404"):
            await beat(base, site.credentials())


@pytest.mark.parametrize("status", [408, 429, 500, 503])
async def test_a_centre_in_trouble_is_asked_again_when_it_wishes(site: Site, status: int) -> None:
    async with serving(site, always(b"", status, Retry_After="17")) as base:
        with pytest.raises(UpstreamError) as away:
            await beat(base, site.credentials())
    assert away.value.retry_after_s == 17.0


@pytest.mark.parametrize(
    ("said", "wish_s"),
    [("3600", 3600.0), ("999999999", 3600.0), ("9" * 400, None), ("²", None), ("٣", None), ("1e9", None), ("-1", None), ("", None)],
)
async def test_no_wish_of_the_centre_silences_the_room_or_ends_it(site: Site, said: str, wish_s: float | None) -> None:
    async with serving(site, always(b"", 503, Retry_After=said)) as base:
        with pytest.raises(UpstreamError) as away:
            await beat(base, site.credentials())
    assert away.value.retry_after_s == wish_s


async def test_the_room_is_not_sent_elsewhere(site: Site) -> None:
    taken = msgspec.json.encode(TAKEN)
    async with serving(site, always(taken)) as other, serving(site, always(b"", 307, Location=f"{other}/v1/heartbeat")) as base:
        with pytest.raises(UpstreamError, match="307"):
            await beat(base, site.credentials())


async def test_nobody_listening_is_an_error_that_names_the_address(site: Site) -> None:
    with pytest.raises(UpstreamError, match=r"https://127\.0\.0\.1:1"):
        await beat("https://127.0.0.1:1", site.credentials())
