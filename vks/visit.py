"""This room takes part in another room's hearing: it comes by a link as a person's page does, and dials again for as long as it may.

The agent says by which link (``contract.Visit``), also to a process that follows one which was killed; it is told how the visit stands,
and the newest resume token, by which the next process comes back to the place. One visit at a time.
"""

import asyncio
import contextlib
import random
import secrets
from collections.abc import Callable

import aiohttp
import msgspec
import structlog

from recorder.contract import conference as contract
from vks import signalling
from vks.certificate import certificate_of, fingerprint
from vks.connection import Connection, OfferError, UnvouchedError
from vks.display import Displays
from vks.ice import named
from vks.order import SILENT
from vks.plain import plain
from vks.redial import Pulse, wait_us
from vks.times import mono_us
from vks.visit_door import Door, VisitError, door
from vks.visit_doubt import VisitDoubt
from vks.visit_media import LINES, VisitMedia
from vks.visit_state import may_send, names_on, phase_of, screen_of, words_of
from vks.vouching import NUMBER_BYTES

log = structlog.get_logger()

LOOK_S = 0.25
MEDIA_US = 12_000_000
"""So long one attempt may take until media can flow."""
LAST_WORD_S = 1.0
MOST_TOKEN = 1_024
"""Characters of a resume token; a longer one would be refused where it came from."""
_PASSES = frozenset({"untrusted", "too_many"})
"""What whoever stands between the rooms, or shares this one's address, may bring about: it ends no visit that stood."""
_FORGOTTEN = frozenset({"unknown", "expired"})
"""The other room does not know the way back, and the link must be used anew."""


