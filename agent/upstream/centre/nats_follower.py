"""Follows a stream: applies its messages, each once and in order, to what a front holds in memory.

1. What is stored is told to all fronts after it was committed; told messages that follow each other are applied as they come.
2. Where one is missing (a connection was lost, a queue ran over) what lies between is read from the stream.
3. Each second, and after each new connection, the stream's leader is asked for its last number: a notice that was lost at the end is found.
   When that has not succeeded for ``STALE_S``, nothing is answered from memory: a front that is cut off must not go on as if it were not.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable

import structlog
from nats.aio.msg import Msg

from agent.upstream.centre.backend import AwayError
from agent.upstream.centre.nats_connection import Connection
from agent.upstream.centre.nats_jet import DO_S, Jet, Stored
from agent.upstream.centre.nats_names import Stream
from agent.upstream.centre.told_more import BACK_S

log = structlog.get_logger()

POLL_S = 1.0
STALE_S = 10.0
_TELLING_S = 0.05
"""A message is told about when it is acknowledged: so long it is waited for before it is read."""


class Follower:
    """Follows one stream; ``start`` before, ``stop`` at the end.

    Args:
        connection: by which it hears.
        jet: by which it reads.
        stream: one that tells.
        apply: takes a message; None: nobody wants the messages, only that there are new ones.
        moved: called after messages were applied.
        clear: forgets everything: the stream was restored from a copy, and is read anew.
        from_end: begin with what comes, not with what is there.
    """

    def __init__(
        self,
        connection: Connection,
        jet: Jet,
        stream: Stream,
        *,
        apply: Callable[[Stored], None] | None = None,
        moved: Callable[[], None] = lambda: None,
        clear: Callable[[], None] = lambda: None,
        from_end: bool = False,
    ) -> None:
        self._connection = connection
        self._jet = jet
        self._stream = stream
        self._apply = apply
        self._moved = moved
        self._clear = clear
        self._from_end = from_end or apply is None
        self._wake = asyncio.Event()
        self._waiting: dict[asyncio.Future[None], int] = {}
        self._confirmed_s = 0.0
        self._behind_s: float | None = None
        self._reading = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self.seen = 0
        """All messages up to this number were applied."""
        self.restored = 0
        """How often the stream was found to be restored from a copy."""

    async def start(self) -> None:
        """Read what is there, and follow.

        Raises:
            AwayError: the servers cannot be reached.
        """
        if self._from_end:
            self.seen = await self._jet.last_seq(self._stream)
        await self._connection.hear(self._stream.told, self._told)
        self._connection.reconnected.append(self._wake.set)
        await self.confirm()
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Follow no longer."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def check_fresh(self) -> None:
        """See that what is held is the stream's.

        Raises:
            AwayError: nobody knows.
        """
        if time.monotonic() - self._confirmed_s > STALE_S:
            raise AwayError("this front has not reached the stream's leader for a while")

    async def at_least(self, seq: int) -> None:
        """Wait until a message was applied: what this front has written it must find.

        Raises:
            AwayError: it does not come.
        """
        if seq <= self.seen:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[future] = seq
        try:
            done, _ = await asyncio.wait({future}, timeout=_TELLING_S)
            if not done:
                self._wake.set()
                async with asyncio.timeout(DO_S):
                    await future
        except TimeoutError:
            raise AwayError("what was stored did not come back") from None
        finally:
            self._waiting.pop(future, None)

    async def confirm(self) -> None:
        """Apply all that the stream's leader has now.

        Raises:
            AwayError: it cannot be reached.
        """
        asked_s, seen = time.monotonic(), self.seen
        last = await self._jet.last_seq(self._stream)
        if last < seen:
            self._went_back(last, asked_s)
            return
        self._behind_s = None
        await self._read_to(last)
        self._confirmed_s = max(self._confirmed_s, asked_s)

    async def _read_to(self, last: int) -> None:
        async with self._reading:
            if self._apply is None:
                if last > self.seen:
                    self.seen = last
                    self._moved_on()
                return
            while self.seen < last:
                read = await self._jet.read_to(self._stream, self.seen + 1, last)
                for stored in read:
                    if stored.seq > self.seen:
                        self._take(stored)
                self._moved_on()

    def _went_back(self, last: int, now_s: float) -> None:
        if self._behind_s is None:
            self._behind_s = now_s
        elif now_s - self._behind_s > BACK_S:
            log.critical(
                "a stream has less than it had: it was restored from a copy, and is read anew", stream=self._stream.name, last=last
            )
            self._clear()
            self.restored += 1
            self.seen = last if self._from_end else 0
            self._behind_s = None
            self._moved_on()

    async def _run(self) -> None:
        told, is_away = "", False
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await self._wake.wait()
            self._wake.clear()
            try:
                await self.confirm()
            except AwayError as error:  # it is tried again; `check_fresh` tells who asks
                if not is_away:
                    log.warning("a stream cannot be followed", stream=self._stream.name, error=str(error))
                is_away = True
            except Exception as error:  # a message that is none of ours: what is held grows old, and nothing is answered from it
                if repr(error) != told:
                    log.exception("a stream cannot be followed", stream=self._stream.name)
                told = repr(error)
            else:
                if is_away or told:
                    log.info("a stream is followed again", stream=self._stream.name)
                told, is_away = "", False

    async def _told(self, message: Msg) -> None:
        seq = int((message.headers or {})["Nats-Sequence"])
        if self._apply is None:
            if seq > self.seen:
                self.seen = seq
                self._moved_on()
        elif seq == self.seen + 1:
            self._take(Stored(seq, message.data))
            self._moved_on()
        elif seq > self.seen:
            self._wake.set()

    def _take(self, stored: Stored) -> None:
        if self._apply is not None:
            self._apply(stored)
        self.seen = stored.seq

    def _moved_on(self) -> None:
        for future, seq in self._waiting.items():
            if seq <= self.seen and not future.done():
                future.set_result(None)
        self._moved()
