"""The room's heartbeat: each ten seconds it tells the centre how it is, and takes the centre's receipt for the record's head."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog

from agent.upstream import contract
from agent.upstream.backoff import Backoff
from agent.upstream.client import RefusedError, UpstreamError
from recorder.record.checkpoint import Receipt

log = structlog.get_logger()

PERIOD_S = 10.0
LONGEST_PERIOD_S = 60.0


class Centre(Protocol):
    """What is wanted of ``UpstreamClient``."""

    async def beat(self, heartbeat: contract.Heartbeat) -> contract.HeartbeatTaken:
        """Say that the room is there."""
        ...


class Heart:
    """Beats until it is cancelled; a centre that is away costs nothing but the beats.

    Args:
        centre: its client.
        compose: makes the heartbeat of this moment.
        keep: stores a receipt with its record; it is asked only for the very head that was told.
        room: the room's id; a receipt of another is not kept.
        clock_said: told the centre's clock (microseconds since 1970) and half the round trip, by which it may be wrong.
    """

    def __init__(
        self,
        centre: Centre,
        compose: Callable[[], contract.Heartbeat],
        keep: Callable[[Receipt], Awaitable[None]],
        clock_said: Callable[[int, int], None],
        backoff: Backoff | None = None,
        *,
        room: str,
    ) -> None:
        self._centre = centre
        self._compose = compose
        self._keep = keep
        self._clock_said = clock_said
        self._backoff = backoff or Backoff()
        self._room = room
        self._now = asyncio.Event()
        self.alarm = ""
        """What somebody should look at, in words; empty: nothing."""
        self.reached = False
        """Whether the last beat was answered."""

    def hurry(self) -> None:
        """Beat at once: something happened that the centre should see. A centre that is away, or asked for time, is left alone for it."""
        self._now.set()

    async def run(self) -> None:
        """Beat for ever."""
        while True:
            wait_s = await self._beat()
            if self.reached:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await self._now.wait()
            else:  # in full: a room where much happens would be the one that never lets the centre come back
                await asyncio.sleep(wait_s)
            self._now.clear()

    async def _beat(self) -> float:
        """One heartbeat; returns for how long to wait then."""
        began_s = time.monotonic()
        try:
            heartbeat = self._compose()
            taken = await self._centre.beat(heartbeat)
        except (UpstreamError, RefusedError) as error:
            if self.reached or not self._backoff.failures:
                log.warning("the centre does not take the heartbeat", error=str(error))
            self.reached = False
            return max(1.0, self._backoff.failed(error.retry_after_s if isinstance(error, UpstreamError) else None))
        if not self.reached:
            log.info("the centre takes the heartbeat")
        self.reached = True
        self._backoff.succeeded()
        self._clock_said(taken.utc_us, int((time.monotonic() - began_s) * 500_000))
        if taken.receipt is not None and self._is_asked_for(taken.receipt, heartbeat.head):
            await self._keep(taken.receipt)
        return min(LONGEST_PERIOD_S, max(1.0, taken.due_s))

    def _is_asked_for(self, receipt: Receipt, head: contract.Head | None) -> bool:
        """Whether a receipt is for this room and the head that it was told: what is kept beside a record stays there for ever."""
        if is_receipt_for(receipt, self._room, head):
            self.alarm = ""
            return True
        if not self.alarm:
            log.error("the centre sent a receipt for what it was not told; it is not kept", record=receipt.record, at=receipt.at)
        self.alarm = "the centre sends receipts for heads that this room did not tell it; they are not kept: tell the centre"
        return False


def is_receipt_for(receipt: Receipt, room: str, head: contract.Head | None) -> bool:
    """Whether a receipt is for this room and this very head."""
    told = None if head is None else (room, head.record, head.at, head.sha256)
    return told == (receipt.room, receipt.record, receipt.at, receipt.head)
