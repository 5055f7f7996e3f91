"""The rooms' events as every keeper keeps them: each once and in order, what contradicts refused, read by pages."""

import asyncio

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.upstream import contract
from agent.upstream.centre.backend import Backend, ConflictError, now_utc_us
from agent.upstream.centre.decisions import PAGE_BYTES, page
from tests.lab.events import batch, event, long_event
from tests.lab.fronts import nats_fronts, seen
from tests.lab.nats_cluster import NatsCluster

DAY_US = 86_400 * 1_000_000


async def test_events_are_taken_once_by_whichever_front_and_read_in_order(fronts: list[Backend]) -> None:
    one, two = fronts
    for front in (one, two, one):
        assert await front.events.put("r", batch("r", "e", 1, 2, 5)) == contract.EventsTaken(epoch="e", to=5)
    assert await two.events.put("r", batch("r", "e", 2, 5, 6)) == contract.EventsTaken(epoch="e", to=6)
    assert await one.events.put("r", batch("r", "e", 1, 2)) == contract.EventsTaken(epoch="e", to=6)
    assert await one.events.put("r", batch("r", "f", 1)) == contract.EventsTaken(epoch="f", to=1)
    taken = await one.events.after(0, 100)
    assert [(each.event.epoch, each.event.seq) for each in taken] == [("e", 1), ("e", 2), ("e", 5), ("e", 6), ("f", 1)]
    numbers = [each.number for each in taken]
    assert numbers == sorted(set(numbers))
    assert min(numbers) > 0
    again: list[contract.TakenEvent] = []
    while read := await one.events.after(again[-1].number if again else 0, 2):
        assert len(read) <= 2
        again += read
    assert again == taken
    await seen(lambda: _reads(two, taken))


async def test_nothing_is_taken_behind_what_the_centre_does_not_have_and_the_room_learns_how_much_it_has(fronts: list[Backend]) -> None:
    one, two = fronts
    behind = {seq: msgspec.structs.replace(batch("r", "e", seq + 1), after=contract.Place(epoch="e", seq=seq)) for seq in (2, 3)}
    await one.events.put("r", batch("r", "e", 1, 2))
    for front in fronts:
        assert await front.events.put("r", behind[3]) == contract.EventsTaken(epoch="e", to=2)
    assert await two.events.put("r", behind[2]) == contract.EventsTaken(epoch="e", to=3)
    assert await one.events.put("r", behind[3]) == contract.EventsTaken(epoch="e", to=4)
    for to, answer in ((5, contract.EventsTaken(epoch="e", to=4)), (4, contract.EventsTaken(epoch="f", to=1))):
        first = msgspec.structs.replace(batch("r", "f", 1), after=contract.Place(epoch="e", seq=to))
        assert await two.events.put("r", first) == answer
    assert [(each.event.epoch, each.event.seq) for each in await one.events.after(0, 100)] == [
        *[("e", seq) for seq in range(1, 5)],
        ("f", 1),
    ]


async def _reads(front: Backend, taken: object) -> bool:
    return await front.events.after(0, 100) == taken


def other(batch_: contract.EventBatch) -> contract.EventBatch:
    """Other events under the same numbers."""
    return msgspec.structs.replace(batch_, events=[msgspec.structs.replace(each, id=f"other {each.seq}") for each in batch_.events])


async def test_numbers_of_which_the_centre_has_other_events_are_refused_and_nothing_of_the_batch_is_kept(fronts: list[Backend]) -> None:
    one, two = fronts
    for first in range(1, 100, 4):  # over several messages, with a hole behind each
        await one.events.put("r", batch("r", "e", first, first + 1, first + 2))
    await one.events.put("s", batch("s", "e", 1))
    before = await one.events.after(0, 1_000)
    new = batch("r", "e", *range(100, 121))
    for again in (other(batch("r", "e", *range(51, 52))), other(batch("r", "e", 97, 98)), batch("r", "e", 4), batch("r", "e", 96, 97)):
        for front in (two, one):
            with pytest.raises(ConflictError, match=f"number {again.events[0].seq} "):
                await front.events.put("r", msgspec.structs.replace(again, events=[*again.events, *new.events]))
    mixed = [*batch("r", "e", 1, 2, 3, 5).events, *other(batch("r", "e", 6)).events]
    with pytest.raises(ConflictError, match="number 6 "):
        await two.events.put("r", contract.EventBatch(epoch="e", events=mixed))
    assert await one.events.after(0, 1_000) == before
    same = [seq for seq in range(1, 100) if seq % 4]
    assert (await two.events.put("r", batch("r", "e", *same[10:60], *range(100, 121)))).to == 120


