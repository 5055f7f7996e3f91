"""A front's connection to NATS JetStream, and the few things that are asked of it: put, look at the last, read on. See ``nats_names.py``.

No consumer is kept at the servers, for a server's death would take it away: what is read is asked for by its sequence number.
"""

import asyncio
import contextlib
import datetime as dt
import random
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import msgspec
import nats
import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from agent.upstream.centre.backend import AwayError
from agent.upstream.centre.nats_names import Stream

log = structlog.get_logger()

DO_S = 10.0
"""For so long a request is tried again where a leader is elected or a connection made: less than a room waits for an answer."""
TRY_S, CONNECTED_S = 2.5, 3.0
START_S = 30.0
BATCH, BATCH_BYTES = 500, 4 * 1024 * 1024
OLDEST = (2, 12)
"""From this version on a server knows what is asked of it here: ``Nats-Expected-Last-Subject-Sequence-Subject``, batches of direct gets."""
_WRONG_LAST = frozenset({10071, 10158, 10164})
"""Wrong last sequence; the same message, or another of this subject, is on its way: not even the server knows yet."""
_NONE_FOUND, _NO_STREAM = 10037, 10059
_START_OF_PAUSE_S, _LONGEST_PAUSE_S = 0.002, 0.2
Answer = TypeVar("Answer")


class LookAgainError(Exception):
    """Another was faster, or nobody knows whether it was kept: the last message is to be looked at, and all decided anew."""


class Stored(NamedTuple):
    """A message of a stream."""

    seq: int
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """Where the cluster is, and who this front is to it: files of PEM, ``None`` where it is on this machine and asks for none."""

    urls: Sequence[str]
    tls: Callable[[], ssl.SSLContext | None]


class _Error(msgspec.Struct):
    code: int = 0
    err_code: int = 0
    description: str = ""


class _Ack(msgspec.Struct):
    seq: int = 0
    error: _Error | None = None


class _Message(msgspec.Struct):
    seq: int
    data: bytes = b""


class _Got(msgspec.Struct):
    message: _Message | None = None
    error: _Error | None = None


class _State(msgspec.Struct):
    last_seq: int


class _Config(msgspec.Struct):
    num_replicas: int = 1
    subjects: list[str] = []


class _Info(msgspec.Struct):
    state: _State | None = None
    config: _Config | None = None
    error: _Error | None = None


def attempts() -> Iterator[int]:
    """The tries of one request; at its end it is given up.

    Raises:
        AwayError: all of ``DO_S`` is over.
    """
    end_s, number = time.monotonic() + DO_S, 0
    while time.monotonic() < end_s:
        yield number
        number += 1
    raise AwayError("NATS did not come to an answer in time")


