"""What is wrong in a room is told by its hearings, its sessions and its heartbeats, and nothing is said of a room that cannot be known."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.outbox import rfc3339
from agent.upstream import contract
from agent.upstream.centre.backend import Contradiction
from agent.upstream.centre.flags import Limits, Told, codes, judge
from tests.lab.events import beat, event, hearing

S, MIN, HOUR = 1_000_000, 60_000_000, 3_600_000_000
LIMITS = Limits(late_after_us=5 * MIN, silent_after_us=MIN)
STARTS = 1_000 * HOUR
PLANNED = hearing("h", "r", starts_utc_us=STARTS)


def told(*data: contract.AnyData, room: str = "r", at_us: int = STARTS, found: Told | None = None) -> Told:
    """What a room told, all at one time."""
    found = Told() if found is None else found
    for number, each in enumerate(data, 1):
        happened = msgspec.structs.replace(event(room, "e", number, each), time=rfc3339(at_us))
        found.take(contract.TakenEvent(number=number, utc_us=at_us + number, event=happened))
    return found


def started(name: str = "h", *, session: str = "s", late_s: int | None = 0) -> contract.SessionStarted:
    return contract.SessionStarted(
        session=session, record=session, hearing=name, by="clerk", automatic=False, planned_utc_us=STARTS, late_s=late_s, revision=1
    )


def ended(name: str = "h", *, session: str = "s") -> contract.SessionEnded:
    return contract.SessionEnded(session=session, record=session, hearing=name, by="clerk", reason="", duration_us=1, head=None)


def bound(name: str, *, session: str = "s") -> contract.SessionBound:
    return contract.SessionBound(session=session, record=session, hearing=name, case="", by="clerk", reason="")


def reconciled(outcome: str, *, revision: int = 1) -> contract.Reconciled:
    plain = {"is": "hearing.reconciled", "hearing": "h", "outcome": outcome, "reason": "why", "revision": revision}
    return msgspec.convert(plain, contract.Reconciled)


def flags(
    now_us: int,
    what: Told | None = None,
    *,
    heard_us: int | None = None,
    plan: tuple[contract.Hearing, ...] = (PLANNED,),
    awake_us: int = 0,
    contradictions: tuple[Contradiction, ...] = (),
    offset: int = 1,
    **fields: object,
) -> list[str]:
    """The flags of the room at a time; it was heard a second ago unless something else is said."""
    heartbeat = msgspec.structs.replace(beat(), **fields)
    state = contract.RoomState(room="r", heard_utc_us=now_us - S if heard_us is None else heard_us, heartbeat=heartbeat)
    changes = [contract.Change(offset=offset, hearing=each) for each in plan]
    wrong = judge([state], changes, what or Told(), contradictions, LIMITS, awake_utc_us=awake_us, now_utc_us=now_us)
    return codes(wrong["r"])


@pytest.mark.parametrize(
    ("after_us", "expected"),
    [(-HOUR, []), (0, []), (4 * MIN, []), (6 * MIN, ["late"]), (61 * MIN, ["not_recorded"]), (26 * HOUR, [])],
)
def test_a_hearing_that_does_not_begin_is_late_and_then_not_recorded(after_us: int, expected: list[str]) -> None:
    assert flags(STARTS + after_us) == expected


def test_a_hearing_that_began_in_time_is_well_while_it_runs_and_after() -> None:
    for now_us in (STARTS + 6 * MIN, STARTS + 2 * HOUR):
        assert flags(now_us, told(started())) == []
        assert flags(now_us, told(started(), ended())) == []


def test_a_late_start_is_shown_while_the_session_runs() -> None:
    late = started(late_s=600)
    assert flags(STARTS + 20 * MIN, told(late)) == ["late"]
    assert flags(STARTS + 20 * MIN, told(late, ended())) == []


def test_a_heartbeat_that_records_the_hearing_counts_before_the_event_has_come() -> None:
    assert flags(STARTS + 6 * MIN, state="open", hearing="h") == []
    assert flags(STARTS + 6 * MIN, state="open", hearing="another") == ["late"]


@pytest.mark.parametrize("outcome", ["not_held", "cancelled", "moved"])
def test_a_hearing_with_a_reason_is_not_missed(outcome: str) -> None:
    assert flags(STARTS + 2 * HOUR, told(reconciled(outcome))) == []


def test_a_hearing_that_failed_was_not_recorded() -> None:
    assert flags(STARTS + 2 * HOUR, told(started(), ended(), reconciled("failed"))) == ["not_recorded"]


def test_a_session_that_is_bound_to_another_hearing_counts_for_that_one_alone() -> None:
    other = hearing("other", "r", starts_utc_us=STARTS)
    assert flags(STARTS + 2 * HOUR, told(started(), ended(), bound("other")), plan=(PLANNED, other)) == ["not_recorded"]
    assert flags(STARTS + 2 * HOUR, told(started(), ended(), bound("other")), plan=(other,)) == []
    assert flags(STARTS + 2 * HOUR, told(started(""), bound("h"), ended(""))) == []


def test_another_room_cannot_say_that_this_one_recorded() -> None:
    assert flags(STARTS + 2 * HOUR, told(started(), ended(), reconciled("not_held"), room="liar")) == ["not_recorded"]


def test_cancelled_and_moved_hearings_are_nobodys_fault() -> None:
    assert flags(STARTS + 2 * HOUR, plan=(msgspec.structs.replace(PLANNED, state="cancelled"),)) == []
    assert flags(STARTS + 2 * HOUR, plan=(msgspec.structs.replace(PLANNED, room="elsewhere"),)) == []


def test_of_a_silent_room_only_the_silence_is_told() -> None:
    assert flags(STARTS + 2 * HOUR, heard_us=STARTS + MIN) == ["silent"]
    assert flags(STARTS + 2 * HOUR, heard_us=STARTS + 90 * MIN) == ["not_recorded", "silent"]


@pytest.mark.parametrize("outcome", ["not_held", "cancelled", "moved", "failed", "sealed", "delivered"])
def test_how_a_hearing_ended_on_an_earlier_date_says_nothing_of_the_date_that_it_has_now(outcome: str) -> None:
    before = told(reconciled(outcome, revision=5), at_us=STARTS - 24 * HOUR)
    assert flags(STARTS + 6 * MIN, before, offset=6) == ["late"]
    assert flags(STARTS + 2 * HOUR, before, offset=6) == ["not_recorded"]


def test_a_hearing_that_was_ended_ahead_of_its_time_is_not_missed() -> None:
    assert flags(STARTS + 2 * HOUR, told(reconciled("cancelled", revision=6), at_us=STARTS - 24 * HOUR), offset=6) == []


def test_a_title_that_is_corrected_after_the_hearing_changes_nothing() -> None:
    assert flags(STARTS + 2 * HOUR, told(reconciled("not_held", revision=5), at_us=STARTS + HOUR), offset=6) == []


def test_a_session_of_an_earlier_date_does_not_count_for_a_hearing_that_is_adjourned() -> None:
    before = told(started(), ended(), at_us=STARTS - 24 * HOUR)
    assert flags(STARTS + 6 * MIN, before) == ["late"]
    assert flags(STARTS + 2 * HOUR, before) == ["not_recorded"]
    unseen = told(msgspec.structs.replace(ended(), duration_us=2 * HOUR), at_us=STARTS - 23 * HOUR)
    assert flags(STARTS + 2 * HOUR, unseen) == ["not_recorded"]
    assert flags(STARTS + 2 * HOUR, told(started(session="today"), ended(session="today"), found=before)) == []


def test_a_session_that_runs_on_counts_whenever_it_began() -> None:
    assert flags(STARTS + 6 * MIN, told(started(), at_us=STARTS - 24 * HOUR)) == []


def test_a_session_that_began_a_little_early_counts() -> None:
    assert flags(STARTS + 2 * HOUR, told(started(), ended(), at_us=STARTS - 30 * MIN)) == []


def test_another_room_cannot_take_a_session_away_from_this_one() -> None:
    recorded = told(started(), ended())
    assert flags(STARTS + 2 * HOUR, told(started("x"), bound("x"), ended("x"), room="liar", found=recorded)) == []


@pytest.mark.parametrize("depth", [1, 400, 10_000])
def test_of_a_room_whose_events_still_wait_nothing_is_told(depth: int) -> None:
    assert flags(STARTS + 2 * HOUR, outbox_depth=depth) == []


@pytest.mark.parametrize(("oldest_s", "expected"), [(0.5, ["not_recorded"]), (90 * 60.0, ["late"]), (7_200.0, [])])
def test_what_came_before_the_oldest_event_that_waits_is_known(oldest_s: float, expected: list[str]) -> None:
    assert flags(STARTS + 2 * HOUR, outbox_depth=400, indicators={"outbox_oldest_s": oldest_s}) == expected


def test_a_centre_that_was_away_calls_no_room_silent_for_that() -> None:
    assert flags(STARTS, heard_us=STARTS - HOUR, awake_us=STARTS - 30 * S) == []
    assert flags(STARTS, heard_us=STARTS - HOUR, awake_us=STARTS - 2 * MIN) == ["silent"]


def test_alarms_and_a_recorder_that_is_away_are_told() -> None:
    assert flags(STARTS, alarms=["disk_full"]) == ["alarm"]
    assert flags(STARTS, state="unreachable") == ["alarm"]


def test_a_contradiction_comes_before_all_else() -> None:
    found = Contradiction("record", "r", 7, "a", 3, "b", STARTS, STARTS, 1)
    assert flags(STARTS + 6 * MIN, contradictions=(found,), alarms=["silent"]) == ["contradiction", "late", "alarm"]


@given(
    st.lists(st.sampled_from([started(), started(late_s=900), ended(), bound("h"), bound("x"), reconciled("failed")]), max_size=8),
    st.data(),
)
def test_events_that_are_taken_again_change_nothing(data: list[contract.AnyData], draw: st.DataObject) -> None:
    """A fold that begins anew, or is told the last part twice, comes to the same."""
    again = draw.draw(st.integers(0, len(data)))
    once, twice = told(*data), told(*data)
    for number, each in enumerate(data[again:], again + 1):
        twice.take(contract.TakenEvent(number=number, utc_us=STARTS + number, event=event("r", "e", number, each)))
    assert flags(STARTS + 2 * HOUR, once) == flags(STARTS + 2 * HOUR, twice)


def test_what_was_told_long_ago_is_forgotten() -> None:
    found = told(started(), reconciled("failed"))
    found.forget(STARTS + HOUR)
    assert not found.sessions
    assert not found.outcomes
