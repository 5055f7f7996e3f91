"""A connection to a media server that stands elsewhere: made by WHIP or WHEP, and made again where it is lost, until the server refuses."""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from typing import Literal

import structlog
from aiortc import RTCIceServer

from recorder.contract.conference import AudienceServer
from vks.connection import Connection, OfferError
from vks.whip import Whip, WhipAwayError, WhipRefusedError

log = structlog.get_logger()

CONNECT_S = 10.0
LOOK_S = 0.2
FIRST_RETRY_S, LONGEST_RETRY_S = 1.0, 60.0


class Kept:
    """One such connection; ``keep`` is its life. Its lines are sound and one picture.

    Args:
        server: whose token is used.
        url: what is asked.
        direction: whether we send or receive.
        use: is given the connection when it stands, and goes on until it is lost (``WhipAwayError``).
        away: is told why there is none now, each time that it was tried.
    """

    def __init__(
        self,
        server: AudienceServer,
        url: str,
        direction: Literal["sendonly", "recvonly"],
        use: Callable[[Connection], Awaitable[None]],
        away: Callable[[str], None],
    ) -> None:
        self._server = server
        self._url = url
        self._direction = direction
        self._use = use
        self._away = away
        self._ice: list[RTCIceServer] = []
        """STUN and TURN servers that the server named last."""
        self._failures = 0

    async def keep(self) -> str:
        """Go on until the server refuses; returns why it does. Who wants it no more cancels this."""
        while True:
            try:
                async with Whip(self._server, self._url) as whip:
                    await self._once(whip)
            except WhipRefusedError as refused:
                return str(refused)
            except WhipAwayError as lost:
                self._away(str(lost))
                if not self._failures:
                    log.error("a media server is not reached: it is asked again until it is", error=str(lost))
                bound_s = min(LONGEST_RETRY_S, FIRST_RETRY_S * 2.0 ** min(self._failures, 10))
                self._failures += 1
                await asyncio.sleep(lost.wish_s + random.uniform(bound_s / 2, bound_s))
            except Exception:  # whatever a server sends ends this one connection, never the service and its other hearing
                log.exception("what a media server said was not foreseen: it is not asked again")
                return "the server says what no media server says; the room's log has it"

    async def _once(self, whip: Whip) -> None:
        connection = Connection(self._ice)
        try:
            published = await whip.publish(await self._offer(connection))
            self._ice = published.ice
            try:
                await _begin(connection, published.answer)
                self._failures = 0
                await self._use(connection)
            finally:
                if published.resource is not None:
                    with contextlib.suppress(WhipAwayError):
                        await whip.end(published.resource)
        finally:
            await connection.close()

    async def _offer(self, connection: Connection) -> str:
        try:
            return await connection.offer([("audio", self._direction), ("video", self._direction)])
        except OfferError as error:
            raise WhipRefusedError(f"the servers that it names cannot be used: {error}") from error


async def _begin(connection: Connection, answer: str) -> None:
    try:
        await connection.accept(answer)
    except OfferError as error:
        raise WhipRefusedError(f"the server's answer cannot be used: {error}") from error
    for _ in range(round(CONNECT_S / LOOK_S)):
        if connection.connectionState == "connected":
            return
        await asyncio.sleep(LOOK_S)
    raise WhipAwayError("the server answers, and media finds no way to it")
