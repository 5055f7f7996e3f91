import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from agent.archive.queue import LOOK_AGAIN_S, REFUSED_S, SETTLE_S, Outcome, Queue
from agent.archive.records import SealedRecord, Standing

OUTCOMES: list[Outcome] = ["delivered", "verifying", "troubled", "refused"]


def record(number: int, standing: Standing = "pending", changed_utc_us: int = 0) -> SealedRecord:
    return SealedRecord(
        name=f"r{number}", record=str(number), room="room-1", began_utc_us=number, bytes=1, files=9, sums_sha256="", files_sha256="a",
        copies=(), standing=standing, changed_utc_us=changed_utc_us,
    )  # fmt: skip


@given(outcomes=st.lists(st.sampled_from(OUTCOMES), max_size=200), count=st.integers(1, 6), turn_s=st.floats(0, 100))
def test_whatever_happens_to_one_every_record_is_delivered_in_the_end(outcomes: list[Outcome], count: int, turn_s: float) -> None:
    """The archive answers as it likes for a while, and then takes all."""
    queue, waiting = Queue(), [record(number) for number in range(count)]
    now_s, delivered, told = 0.0, list[str](), iter(outcomes)
    for _ in range(len(outcomes) + 10 * count + 10):
        one, wait_s = queue.next(waiting, now_s, int((now_s + 1000) * 1e6))
        if one is None:
            assert 0 < wait_s <= LOOK_AGAIN_S
            now_s += wait_s if waiting else 1.0
            if waiting and wait_s == LOOK_AGAIN_S:
                now_s += REFUSED_S
            continue
        assert wait_s == 0
        outcome: Outcome = next(told, "delivered")
        now_s += turn_s
        queue.ended(one, outcome, now_s, "why")
        if outcome == "delivered":
            delivered.append(one.name)
            waiting.remove(one)
        else:
            again, _ = queue.next(waiting, now_s, int((now_s + 1000) * 1e6))
            assert again != one
    assert sorted(delivered) == [f"r{number}" for number in range(count)]
    assert queue.stuck() == {} or waiting == []


@given(
    standings=st.lists(st.sampled_from(["pending", "late"]), min_size=1, max_size=12), stuck=st.sets(st.integers(0, 11)),
    turn_s=st.floats(0, 100),
)  # fmt: skip
def test_records_that_the_archive_verifies_for_ever_keep_no_other_from_going(
    standings: list[Standing], stuck: set[int], turn_s: float
) -> None:
    queue, waiting, now_s = Queue(), [record(number, standing) for number, standing in enumerate(standings)], 0.0
    for _ in range(len(waiting)):
        one, _ = queue.next(waiting, now_s, 10**15)
        assert one is not None
        now_s += turn_s
        if one.began_utc_us in stuck:
            queue.ended(one, "verifying", now_s)
        else:
            queue.ended(one, "delivered", now_s)
            waiting.remove(one)
    assert {one.began_utc_us for one in waiting} <= stuck
    turns = []
    for _ in waiting:
        one, wait_s = queue.next(waiting, now_s, 10**15)
        if one is None:
            now_s += wait_s
            one, _ = queue.next(waiting, now_s, 10**15)
        assert one is not None
        turns.append(one.name)
        now_s += turn_s
        queue.ended(one, "verifying", now_s)
    assert sorted(turns) == sorted(one.name for one in waiting)


def test_the_oldest_goes_first_and_what_the_archive_misses_before_what_came_late() -> None:
    queue = Queue()
    waiting = [record(1, "late"), record(2), record(3), record(4, "delivered")]
    order = []
    while (one := queue.next(waiting, 0.0, 10**15)[0]) is not None:
        order.append(one.name)
        queue.ended(one, "delivered", 0.0)
        waiting.remove(one)
    assert order == ["r2", "r3", "r1"]


def test_a_record_waits_for_its_last_receipt_but_not_for_a_clock_that_was_set_back() -> None:
    now_us = 1_000_000_000_000
    queue = Queue()
    assert queue.next([record(1, changed_utc_us=now_us - 1_000_000)], 0.0, now_us) == (None, SETTLE_S - 1)
    one, wait_s = queue.next([record(1, changed_utc_us=now_us - int(SETTLE_S * 1e6) + 5_000_000)], 0.0, now_us)
    assert (one, wait_s) == (None, 5.0)
    assert queue.next([record(1, changed_utc_us=now_us + 10**12)], 0.0, now_us)[0] is not None


def test_what_came_to_a_refused_record_gives_it_a_turn_at_once() -> None:
    queue = Queue()
    queue.ended(record(1), "refused", 0.0, "no authority vouches")
    assert queue.next([record(1)], 1.0, 10**15)[0] is None
    assert queue.stuck() == {"r1": "no authority vouches"}
    assert queue.next([dataclasses.replace(record(1), files_sha256="b")], 1.0, 10**15)[0] is not None


def test_what_the_archive_cannot_verify_is_told_with_the_reason_and_asked_about_on() -> None:
    queue = Queue()
    queue.ended(record(1), "verifying", 0.0, "the bucket has no object lock")
    assert queue.stuck() == {"r1": "the bucket has no object lock"}
    assert queue.is_verified(record(1))
    queue.ended(record(1), "verifying", 60.0)
    assert queue.stuck() == {}
