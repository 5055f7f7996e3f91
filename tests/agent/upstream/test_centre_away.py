"""A centre that is away, slow or refusing stops nothing in the room, and 1,479 rooms do not come back at one moment."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.upstream import contract, transfer
from agent.upstream.backoff import LONGEST_S, Backoff
from agent.upstream.client import RefusedError, UpstreamError
from agent.upstream.follow import Follower
from agent.upstream.heart import Heart
from recorder.record.checkpoint import Receipt
from tests.lab.waiting import until

AWAY = UpstreamError("no route to host")
REFUSED = RefusedError(transfer.Problem(type="about:blank", title="The certificate is revoked.", status=403))
RECEIPT = Receipt(record="r", room="1", at=3, head="0" * 64, counter=1, utc_us=5, sig="", certificate="")
BEAT = contract.Heartbeat(
    utc_us=1, boot="b", version="1", clock=contract.ClockQuality(source="chrony"), state="idle", session="", hearing="",
    head=contract.Head(record="r", at=3, sha256="0" * 64),
    applied_offset=0, outbox_depth=0, indicators={},
)  # fmt: skip


class ScriptedCentre:
    """Answers with what it is given, one after the other; the last again and again."""

    def __init__(self, *answers: object) -> None:
        self._answers = list(answers)
        self.asked: list[tuple[int, int, int]] = []
        self.beats = 0

    async def beat(self, heartbeat: contract.Heartbeat) -> contract.HeartbeatTaken:
        assert heartbeat == BEAT
        self.beats += 1
        answer = self._next()
        assert isinstance(answer, contract.HeartbeatTaken)
        return answer

    async def feed(self, after: int, command: int, wait_s: int) -> contract.Feed:
        self.asked.append((after, command, wait_s))
        answer = self._next()
        if answer is None:
            await asyncio.Event().wait()
        assert isinstance(answer, contract.Feed)
        return answer

    def _next(self) -> object:
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@asynccontextmanager
async def running(task: Awaitable[None]) -> AsyncIterator[None]:
    runs = asyncio.ensure_future(task)
    try:
        yield
    finally:
        runs.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await runs


def at_once() -> Backoff:
    return Backoff(draw=lambda: 0.0)


@pytest.mark.parametrize("change", [{"record": "*"}, {"room": "2"}, {"at": 4}, {"head": "1" * 64}])
async def test_a_receipt_for_what_was_not_told_is_not_kept_and_is_an_alarm_until_a_right_one_comes(change: dict[str, Any]) -> None:
    foreign = msgspec.structs.replace(RECEIPT, **change)
    centre = ScriptedCentre(contract.HeartbeatTaken(utc_us=9, receipt=foreign), contract.HeartbeatTaken(utc_us=9, receipt=RECEIPT))
    kept: list[Receipt] = []

    async def keep(receipt: Receipt) -> None:
        kept.append(receipt)

    heart = Heart(centre, lambda: BEAT, keep, lambda *_: None, at_once(), room="1")
    async with running(heart.run()):
        await until(lambda: bool(heart.alarm), "the alarm")
        assert not kept
        heart.hurry()
        await until(lambda: bool(kept), "the right one")
    assert kept == [RECEIPT]
    assert not heart.alarm


@pytest.mark.parametrize("trouble", [AWAY, REFUSED])
async def test_the_heart_beats_on_when_the_centre_comes_back_and_its_receipt_is_kept(trouble: Exception) -> None:
    centre = ScriptedCentre(trouble, contract.HeartbeatTaken(utc_us=9, receipt=RECEIPT))
    kept: list[Receipt] = []
    clocks: list[int] = []

    async def keep(receipt: Receipt) -> None:
        kept.append(receipt)

    heart = Heart(centre, lambda: BEAT, keep, lambda utc_us, _: clocks.append(utc_us), at_once(), room="1")
    async with running(heart.run()):
        await until(lambda: bool(kept), "a receipt")
    assert (kept[0], clocks, heart.reached) == (RECEIPT, [9], True)


async def test_something_that_happens_is_told_at_once_and_not_at_the_next_beat() -> None:
    centre = ScriptedCentre(contract.HeartbeatTaken(utc_us=9, receipt=None, due_s=60.0))

    async def keep(_: Receipt) -> None:
        pytest.fail("there is no receipt")

    heart = Heart(centre, lambda: BEAT, keep, lambda *_: None, room="1")
    async with running(heart.run()):
        await until(lambda: centre.beats == 1, "the first beat")
        heart.hurry()
        await until(lambda: centre.beats == 2, "the second beat")


@pytest.mark.parametrize("trouble", [UpstreamError("busy", retry_after_s=3600.0), REFUSED])
async def test_nothing_that_happens_cuts_short_the_wait_after_a_beat_that_was_not_taken(trouble: Exception) -> None:
    centre = ScriptedCentre(trouble)

    async def keep(_: Receipt) -> None:
        pytest.fail("there is no receipt")

    heart = Heart(centre, lambda: BEAT, keep, lambda *_: None, room="1")
    async with running(heart.run()):
        await until(lambda: centre.beats == 1, "the first beat")
        for _ in range(100):
            heart.hurry()
            await asyncio.sleep(0)
    assert centre.beats == 1


async def test_what_happened_while_the_centre_was_away_is_told_by_the_beat_behind_the_wait_and_by_no_second_one() -> None:
    centre = ScriptedCentre(AWAY, contract.HeartbeatTaken(utc_us=9, receipt=None, due_s=60.0))

    async def keep(_: Receipt) -> None:
        pytest.fail("there is no receipt")

    heart = Heart(centre, lambda: BEAT, keep, lambda *_: None, at_once(), room="1")
    async with running(heart.run()):
        await until(lambda: centre.beats == 1, "the first beat")
        heart.hurry()
        await until(lambda: heart.reached, "the second beat")
        for _ in range(100):
            await asyncio.sleep(0)
    assert centre.beats == 2


@pytest.mark.parametrize("turns", range(6))
async def test_a_heart_that_is_ended_just_as_something_happens_ends(turns: int) -> None:
    centre = ScriptedCentre(contract.HeartbeatTaken(utc_us=9, receipt=None, due_s=60.0))

    async def keep(_: Receipt) -> None:
        pytest.fail("there is no receipt")

    heart = Heart(centre, lambda: BEAT, keep, lambda *_: None, room="1")
    beating = asyncio.create_task(heart.run())
    await until(lambda: centre.beats == 1, "the first beat")
    heart.hurry()
    for _ in range(turns):
        await asyncio.sleep(0)
    beating.cancel()
    await asyncio.wait({beating}, timeout=5)
    ended = beating.done()
    beating.cancel()
    assert ended


async def test_the_feed_is_asked_for_what_follows_only_when_what_came_is_durable() -> None:
    feed = contract.Feed(as_of=7)
    centre = ScriptedCentre(AWAY, feed, None)
    durable = asyncio.Event()
    place = (3, 1)

    async def take(taken: contract.Feed) -> None:
        nonlocal place
        await durable.wait()
        place = (taken.as_of, 2)

    follower = Follower(centre, lambda: place, take, at_once())
    async with running(follower.run()):
        await until(lambda: len(centre.asked) == 2, "the second question")
        await asyncio.sleep(0)
        assert len(centre.asked) == 2
        durable.set()
        await until(lambda: len(centre.asked) == 3, "the third question")
    assert [asked[:2] for asked in centre.asked] == [(3, 1), (3, 1), (7, 2)]


async def test_the_whole_schedule_is_asked_for_on_command() -> None:
    centre = ScriptedCentre(contract.Feed(as_of=7), None)

    async def take(_: contract.Feed) -> None:
        follower.begin_anew()

    follower = Follower(centre, lambda: (7, 0), take, at_once())
    async with running(follower.run()):
        await until(lambda: len(centre.asked) == 2, "the second question")
    assert centre.asked[1] == (0, 0, 0)


async def test_the_whole_schedule_is_asked_for_on_command_also_while_a_poll_is_waited_for() -> None:
    centre = ScriptedCentre(contract.Feed(as_of=7), contract.Feed(as_of=7), None)

    async def take(_: contract.Feed) -> None:
        pass

    follower = Follower(centre, lambda: (7, 0), take, at_once())
    feed = centre.feed

    async def asked(after: int, command: int, wait_s: int) -> contract.Feed:
        answer = await feed(after, command, wait_s)
        if len(centre.asked) == 1:  # the command is carried out while the first poll stands
            follower.begin_anew()
        return answer

    centre.feed = asked  # type: ignore[method-assign]
    async with running(follower.run()):
        await until(lambda: len(centre.asked) == 3, "the third question")
    assert [one[0] for one in centre.asked] == [7, 0, 7]


async def test_a_wish_for_the_whole_schedule_outlives_a_poll_that_failed() -> None:
    centre = ScriptedCentre(AWAY, AWAY, None)

    async def take(_: contract.Feed) -> None:
        pass

    follower = Follower(centre, lambda: (7, 0), take, at_once())
    follower.begin_anew()
    async with running(follower.run()):
        await until(lambda: len(centre.asked) == 3, "the third question")
    assert [one[0] for one in centre.asked] == [0, 0, 0]


@given(failures=st.integers(1, 200), wish_s=st.none() | st.floats(0, 600), seed=st.integers())
def test_no_wait_is_longer_than_its_bound_or_shorter_than_the_centres_wish(failures: int, wish_s: float | None, seed: int) -> None:
    backoff = Backoff(Random(seed).random)
    for _ in range(failures):
        assert (wish_s or 0.0) <= backoff.failed(wish_s) <= (wish_s or 0.0) + LONGEST_S
    backoff.succeeded()
    assert backoff.failed() <= 1.0


def test_rooms_that_lost_the_centre_together_come_back_spread_over_more_than_a_minute() -> None:
    waits_s = []
    for room in range(1_479):
        backoff = Backoff(Random(room).random)
        waits_s.append([backoff.failed() for _ in range(12)][-1])
    assert max(waits_s) - min(waits_s) >= 60
    busiest = max(sum(second <= wait_s < second + 1 for wait_s in waits_s) for second in range(90))
    assert busiest < 1_479 / 20
