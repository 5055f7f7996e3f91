"""The rooms that can be reached now, each by the WebSocket that it has opened, and the channels to them."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator

import msgspec
import structlog
from aiohttp import WSMsgType, web

from agent.upstream import relay

log = structlog.get_logger()

ANSWER_S = 10.0
HEARTBEAT_S = 15.0


class RoomAwayError(Exception):
    """No such room has opened its relay, or it takes no more."""


class Channel:
    """One page's way to its room."""

    def __init__(self, number: int, room: "RoomRelay") -> None:
        self._number = number
        self._room = room
        self._heard: asyncio.Queue[relay.Response | relay.Said | None] = asyncio.Queue(relay.QUEUE)
        self.over = False

    async def request(self, source: str, body: bytes) -> relay.Response:
        """Ask, and wait for the answer.

        Raises:
            RoomAwayError: none comes.
        """
        await self._room.send(relay.Request(channel=self._number, source=source, body=body))
        try:
            async with asyncio.timeout(ANSWER_S):
                answer = await self._heard.get()
        except TimeoutError:
            answer = None
        if not isinstance(answer, relay.Response):
            raise RoomAwayError("the room does not answer")
        return answer

    async def connect(self, source: str) -> None:
        """Open a connection to the room."""
        await self._room.send(relay.Connect(channel=self._number, source=source))

    async def look(self, source: str) -> None:
        """Open a connection to the room for a page that looks in."""
        await self._room.send(relay.Look(channel=self._number, source=source))

    async def say(self, text: str) -> None:
        """A message of the page."""
        await self._room.send(relay.Said(channel=self._number, text=text))

    async def hear(self) -> str | None:
        """The room's next message; None where the channel is over."""
        said = await self._heard.get()
        return said.text if isinstance(said, relay.Said) else None

    def take(self, frame: relay.Response | relay.Said | None) -> None:
        """What the room said; a page that does not read is given up."""
        if self.over:
            return
        if frame is None or self._heard.full():
            self.over = True
            while self._heard.full():
                self._heard.get_nowait()
        self._heard.put_nowait(None if self.over else frame)


class RoomRelay:
    """One room's WebSocket."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket
        self._channels: dict[int, Channel] = {}
        self._numbers = itertools.count(1)

    @contextlib.asynccontextmanager
    async def channel(self) -> AsyncIterator[Channel]:
        """A channel for as long as it is used.

        Raises:
            RoomAwayError: the room has as many as it takes.
        """
        if len(self._channels) >= relay.MOST_CHANNELS:
            raise RoomAwayError("as many as the room takes are there already")
        number = next(self._numbers)
        channel = self._channels[number] = Channel(number, self)
        try:
            yield channel
        finally:
            del self._channels[number]
            with contextlib.suppress(RoomAwayError):
                await self.send(relay.Gone(channel=number))

    async def serve(self) -> None:
        """Hear the room until it is gone; its channels end with it."""
        try:
            async for message in self._socket:
                if message.type is not WSMsgType.BINARY:
                    return
                frame = relay.from_room.decode(message.data)
                channel = self._channels.get(frame.channel)
                if channel is not None:
                    channel.take(None if isinstance(frame, relay.Gone) else frame)
        except (msgspec.DecodeError, UnicodeError) as error:
            log.error("a room said on its relay what the contract does not know", error=str(error))
        finally:
            for channel in self._channels.values():
                channel.take(None)

    async def send(self, frame: relay.Frame) -> None:
        """Send a frame.

        Raises:
            RoomAwayError: the room has gone.
        """
        try:
            await self._socket.send_bytes(relay.encoder.encode(frame))
        except (ConnectionError, RuntimeError) as error:
            raise RoomAwayError("the room has gone") from error

    async def close(self) -> None:
        """The room has opened another one."""
        await self._socket.close()


class Relays:
    """All rooms of this front."""

    def __init__(self) -> None:
        self._rooms: dict[str, RoomRelay] = {}

    def room(self, name: str) -> RoomRelay:
        """A room that can be reached.

        Raises:
            RoomAwayError: it cannot.
        """
        found = self._rooms.get(name)
        if found is None:
            raise RoomAwayError("the room cannot be reached now")
        return found

    async def serve(self, name: str, request: web.Request) -> web.StreamResponse:
        """A room opens its relay; the one that it opened before is closed."""
        socket = web.WebSocketResponse(heartbeat=HEARTBEAT_S, max_msg_size=relay.FRAME_BYTES, compress=False)
        await socket.prepare(request)
        room = RoomRelay(socket)
        before, self._rooms[name] = self._rooms.get(name), room
        if before is not None:
            await before.close()
        try:
            await room.serve()
        finally:
            if self._rooms.get(name) is room:
                del self._rooms[name]
        return socket
