"""What the doors of participants' pages have in common: vks's own (``vks/door.py``) and the centre's (``agent/upstream/centre/public.py``).

One page comes through either, and must find the same there. It stands beside the contract because this is all of ours that both may know.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import msgspec
from aiohttp import web
from aiohttp.typedefs import Middleware

SOURCE_HEADER = "X-Courtroom-Source"
"""Where somebody comes from whom the agent brings to vks's socket."""
MOST_PER_SOURCE = 40
"""Connections from one address; a court's lobby, or a telephone company, may have one address for all."""
HEARTBEAT_S = 4.0
"""A page that does not answer so often is gone: it dials again sooner than anybody notices."""
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; connect-src 'self' wss: ws:; media-src 'self' blob:; img-src 'self' data:; object-src 'none'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Permissions-Policy": "camera=(self), microphone=(self), display-capture=(self), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Sources:
    """How many connections each source has."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()

    @contextlib.contextmanager
    def one_more(self, source: str) -> Iterator[bool]:
        """A connection while it lasts; False where the source has as many as it may."""
        if self._open[source] >= MOST_PER_SOURCE:
            yield False
            return
        self._open[source] += 1
        try:
            yield True
        finally:
            self._open[source] -= 1
            if not self._open[source]:
                del self._open[source]


def secured(headers: dict[str, str]) -> Middleware:
    """Gives every answer these headers."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            response = await handler(request)
        except web.HTTPException as error:
            error.headers.update(headers)
            raise
        if not response.prepared:
            response.headers.update(headers)
        return response

    return middleware


def page(path: Path) -> Handler:
    """A page, as it was built."""

    async def served(_: web.Request) -> web.StreamResponse:
        if not await asyncio.to_thread(path.is_file):
            return web.Response(status=503, text="The pages are not built: run scripts/build-pages.\n")
        return web.FileResponse(path, headers={"Cache-Control": "no-cache"})

    return served


def refused(status: int, code: str, at_utc_us: int = 0) -> web.Response:
    """A refusal as pages read it."""
    return web.Response(status=status, body=msgspec.json.encode({"code": code, "at_utc_us": at_utc_us}), content_type="application/json")


def is_own_origin(request: web.Request) -> bool:
    """Whether a page of ours asks: a WebSocket is not held back by the same-origin policy (RFC 6455, section 10.2)."""
    origin = request.headers.get("Origin")
    return origin is None or origin.split("://", 1)[-1] == request.host
