"""The centre's public door, with relays of rooms beside it: a room's end and a browser's, by hand."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web

from agent.upstream import relay
from agent.upstream.centre.public import PublicDoor
from agent.upstream.centre.relays import Relays


class Room:
    """A room's end, by hand."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def hear(self) -> relay.Frame:
        message = await asyncio.wait_for(self.socket.receive(), 10)
        assert message.type is aiohttp.WSMsgType.BINARY, message
        frame: relay.Frame = relay.from_centre.decode(message.data)
        return frame

    async def say(self, frame: relay.Frame) -> None:
        await self.socket.send_bytes(relay.encoder.encode(frame))


class Place:
    """A public door, rooms' relays beside it, and a browser."""

    def __init__(self, http: aiohttp.ClientSession, port: int) -> None:
        self.http, self.url = http, f"http://127.0.0.1:{port}"

    async def room(self, name: str = "r1") -> Room:
        room = Room(await self.http.ws_connect(f"{self.url}/relay/{name}"))
        await asyncio.sleep(0)
        return room

    async def page(self, room: str = "r1", origin: str | None = None) -> aiohttp.ClientWebSocketResponse:
        return await self.http.ws_connect(f"{self.url}/r/{room}/api/connect", origin=origin)


@contextlib.asynccontextmanager
async def serving(*, forwarded: bool = False) -> AsyncIterator[Place]:
    relays = Relays()
    app = PublicDoor(relays, forwarded=forwarded).application()

    async def serve(request: web.Request) -> web.StreamResponse:
        return await relays.serve(request.match_info["room"], request)

    app.router.add_get("/relay/{room}", serve)
    runner = web.AppRunner(app, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession() as http:
        yield Place(http, runner.addresses[0][1])
    await runner.cleanup()