async def test_a_page_ends_by_its_length_too_and_who_reads_on_has_everything(fronts: list[Backend]) -> None:
    one, _ = fronts
    text = "x" * 2_000
    end = contract.SessionEnded(session=text, record=text, hearing=text, by=text, reason=text, duration_us=1, head=None, problem=text)
    for first in range(1, 401, 40):
        events = [event("r", "e", seq, end) for seq in range(first, first + 40)]
        await one.events.put("r", contract.EventBatch(epoch="e", events=events))
        head = contract.Head(record=f"{first}-{text[:1_900]}", at=first, sha256=f"{first:064x}")
        await one.ledger.countersign("r", head)
    for read in (one.events.after, lambda number, most: one.events.notable(0, number, most)):
        seqs, number, pages = list[int](), 0, 0
        while taken := await read(number, 1_000):
            assert sum(len(msgspec.json.encode(each.event)) for each in taken) <= PAGE_BYTES
            seqs, number, pages = seqs + [each.event.seq for each in taken], taken[-1].number, pages + 1
        assert (seqs, pages) == (list(range(1, 401)), 2)
    assert [receipt.counter for receipt in await one.ledger.after(0, 1_000)] == list(range(1, 11))


@given(sizes=st.lists(st.integers(0, PAGE_BYTES * 2), max_size=20), most=st.integers(1, 10))
def test_a_page_holds_as_many_as_fit_but_one_at_least(sizes: list[int], most: int) -> None:
    taken = page(((number, size) for number, size in enumerate(sizes)), most)
    assert taken == list(range(len(taken)))
    assert len(taken) <= most
    assert bool(taken) == bool(sizes)
    assert len(taken) <= 1 or sum(sizes[: len(taken)]) <= PAGE_BYTES
    assert len(taken) in {len(sizes), most} or sum(sizes[: len(taken) + 1]) > PAGE_BYTES


async def test_what_flags_are_computed_from_is_found_among_the_rest(fronts: list[Backend]) -> None:
    one, _ = fronts
    began_us = now_utc_us()
    reconciled = contract.Reconciled(hearing="h", outcome="sealed", reason="")
    for seq in range(1, 10):
        data = reconciled if seq % 3 == 0 else None
        await one.events.put("r", contract.EventBatch(epoch="e", events=[event("r", "e", seq, data)]))
    mixed = [event("r", "e", 10), event("r", "e", 11, reconciled), event("r", "e", 12)]
    await one.events.put("r", contract.EventBatch(epoch="e", events=mixed))
    found = await one.events.notable(began_us, 0, 100)
    assert [each.event.seq for each in found] == [3, 6, 9, 11]
    assert [each.event.seq for each in await one.events.notable(began_us, found[1].number, 1)] == [9]
    assert await one.events.notable(began_us, found[-1].number, 100) == []
    assert await one.events.notable(now_utc_us() + DAY_US, 0, 100) == []


async def test_news_of_events_reaches_who_waits_at_any_front(fronts: list[Backend]) -> None:
    one, two = fronts
    with one.news.events() as first, two.news.events() as second:
        first.clear()
        second.clear()
        await one.events.put("r", batch("r", "e", 1))
        async with asyncio.timeout(5):
            await first.wait()
            await second.wait()


async def test_a_batch_that_is_longer_than_a_message_is_taken_whole(cluster: NatsCluster) -> None:
    events = [long_event("r", "e", seq, 50) for seq in range(1, 10)]
    async with nats_fronts(cluster, 1) as (one,):
        assert (await one.events.put("r", contract.EventBatch(epoch="e", events=events))).to == 9
        assert [each.event for each in await one.events.after(0, 100)] == events
        with pytest.raises(ConflictError, match="event 10 has"):
            await one.events.put("r", contract.EventBatch(epoch="e", events=[long_event("r", "e", 10, 550)]))
