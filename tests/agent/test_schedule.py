"""Whatever order, loss and repetition do to the centre's changes, the room ends with the centre's schedule."""

from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import schedule as rules
from agent.schedule import Schedule
from agent.upstream import contract
from tests.agent.plans import DAY, DAY_US, HOUR_US, ROOM, hearing

ELSEWHERE = "almaty-2"
puts = st.lists(
    st.builds(
        lambda number, room, state, hour: hearing(f"h{number}", room=room, state=state, starts_us=DAY + hour * HOUR_US),
        number=st.integers(1, 4),
        room=st.sampled_from([ROOM, ROOM, ELSEWHERE]),
        state=st.sampled_from(["planned", "planned", "cancelled"]),
        hour=st.integers(0, 200),
    ),
    max_size=12,
)


class ModelCentre:
    """What the contract says of a centre, in the fewest words."""

    def __init__(self, put: list[contract.Hearing]) -> None:
        self.log = [contract.Change(offset=number * 3, hearing=one) for number, one in enumerate(put, 1)]

    def changes(self, room: str, up_to: int | None = None) -> list[contract.Change]:
        """Those of hearings that are or were the room's, up to an offset."""
        known = [change for change in self.log if up_to is None or change.offset <= up_to]
        return [
            change for change in known
            if any(other.hearing.room == room and other.offset <= change.offset for other in known if other.hearing.id == change.hearing.id)
        ]  # fmt: skip

    def snapshot(self, room: str, as_of: int) -> contract.Snapshot:
        last = {change.hearing.id: change.hearing for change in self.changes(room, as_of)}
        return contract.Snapshot(as_of=as_of, hearings=list(last.values()))

    def truth(self, room: str) -> dict[str, contract.Hearing]:
        return {change.hearing.id: change.hearing for change in self.changes(room)}


def hearings(schedule: Schedule) -> dict[str, contract.Hearing]:
    return {id_: change.hearing for id_, change in schedule.changes.items()}


@settings(max_examples=600)
@given(put=puts, seed=st.integers(), data=st.data())
def test_any_order_loss_and_repetition_of_changes_ends_with_the_centres_schedule(
    put: list[contract.Hearing], seed: int, data: st.DataObject
) -> None:
    for room in (ROOM, ELSEWHERE):
        centre = ModelCentre(put)
        changes = centre.changes(room)
        lost = data.draw(st.sets(st.sampled_from(changes))) if changes else set()
        arrived = [one for one in changes if one not in lost]
        told: list[contract.Change | contract.Snapshot] = [*arrived]
        told += data.draw(st.lists(st.sampled_from(arrived), max_size=8)) if arrived else []
        told += [centre.snapshot(room, as_of) for as_of in data.draw(st.lists(st.integers(1, 40), max_size=3))]
        if lost:
            told.append(centre.snapshot(room, max(change.offset for change in lost)))
        Random(seed).shuffle(told)
        schedule = Schedule()
        for one in told:
            schedule = (
                rules.merge_change(schedule, one) if isinstance(one, contract.Change) else rules.merge_snapshot(schedule, one)
            )  # fmt: skip
        assert hearings(schedule) == centre.truth(room)


@settings(max_examples=200)
@given(put=puts, cuts=st.lists(st.integers(0, 40), max_size=5), anew=st.booleans())
def test_a_room_that_polls_has_the_centres_schedule_and_says_up_to_where(put: list[contract.Hearing], cuts: list[int], anew: bool) -> None:
    centre, schedule = ModelCentre(put), Schedule()
    for as_of in [*sorted(cuts), 40]:
        after = 0 if anew else schedule.applied_offset
        new = [change for change in centre.changes(ROOM, as_of) if change.offset > after]
        feed = contract.Feed(as_of=as_of, snapshot=centre.snapshot(ROOM, as_of) if anew else None, changes=[] if anew else new)
        schedule = rules.merge_feed(schedule, feed)
        assert schedule.applied_offset == as_of
    assert hearings(schedule) == centre.truth(ROOM)


@settings(max_examples=200)
@given(put=puts, now_day=st.integers(0, 20))
def test_what_was_forgotten_does_not_come_back_and_nothing_ahead_is_forgotten(put: list[contract.Hearing], now_day: int) -> None:
    now_us = DAY + now_day * DAY_US
    centre = ModelCentre(put)
    schedule = rules.merge_feed(Schedule(), contract.Feed(as_of=40, changes=centre.changes(ROOM)))
    kept = rules.forget(schedule, now_us)
    assert all(kept.changes[id_] == change for id_, change in schedule.changes.items() if change.hearing.ends_utc_us >= now_us - 7 * DAY_US)
    for change in centre.changes(ROOM):
        kept_still = rules.merge_change(kept, change)
        assert kept_still.changes == kept.changes


def test_a_move_is_one_change_that_both_rooms_understand() -> None:
    moved = contract.Change(offset=9, hearing=hearing(room=ELSEWHERE))
    left = rules.merge_change(rules.merge_change(Schedule(), contract.Change(offset=3, hearing=hearing())), moved)
    joined = rules.merge_change(Schedule(), moved)
    assert rules.standing(left.changes["h1"], ROOM) == "moved"
    assert [one.id for one in rules.planned(joined, ELSEWHERE)] == ["h1"]
    assert not rules.planned(left, ROOM)
    assert not rules.planned(rules.merge_change(left, contract.Change(offset=3, hearing=hearing())), ROOM), "a late copy brings it back"


def test_an_old_snapshot_does_not_bring_back_what_a_newer_one_no_longer_names() -> None:
    old, new = contract.Snapshot(as_of=3, hearings=[hearing()]), contract.Snapshot(as_of=5, hearings=[])
    schedule = rules.merge_snapshot(rules.merge_snapshot(Schedule(), new), old)
    assert (schedule.changes, schedule.floor, schedule.applied_offset) == ({}, 5, 5)


def test_a_centre_that_was_restored_from_a_copy_is_noticed_and_followed_again() -> None:
    schedule = rules.merge_feed(Schedule(), contract.Feed(as_of=40))
    assert rules.went_back(schedule, contract.Feed(as_of=39))
    assert not rules.went_back(schedule, contract.Feed(as_of=40))
    copy = contract.Feed(as_of=39, snapshot=contract.Snapshot(as_of=39, hearings=[hearing()]))
    schedule = rules.merge_feed(schedule, copy)
    assert (schedule.applied_offset, list(schedule.changes)) == (39, ["h1"])
    changed = contract.Change(offset=40, hearing=hearing(state="cancelled"))
    assert rules.merge_feed(schedule, contract.Feed(as_of=40, changes=[changed])).changes["h1"] == changed


def test_a_feed_of_many_changes_is_merged_into_one_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    copies = 0

    def counted(schedule: Schedule, **changes: Any) -> Schedule:
        nonlocal copies
        copies += "changes" in changes
        return replace(schedule, **changes)

    replace = msgspec.structs.replace
    monkeypatch.setattr(msgspec.structs, "replace", counted)
    changes = [contract.Change(offset=number, hearing=hearing(f"h{number}")) for number in range(1, 100)]
    assert len(rules.merge_feed(Schedule(), contract.Feed(as_of=99, changes=changes)).changes) == 99
    assert copies == 1