class Visitor:
    """One visit; ``run`` is its life.

    Args:
        visit: by which link.
        media: this room's sound and pictures.
        displays: this room's screens.
        tell: takes how it stands.
    """

    def __init__(self, visit: contract.Visit, media: VisitMedia, displays: Displays, tell: Callable[[contract.VisitIs], None]) -> None:
        self.id = visit.id
        self._visit = visit
        self._media = media
        self._displays = displays
        self._tell = tell
        self._resume = visit.resume
        self._told: contract.VisitIs | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._certificate = certificate_of(visit.secret or secrets.token_bytes(NUMBER_BYTES))
        self._host = visit.host
        self._connection: Connection | None = None
        self._offered = ""
        self._answered = False
        self._doubt: VisitDoubt | None = None
        self._dialled_us = 0
        self._pulse = Pulse(0)
        self._failed = 0
        self._welcome: signalling.Welcome | None = None
        self._view: signalling.View | None = None
        self._shown: list[str] = []

    async def run(self) -> None:
        """Take part until the other room ends it."""
        try:
            while True:
                try:
                    async with door(self._visit) as at:
                        await self._take_part(at)
                    ended = VisitError("lost", again=True)
                except VisitError as error:
                    ended = error
                except OSError as error:  # of this PC's: the network's are told simply already
                    log.error("another room cannot be dialled now", root=self._visit.root, error=str(error))
                    ended = VisitError("unreachable", again=True)
                except Exception:  # whatever a hosting room sends ends this one visit, never the service and this room's own hearing
                    log.exception("what another room said was not foreseen: the visit is over", root=self._visit.root)
                    ended = VisitError("unlike", again=False)
                if not self._goes_on(ended):
                    self._say_how("over", ended.code)
                    return
                self._say_how("dials", ended.code)
                await asyncio.sleep(wait_us(self._failed, random.random()) / 1_000_000)
                self._failed += 1
        finally:
            self._displays.visit(None)

    async def leave(self) -> None:
        """Say that this room goes, by its own will."""
        socket = self._socket
        if socket is not None:
            with contextlib.suppress(ConnectionError, RuntimeError, TimeoutError):
                async with asyncio.timeout(LAST_WORD_S):
                    await socket.send_str(signalling.encoder.encode(signalling.Leave()).decode())

    def _goes_on(self, ended: VisitError) -> bool:
        """Whether to dial again after this."""
        if ended.again or (ended.code in _PASSES and self._welcome is not None):
            return True
        if ended.code in _FORGOTTEN and self._resume:
            self._resume = ""
            return True
        return False

    async def _take_part(self, at: Door) -> None:
        """One connection, from the first word to the last."""
        if not self._resume:
            self._resume = await at.join()
        self._socket = socket = await at.connect()
        self._pulse, self._dialled_us = Pulse(mono_us()), mono_us()
        watching = asyncio.create_task(self._watch(socket))
        try:
            await self._say(socket, signalling.Resume(token=self._resume))
            async for received in socket:
                if received.type is not aiohttp.WSMsgType.TEXT:
                    return
                self._pulse.heard(mono_us())
                await self._take(socket, _message(received.data))
        except (ConnectionError, RuntimeError):  # it closed while something was said
            return
        finally:
            self._socket = None
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError, RuntimeError):
                await watching
            self._view, self._shown, self._doubt, self._answered = None, [], None, False
            self._media.send(sound=False, picture=False)
            self._media.lose()
            self._show()
            await socket.close()
            await self._hang_up()

    async def _take(self, socket: aiohttp.ClientWebSocketResponse, message: signalling.ToPage) -> None:
        match message:
            case signalling.Welcome():
                if self._connection is not None or len(message.resume) > MOST_TOKEN:
                    raise VisitError("unlike", again=False)
                self._welcome, self._resume = message, message.resume
                await self._offer(socket, message.ice)
            case signalling.Answer():
                await self._accept(message.sdp)
            case signalling.View():
                self._view, self._failed = message, 0
                sound, picture = may_send(message)
                self._media.send(sound=sound, picture=picture)
                self._show()
                self._say_place()
            case signalling.Tiles():
                self._shown = message.shown
                self._show()
            case signalling.Wait():
                raise VisitError("used", again=False)
            case signalling.Refused():
                raise VisitError(message.code, again=True)
            case signalling.Bye():
                raise VisitError(message.code, again=message.again)
            case signalling.Unvouched():
                await self._compare(socket, message)
            case signalling.Shown() if self._doubt is not None:
                self._doubt.show(message)
                if self._host not in {"", self._doubt.host}:
                    raise VisitError("strange", again=False)
                self._say_place()
            case signalling.Vouched() if self._doubt is not None:
                # Without a certificate that was told the hearing became public before there was anything to compare.
                self._host, self._doubt = self._doubt.host or self._host, None
                self._dialled_us = mono_us()
                await self._say(socket, signalling.Offer(sdp=self._offered))
            case signalling.Shown() | signalling.Vouched():
                raise VisitError("unlike", again=False)
            case signalling.Link() | signalling.Pong():
                pass

    async def _offer(self, socket: aiohttp.ClientWebSocketResponse, ice: list[contract.IceServer]) -> None:
        self._connection = Connection(named(ice), certificate=self._certificate, admits=lambda shown: self._host in {"", shown})
        try:
            self._offered = await self._connection.offer(LINES)
        except OfferError as error:
            raise VisitError("unlike", again=False) from error
        await self._say(socket, signalling.Offer(sdp=self._offered))

    async def _compare(self, socket: aiohttp.ClientWebSocketResponse, asked: signalling.Unvouched) -> None:
        """Nobody has vouched for this room yet, or too many codes did not fit."""
        if self._welcome is None or self._connection is None or self._answered:
            raise VisitError("unlike", again=False)
        number = secrets.token_hex(NUMBER_BYTES)
        self._doubt = VisitDoubt(asked, self._welcome.person, fingerprint(self._certificate), number)
        await self._say(socket, signalling.Number(number=number))

    async def _accept(self, sdp: str) -> None:
        if self._connection is None or self._doubt is not None:
            raise VisitError("unlike", again=False)
        try:
            await self._connection.accept(sdp, sends=self._welcome is None or self._welcome.role not in SILENT)
        except OfferError as error:
            raise VisitError("unlike", again=False) from error
        except UnvouchedError as error:
            raise VisitError("strange", again=False) from error
        self._answered = True
        self._media.take(self._connection)
        self._say_place()

    async def _watch(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Close a connection by which nothing comes any more."""
        while True:
            await asyncio.sleep(LOOK_S)
            now_us = mono_us()
            state = "new" if self._connection is None else self._connection.connectionState
            takes_long = self._doubt is None and now_us - self._dialled_us > MEDIA_US
            if state in {"failed", "closed"} or (state != "connected" and takes_long):
                break
            match self._pulse.look(self._media.packets, now_us):
                case "ask":
                    await self._say(socket, signalling.Ping())
                case "lost":
                    break
        await socket.close()

    async def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _say(self, socket: aiohttp.ClientWebSocketResponse, message: signalling.FromPage) -> None:
        await socket.send_str(signalling.encoder.encode(message).decode())

    def _show(self) -> None:
        """Bring this room's screens in line with what the other room has told."""
        self._media.name(names_on(self._view, self._shown))
        if self._welcome is not None:
            self._displays.visit(self._media, screen_of(self._welcome.title, self._view))

    def _say_place(self) -> None:
        """How it stands, once it is known whether the other room's clerk has to be read a code."""
        if self._doubt is not None and self._doubt.code:
            self._say_how("unvouched")
        elif self._view is not None and (self._answered or not self._view.closed):
            self._say_how(phase_of(self._view))

    def _say_how(self, phase: contract.VisitPhase, code: str = "") -> None:
        welcome = self._welcome
        now = contract.VisitIs(
            visit=self.id, phase=phase, title="" if welcome is None else plain(welcome.title),
            name="" if welcome is None else plain(welcome.name), words=plain(words_of(code)) if code else "", resume=self._resume,
            code="" if self._doubt is None else self._doubt.code, host=self._host,
        )  # fmt: skip
        if now != self._told:
            self._told = now
            self._tell(now)
            log.info("this room's visit", phase=phase, root=self._visit.root, words=now.words)


class Visits:
    """This room's visit, where there is one.

    Args:
        media: makes the media of a visit.
        displays: this room's screens.
        tell: takes how it stands.
    """

    def __init__(self, media: Callable[[], VisitMedia], displays: Displays, tell: Callable[[contract.VisitIs], None]) -> None:
        self._make = media
        self._displays = displays
        self._tell = tell
        self._wanted: contract.Visit | None = None
        self._changed = asyncio.Event()
        self.media: VisitMedia | None = None
        """Of the visit that there is now."""

    def hold(self, visit: contract.Visit | None) -> None:
        """Visit by this link; None: by none."""
        if (visit is None) != (self._wanted is None) or (visit is not None and self._wanted is not None and visit.id != self._wanted.id):
            self._wanted = visit
            self._changed.set()

    async def run(self) -> None:
        """Carry out what ``hold`` says until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self._wanted is not None:
                await self._carry_out(self._wanted)

    async def _carry_out(self, visit: contract.Visit) -> None:
        self.media = self._make()
        visitor = Visitor(visit, self.media, self._displays, self._tell)
        visiting, changed = asyncio.create_task(visitor.run()), asyncio.create_task(self._changed.wait())
        try:
            await asyncio.wait([visiting, changed], return_when=asyncio.FIRST_COMPLETED)
            if not visiting.done():
                await visitor.leave()
        finally:
            for task in (visiting, changed):
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await visiting
            self.media = None


def _message(text: str) -> signalling.ToPage:
    try:
        message: signalling.ToPage = signalling.to_page.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise VisitError("unlike", again=False) from None
    return message
