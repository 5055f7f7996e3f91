"""What browsers reach: the pages, the request that uses a link, each page's WebSocket, and the courtroom's own screens on the same PC.

The same application stands at two doors: the court's own network reaches it by TLS, everybody else through the centre, whose relayed
connections the agent brings to a unix socket. Only there is the header believed that says where somebody comes from, and only there may
somebody look in.
"""

import ipaddress
from pathlib import Path

import msgspec
from aiohttp import web

from recorder.contract.page_door import HEADERS, HEARTBEAT_S, SOURCE_HEADER, Handler, Sources, is_own_origin, page, refused, secured
from vks import signalling
from vks.admission import NotAdmittedError
from vks.display import Display
from vks.hall import Hall
from vks.identity_screen import IdentityScreen
from vks.look_in import LookInPage
from vks.page import Page

STATIC = Path(__file__).parent / "static"
MAX_BODY_BYTES = 8 * 1024
BY_ANOTHER = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via", SOURCE_HEADER)
"""Headers of whoever hands on what somebody else asks: he is on this PC, and the one who asks may be anywhere."""
_STATUS = {"too_many": 429, "starting": 503}


class Door:
    """Makes the application.

    Args:
        hall: where people want to.
        relayed: it stands at the agent's socket.
    """

    def __init__(self, hall: Hall, *, relayed: bool) -> None:
        self._hall = hall
        self._relayed = relayed
        self._sources = Sources()

    def application(self) -> web.Application:
        """The routes."""
        application = web.Application(middlewares=[secured(HEADERS)], client_max_size=MAX_BODY_BYTES)
        application.router.add_get("/", _to_join)
        application.router.add_get("/join", _to_join)
        application.router.add_get("/join/", page(STATIC / "join" / "index.html"))
        application.router.add_post("/api/join", self._join)
        application.router.add_get("/api/connect", self._connect)
        if self._relayed:
            application.router.add_get("/api/look", self._look)
        else:
            self._add_displays(application)
        _add_assets(application)
        return application

    def display_application(self) -> web.Application:
        """The routes of the courtroom's own screens, and of the clerk's, alone."""
        application = web.Application(middlewares=[secured(HEADERS)], client_max_size=MAX_BODY_BYTES)
        self._add_displays(application)
        _add_assets(application)
        return application

    def _add_displays(self, application: web.Application) -> None:
        application.router.add_get("/display", _to_display)
        application.router.add_get("/display/", _on_this_pc(page(STATIC / "display" / "index.html")))
        application.router.add_get("/api/display", _on_this_pc(self._display))
        application.router.add_get("/identity/", _on_this_pc(page(STATIC / "identity" / "index.html")))
        application.router.add_get("/api/identity", _on_this_pc(self._identity))

    async def _join(self, request: web.Request) -> web.Response:
        try:
            body = signalling.join_body.decode(await request.read())
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return refused(400, "bad_message")
        try:
            resume = self._hall.join(body.token, body.device, self._source(request))
        except NotAdmittedError as error:
            return refused(_STATUS.get(error.why, 403), error.why, error.at_utc_us)
        return web.Response(body=msgspec.json.encode(signalling.Joined(resume=resume)), content_type="application/json")

    async def _connect(self, request: web.Request) -> web.StreamResponse:
        if not (self._relayed or is_own_origin(request)):
            return refused(403, "origin")
        source = self._source(request)
        with self._sources.one_more(source) as taken:
            if not taken:
                return refused(429, "too_many")
            socket = web.WebSocketResponse(heartbeat=HEARTBEAT_S, max_msg_size=signalling.MESSAGE_BYTES, compress=False)
            await socket.prepare(request)
            await Page(self._hall, socket, source, relayed=self._relayed).serve()
            return socket

    async def _look(self, request: web.Request) -> web.StreamResponse:
        source = self._source(request)
        with self._sources.one_more(source) as taken:
            if not taken:
                return refused(429, "too_many")
            socket = web.WebSocketResponse(heartbeat=HEARTBEAT_S, max_msg_size=signalling.MESSAGE_BYTES, compress=False)
            await socket.prepare(request)
            await LookInPage(self._hall.look_ins, socket, source).serve()
            return socket

    async def _display(self, request: web.Request) -> web.StreamResponse:
        if not is_own_origin(request):
            return refused(403, "origin")
        socket = web.WebSocketResponse(heartbeat=HEARTBEAT_S, max_msg_size=signalling.MESSAGE_BYTES, compress=False)
        await socket.prepare(request)
        await Display(self._hall.displays, socket).serve()
        return socket

    async def _identity(self, request: web.Request) -> web.StreamResponse:
        if not is_own_origin(request):
            return refused(403, "origin")
        socket = web.WebSocketResponse(heartbeat=HEARTBEAT_S, max_msg_size=signalling.MESSAGE_BYTES, compress=False)
        await socket.prepare(request)
        await IdentityScreen(self._hall.identity_screens, socket).serve()
        return socket

    def _source(self, request: web.Request) -> str:
        told = request.headers.get(SOURCE_HEADER, "") if self._relayed else ""
        return told[:64] or request.remote or "relay"


def _add_assets(application: web.Application) -> None:
    if STATIC.is_dir():
        application.router.add_static("/assets/", STATIC / "assets", append_version=False)


def _on_this_pc(handler: Handler) -> Handler:
    """The handler, for whoever is on this PC; for others there is no such thing."""

    async def guarded(request: web.Request) -> web.StreamResponse:
        # The name that was asked for, too: another site's page in this PC's browser comes from here as well, by that site's name.
        host = request.host.rsplit(":", 1)[0] if request.host.count(":") == 1 else request.host.partition("]")[0].lstrip("[")
        is_handed_on = any(header in request.headers for header in BY_ANOTHER)
        if is_handed_on or not _is_loopback(request.remote or "") or not (host == "localhost" or _is_loopback(host)):
            raise web.HTTPNotFound
        return await handler(request)

    return guarded


def _is_loopback(address: str) -> bool:
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return (mapped or ip).is_loopback


async def _to_display(_: web.Request) -> web.Response:
    raise web.HTTPFound("/display/")


async def _to_join(_: web.Request) -> web.Response:
    raise web.HTTPFound("/join/")
