"""One WebSocket of a page: messages both ways within their measure, and the answers to its offers of media."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec
import structlog
from aiohttp import WSMsgType, web
from aiortc import RTCCertificate, RTCIceServer

from recorder.contract.conference import IceServer
from vks import signalling
from vks.connection import Connection, OfferError
from vks.ice import named

log = structlog.get_logger()

LAST_WORD_S = 10.0
"""So long may a page take to read what it was told last."""
MOST_WAITING = 256
"""Messages that may wait for a page that does not read."""
MOST_PER_S = 20
BURST = 60
_OFFERS = 5
"""Offers within ``_OFFERS_S``: each costs a handshake's keys."""
_OFFERS_S = 10.0
FromIt = TypeVar("FromIt")
_ToIt = signalling.ToPage | signalling.ToDisplay | signalling.ToLookIn | signalling.ToIdentity


@dataclass(frozen=True, slots=True)
class Handshake:
    """Who media goes to by DTLS: the certificate of this side, and whether it may go to whom another one is promised of."""

    certificate: RTCCertificate
    admits: Callable[[str], bool]


class Talk(Generic[FromIt]):
    """One WebSocket. It is made when the socket is open; ``finish`` ends it.

    Args:
        socket: the connection.
        source: where it comes from.
        decoder: of what it may say.
        takes_media: whether it may send media.
    """

    def __init__(
        self, socket: web.WebSocketResponse, source: str, decoder: msgspec.json.Decoder[FromIt], *, takes_media: bool = True
    ) -> None:
        self.source = source
        self._socket = socket
        self._decoder = decoder
        self._takes_media = takes_media
        self._waiting: asyncio.Queue[_ToIt | None] = asyncio.Queue(MOST_WAITING)
        self._writing = asyncio.create_task(self._write())
        self._connection: Connection | None = None
        self._closing: list[asyncio.Task[None]] = []
        self._is_over = False
        self._offers_s: list[float] = []
        self._left = float(BURST)
        self._counted_s = 0.0

    def say(self, message: _ToIt) -> None:
        """Send a message; a page that does not read is gone."""
        try:
            self._waiting.put_nowait(message)
        except asyncio.QueueFull:
            log.warning("a page does not read", source=self.source)
            self.end()

    def end(self, bye: signalling.Bye | None = None) -> None:
        """Close the connection, after a last word. Its media ends now: a page that does not read may never be heard of again."""
        self._is_over = True
        connection, self._connection = self._connection, None
        if connection is not None:
            self._closing.append(asyncio.create_task(connection.close()))
        while self._waiting.full():
            self._waiting.get_nowait()
        if bye is not None:
            self._waiting.put_nowait(bye)
        with contextlib.suppress(asyncio.QueueFull):
            self._waiting.put_nowait(None)

    async def receive(self) -> FromIt | None:
        """The next message; None where there is none any more, or where it is none."""
        received = await self._socket.receive()
        if received.type is not WSMsgType.TEXT or self._is_over:
            return None
        if not self._within_rate():
            self.end(signalling.Bye(code="too_many", again=False))
            return None
        try:
            return self._decoder.decode(received.data)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            log.warning("a page said what is no message", source=self.source, error=str(error)[:200])
            self.end(signalling.Bye(code="bad_message", again=False))
            return None

    async def answer(
        self,
        sdp: str,
        ice: list[IceServer],
        use: Callable[[Connection], None],
        handshake: Handshake | None = None,
        *,
        receives: bool = True,
    ) -> None:
        """Answer an offer; ``use`` is given the connection by which media goes from now on. Where that fails, it stays the earlier one.

        ``receives``: whether anything is taken of what the page offers to send.

        Raises:
            UnvouchedError: no media goes to whom the offer promises.
        """
        now_s = asyncio.get_running_loop().time()
        self._offers_s = [at_s for at_s in self._offers_s if now_s - at_s < _OFFERS_S]
        if len(self._offers_s) >= _OFFERS:
            self.say(signalling.Refused(code="too_many"))
            return
        self._offers_s.append(now_s)
        async with contextlib.AsyncExitStack() as unused:
            made = self._connection_by(named(ice), handshake, receives=receives)
            unused.push_async_callback(made.close)
            try:
                self.say(signalling.Answer(sdp=await made.answer(sdp)))
            except OfferError as refused:
                self.say(signalling.Refused(code=refused.code))
                return
            use(made)
            unused.pop_all()
        before, self._connection = self._connection, made
        if before is not None:
            await before.close()

    async def take_candidate(self, candidate: str) -> None:
        """Try another address of the page's, for the connection that it offered last."""
        if self._connection is not None:
            await self._connection.take_candidate(candidate)

    async def finish(self) -> None:
        """Say what is left to say, and close everything."""
        self.end()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORD_S):
                await self._writing
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORD_S):
                await self._socket.close()
        await asyncio.gather(*self._closing)

    def _connection_by(self, ice: list[RTCIceServer], handshake: Handshake | None, *, receives: bool) -> Connection:
        if handshake is None:
            return Connection(ice, takes_media=self._takes_media, receives=receives)
        return Connection(ice, takes_media=self._takes_media, receives=receives, certificate=handshake.certificate, admits=handshake.admits)

    def _within_rate(self) -> bool:
        now_s = asyncio.get_running_loop().time()
        self._left = min(BURST, self._left + (now_s - self._counted_s) * MOST_PER_S) - 1
        self._counted_s = now_s
        return self._left >= 0

    async def _write(self) -> None:
        while (message := await self._waiting.get()) is not None:
            try:
                await self._socket.send_str(signalling.encoder.encode(message).decode())
            except (ConnectionError, RuntimeError):  # it has gone; `receive` is told as well
                return
        await self._socket.close()
