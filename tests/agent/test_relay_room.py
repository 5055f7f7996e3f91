"""The room's end of the relay: every page that the centre may send comes to vks."""

import asyncio
from pathlib import Path

from aiohttp import web

from agent.relay_room import session_with
from agent.upstream import relay


async def test_as_many_pages_come_to_vks_as_there_may_be_channels(tmp_path: Path) -> None:
    there = list[web.WebSocketResponse]()

    async def page(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        there.append(socket)
        await socket.receive()
        return socket

    app = web.Application()
    app.router.add_get("/api/connect", page)
    runner = web.AppRunner(app, shutdown_timeout=0.5)
    await runner.setup()
    await web.UnixSite(runner, str(tmp_path / "vks.sock")).start()
    async with session_with(str(tmp_path / "vks.sock")) as vks, asyncio.timeout(30):
        pages = [await vks.ws_connect("http://vks/api/connect") for _ in range(relay.MOST_CHANNELS)]
        assert len(there) == relay.MOST_CHANNELS, "all at once, none waits for another to go"
        await asyncio.gather(*(one.close() for one in pages))
    await runner.cleanup()
