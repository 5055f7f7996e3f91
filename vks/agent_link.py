"""The agent's connection: what it says of the hearing, what staff ask, and what it is told (``recorder/contract/conference.py``)."""

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Iterable

import msgspec
import structlog
from aiohttp import WSMsgType, web

from recorder.contract import conference as contract
from vks import identity
from vks.conference import Conference
from vks.hall import Hall
from vks.order import AUDIENCE, Order, is_on_floor
from vks.rules import RefusedError
from vks.times import mono_us

log = structlog.get_logger()

MESSAGE_BYTES = 4 * 1024 * 1024
HEARTBEAT_S = 3.0
"""An agent on whose link nothing came for so long is asked whether it is there, and has half of that to answer."""
AWAY_US = 1_000_000
"""After so long without one nobody knows what state the room is in. One that is started anew may take longer: then the conference is
closed until it is back."""
GATHER_S = 0.05
"""How the conference stands is told so long after a change, once for all changes until then."""
MOST_FACTS = 10_000
"""What is kept until the agent has handed it to the recorder; the oldest is dropped first, and told as lost where no agent has it."""
_UCRED = struct.Struct("3i")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class AgentLink:
    """The agent's side door.

    Args:
        hall: what it speaks of.
        allowed_uids: users who may connect besides root and this process's own.
    """

    def __init__(self, hall: Callable[[], Hall], allowed_uids: Iterable[int]) -> None:
        self._hall = hall
        self._allowed = frozenset(allowed_uids) | {0, os.geteuid()}
        self._facts: list[contract.Told] = []
        """What no record has yet, as far as anybody has said."""
        self._heard = 0
        """How many of these an agent that is there was told."""
        self._last_us = 0
        self._lost = 0
        self._open: dict[web.WebSocketResponse, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()
        self._told = asyncio.Event()
        self._telling = asyncio.Lock()
        self._newest: web.WebSocketResponse | None = None
        self._says: web.WebSocketResponse | None = None
        """The link by which the hearing was told, while it stands."""
        self._silent_us = 0
        """Since when there is none."""
        self._visit: contract.VisitIs | None = None
        self._told_visit: contract.VisitIs | None = None

    def add_to(self, application: web.Application) -> None:
        """Its route; nobody else may use anything at this door."""
        application.router.add_get("/agent", self._serve)
        application.middlewares.append(self._agent_alone)

    def tell(self, facts: list[contract.Fact]) -> None:
        """Facts for the record."""
        self._last_us = max(mono_us(), self._last_us + 1)
        self._facts.append(contract.Told(mono_us=self._last_us, facts=facts))
        if len(self._facts) > MOST_FACTS:
            self._lost += self._heard == 0
            self._drop(1)
        self._told.set()

    def changed(self) -> None:
        """The conference stands otherwise now."""
        self._changed.set()
        self._told.set()

    def visit(self, visit: contract.VisitIs) -> None:
        """This room's visit stands otherwise now."""
        self._visit = visit
        self._told.set()

    def silent(self, now_us: int) -> bool:
        """Whether nobody has said for too long how the room stands."""
        return self._says is None and now_us - self._silent_us >= AWAY_US

    def _drop(self, count: int) -> None:
        del self._facts[:count]
        self._heard = max(0, self._heard - count)

    async def close(self) -> None:
        """This process ends."""
        for link in list(self._open):
            await link.close()

    @web.middleware
    async def _agent_alone(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        uid = _peer_uid(request)
        if uid not in self._allowed:
            log.error("a user who is not the agent's was at its door", uid=uid)
            raise web.HTTPForbidden
        return await handler(request)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        link = web.WebSocketResponse(heartbeat=HEARTBEAT_S, max_msg_size=MESSAGE_BYTES)
        await link.prepare(request)
        closing = self._supersede()
        self._newest, self._telling = link, asyncio.Lock()  # its own: an earlier link may hang while it is told something
        self._heard = 0
        telling = self._open[link] = asyncio.create_task(self._tell(link))
        try:
            async for message in link:
                if message.type is not WSMsgType.TEXT:
                    break
                await self._take(link, message.data)
        except msgspec.DecodeError as error:
            log.error("the agent said what the contract does not know", error=str(error))
        finally:
            if self._says is link:
                self._says, self._silent_us = None, mono_us()
            if self._newest is link:
                self._heard = 0  # whether that agent can still hand over what it heard, nobody knows
            del self._open[link]
            telling.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await telling
            await closing
            await link.close()
        return link

    def _supersede(self) -> asyncio.Future[list[bool]]:
        """There is one agent: a link that it left open, or hangs at, is told nothing any more, and closes in its own time."""
        for telling in self._open.values():
            telling.cancel()
        return asyncio.gather(*(earlier.close() for earlier in self._open))

    async def _take(self, link: web.WebSocketResponse, data: str) -> None:
        message = contract.from_agent.decode(data)
        hall = self._hall()
        if isinstance(message, contract.HearingIs):
            self._says = link
            hall.hold(message)
            self.changed()
            return
        if isinstance(message, contract.Handed):
            self._drop(sum(told.mono_us <= message.until_mono_us for told in self._facts))
            return
        if hall.conference is None:
            answer = contract.Answer(number=message.number, code="no_hearing", words="no hearing is near")
        else:
            try:
                if isinstance(message.act, contract.Vouch):
                    hall.doubts.vouch(message.act)
                else:
                    hall.conference.act(message.act)
                await self._tell_now(link)  # what was answered is kept, whatever befalls this process
                answer = contract.Answer(number=message.number)
            except RefusedError as refused:
                answer = contract.Answer(number=message.number, code=refused.code, words=str(refused))
        await _send(link, answer)

    async def _tell(self, link: web.WebSocketResponse) -> None:
        self._told_visit = None
        self.changed()
        while True:
            await self._told.wait()
            await asyncio.sleep(GATHER_S)
            self._told.clear()
            await self._tell_now(link)

    async def _tell_now(self, link: web.WebSocketResponse) -> None:
        """Facts, and then how the conference stands by them."""
        async with self._telling:
            if link is not self._newest:
                return
            if self._lost:
                log.error("facts of the conference are lost to the record: the agent was away for long", lost=self._lost)
                self._lost = 0
            while link is self._newest and self._heard < len(self._facts):
                self._heard += 1
                await _send(link, self._facts[self._heard - 1])
            if link is not self._newest:
                return
            conference = self._hall().conference
            if self._changed.is_set() and conference is not None:
                self._changed.clear()
                await _send(link, stands(conference, self._hall().doubts.persons))
            visit = self._visit
            if visit is not None and visit is not self._told_visit:
                self._told_visit = visit
                await _send(link, visit)


def stands(conference: Conference, unvouched: frozenset[str] = frozenset()) -> contract.Stands:
    """How a conference stands; ``unvouched`` are those whose pages have to be vouched for."""
    order = conference.order
    people = [
        contract.Present(
            person=one.id, name=one.name, role=one.role, place=one.place, connected=one.connected, rival=bool(one.rival), muted=one.muted,
            hand=one.hand_us is not None, consultation=one.consultation, unvouched=one.id in unvouched, changed=one.changed,
            quality=conference.peers[one.id].quality if one.id in conference.peers else "", identity=identity.standing(one),
            faces=0 if one.check is None else one.check.faces, documents=0 if one.check is None else one.check.documents,
        )
        for one in order.people.values()
    ]  # fmt: skip
    look_ins = [
        contract.LookingIn(look_in=one.id, person=one.person, reason=one.reason, until_mono_us=one.until_us, watches=one.connected)
        for one in order.look_ins
    ]
    return contract.Stands(
        hearing=order.hearing, people=people, sharing=order.sharing, look_ins=look_ins,
        order=msgspec.json.encode(order), audience=_audience(order), audience_fault=order.audience_fault,
        links=conference.link_totals.links,
    )  # fmt: skip


def _audience(order: Order) -> contract.Audience:
    if not order.to_audience:
        return "off"
    if not order.reaches_audience:
        return "dials"
    return "on_air" if is_on_floor(order, AUDIENCE) else "silent"


async def _send(link: web.WebSocketResponse, message: contract.Message) -> None:
    await link.send_str(contract.encoder.encode(message).decode())


def _peer_uid(request: web.Request) -> int:
    """Who is at the other end of a unix socket (SO_PEERCRED, unix(7))."""
    transport = request.transport
    sock = None if transport is None else transport.get_extra_info("socket")
    if sock is None or sock.family != socket.AF_UNIX:
        return -1
    return int(_UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))[1])
