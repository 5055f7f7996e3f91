"""WHIP's HTTP: what is asked of a server, what its answers mean, and where the token goes."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web
from yarl import URL

from recorder.contract.conference import AudienceServer
from tests.lab.tls import Authority
from tests.vks.test_ice import NO_ICE_URLS
from vks.connection import Connection
from vks.kept import Kept
from vks.plain import MOST_CHARACTERS
from vks.whip import LONGEST_WISH_S, MOST_REDIRECTS, MOST_SDP_BYTES, Published, Whip, WhipAwayError, WhipRefusedError, _depth

SDP = "application/sdp"
TOKEN = "a-publishers-token"


@dataclass
class Server:
    """Answers each request as the test wants."""

    says: dict[str, Callable[[], web.Response]]
    url: str = ""
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    """Method, path and token of each request."""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        token = request.headers.get("Authorization", "")
        self.asked.append((request.method, request.path, token))
        return self.says[f"{request.method} {request.path}"]()


@asynccontextmanager
async def serving(says: dict[str, Callable[[], web.Response]], tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    server, application = Server(says), web.Application()
    application.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        server.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{runner.addresses[0][1]}"
        yield server
    finally:
        await runner.cleanup()


def takes(location: str = "", text: str = "v=0\r\n", content_type: str = SDP) -> web.Response:
    """The answer of a server that takes what is published."""
    return web.Response(status=201, text=text, content_type=content_type, headers={"Location": location} if location else None)


def at(server: Server, path: str = "/whip/room", ca: str = "") -> Whip:
    return Whip(AudienceServer(whip=f"{server.url}/whip/room", token=TOKEN, ca=ca), f"{server.url}{path}")


async def failed(work: Awaitable[object], kind: type[Exception]) -> str:
    with pytest.raises(kind) as caught:
        await work
    assert TOKEN not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("location", "path"), [("session/7", "/whip/session/7"), ("/session/7", "/session/7"), ("", None)], ids=["relative", "absolute", "none"]
)
async def test_an_offer_is_answered_and_what_was_published_is_deleted(location: str, path: str | None) -> None:
    says = {"POST /whip/room": lambda: takes(location), f"DELETE {path}": web.Response}
    async with serving(says) as server, at(server) as whip:
        published = await whip.publish("v=0\r\n")
        assert published.answer == "v=0\r\n"
        assert (published.resource is None) == (path is None)
        if published.resource is not None:
            await whip.end(published.resource)
    deleted = [] if path is None else [("DELETE", path, f"Bearer {TOKEN}")]
    assert server.asked == [("POST", "/whip/room", f"Bearer {TOKEN}"), *deleted]


def sends(where: str) -> Callable[[], web.Response]:
    return lambda: web.Response(status=307, headers={"Location": where})


async def test_a_server_that_sends_elsewhere_is_followed_and_the_token_stays_with_its_own_origin() -> None:
    async with serving({"POST /there": lambda: takes("/session/7")}) as other:
        says = {
            "POST /whip/room": sends("/whip/better"),
            "POST /whip/better": lambda: takes("/session/7"),
            "POST /away": lambda: web.Response(status=308, headers={"Location": f"{other.url}/there"}),
        }
        other.says["DELETE /session/7"] = web.Response
        async with serving(says) as server, at(server) as whip, at(server, "/away") as away:
            await whip.publish("v=0\r\n")
            assert server.asked == [("POST", path, f"Bearer {TOKEN}") for path in ("/whip/room", "/whip/better")]
            published = await away.publish("v=0\r\n")
            assert published.resource is not None
            await away.end(published.resource)
        assert other.asked == [("POST", "/there", ""), ("DELETE", "/session/7", "")]


@pytest.mark.parametrize(
    "where", ["//user@127.0.0.1/whip/room", "http://[", "https://h:99999/", "mailto:x", "http://", "http://a..b/", "", "x" * 3 + "://y"]
)
async def test_a_server_that_sends_to_what_is_no_address_is_refused(where: str) -> None:
    async with serving({"POST /whip/room": sends(where), "POST /whip/": takes}) as server, at(server) as whip:
        await failed(whip.publish("v=0\r\n"), WhipRefusedError)
        assert len(server.asked) <= 1 + MOST_REDIRECTS


async def test_a_server_that_sends_on_and_on_is_refused() -> None:
    async with serving({"POST /whip/room": sends("/whip/room")}) as server, at(server) as whip:
        assert "from one address to the next" in await failed(whip.publish("v=0\r\n"), WhipRefusedError)
        assert len(server.asked) == 1 + MOST_REDIRECTS


async def test_nothing_is_sent_by_an_address_that_is_not_encrypted_or_stands_further_inside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, depths = Authority(tmp_path), {"127.0.0.1": 0, "localhost": 2}
    pair = authority.issue("server", address="127.0.0.1")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(pair.certificate, pair.key)

    async def depth(url: URL) -> int:
        return depths[url.host or ""]

    monkeypatch.setattr("vks.whip._depth", depth)
    async with serving({"POST /whip/room": takes}) as plain, serving({"POST /inner": takes}, tls) as inner:
        says = {
            "POST /whip/room": sends(plain.url + "/whip/room"),
            "POST /inside": sends(inner.url.replace("127.0.0.1", "localhost") + "/inner"),
        }
        async with serving(says, tls) as server:
            for path, words in (("/whip/room", "is not encrypted"), ("/inside", "of an inner network")):
                async with at(server, path, ca=str(authority.roots)) as whip:
                    assert words in await failed(whip.publish("v=0\r\n"), WhipRefusedError)
        assert plain.asked == inner.asked == []


@pytest.mark.parametrize(
    ("address", "depth"),
    [
        ("http://127.0.0.1/", 2),
        ("http://[::1]/", 2),
        ("http://[fe80::1]/", 2),
        ("http://10.1.2.3/", 1),
        ("http://8.8.8.8/", 0),
        ("http://[::ffff:127.0.0.1]/", 2),
        ("http://[::ffff:10.1.2.3]/", 1),
        ("http://[::ffff:8.8.8.8]/", 0),
        ("http://[64:ff9b::10.1.2.3]/", 1),
        ("http://[64:ff9b::8.8.8.8]/", 0),
        ("http://[2002:7f00:1::]/", 2),
        ("http://[2002:a01:203::]/", 1),
        ("http://[fec0::1]/", 1),
        ("http://[2a00:1450::1]/", 0),
    ],
)
async def test_how_far_inside_a_host_stands(address: str, depth: int) -> None:
    assert await _depth(URL(address)) == depth


@pytest.mark.parametrize(
    "location",
    ["http://a:b@127.0.0.1/session/7", "http://[", "https://h:99999/", "mailto:x", "http://127.0.0.1:1/session/7", "//other/session/7"],
)
async def test_nothing_is_deleted_where_nobody_answered(location: str) -> None:
    async with serving({"POST /whip/room": lambda: takes(location)}) as server, at(server) as whip:
        published = await whip.publish("v=0\r\n")
    assert published.answer == "v=0\r\n"
    assert published.resource is None


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 406, 409, 415, 422, 200, 204])
async def test_what_a_server_refuses_it_is_not_asked_again(status: int) -> None:
    async with serving({"POST /whip/room": lambda: web.Response(status=status)}) as server, at(server) as whip:
        assert f"the server answers {status}" in await failed(whip.publish("v=0\r\n"), WhipRefusedError)


@pytest.mark.parametrize(("status", "after", "wish_s"), [(500, "", 0), (503, "7", 7), (429, "86400", LONGEST_WISH_S), (503, "Sun, 1", 0)])
async def test_a_server_that_cannot_now_is_left_alone_as_long_as_it_wants(status: int, after: str, wish_s: int) -> None:
    headers = {"Retry-After": after} if after else {}
    async with serving({"POST /whip/room": lambda: web.Response(status=status, headers=headers)}) as server, at(server) as whip:
        with pytest.raises(WhipAwayError) as caught:
            await whip.publish("v=0\r\n")
    assert caught.value.wish_s == wish_s


async def test_a_server_that_is_not_there_is_asked_another_time() -> None:
    async with serving({}) as server:
        pass
    async with at(server) as whip:
        await failed(whip.publish("v=0\r\n"), WhipAwayError)


@pytest.mark.parametrize(("status", "kind"), [(b"404", WhipRefusedError), (b"503", WhipAwayError)])
async def test_what_a_server_says_is_told_as_a_line_of_text(status: bytes, kind: type[Exception]) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 %s \xff\x1b[2J%s\r\nContent-Length: 0\r\n\r\n" % (status, b"x" * 5_000))
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as listening:
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/"
        async with Whip(AudienceServer(whip=url, token=TOKEN), url) as whip:
            words = await failed(whip.publish("v=0\r\n"), kind)
    assert words.startswith(f"the server answers {status.decode()} ··[2Jx")
    assert words.isprintable()
    assert len(words) <= MOST_CHARACTERS


async def test_an_answer_that_is_none_is_refused() -> None:
    for response in (
        lambda: takes(text="<html>", content_type="text/html"),
        lambda: takes(text="v" * (MOST_SDP_BYTES + 1)),
    ):
        async with serving({"POST /whip/room": response}) as server, at(server) as whip:
            await failed(whip.publish("v=0\r\n"), WhipRefusedError)


async def test_stun_and_turn_servers_are_taken_from_the_answer() -> None:
    links = [
        '<stun:stun.example.net>; rel="ice-server"',
        '<turn:turn.example.net:3478?transport=udp>; rel="ice-server"; username="user"; credential="pass"; credential-type="password"',
        '<https://example.net/>; rel="ice-server"',
        *(f'<{url}>; rel="ice-server"' for url in NO_ICE_URLS if url.isascii() and url.isprintable()),
        '<https://example.net/>; rel="help"',
        "<",
    ]

    def answer() -> web.Response:
        response = takes()
        for link in links:
            response.headers.add("Link", link)
        return response

    async with serving({"POST /whip/room": answer}) as server, at(server) as whip:
        ice = (await whip.publish("v=0\r\n")).ice
    assert [(one.urls, one.username, one.credential) for one in ice] == [
        ("stun:stun.example.net", None, None), ("turn:turn.example.net:3478?transport=udp", "user", "pass"),
    ]  # fmt: skip


async def test_the_server_is_the_one_that_the_authority_knows(tmp_path: Path) -> None:
    authority, other = Authority(tmp_path / "one"), Authority(tmp_path / "other")
    pair = authority.issue("server", address="127.0.0.1")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(pair.certificate, pair.key)
    async with serving({"POST /whip/room": takes}, tls) as server:
        async with at(server, ca=str(authority.roots)) as whip:
            await whip.publish("v=0\r\n")
        async with at(server, ca=str(other.roots)) as whip:
            await failed(whip.publish("v=0\r\n"), WhipAwayError)
        assert len(server.asked) == 1
        with pytest.raises(WhipRefusedError, match="cannot be read"):
            at(server, ca=str(tmp_path / "missing.pem"))


async def test_what_nobody_foresaw_ends_one_connection_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    async def publish(*_: object) -> Published:
        raise KeyError("unforeseen")

    async def use(_: Connection) -> None:
        raise AssertionError("there is no connection")

    monkeypatch.setattr(Whip, "publish", publish)
    words = await Kept(AudienceServer(whip="http://127.0.0.1:1/", token=TOKEN), "http://127.0.0.1:1/", "sendonly", use, print).keep()
    assert "what no media server says" in words
