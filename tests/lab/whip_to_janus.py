"""A WHIP endpoint (RFC 9725) before Janus, which has none of its own; and a way for viewers to watch what was published.

A viewer is offered, as Janus' subscribers are: ``POST /watch`` gives its offer, and the answer is put to the address of ``Location``.
"""

import re
import secrets
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web

from tests.lab.janus import ROOM, Handle, JanusError

SDP = "application/sdp"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came."""

    method: str
    path: str
    authorization: str


@dataclass(slots=True)
class WhipToJanus:
    """The endpoint: ``application`` is served by whoever tests.

    Attributes:
        janus: address of its API.
        token: which publishers must bring.
        links: ``Link`` headers of the answer.
        refuses: the status that publishers get instead of an answer; 0: none.
        unreachable: so many answers are such that media finds no way.
        watching: how many viewers have answered.
    """

    janus: str
    token: str
    links: list[str] = field(default_factory=list)
    refuses: int = 0
    asked: list[Asked] = field(default_factory=list)
    handles: dict[str, Handle] = field(default_factory=dict)
    feed: int = 0
    unreachable: int = 0
    watching: int = 0

    def application(self) -> web.Application:
        """The routes."""
        application = web.Application()
        application.router.add_post("/whip", self._publish)
        application.router.add_post("/elsewhere", self._elsewhere)
        application.router.add_delete("/resource/{id}", self._end)
        application.router.add_post("/watch", self._watch)
        application.router.add_put("/resource/{id}", self._start)
        application.on_cleanup.append(self._close)
        return application

    async def _elsewhere(self, request: web.Request) -> web.Response:
        self._note(request)
        return web.Response(status=307, headers={"Location": "/whip"})

    async def _publish(self, request: web.Request) -> web.Response:
        self._note(request)
        if self.refuses:
            return web.Response(status=self.refuses)
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.Response(status=401, headers={"WWW-Authenticate": "Bearer"})
        if request.content_type != SDP:
            return web.Response(status=415)
        handle = Handle(self.janus)
        try:
            await handle.attach()
            joined = await handle.ask({"request": "join", "room": ROOM, "ptype": "publisher"})
            jsep = {"type": "offer", "sdp": await request.text()}
            published = await handle.ask({"request": "publish", "audiocodec": "opus", "videocodec": "h264"}, jsep)
        except (aiohttp.ClientError, JanusError) as error:
            await handle.close()
            return web.Response(status=503, text=str(error))
        self.feed = joined["id"]
        answer = published["jsep"]["sdp"]
        if self.unreachable:
            self.unreachable -= 1
            answer = re.sub(r"a=ice-pwd:\S+", "a=ice-pwd:" + "0" * 24, answer)
        response = web.Response(status=201, text=answer, content_type=SDP)
        response.headers["Location"] = f"resource/{self._keep(handle)}"
        for link in self.links:
            response.headers.add("Link", link)
        return response

    async def _watch(self, _: web.Request) -> web.Response:
        handle = Handle(self.janus)
        await handle.attach()
        wanted = {"request": "join", "room": ROOM, "ptype": "subscriber", "streams": [{"feed": self.feed}]}
        try:
            offered = await handle.ask(wanted)
        except JanusError as error:
            await handle.close()
            return web.Response(status=404, text=str(error))
        headers = {"Location": f"resource/{self._keep(handle)}"}
        return web.Response(status=201, text=offered["jsep"]["sdp"], content_type=SDP, headers=headers)

    async def _start(self, request: web.Request) -> web.Response:
        await self.handles[request.match_info["id"]].ask({"request": "start"}, {"type": "answer", "sdp": await request.text()})
        self.watching += 1
        return web.Response(status=204)

    async def _end(self, request: web.Request) -> web.Response:
        self._note(request)
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.Response(status=401)
        handle = self.handles.pop(request.match_info["id"], None)
        if handle is None:
            return web.Response(status=404)
        await handle.close()
        return web.Response()

    def _keep(self, handle: Handle) -> str:
        name = secrets.token_hex(8)
        self.handles[name] = handle
        return name

    def _note(self, request: web.Request) -> None:
        self.asked.append(Asked(request.method, request.path, request.headers.get("Authorization", "")))

    async def _close(self, _: web.Application) -> None:
        for handle in self.handles.values():
            await handle.close()