class Jet:
    """The connection; ``connect`` before, ``close`` at the end. It is made again by itself, for ever."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self._client = Client()
        self._connected = asyncio.Event()
        self._heard: dict[str, Callable[[Msg], Awaitable[None]]] = {}
        self._ended = False
        self._mending: asyncio.Task[None] | None = None
        self.reconnected: list[Callable[[], None]] = []
        """Called when the connection is there again: what was told meanwhile was not heard."""

    async def connect(self) -> None:
        """Connect.

        Raises:
            AwayError: no server answers, or none of a version that is known.
        """
        await self._connect(START_S)
        version = self._client.connected_server_version
        if (version.major, version.minor) < OLDEST:
            oldest = ".".join(map(str, OLDEST))
            raise AwayError(f"the NATS server is {version.major}.{version.minor}: at least {oldest} is needed")

    async def close(self) -> None:
        """End."""
        self._ended = True
        if self._mending is not None:
            self._mending.cancel()
        with contextlib.suppress(nats.errors.Error, OSError):
            await self._client.close()

    async def ensure(self, stream: Stream) -> None:
        """Make the stream where it is not there.

        Raises:
            AwayError: it cannot be made, or is kept otherwise than was asked for; in words.
        """
        end_s, problem = time.monotonic() + START_S, ""
        while time.monotonic() < end_s:
            try:
                info = await self._info("INFO", stream, b"")
                if info.error is not None and info.error.err_code == _NO_STREAM:
                    info = await self._info("CREATE", stream, msgspec.json.encode(stream.configuration()))
            except LookAgainError:
                problem = "the cluster has no leader"
                continue
            if info.config is not None:
                if info.config.num_replicas != stream.replicas or info.config.subjects != [stream.all]:
                    raise AwayError(
                        f"stream {stream.name} is there with {info.config.num_replicas} replicas of {info.config.subjects}, not with "
                        f"{stream.replicas} of {stream.all}: change centre.toml, or the stream by `nats stream edit`"
                    )
                return
            problem = "" if info.error is None else info.error.description
            await asyncio.sleep(_LONGEST_PAUSE_S)
        raise AwayError(f"stream {stream.name} cannot be made: {problem}")

    async def put(
        self, stream: Stream, subject: str, body: bytes, *, expected: int | None = None, scope: str = "", message_id: str = ""
    ) -> int:
        """Store a message; its sequence number, as soon as the servers have it on their disks.

        Args:
            stream: where.
            subject: one of its subjects.
            body: the message.
            expected: the sequence number of the last message of this subject, or of ``scope``; 0: there is none.
            scope: subjects, with wildcards.
            message_id: a message with the same is stored once, within two minutes.

        Raises:
            LookAgainError: another was faster, or nobody knows.
            AwayError: the servers cannot be reached or cannot store it.
        """
        headers = {"Nats-Expected-Stream": stream.name}
        if message_id:
            headers["Nats-Msg-Id"] = message_id
        if expected is not None:
            headers["Nats-Expected-Last-Subject-Sequence"] = str(expected)
        if scope:
            headers["Nats-Expected-Last-Subject-Sequence-Subject"] = scope
        ack = await self._ask(subject, body, _Ack, headers)
        if ack.error is None:
            return ack.seq
        if ack.error.err_code in _WRONG_LAST:
            if ack.error.err_code != min(_WRONG_LAST):
                await pause()
            raise LookAgainError(ack.error.description)
        if ack.error.code == 503:
            await pause(_LONGEST_PAUSE_S)
            raise LookAgainError(ack.error.description)
        log.error("NATS does not store a message", stream=stream.name, error=ack.error.description)
        raise AwayError(f"NATS does not store it: {ack.error.description}")

    async def last(self, stream: Stream, subject: str) -> Stored | None:
        """The last message of a subject as its leader has it; None: there is none."""
        query = msgspec.json.encode({"last_by_subj": subject})
        for _ in attempts():
            with contextlib.suppress(LookAgainError):
                got = await self._ask(f"$JS.API.STREAM.MSG.GET.{stream.name}", query, _Got)
                if got.message is not None:
                    return Stored(got.message.seq, got.message.data)
                if got.error is not None and got.error.err_code == _NONE_FOUND:
                    return None
                await pause(_LONGEST_PAUSE_S)
        raise AssertionError  # attempts() raises

    async def last_seq(self, stream: Stream) -> int:
        """The number of the last message that the stream's leader has."""
        for _ in attempts():
            with contextlib.suppress(LookAgainError):
                info = await self._info("INFO", stream, b"")
                if info.state is not None:
                    return info.state.last_seq
                await pause(_LONGEST_PAUSE_S)
        raise AssertionError  # attempts() raises

    async def read(self, stream: Stream, seq: int, *, only: str = "", most: int = BATCH, since_utc_us: int | None = None) -> list[Stored]:
        """Messages from this number on in their order, at most so many and not all that there are; empty at the end.

        Any server answers that holds the stream: what it gives is right, but may be a moment behind.

        Args:
            stream: of which stream.
            seq: the first number.
            only: of these subjects alone.
            most: so many, where not their length ends it.
            since_utc_us: in place of ``seq``: those that were stored since then.
        """
        query: dict[str, Any] = {"batch": min(most, BATCH), "max_bytes": BATCH_BYTES, **({"next_by_subj": only} if only else {})}
        if since_utc_us is None:
            query["seq"] = max(1, seq)
        else:
            query["start_time"] = dt.datetime.fromtimestamp(since_utc_us / 1e6, dt.UTC).isoformat()
        for _ in attempts():
            with contextlib.suppress(LookAgainError):
                return await self._read(stream, msgspec.json.encode(query))
        raise AssertionError  # attempts() raises

    async def read_to(self, stream: Stream, seq: int, until: int, *, only: str = "", most: int = BATCH) -> list[Stored]:
        """As ``read``, but waits until a server answers that has what is stored up to ``until``, where ``most`` does not end it before."""
        found: list[Stored] = []
        for _ in attempts():
            new = await self.read(stream, seq, only=only, most=most - len(found))
            found += new
            seq = new[-1].seq + 1 if new else seq
            if len(found) >= most or seq > until:
                return found
            if not new:
                await pause()
        raise AssertionError  # attempts() raises

    async def tell(self, subject: str, body: bytes) -> None:
        """Tell all fronts that hear now; nobody keeps it, and where nobody is connected it is lost."""
        if self._client.is_connected:
            with contextlib.suppress(nats.errors.Error, OSError):
                await self._client.publish(subject, body)

    async def hear(self, subject: str, take: Callable[[Msg], Awaitable[None]]) -> None:
        """Have everything taken that is told from now on."""
        self._heard[subject] = take
        await self._client.subscribe(subject, cb=take)
        await self._client.flush()

    async def _info(self, verb: str, stream: Stream, body: bytes) -> _Info:
        return await self._ask(f"$JS.API.STREAM.{verb}.{stream.name}", body, _Info)

    async def _ask(self, subject: str, body: bytes, kind: type[Answer], headers: Mapping[str, str] | None = None) -> Answer:
        await self._is_connected()
        try:
            message = await self._client.request(subject, body, timeout=TRY_S, headers=dict(headers) if headers else None)
        except nats.errors.MaxPayloadError as error:
            raise AwayError(f"a message of {len(body)} bytes is longer than NATS takes: raise max_payload there") from error
        except nats.errors.NoRespondersError as error:
            await pause(_LONGEST_PAUSE_S)
            raise LookAgainError("nobody leads the stream") from error
        except (nats.errors.Error, OSError) as error:
            await pause()
            raise LookAgainError(str(error) or type(error).__name__) from error
        return msgspec.json.decode(message.data, type=kind)

    async def _read(self, stream: Stream, query: bytes) -> list[Stored]:
        await self._is_connected()
        inbox, found, before = self._client.new_inbox(), list[Stored](), 0
        try:
            subscription = await self._client.subscribe(inbox)
            try:
                await self._client.publish(f"$JS.API.DIRECT.GET.{stream.name}", query, reply=inbox)
                while True:
                    message = await subscription.next_msg(TRY_S)
                    headers = message.headers or {}
                    status = headers.get("Status")
                    if status == "404":
                        return []
                    if status is not None and status != "204":
                        await pause(_LONGEST_PAUSE_S)
                        raise LookAgainError(f"status {status}")
                    if int(headers["Nats-Last-Sequence"]) != before:
                        raise LookAgainError("a message was lost on its way")
                    if status == "204":
                        return found
                    before = int(headers["Nats-Sequence"])
                    found.append(Stored(before, message.data))
            finally:
                await subscription.unsubscribe()
        except (nats.errors.Error, OSError) as error:
            await pause()
            raise LookAgainError(str(error)) from error

    async def _is_connected(self) -> None:
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
                        disconnected_cb=self._lost, reconnected_cb=self._back, closed_cb=self._closed, max_reconnect_attempts=-1,
                        reconnect_time_wait=1, connect_timeout=3, ping_interval=5, max_outstanding_pings=2,
                    )  # fmt: skip
                break
            except (nats.errors.Error, OSError) as error:
                with contextlib.suppress(nats.errors.Error, OSError):
                    await client.close()
                if time.monotonic() >= end_s:
                    why = "; ".join(dict.fromkeys(problems)) or str(error) or type(error).__name__
                    raise AwayError(f"no NATS server can be used at {', '.join(self._servers.urls)}: {why}") from error
                await asyncio.sleep(_LONGEST_PAUSE_S)
        self._client = client
        self._connected.set()

    async def _lost(self) -> None:
        if not self._ended and self._connected.is_set():
            log.warning("the connection to NATS is lost")
        self._connected.clear()

    async def _back(self) -> None:
        log.info("connected to NATS again")
        self._connected.set()
        for call in self.reconnected:
            call()

    async def _closed(self) -> None:
        """The library gave up (it does where a server refuses this front): begin anew, for a refusal may be mended there."""
        if not self._ended and (self._mending is None or self._mending.done()):
            self._mending = asyncio.create_task(self._mend())

    async def _mend(self) -> None:
        self._connected.clear()
        while True:
            await asyncio.sleep(1.0 + random.random())
            try:
                await self._connect(CONNECTED_S)
                for subject, take in self._heard.items():
                    await self._client.subscribe(subject, cb=take)
                await self._back()
                return
            except (AwayError, nats.errors.Error, OSError) as error:
                log.warning("NATS cannot be used", error=str(error))


async def pause(longest_s: float = 10 * _START_OF_PAUSE_S) -> None:
    """A short wait, of another length each time, so that two who hinder each other part."""
    await asyncio.sleep(random.uniform(_START_OF_PAUSE_S, longest_s))
