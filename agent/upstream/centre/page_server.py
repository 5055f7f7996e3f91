"""Serves the page of all rooms: to holders of the Situation Centre's certificate, and on a loopback port where that was asked for."""

import contextlib
import datetime as dt
from collections.abc import AsyncIterator, Awaitable, Callable
from ipaddress import ip_address

import msgspec
from aiohttp import web

from agent.upstream.centre.backend import AwayError
from agent.upstream.centre.overview import Overview
from agent.upstream.centre.page import HEADERS, language_of, render


async def page(request: web.Request, overview: Overview) -> web.Response:
    """The page; ``lang`` and ``show=all`` are its parameters."""
    language = language_of(request.query.get("lang"), request.headers.get("Accept-Language", ""))
    views = await overview.rooms()
    text = render(
        views,
        language,
        dt.datetime.now().astimezone(),
        show_all=request.query.get("show") == "all",
        no_room=await overview.is_archive_short(),
    )
    return web.Response(text=text, content_type="text/html", headers=HEADERS)


def loopback_place(text: str) -> tuple[str, int]:
    """Address and port of ``127.0.0.1:PORT`` or ``[::1]:PORT``.

    Raises:
        ValueError: it is none, or of another address: the page asks nobody who he is.
    """
    host, _, port = text.rpartition(":")
    address = ip_address(host.removeprefix("[").removesuffix("]"))
    if not address.is_loopback or not port.isdigit() or int(port) > 65_535:
        raise ValueError(f"{text} is no loopback address with a port, such as 127.0.0.1:8080")
    return str(address), int(port)


@contextlib.asynccontextmanager
async def loopback_page(overview: Overview, place: tuple[str, int]) -> AsyncIterator[int]:
    """Serve the page at ``/`` and the same as JSON lines at ``/rooms``, for whoever sits at this machine; yields the port.

    Raises:
        OSError: the port is taken.
    """

    @web.middleware
    async def from_here(request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> web.StreamResponse:
        # A page elsewhere must not read this one by a name of its own that it had point here.
        if request.host.rpartition(":")[0] not in {"127.0.0.1", "localhost", "[::1]"}:
            return web.Response(status=421, text="This page is for this machine alone: http://127.0.0.1\n")
        try:
            return await handler(request)
        except AwayError:
            return web.Response(status=503, text="The centre's keeper is away for the moment.\n", headers={"Retry-After": "2"})

    async def show(request: web.Request) -> web.StreamResponse:
        return await page(request, overview)

    async def lines(_: web.Request) -> web.StreamResponse:
        body = b"".join(msgspec.json.encode(view.state, order="sorted") + b"\n" for view in await overview.rooms())
        return web.Response(body=body, content_type="application/x-ndjson", headers={"Cache-Control": "no-store"})

    app = web.Application(middlewares=[from_here])
    app.router.add_get("/", show)
    app.router.add_get("/rooms", lines)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, *place).start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()
