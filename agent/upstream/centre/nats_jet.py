"""The few things that a front asks of NATS JetStream: put, look at the last, read on. See ``nats_names.py``.

No consumer is kept at the servers, for a server's death would take it away: what is read is asked for by its sequence number.
"""

import asyncio
import contextlib
import datetime as dt
import random
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

import msgspec
import nats.errors
import structlog

from agent.upstream.centre.backend import AwayError
from agent.upstream.centre.nats_connection import START_S, Connection
from agent.upstream.centre.nats_names import Stream

log = structlog.get_logger()

DO_S = 7.0
"""For so long each step is tried again where a leader is elected or a connection made: with its last try less than a room waits (20 s)."""
BATCH, BATCH_BYTES = 500, 4 * 1024 * 1024
_WRONG_LAST = 10071
"""Another message than the expected one is the last."""
_UNDECIDED = frozenset({10158, 10164})
"""The same message, or another of this subject, is on its way: not even the server knows yet."""
_NONE_FOUND, _NO_STREAM = 10037, 10059
_START_OF_PAUSE_S, _LONGEST_PAUSE_S = 0.002, 0.2
Answer = TypeVar("Answer")


class LookAgainError(Exception):
    """Another was faster, or nobody knows whether it was kept: the last message is to be looked at, and all decided anew."""


class Stored(NamedTuple):
    """A message of a stream."""

    seq: int
    data: bytes


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
    """What is asked of JetStream over a connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._refuses = False

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
            self._refuses = False
            return ack.seq
        if ack.error.err_code == _WRONG_LAST:
            raise LookAgainError(ack.error.description)
        if ack.error.err_code in _UNDECIDED:
            await pause()
            raise LookAgainError(ack.error.description)
        if ack.error.code == 503:
            await pause(_LONGEST_PAUSE_S)
            raise LookAgainError(ack.error.description)
        if not self._refuses:
            log.error("NATS does not store a message", stream=stream.name, error=ack.error.description)
        self._refuses = True
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

    async def read_to(
        self, stream: Stream, seq: int, until: int, *, only: str = "", most: int = BATCH, most_bytes: int = BATCH_BYTES
    ) -> list[Stored]:
        """As ``read``, but waits until a server answers that has what is stored up to ``until``.

        ``most`` messages end it before, and so does the first with which they have ``most_bytes``.
        """
        found, size_bytes = list[Stored](), 0
        for _ in attempts():
            new = await self.read(stream, seq, only=only, most=most - len(found))
            found += new
            size_bytes += sum(len(stored.data) for stored in new)
            seq = new[-1].seq + 1 if new else seq
            if len(found) >= most or size_bytes >= most_bytes or seq > until:
                return found
            if not new:
                await pause()
        raise AssertionError  # attempts() raises

    async def _info(self, verb: str, stream: Stream, body: bytes) -> _Info:
        return await self._ask(f"$JS.API.STREAM.{verb}.{stream.name}", body, _Info)

    async def _ask(self, subject: str, body: bytes, kind: type[Answer], headers: Mapping[str, str] | None = None) -> Answer:
        try:
            message = await self._connection.request(subject, body, headers)
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
        found, before = list[Stored](), 0
        try:
            async with contextlib.aclosing(self._connection.answers(f"$JS.API.DIRECT.GET.{stream.name}", query)) as answers:
                async for message in answers:
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
            raise LookAgainError("the answers broke off")
        except (nats.errors.Error, OSError) as error:
            await pause()
            raise LookAgainError(str(error)) from error


async def pause(longest_s: float = 10 * _START_OF_PAUSE_S) -> None:
    """A short wait, of another length each time, so that two who hinder each other part."""
    await asyncio.sleep(random.uniform(_START_OF_PAUSE_S, longest_s))
