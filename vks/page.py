"""One page's connection: from its first message until it is gone."""

import asyncio
from typing import Protocol

from aiohttp import web

from recorder.contract import conference as contract
from vks import signalling
from vks.acts import OfParticipant
from vks.admission import NotAdmittedError, Seat
from vks.connection import Connection, UnvouchedError
from vks.doubts import Doubts
from vks.order import SILENT
from vks.peer import Peer
from vks.rules import RefusedError
from vks.talk import Talk
from vks.vouching import Unvouched

FIRST_S = 10.0
"""So long may a page take for its first message."""


class Hall(Protocol):
    """What a page asks of the hearing that it wants to come to (``hall.py``)."""

    @property
    def doubts(self) -> Doubts:
        """To whom media may go."""
        ...

    def seat(self, token: str, source: str) -> Seat:
        """Whose resume token it is.

        Raises:
            NotAdmittedError: nobody's.
        """
        ...

    def welcome(self, seat: Seat) -> signalling.Welcome:
        """What the page is told first."""
        ...

    def relays(self, seat: Seat) -> contract.Relays:
        """By what the media of this person may go."""
        ...

    def enter(self, page: "Page") -> None:
        """A page has said whose it is.

        Raises:
            RefusedError: that person may not come.
        """
        ...

    def leave(self, page: "Page", *, left: bool) -> None:
        """It is gone."""
        ...

    def media(self, page: "Page", connection: Connection) -> None:
        """Its media goes by this connection."""
        ...

    def do(self, page: "Page", act: OfParticipant) -> None:
        """It asks for something.

        Raises:
            RefusedError: that cannot be done.
        """
        ...


class Page:
    """One WebSocket; ``serve`` is its life.

    Args:
        hall: where it wants to.
        socket: the connection.
        source: where it comes from.
        relayed: it comes through the centre, and not by the court's own network.
    """

    def __init__(self, hall: Hall, socket: web.WebSocketResponse, source: str, *, relayed: bool) -> None:
        self._hall = hall
        self._relayed = relayed
        self._talk = Talk(socket, source, signalling.from_page)
        self.say, self.end = self._talk.say, self._talk.end
        self.seat: Seat | None = None
        self.peer: Peer | None = None
        self.unvouched: Unvouched | None = None
        """What has to be vouched for before media goes to it."""

    async def serve(self) -> None:
        """Hear the page until it is gone."""
        left = False
        try:
            self.seat = await self._first()
            if self.seat is not None:
                self.peer = Peer(self.seat.person, self.seat.device, self.say)
                self.say(self._hall.welcome(self.seat))
                self._hall.enter(self)
                left = await self._hear(self.seat)
        except RefusedError as refused:
            self.end(signalling.Bye(code=refused.code, again=False))
        finally:
            if self.seat is not None:
                self._hall.leave(self, left=left)
            await self._talk.finish()

    async def _first(self) -> Seat | None:
        try:
            async with asyncio.timeout(FIRST_S):
                message = await self._talk.receive()
        except TimeoutError:
            message = None
        if not isinstance(message, signalling.Resume):
            self.end(signalling.Bye(code="bad_message", again=False))
            return None
        try:
            return self._hall.seat(message.token, self._talk.source)
        except NotAdmittedError as refused:
            self.end(signalling.Bye(code=refused.why, again=refused.why in {"starting", "too_many"}))
            return None

    async def _hear(self, seat: Seat) -> bool:
        """Obey until the page is gone; True where it said that it leaves."""
        while (message := await self._talk.receive()) is not None:
            match message:
                case signalling.Leave():
                    return True
                case signalling.Offer():
                    await self._answer(seat, message.sdp)
                case signalling.Number():
                    self._hall.doubts.show(self, message.number)
                case signalling.Signed():
                    self._hall.doubts.check(self, message.cms)
                case signalling.Candidate():
                    await self._talk.take_candidate(message.candidate)
                case signalling.Ping():
                    self.say(signalling.Pong())
                case signalling.Do():
                    try:
                        self._hall.do(self, message.act)
                    except RefusedError as refused:
                        self.say(signalling.Refused(code=refused.code))
                case signalling.Resume():
                    self.end(signalling.Bye(code="bad_message", again=False))
                    return False
        return False

    async def _answer(self, seat: Seat, sdp: str) -> None:
        # Who is in the court's own network reaches this side as it is; looking for more would cost him time.
        ice = self._hall.relays(seat).room if self._relayed else []
        try:
            handshake, receives = self._hall.doubts.handshake(self), seat.role not in SILENT
            await self._talk.answer(sdp, ice, lambda connection: self._hall.media(self, connection), handshake, receives=receives)
        except UnvouchedError as error:
            self._hall.doubts.begin(self, error.certificate)
