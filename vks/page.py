"""One page's connection: from its first message until it is gone."""

import asyncio
import contextlib
from typing import Protocol

import msgspec
import structlog
from aiohttp import WSMsgType, web
from aiortc import RTCIceServer

from recorder.contract.conference import IceServer
from vks import signalling
from vks.acts import OfParticipant
from vks.admission import NotAdmittedError, Seat
from vks.connection import Connection, OfferError
from vks.peer import Peer
from vks.rules import RefusedError

log = structlog.get_logger()

FIRST_S = 10.0
"""So long may a page take for its first message."""
MOST_WAITING = 256
"""Messages that may wait for a page that does not read."""
MOST_PER_S = 20
BURST = 60
_OFFERS = 5
"""Offers within ``_OFFERS_S``: each costs a handshake's keys."""
_OFFERS_S = 10.0


class Hall(Protocol):
    """What a page asks of the hearing that it wants to come to (``hall.py``)."""

    def seat(self, token: str, source: str) -> Seat:
        """Whose resume token it is.

        Raises:
            NotAdmittedError: nobody's.
        """
        ...

    def welcome(self, seat: Seat) -> signalling.Welcome:
        """What the page is told first."""
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
    """

    def __init__(self, hall: Hall, socket: web.WebSocketResponse, source: str) -> None:
        self._hall = hall
        self._socket = socket
        self._source = source
        self._waiting: asyncio.Queue[signalling.ToPage | None] = asyncio.Queue(MOST_WAITING)
        self._connection: Connection | None = None
        self._offers_s: list[float] = []
        self._left = float(BURST)
        self._counted_s = 0.0
        self.seat: Seat | None = None
        self.peer: Peer | None = None

    def say(self, message: signalling.ToPage) -> None:
        """Send a message; a page that does not read is gone."""
        try:
            self._waiting.put_nowait(message)
        except asyncio.QueueFull:
            log.warning("a page does not read", source=self._source)
            self.end()

    def end(self, bye: signalling.Bye | None = None) -> None:
        """Close the connection, after a last word."""
        while self._waiting.full():
            self._waiting.get_nowait()
        if bye is not None:
            self._waiting.put_nowait(bye)
        with contextlib.suppress(asyncio.QueueFull):
            self._waiting.put_nowait(None)

    async def serve(self) -> None:
        """Hear the page until it is gone."""
        writing = asyncio.create_task(self._write())
        left = False
        try:
            self.seat = await self._first()
            if self.seat is not None:
                self.peer = Peer(self.seat.person, self.seat.device, self.say)
                self.say(self._hall.welcome(self.seat))
                self._hall.enter(self)
                left = await self._hear()
        except RefusedError as refused:
            self.end(signalling.Bye(code=refused.code, again=False))
        finally:
            if self.seat is not None:
                self._hall.leave(self, left=left)
            self.end()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FIRST_S):
                    await writing
            await self._socket.close()
            if self._connection is not None:
                await self._connection.close()

    async def _first(self) -> Seat | None:
        try:
            async with asyncio.timeout(FIRST_S):
                message = await self._receive()
        except TimeoutError:
            message = None
        if not isinstance(message, signalling.Resume):
            self.end(signalling.Bye(code="bad_message", again=False))
            return None
        try:
            return self._hall.seat(message.token, self._source)
        except NotAdmittedError as refused:
            self.end(signalling.Bye(code=refused.why, again=refused.why == "starting"))
            return None

    async def _hear(self) -> bool:
        """Obey until the page is gone; True where it said that it leaves."""
        while (message := await self._receive()) is not None:
            match message:
                case signalling.Leave():
                    return True
                case signalling.Offer():
                    await self._answer(message.sdp)
                case signalling.Do():
                    try:
                        self._hall.do(self, message.act)
                    except RefusedError as refused:
                        self.say(signalling.Refused(code=refused.code))
                case signalling.Resume():
                    self.end(signalling.Bye(code="bad_message", again=False))
                    return False
        return False

    async def _receive(self) -> signalling.FromPage | None:
        """The next message; None where there is none any more, or where it is none."""
        received = await self._socket.receive()
        if received.type is not WSMsgType.TEXT:
            return None
        if not self._within_rate():
            self.end(signalling.Bye(code="too_many", again=False))
            return None
        try:
            message: signalling.FromPage = signalling.from_page.decode(received.data)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            log.warning("a page said what is no message", source=self._source, error=str(error)[:200])
            self.end(signalling.Bye(code="bad_message", again=False))
            return None
        return message

    async def _answer(self, sdp: str) -> None:
        now_s = asyncio.get_running_loop().time()
        self._offers_s = [at_s for at_s in self._offers_s if now_s - at_s < _OFFERS_S]
        if len(self._offers_s) >= _OFFERS or self.seat is None:
            self.say(signalling.Refused(code="too_many"))
            return
        self._offers_s.append(now_s)
        before, self._connection = self._connection, Connection([_server(one) for one in self._hall.welcome(self.seat).ice])
        try:
            self.say(signalling.Answer(sdp=await self._connection.answer(sdp)))
        except OfferError as refused:
            self.say(signalling.Refused(code=refused.code))
            await self._connection.close()
            self._connection = before
            return
        self._hall.media(self, self._connection)
        if before is not None:
            await before.close()

    def _within_rate(self) -> bool:
        now_s = asyncio.get_running_loop().time()
        self._left = min(BURST, self._left + (now_s - self._counted_s) * MOST_PER_S) - 1
        self._counted_s = now_s
        return self._left >= 0

    async def _write(self) -> None:
        while (message := await self._waiting.get()) is not None:
            try:
                await self._socket.send_str(signalling.encoder.encode(message).decode())
            except (ConnectionError, RuntimeError):  # it has gone; `_receive` is told as well
                return
        await self._socket.close()


def _server(server: IceServer) -> RTCIceServer:
    return RTCIceServer(urls=server.urls, username=server.username or None, credential=server.credential or None)
