"""The room's end of the relay: opened by the room, to its centre; what participants say there goes to vks, and back.

It is opened while a videoconference is configured, again for as long as it takes, and bears nothing but signalling: media never passes the
centre's servers.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

import aiohttp
import msgspec
import structlog

from agent.upstream import relay
from agent.upstream.backoff import Backoff
from agent.upstream.client import Credentials
from recorder.contract import conference
from recorder.contract.page_door import SOURCE_HEADER

log = structlog.get_logger()

FIRST_RETRY_S, LONGEST_RETRY_S = 0.5, 30.0
HEARTBEAT_S = 15.0
MOST_TASKS = 2 * relay.MOST_CHANNELS
"""So much is under way at once at most, beside the channels requests and refusals: what a centre asks beyond that waits on its side."""


def session_with(vks: str) -> aiohttp.ClientSession:
    """Connections to vks's socket, as many as there are channels: each page keeps one, and aiohttp's own limit is a hundred."""
    return aiohttp.ClientSession(connector=aiohttp.UnixConnector(vks, limit=0))


class RoomEnd:
    """The relay; ``run`` keeps it.

    Args:
        base: the centre's address.
        credentials: the room's, read anew at each connection.
        vks_run_dir: directory of vks's socket.
    """

    def __init__(self, base: str, credentials: Credentials, vks_run_dir: str, now_s: Callable[[], float]) -> None:
        self._url = base.rstrip("/") + relay.PATH
        self._credentials = credentials
        self._vks = conference.socket_path(vks_run_dir)
        self._now_s = now_s
        self.open = False
        """Whether participants can come through the centre now."""

    async def run(self) -> None:
        """Keep the relay open for ever."""
        backoff, told = Backoff(first_s=FIRST_RETRY_S, longest_s=LONGEST_RETRY_S), False
        while True:
            began_s = self._now_s()
            try:
                connector = aiohttp.TCPConnector(ssl=await asyncio.to_thread(self._credentials.context))
                async with (
                    aiohttp.ClientSession(connector=connector) as centre,
                    session_with(self._vks) as vks,
                    centre.ws_connect(self._url, heartbeat=HEARTBEAT_S, max_msg_size=relay.FRAME_BYTES) as socket,
                ):
                    self.open, told = True, False
                    log.info("participants can come through the centre")
                    await _Channels(socket, vks).serve()
            except (aiohttp.ClientError, OSError, ValueError, msgspec.DecodeError) as error:
                if not told:
                    told = True
                    log.warning("participants cannot come through the centre now; it is tried again", error=str(error) or repr(error))
            self.open = False
            if self._now_s() - began_s > LONGEST_RETRY_S:
                backoff.succeeded()
            await asyncio.sleep(backoff.failed())


class _Channels:
    """What is under way on one WebSocket."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, vks: aiohttp.ClientSession) -> None:
        self._socket = socket
        self._vks = vks
        self._up: dict[int, asyncio.Queue[str | None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        """Obey the centre until it is gone."""
        try:
            async for message in self._socket:
                if message.type is not aiohttp.WSMsgType.BINARY:
                    return
                while len(self._tasks) >= MOST_TASKS:
                    await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
                self._take(relay.from_centre.decode(message.data))
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _take(self, frame: relay.Request | relay.Connect | relay.Look | relay.Said | relay.Gone) -> None:
        match frame:
            case relay.Request():
                self._begin(self._ask(frame))
            case relay.Connect() | relay.Look() if len(self._up) < relay.MOST_CHANNELS:
                self._up[frame.channel] = asyncio.Queue(relay.QUEUE)
                self._begin(self._connect(frame))
            case relay.Connect() | relay.Look():
                self._begin(self._send(relay.Gone(channel=frame.channel)))
            case relay.Said() | relay.Gone():
                waiting = self._up.get(frame.channel)
                if waiting is not None:
                    text = frame.text if isinstance(frame, relay.Said) and not waiting.full() else None
                    if waiting.full():
                        waiting.get_nowait()
                    waiting.put_nowait(text)

    async def _ask(self, request: relay.Request) -> None:
        status, body = 503, b'{"code":"room_away","at_utc_us":0}'
        with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
            async with self._vks.post("http://vks/api/join", data=request.body, headers={SOURCE_HEADER: request.source}) as answer:
                status, body = answer.status, (await answer.read())[: relay.BODY_BYTES]
        await self._send(relay.Response(channel=request.channel, status=status, body=body))

    async def _connect(self, frame: relay.Connect | relay.Look) -> None:
        try:
            with contextlib.suppress(aiohttp.ClientError, OSError):  # vks is away: the page is told that it is over, and dials again
                await self._pass_on(frame, self._up[frame.channel])
        finally:
            self._up.pop(frame.channel, None)
        await self._send(relay.Gone(channel=frame.channel))

    async def _pass_on(self, frame: relay.Connect | relay.Look, up: "asyncio.Queue[str | None]") -> None:
        """Both ways, until either end is gone."""
        url = f"http://vks/api/{'look' if isinstance(frame, relay.Look) else 'connect'}"
        async with self._vks.ws_connect(url, headers={SOURCE_HEADER: frame.source}, max_msg_size=relay.TEXT_BYTES) as page:
            upwards = asyncio.create_task(_say(page, up))
            try:
                async for message in page:
                    if message.type is not aiohttp.WSMsgType.TEXT:
                        break
                    await self._send(relay.Said(channel=frame.channel, text=message.data))
            finally:
                upwards.cancel()
                await asyncio.gather(upwards, return_exceptions=True)

    async def _send(self, frame: relay.Frame) -> None:
        with contextlib.suppress(ConnectionError, RuntimeError):
            await self._socket.send_bytes(relay.encoder.encode(frame))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _say(page: aiohttp.ClientWebSocketResponse, up: "asyncio.Queue[str | None]") -> None:
    while (text := await up.get()) is not None:
        await page.send_str(text)
    await page.close()
