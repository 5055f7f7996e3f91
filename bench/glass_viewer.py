"""Chromium before a room's picture, and the small server of its page: which pictures it shows, and when.

Times are those of CLOCK_MONOTONIC: the page asks the server for them before and after.
"""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import aiohttp
from aiohttp import web

from tests.lab import browser
from tests.lab.janus import CAMERA, Handle

PAGE = Path(__file__).with_name("glass_page.html")
MOST_DRIFT_MS = 2.0
"""Between the page's clock and ours, before and after: with more, no time of the page means anything."""
ANSWER_S = 120.0


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture on the display."""

    number: int
    received_us: int
    """When its last packet had come."""
    shown_us: int
    """When the browser says that it is on the display."""


class Door(Protocol):
    """Where the page gets its picture from."""

    offers: bool
    """Whether the page makes the offer; else it answers one."""

    def routes(self) -> list[web.RouteDef]:
        """What the page asks for."""
        ...

    async def close(self) -> None:
        """Hang up."""
        ...


class OurDoor:
    """That of ``bench.link_room``.

    Args:
        socket: its path.
    """

    offers = True

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    def routes(self) -> list[web.RouteDef]:
        """One: the answer to an offer."""
        return [web.post("/offer", self._offer)]

    async def close(self) -> None:
        """Nothing: it ends with its process."""

    async def _offer(self, request: web.Request) -> web.Response:
        async with (
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(self._socket))) as room,
            room.post("http://room/", data=await request.read()) as answer,
        ):
            return web.Response(text=await answer.text(), status=answer.status)


class JanusDoor:
    """Janus' Streaming, which makes the offer.

    Args:
        url: of its API.
    """

    offers = False

    def __init__(self, url: str) -> None:
        self._handle = Handle(url, "streaming")

    def routes(self) -> list[web.RouteDef]:
        """Two: its offer, and the answer to it."""
        return [web.post("/watch", self._watch), web.post("/start", self._start)]

    async def close(self) -> None:
        """Hang up."""
        await self._handle.close()

    async def _watch(self, _: web.Request) -> web.Response:
        await self._handle.attach()
        offered = await self._handle.ask({"request": "watch", "id": CAMERA})
        return web.Response(text=offered["jsep"]["sdp"])

    async def _start(self, request: web.Request) -> web.Response:
        await self._handle.ask({"request": "start"}, {"type": "answer", "sdp": await request.text()})
        return web.Response()


async def watch(door: Door, measured_s: float, settle_s: float) -> tuple[list[Shown], dict[str, Any]]:
    """Look at the picture for so long; returns what was shown after the first ``settle_s``, and all that the page said.

    Raises:
        RuntimeError: there was no picture, or the clocks drifted apart.
    """
    async with _served(door) as url, browser.opened(answer_s=ANSWER_S) as tab:
        await tab.go(url)
        said = await tab.run(f"measure({json.dumps({'offers': door.offers, 'measuredMs': measured_s * 1_000})})")
    return shown(said, settle_s), said


def shown(said: dict[str, Any], settle_s: float) -> list[Shown]:
    """The page's pictures on our clock.

    Raises:
        RuntimeError: as ``watch``.
    """
    if abs(said["after"] - said["before"]) > MOST_DRIFT_MS:
        raise RuntimeError(f"the page's clock drifted from {said['before']} to {said['after']} ms")
    begin_ms = said["first"] + settle_s * 1_000
    offset_ms = (said["before"] + said["after"]) / 2
    found = [
        Shown(number, round((received_ms + offset_ms) * 1_000), round((shown_ms + offset_ms) * 1_000))
        for number, received_ms, shown_ms in said["shown"]
        if shown_ms >= begin_ms
    ]
    if not found:
        raise RuntimeError(f"no picture with a number; {said['unread']} without")
    return found


@asynccontextmanager
async def _served(door: Door) -> AsyncIterator[str]:
    """The page and its clock; gives its address."""

    async def page(_: web.Request) -> web.Response:
        return web.Response(text=PAGE.read_text(encoding="utf-8"), content_type="text/html")

    async def clock(_: web.Request) -> web.Response:
        return web.Response(text=f"{time.monotonic_ns() / 1e6:.3f}")

    application = web.Application()
    application.add_routes([web.get("/", page), web.get("/clock", clock), *door.routes()])
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await door.close()
        await runner.cleanup()
