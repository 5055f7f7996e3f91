"""The centre's public door: participants' pages, and the way from them to their rooms. Nothing else of the centre is reached here.

``https://CENTRE/r/ROOM/join/#TOKEN`` is a link, and ``…/look/#TOKEN`` one by which the Situation Centre looks in. The token is in the part
that browsers do not send; the page hands it to the room, through here, when its owner presses the button. A hostile centre could note it
then: ``docs/threats.md`` says what that would be worth.
"""

import asyncio
import contextlib
import ssl
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from ipaddress import IPv6Address, ip_address
from pathlib import Path

from aiohttp import WSMsgType, web

from agent.upstream import relay
from agent.upstream.centre.relays import Channel, Relays, RoomAwayError
from recorder.contract import page_door

STATIC = Path(__file__).parent / "static"
REQUESTS_PER_MIN = 60
MOST_SOURCES = 50_000
_HEADERS = page_door.HEADERS | {"Strict-Transport-Security": "max-age=31536000"}


class Pace:
    """How often each source may ask: so many requests at once, and as many again each minute. Pure; the clock is passed in."""

    def __init__(self, per_min: int) -> None:
        self._per_min = per_min
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def takes(self, source: str, now_s: float) -> bool:
        """Whether one more is taken from this source."""
        left, at_s = self._left.get(source, (float(self._per_min), now_s))
        left = min(self._per_min, left + (now_s - at_s) * self._per_min / 60)
        self._left[source] = (max(0.0, left - 1), now_s)
        self._left.move_to_end(source)
        while len(self._left) > MOST_SOURCES:
            self._left.popitem(last=False)
        return left >= 1


def source_of(peer: str, forwarded_for: Sequence[str]) -> str:
    """Who asks, by the server before this door: the last address is its own word, those before are what it was told itself."""
    try:
        address = ip_address(forwarded_for[-1].rpartition(",")[2].strip())
    except (IndexError, ValueError):
        return peer
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)[:64]


class PublicDoor:
    """Makes the application.

    Args:
        relays: the rooms.
        forwarded: a server before this door says who asks; otherwise everybody would be that one address.
    """

    def __init__(self, relays: Relays, *, forwarded: bool = False) -> None:
        self._relays = relays
        self._forwarded = forwarded
        self._open = page_door.Sources()
        self._pace = Pace(REQUESTS_PER_MIN)

    def application(self) -> web.Application:
        """The routes."""
        app = web.Application(middlewares=[page_door.secured(_HEADERS)], client_max_size=relay.BODY_BYTES)
        app.router.add_get("/r/{room}/join/", page_door.page(STATIC / "join" / "index.html"))
        app.router.add_get("/r/{room}/look/", page_door.page(STATIC / "look" / "index.html"))
        app.router.add_post("/r/{room}/api/join", self._join)
        app.router.add_get("/r/{room}/api/connect", self._connected(Channel.connect))
        app.router.add_get("/r/{room}/api/look", self._connected(Channel.look))
        if STATIC.is_dir():
            app.router.add_static("/assets/", STATIC / "assets")
        return app

    async def _join(self, request: web.Request) -> web.Response:
        source = self._source(request)
        if not self._pace.takes(source, time.monotonic()):
            return page_door.refused(429, "too_many")
        try:
            async with self._relays.room(request.match_info["room"]).channel() as channel:
                answer = await channel.request(source, await request.read())
        except RoomAwayError:
            return page_door.refused(503, "room_away")
        return web.Response(status=answer.status, body=answer.body, content_type="application/json")

    def _source(self, request: web.Request) -> str:
        peer = (request.remote or "")[:64]
        return source_of(peer, request.headers.getall("X-Forwarded-For", [])) if self._forwarded else peer

    def _connected(self, open_channel: Callable[[Channel, str], Awaitable[None]]) -> page_door.Handler:
        async def connect(request: web.Request) -> web.StreamResponse:
            if not page_door.is_own_origin(request):
                return page_door.refused(403, "origin")
            source = self._source(request)
            with self._open.one_more(source) as taken:
                if not taken or not self._pace.takes(source, time.monotonic()):
                    return page_door.refused(429, "too_many")
                try:
                    async with self._relays.room(request.match_info["room"]).channel() as channel:
                        await open_channel(channel, source)
                        socket = web.WebSocketResponse(heartbeat=page_door.HEARTBEAT_S, max_msg_size=relay.TEXT_BYTES, compress=False)
                        await socket.prepare(request)
                        await _pass_on(socket, channel)
                        return socket
                except RoomAwayError:
                    return page_door.refused(503, "room_away")

        return connect


async def _pass_on(socket: web.WebSocketResponse, channel: Channel) -> None:
    """Both ways, until either end is gone."""

    async def down() -> None:
        while (text := await channel.hear()) is not None:
            await socket.send_str(text)
        await socket.close()

    downwards = asyncio.create_task(down())
    try:
        with contextlib.suppress(RoomAwayError):  # `hear` ends as well
            async for message in socket:
                if message.type is not WSMsgType.TEXT:
                    break
                await channel.say(message.data)
    finally:
        downwards.cancel()
        await asyncio.gather(downwards, return_exceptions=True)
        await socket.close()


@contextlib.asynccontextmanager
async def public_door(
    relays: Relays, host: str, port: int, certificate: str, key: str, *, forwarded: bool = False
) -> AsyncIterator[int]:  # fmt: skip
    """Serve participants; yields the port.

    Args:
        relays: the rooms.
        host: address to listen on.
        port: 0 takes any.
        certificate: PEM file; empty: without TLS, on a loopback address alone.
        key: PEM file.
        forwarded: who asks is what a server before the door says, on a loopback address alone.

    Raises:
        ValueError: without TLS, or by another server's word, at an address that others reach.
        OSError: the port is taken, or a file cannot be read.
    """
    if forwarded and not ip_address(host.strip("[]")).is_loopback:
        raise ValueError(f"at {host} anybody could name any address in X-Forwarded-For: public_forwarded_for is for a door on 127.0.0.1")
    context = None
    if certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)
    elif not ip_address(host.strip("[]")).is_loopback:
        raise ValueError(
            f"at {host} the door needs public_certificate and public_key; or let it stand on 127.0.0.1 behind a server with TLS"
        )
    runner = web.AppRunner(
        PublicDoor(relays, forwarded=forwarded).application(), access_log=None, keepalive_timeout=10.0, shutdown_timeout=2.0
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, host.strip("[]"), port, ssl_context=context).start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()
