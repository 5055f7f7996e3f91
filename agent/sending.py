"""Hands the outbox to the centre: one batch under way, everything in its order, exactly once by the centre's own numbers.

What is answered, and what follows, is decided by the pure ``after``; ``Sender`` is the shell around it. An event leaves the outbox only
when the centre said that it is durable there.

Which refusals are an event's fault: those that speak of the content. Then the batch is halved until one event is left, and that one is set
aside; the queue is never blocked by it. A refusal of the room itself (401, 403: its certificate) or of the address says nothing about
events, and one event after another being refused says that the centre is at fault: all of them wait, and it is asked again later. Of those
one more is set aside in more than an hour, in case it was the events after all.

Where the spreading of rooms lives: in ``upstream/backoff.py``, nowhere else. Each of a room's loops (events, heartbeat, feed) waits by its
own, and after an outage each draws its next try from 90 s, so 1,479 rooms return spread over more than a minute. Hence a new event never
cuts a wait short, and the heart's success does not hurry the sender.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import structlog

from agent.outbox import Outbox, Stamp
from agent.store_thread import StoreThread
from agent.upstream import contract
from agent.upstream.backoff import Backoff
from agent.upstream.client import RefusedError, UpstreamError

log = structlog.get_logger()

NOT_THE_EVENTS = frozenset({401, 403, 404, 405, 407, 421, 426, 431, 451})
"""HTTP statuses (RFC 9110, section 15.5) that speak of who asks and where, not of what was sent."""
NUMBERS_USED = 409
"""The centre has other events under these numbers: this file went back to an older state. The batch is halved, so that what it has already
is acknowledged under the old epoch; the first event that it has not begins a new one."""
LOOK_AGAIN_S = 60.0
"""Events also come to wait without a word: the file could not be read, or a restored centre is told all again."""
MOST_QUARANTINED = 5
"""So many events set aside with none taken between them: then the centre is at fault, not they, and they wait."""
REFUSED_AGAIN = 100
"""So many tries later one more is set aside all the same, for a row of bad events must end too. By then the waits (``upstream/backoff.py``)
are drawn from 90 s: that is one event in about 75 minutes, should it be the centre."""


class Centre(Protocol):
    """What is wanted of ``UpstreamClient``."""

    async def put_events(self, batch: contract.EventBatch) -> contract.EventsTaken:
        """Hand events over."""
        ...


@dataclass(frozen=True, slots=True)
class Pace:
    """How many events go at once now, and what happened since one was taken."""

    events: int = contract.BATCH_EVENTS
    quarantined: int = 0
    """So many were set aside."""
    refused: int = 0
    """So often the next one was refused and not set aside, for ``MOST_QUARANTINED`` were before it."""
    is_anew: bool = False
    """An epoch was begun."""


@dataclass(frozen=True, slots=True)
class Next:
    """What follows an answer.

    ``acknowledge`` all up to ``seq``, ``quarantine`` it, ``wait``, go on, acknowledge and begin an epoch, or ``send_again`` all behind it.
    """

    do: Literal["acknowledge", "quarantine", "wait", "go_on", "new_epoch", "send_again"]
    pace: Pace
    seq: int = 0
    detail: str = ""


def after(pace: Pace, batch: contract.EventBatch, answer: contract.EventsTaken | RefusedError | UpstreamError, last_seq: int) -> Next:
    """What to do after a batch was answered. ``last_seq`` is the highest number that this file ever gave."""
    if isinstance(answer, UpstreamError):
        return Next("wait", pace, detail=str(answer))
    if isinstance(answer, RefusedError):
        return _after_refusal(pace, batch, answer)
    first, last = batch.events[0].seq, batch.events[-1].seq
    if batch.after is not None and answer.epoch == batch.after.epoch and answer.to < batch.after.seq:
        detail = f"the centre has events up to {answer.to} of an epoch of which it acknowledged {batch.after.seq}"
        return Next("send_again", pace, seq=answer.to, detail=detail)
    if answer.epoch != batch.epoch:
        return Next("wait", pace, detail="the centre acknowledged another epoch than it was sent")
    if answer.to > last_seq and last == last_seq:
        # It compared the batch with what it has: that is there. Numbers that will be given here are other events' there. Where more waits
        # behind the batch, that may be there too: it is sent under the old epoch before a new one begins.
        detail = f"the centre has events up to {answer.to} of an epoch in which {last_seq} was the last"
        return Next("new_epoch", Pace(is_anew=True), seq=last, detail=detail)
    if answer.to < first:
        return Next("wait", pace, detail="the centre took nothing of what it was sent")
    return Next("acknowledge", Pace(events=min(contract.BATCH_EVENTS, pace.events * 2)), seq=min(answer.to, last))


def _after_refusal(pace: Pace, batch: contract.EventBatch, refused: RefusedError) -> Next:
    if refused.problem.status in NOT_THE_EVENTS:
        return Next("wait", pace, detail=f"the centre refuses this room: {refused}")
    used = refused.problem.status == NUMBERS_USED
    if used and pace.is_anew:
        return Next("wait", pace, detail=f"the centre refuses numbers of a new epoch: {refused}")
    if used and len(batch.events) == 1:
        return Next("new_epoch", Pace(is_anew=True), detail=str(refused))
    if len(batch.events) > 1:
        return Next("go_on", replace(pace, events=len(batch.events) // 2), detail=str(refused))
    if pace.quarantined >= MOST_QUARANTINED and pace.refused < REFUSED_AGAIN:
        return Next("wait", replace(pace, refused=pace.refused + 1), detail=f"the centre refuses one event after another: {refused}")
    seq = batch.events[0].seq
    return Next("quarantine", replace(pace, quarantined=pace.quarantined + 1, refused=0), seq=seq, detail=str(refused))


class Sender:
    """Sends until it is cancelled.

    Args:
        centre: its client.
        store: the agent's file.
        stamp: the time, for what is noted here.
        alarm: told in words that an event was set aside, or that the centre refuses this room; empty when it takes events again.
    """

    def __init__(
        self,
        centre: Centre,
        store: StoreThread,
        stamp: Callable[[], Stamp],
        alarm: Callable[[str], None] = lambda _: None,
        backoff: Backoff | None = None,
    ) -> None:
        self._centre = centre
        self._store = store
        self._stamp = stamp
        self._alarm = alarm
        self._backoff = backoff or Backoff()
        self._more = asyncio.Event()
        self._pace = Pace()
        self.reached = False
        """Whether the last batch was answered."""

    def hurry(self) -> None:
        """There is a new event. It does not cut a wait for the centre short."""
        self._more.set()

    async def run(self) -> None:
        """Send for ever."""
        while True:
            self._more.clear()
            batch = await self._batch()
            if batch is None:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_AGAIN_S):
                        await self._more.wait()
                continue
            wait_s = await self._send(batch)
            if wait_s > 0:
                await self._store.do(lambda file: file.change(lambda outbox: outbox.roll_up(self._stamp().utc_us), self._stamp()))
                await asyncio.sleep(wait_s)

    async def _batch(self) -> contract.EventBatch | None:
        most, stamp = self._pace.events, self._stamp()
        return await self._store.do(lambda file: file.change(lambda outbox: outbox.batch(most), stamp))

    async def _send(self, batch: contract.EventBatch) -> float:
        """Send one batch and do what follows; returns for how long to wait then."""
        answer: contract.EventsTaken | RefusedError | UpstreamError
        try:
            answer = await self._centre.put_events(batch)
        except (UpstreamError, RefusedError) as error:
            answer = error
        last_seq = await self._store.do(lambda file: file.outbox.last_seq(batch.epoch))
        then = after(self._pace, batch, answer, last_seq)
        if then.do == "acknowledge":
            self._was_taken()
        if not await self._is_kept(then):
            return self._backoff.failed()  # the file, which says so itself, still has the batch as one to send
        self._pace = then.pace
        if then.do == "wait":
            return self._wait_s(answer, then.detail)
        if then.do == "acknowledge":
            self._backoff.succeeded()
        elif then.do == "quarantine":
            log.error("the centre refuses an event; it is set aside", seq=then.seq, type=batch.events[0].type, error=then.detail)
            self._alarm(f"the centre refuses event {then.seq} ({batch.events[0].type}): {then.detail}")
        elif then.do == "send_again":
            log.error("the centre was restored from a copy; it is told again what it lost", detail=then.detail)
            return self._backoff.failed()  # one that loses what it takes is not asked without end
        return 0.0

    async def _is_kept(self, then: Next) -> bool:
        """Change the outbox as the answer asks for; returns whether the file took that."""
        stamp = self._stamp()

        def change(outbox: Outbox) -> bool:
            match then.do:
                case "acknowledge":
                    outbox.acknowledge(then.seq, stamp.utc_us)
                case "quarantine":
                    outbox.quarantine(then.seq, then.detail, stamp)
                case "send_again":
                    outbox.send_again(then.seq)
            return True

        match then.do:
            case "wait" | "go_on":
                return True
            case "new_epoch":
                return await self._store.do(lambda file: file.begin_epoch(stamp, then.seq, then.detail))
            case _:
                return await self._store.do(lambda file: file.change(change, stamp)) is not None

    def _was_taken(self) -> None:
        if not self.reached:
            log.info("the centre takes events")
            self._alarm("")
        self.reached = True

    def _wait_s(self, answer: contract.EventsTaken | RefusedError | UpstreamError, detail: str) -> float:
        if self.reached or not self._backoff.failures:
            log.warning("the centre does not take events; they wait here", error=detail)
        if isinstance(answer, RefusedError):
            self._alarm(detail)
        self.reached = False
        return self._backoff.failed(answer.retry_after_s if isinstance(answer, UpstreamError) else None)
