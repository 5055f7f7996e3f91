"""Events reach the centre in order and once, a bad one holds nothing up, and a centre that is away is not stormed."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from functools import partial
from itertools import pairwise
from pathlib import Path
from random import Random

import msgspec
import pytest

from agent.sending import MOST_QUARANTINED, Pace, Sender, after
from agent.store import Store
from agent.store_file import Reserve
from agent.store_thread import StoreThread
from agent.upstream import contract
from agent.upstream.backoff import Backoff
from agent.upstream.client import UpstreamError
from tests.agent.disks import full_disk
from tests.agent.model_centre import POISON, ModelCentre, refused
from tests.agent.plans import DAY, ROOM, SMALL_RESERVE, at
from tests.lab.events import event
from tests.lab.waiting import until

AWAY = UpstreamError("no route to host")


class LooseCentre(ModelCentre):
    """Answers, or does something else first, as it is told batch by batch."""

    def __init__(self, *fates: str | Exception) -> None:
        super().__init__()
        self._fates = list(fates)
        self.always: Exception | None = None
        self.asked = 0
        self.under_way = self.most_under_way = 0

    async def put_events(self, batch: contract.EventBatch) -> contract.EventsTaken:
        self.asked += 1
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await asyncio.sleep(0)
            fate = self.always or (self._fates.pop(0) if self._fates else "answered")
            if isinstance(fate, Exception):
                raise fate
            taken = self.take(batch)
            if fate == "answer lost":
                raise AWAY
            return taken
        finally:
            self.under_way -= 1


@asynccontextmanager
async def sending(
    path: Path, centre: LooseCentre, backoff: Backoff | None = None, alarm: Callable[[str], None] = lambda _: None
) -> AsyncIterator[tuple[StoreThread, Sender]]:
    db = path / "agent.db"
    store = await StoreThread.open(db, ROOM, at(DAY), Reserve(db, SMALL_RESERVE))
    sender = Sender(centre, store, lambda: at(DAY), alarm, backoff or Backoff(draw=lambda: 0.001))
    task = asyncio.create_task(sender.run())
    try:
        yield store, sender
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await store.close()


async def tell(store: StoreThread, sender: Sender, *details: str) -> None:
    for number, detail in enumerate(details, 1):
        data = contract.CommandDone(number=number, ok=True, detail=detail)
        await store.do(partial(Store.tell, data=data, stamp=at(DAY)))
    sender.hurry()


def details(centre: ModelCentre) -> list[str]:
    return [data.detail for data in centre.data() if isinstance(data, contract.CommandDone)]


async def test_lost_answers_and_absence_delay_events_and_neither_lose_nor_double_them(tmp_path: Path) -> None:
    centre = LooseCentre(AWAY, "answer lost", UpstreamError("answered 503", 0.001), "answer lost")
    async with sending(tmp_path, centre) as (store, sender):
        await tell(store, sender, "a", "b", "c")
        await until(lambda: sender.reached, "an answer")
        await tell(store, sender, "d")
        await until(lambda: len(centre.taken) == 4, "all events")
        assert (await store.do(lambda file: file.outbox.depth())).waiting <= 1
    assert (details(centre), centre.are_in_order(), centre.most_under_way) == (["a", "b", "c", "d"], True, 1)


async def test_one_event_that_the_centre_does_not_take_is_found_set_aside_and_told_of(tmp_path: Path) -> None:
    centre = LooseCentre(AWAY)
    alarms: list[str] = []
    async with sending(tmp_path, centre, Backoff(draw=lambda: 0.2), alarms.append) as (store, sender):
        good = [f"good {number}" for number in range(60)]
        await tell(store, sender, *good[:40], POISON, *good[40:])
        await until(lambda: len(centre.taken) == 61, "all events but one")
        depth = await store.do(lambda file: file.outbox.depth())
    assert details(centre) == good
    quarantined = [data for data in centre.data() if isinstance(data, contract.Quarantined)]
    assert [(one.seq, one.type) for one in quarantined] == [(41, "kz.courtroom.command.done")]
    assert depth.quarantined == 1
    assert any("refuses event 41" in alarm for alarm in alarms)


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_a_centre_that_refuses_the_room_costs_no_event_and_alarms(tmp_path: Path, status: int) -> None:
    centre = LooseCentre(*[refused(status)] * 6)
    alarms: list[str] = []
    async with sending(tmp_path, centre, alarm=alarms.append) as (store, sender):
        await tell(store, sender, "a", "b")
        await until(lambda: len(centre.taken) == 2, "both events")
        depth = await store.do(lambda file: file.outbox.depth())
    assert (details(centre), depth.quarantined) == (["a", "b"], 0)
    assert "refuses this room" in alarms[0]
    assert alarms[-1] == ""


async def test_a_centre_that_refuses_everything_is_not_believed_of_each_event(tmp_path: Path) -> None:
    centre = LooseCentre()
    centre.always = refused(400)
    waits = 0

    def draw() -> float:
        nonlocal waits
        waits += 1
        return 0.0 if waits < 5 else 1.0

    async with sending(tmp_path, centre, Backoff(draw)) as (store, sender):
        await tell(store, sender, *[str(number) for number in range(50)])
        await until(lambda: waits >= 5, "the sender to wait")
        depth = await store.do(lambda file: file.outbox.depth())
    assert depth.quarantined <= MOST_QUARANTINED + 4
    assert depth.waiting >= 40


def test_a_centre_that_refuses_everything_costs_five_events_and_then_one_in_more_than_an_hour() -> None:
    pace, backoff = Pace(), Backoff(Random(1).random)
    waited_s = 0.0
    set_aside_at_s: list[float] = []
    while waited_s < 86_400:
        then = after(pace, contract.EventBatch(epoch="e", events=[event(ROOM, "e", len(set_aside_at_s) + 1)]), refused(422), 10_000)
        pace = then.pace
        if then.do == "quarantine":
            set_aside_at_s.append(waited_s)
        else:
            waited_s += backoff.failed()
    assert set_aside_at_s[:MOST_QUARANTINED] == [0.0] * MOST_QUARANTINED
    later_s = set_aside_at_s[MOST_QUARANTINED - 1 :]
    assert len(later_s) > 10, "a row of bad events ends"
    assert all(second - first > 3_600 for first, second in pairwise(later_s))


def test_one_event_that_is_taken_shows_that_the_centre_is_not_at_fault() -> None:
    one = contract.EventBatch(epoch="e", events=[event(ROOM, "e", 9)])
    refusing = after(Pace(events=1, quarantined=MOST_QUARANTINED, refused=7), one, refused(422), 9)
    assert refusing.do == "wait"
    taken = after(refusing.pace, one, contract.EventsTaken(epoch="e", to=9), 9)
    assert (taken.do, taken.pace.quarantined, taken.pace.refused) == ("acknowledge", 0, 0)
    assert after(taken.pace, one, refused(422), 9).do == "quarantine"


async def test_a_new_event_does_not_cut_the_wait_for_a_centre_short(tmp_path: Path) -> None:
    centre = LooseCentre(AWAY)
    async with sending(tmp_path, centre, Backoff(draw=lambda: 1.0, first_s=600, longest_s=600)) as (store, sender):
        await tell(store, sender, "a")
        await until(lambda: centre.asked == 1, "the first try")
        for _ in range(20):
            await tell(store, sender, "more")
        assert centre.asked == 1


async def test_a_file_that_went_back_tells_what_is_new_under_a_new_epoch_and_nothing_twice(tmp_path: Path) -> None:
    centre = LooseCentre(AWAY)
    async with sending(tmp_path, centre, Backoff(draw=lambda: 0.2)) as (store, sender):
        await tell(store, sender, "known 1", "known 2")
        await until(lambda: len(centre.taken) == 2, "two events")
        (epoch,) = centre.highest
        # Another disk, of which this one is a copy, went on to number 10; since then this one gave the numbers from 3 on.
        known = list(centre.taken.values())
        for seq in range(3, 11):
            other = msgspec.structs.replace(known[0], seq=seq, id=f"other {seq}")
            centre.taken[other.room, epoch, seq], centre.highest[epoch] = other, seq
        await store.do(lambda file: file.change(lambda outbox: outbox.send_again(), at(DAY)))
        await tell(store, sender, *[f"new {number}" for number in range(20)])
        await until(lambda: len(centre.taken) == 30, "the new events")
    new = [key for key in centre.taken if key[1] != epoch]
    assert [centre.taken[key].data for key in new] == [contract.CommandDone(number=n, ok=True, detail=f"new {n - 1}") for n in range(1, 21)]
    assert len({key[1] for key in new}) == 1


async def test_a_file_of_which_the_centre_knows_more_than_it_does_itself_begins_a_new_epoch(tmp_path: Path) -> None:
    centre = LooseCentre()
    async with sending(tmp_path, centre) as (store, sender):
        await tell(store, sender, "a")
        await until(lambda: len(centre.taken) == 1, "the first event")
        (epoch,) = centre.highest
        centre.highest[epoch] = 1_000
        await store.do(lambda file: file.change(lambda outbox: outbox.send_again(), at(DAY)))
        await tell(store, sender, "b")
        await until(lambda: len(centre.highest) == 2, "a new epoch")
        await until(lambda: sender.reached, "an answer")
    assert details(centre) == ["a", "b"]


async def test_a_centre_that_lost_what_it_acknowledged_is_told_that_again_before_anything_new(tmp_path: Path) -> None:
    centre = LooseCentre()
    async with sending(tmp_path, centre) as (store, sender):
        await tell(store, sender, "a", "b")
        await until(lambda: len(centre.taken) == 2, "two events")
        copy = dict(centre.taken), dict(centre.highest)
        await tell(store, sender, "c", "d")
        await until(lambda: len(centre.taken) == 4, "four events")
        await until(lambda: sender.reached, "an answer")
        centre.taken, centre.highest = copy
        asked = centre.asked
        await tell(store, sender, "e")
        await until(lambda: len(centre.taken) == 5, "all events")
    assert details(centre) == ["a", "b", "c", "d", "e"]
    assert centre.asked <= asked + 4


def nothing(_: LooseCentre) -> None:
    """It takes what it is sent."""


def refuse_the_event(centre: LooseCentre) -> None:
    centre.always = refused(422)


def refuse_its_number(centre: LooseCentre) -> None:
    centre.always = refused(409)


def forget_all(centre: LooseCentre) -> None:
    centre.taken.clear()
    centre.highest.clear()


@pytest.mark.parametrize("befalls", [nothing, refuse_the_event, refuse_its_number, forget_all])
async def test_a_centre_is_not_stormed_while_what_it_answers_cannot_be_written(
    tmp_path: Path, befalls: Callable[[LooseCentre], None]
) -> None:
    centre, waits = LooseCentre(), 0
    alarms: list[str] = []

    def draw() -> float:
        nonlocal waits
        waits += 1
        return 0.001

    async with sending(tmp_path, centre, Backoff(draw), alarms.append) as (store, sender):
        await tell(store, sender, "a")
        await until(lambda: sender.reached, "an answer")
        befalls(centre)
        with ExitStack() as disk:

            def tell_and_fill(file: Store) -> None:
                file.tell(contract.CommandDone(number=2, ok=True, detail="b"), at(DAY))
                disk.enter_context(full_disk())

            await store.do(tell_and_fill)
            sender.hurry()
            await until(lambda: waits >= 5, "the sender to wait")
            assert centre.asked <= 1 + waits + 1
            centre.always, asked = None, centre.asked
            await until(lambda: centre.asked > asked, "the last refusal to be over")
        await until(lambda: details(centre) == ["a", "b"], "both events")
        depth = await store.do(lambda file: file.outbox.depth())
    assert (depth.quarantined, len(centre.highest), alarms) == (0, 1, [""])


def test_only_what_the_batch_comes_after_shows_that_something_is_lost() -> None:
    batch = contract.EventBatch(epoch="e", events=[event(ROOM, "e", 9)], after=contract.Place(epoch="before", seq=5))
    lost = after(Pace(), batch, contract.EventsTaken(epoch="before", to=3), 9)
    assert (lost.do, lost.seq) == ("send_again", 3)
    assert after(Pace(), batch, contract.EventsTaken(epoch="before", to=5), 9).do == "wait"
    assert after(Pace(), batch, contract.EventsTaken(epoch="e", to=9), 9).do == "acknowledge"


def test_a_centre_that_refuses_the_numbers_of_a_new_epoch_too_is_asked_later() -> None:
    batch = contract.EventBatch(epoch="e", events=[event(ROOM, "e", 3)])
    anew = after(Pace(), batch, refused(409), 9)
    assert (anew.do, anew.seq) == ("new_epoch", 0)
    assert after(anew.pace, batch, refused(409), 9).do == "wait"


@pytest.mark.parametrize(("epoch", "to"), [("other", 5), ("e", 2)])
def test_an_answer_that_acknowledges_nothing_of_the_batch_acknowledges_nothing(epoch: str, to: int) -> None:
    batch = contract.EventBatch(epoch="e", events=[event(ROOM, "e", 3)])
    assert after(Pace(), batch, contract.EventsTaken(epoch=epoch, to=to), 9).do == "wait"


def test_after_a_day_without_a_centre_rooms_return_spread_over_more_than_a_minute() -> None:
    first_s = []
    for room in range(1_479):
        loops = [Backoff(Random(room * 3 + loop).random) for loop in range(3)]
        first_s.append(min([[loop.failed() for _ in range(12)][-1] for loop in loops]))
    assert max(first_s) - min(first_s) >= 60
    assert max(sum(second <= wait_s < second + 1 for wait_s in first_s) for second in range(90)) < 1_479 / 15
