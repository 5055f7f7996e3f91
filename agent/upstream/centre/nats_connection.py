"""A front's connection to the NATS servers: made again by itself for ever, also where a server once refused it."""

import asyncio
import contextlib
import logging
import random
import ssl
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from agent.upstream.centre.backend import AwayError

log = structlog.get_logger()

TRY_S, CONNECTED_S = 2.0, 3.0
"""For so long an answer is waited for, and a connection that is being made again."""
START_S, MEND_S, CLOSE_S = 30.0, 10.0, 3.0
OLDEST = (2, 12)
"""From this version on a server knows what is asked of it: ``Nats-Expected-Last-Subject-Sequence-Subject``, batches of direct gets."""
PAYLOAD_BYTES = 1024 * 1024
"""Messages of this length a server must take; it is what it takes where nothing was set."""
Take = Callable[[Msg], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """Where the cluster is, and who this front is to it: files of PEM, ``None`` where it is on this machine and asks for none."""

    urls: Sequence[str]
    tls: Callable[[], ssl.SSLContext | None]


class Connection:
    """The connection; ``connect`` before, ``close`` at the end."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self._client = Client()
        self._connected = asyncio.Event()
        self._heard: dict[str, Take] = {}
        self._ended = False
        self._mending: asyncio.Task[None] | None = None
        self.reconnected: list[Callable[[], None]] = []
        """Called when the connection is there again: what was told meanwhile was not heard."""

    async def connect(self) -> None:
        """Connect.

        Raises:
            AwayError: no server answers, or none of a version that is known.
            OSError: a file of this front cannot be used.
        """
        self._servers.tls()
        logging.getLogger("asyncio").addFilter(_is_worth_saying)
        await self._connect(START_S)
        version = self._client.connected_server_version
        if (version.major, version.minor) < OLDEST:
            oldest = ".".join(map(str, OLDEST))
            raise AwayError(f"the NATS server is {version.major}.{version.minor}: at least {oldest} is needed")
        if self._client.max_payload < PAYLOAD_BYTES:
            raise AwayError(f"the NATS server takes messages of {self._client.max_payload} bytes: set its max_payload to {PAYLOAD_BYTES}")

    async def close(self) -> None:
        """End."""
        self._ended = True
        if self._mending is not None:
            self._mending.cancel()
        with contextlib.suppress(nats.errors.Error, OSError):
            async with asyncio.timeout(CLOSE_S):
                await self._client.close()

    async def request(self, subject: str, body: bytes, headers: Mapping[str, str] | None = None) -> Msg:
        """Ask, and wait for the answer.

        Raises:
            AwayError: no server is connected.
            nats.errors.Error, OSError: there is no answer.
        """
        await self._wait_connected()
        answer = await self._client.request(subject, body, timeout=TRY_S, headers=dict(headers) if headers else None)
        _heed_cancellation()
        return answer

    async def answers(self, subject: str, body: bytes) -> AsyncGenerator[Msg, None]:
        """Ask, and get answers one by one, for as long as they are wanted; raises as ``request``."""
        await self._wait_connected()
        inbox = self._client.new_inbox()
        subscription = await self._client.subscribe(inbox)
        try:
            await self._client.publish(subject, body, reply=inbox)
            while True:
                answer = await subscription.next_msg(TRY_S)
                _heed_cancellation()
                yield answer
        finally:
            with contextlib.suppress(nats.errors.Error, OSError):
                await subscription.unsubscribe()

    async def tell(self, subject: str, body: bytes) -> None:
        """Tell all fronts that hear now; nobody keeps it, and where no server is connected it is lost."""
        if self._client.is_connected:
            with contextlib.suppress(nats.errors.Error, OSError):
                await self._client.publish(subject, body)

    async def hear(self, subject: str, take: Take) -> None:
        """Have everything taken that is told from now on."""
        self._heard[subject] = take
        try:
            await self._client.subscribe(subject, cb=take)
            await self._client.flush()
        except (nats.errors.Error, OSError) as error:
            raise AwayError(f"no NATS server can be reached: {error or type(error).__name__}") from error

    async def _wait_connected(self) -> None:
        if self._client.is_connected:
            return
        try:
            async with asyncio.timeout(CONNECTED_S):
                await self._connected.wait()
        except TimeoutError:
            raise AwayError("no NATS server can be reached") from None

    async def _connect(self, within_s: float) -> None:
        end_s = time.monotonic() + within_s
        while True:
            client, problems = Client(), list[str]()

            async def failed(error: Exception, problems: list[str] = problems) -> None:
                problems.append(str(error) or type(error).__name__)
                del problems[:-3]

            try:
                async with asyncio.timeout(max(1.0, end_s - time.monotonic())):
                    await client.connect(
                        list(self._servers.urls), tls=self._servers.tls(), name="courtroom centre", error_cb=failed,
                        disconnected_cb=partial(self._lost, client), reconnected_cb=partial(self._back, client),
                        closed_cb=partial(self._closed, client), max_reconnect_attempts=-1, reconnect_time_wait=1, connect_timeout=3,
                        ping_interval=5, max_outstanding_pings=2,
                    )  # fmt: skip
                break
            except (nats.errors.Error, OSError) as error:
                with contextlib.suppress(nats.errors.Error, OSError):
                    await client.close()
                if time.monotonic() >= end_s:
                    why = "; ".join(dict.fromkeys(problems)) or str(error) or type(error).__name__
                    raise AwayError(f"no NATS server can be used at {', '.join(self._servers.urls)}: {why}") from error
                await asyncio.sleep(0.2)
        self._client = client
        self._connected.set()

    async def _lost(self, client: Client) -> None:
        if client is not self._client:
            return
        if not self._ended and self._connected.is_set():
            log.warning("the connection to NATS is lost")
        self._connected.clear()

    async def _back(self, client: Client) -> None:
        if client is self._client:
            log.info("connected to NATS again")
            self._connected.set()
            for call in self.reconnected:
                call()

    async def _closed(self, client: Client) -> None:
        """The library gave up (it does where a server refuses this front): begin anew, for that may be mended there."""
        if client is self._client and not self._ended and (self._mending is None or self._mending.done()):
            self._mending = asyncio.create_task(self._mend())

    async def _mend(self) -> None:
        self._connected.clear()
        told = ""
        while True:
            await asyncio.sleep(1.0 + random.random())
            try:
                await self._connect(MEND_S)
                for subject, take in self._heard.items():
                    await self._client.subscribe(subject, cb=take)
                await self._back(self._client)
                return
            except (AwayError, nats.errors.Error, OSError) as error:
                if str(error) != told:
                    log.warning("NATS cannot be used", error=str(error))
                told = str(error)


def _heed_cancellation() -> None:
    """Raise what ``asyncio.wait_for`` of Python 3.11, by which nats-py waits, may swallow: a cancellation at the moment of an answer.

    (https://github.com/python/cpython/issues/81839) A task that loops would never end.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _is_worth_saying(record: logging.LogRecord) -> bool:
    """Nats-py turns a plain connection into one of TLS, whereupon asyncio remarks on each end of one."""
    return not record.getMessage().startswith("returning true from eof_received()")
