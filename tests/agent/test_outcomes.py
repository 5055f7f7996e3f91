"""What becomes of a planned hearing: held, not held, taken away or failed; and what is certified of it."""

import msgspec
import pytest

from agent import told
from agent.hearing import Fault, record_of
from agent.schedule import merge_snapshot
from agent.upstream import contract
from provisioning.room import Hearings
from tests.agent.model_room import ModelRoom, planned
from tests.agent.plans import DAY, DAY_US, HOUR_US, MINUTE_US, ROOM, TEN, hearing

AUTOMATIC = Hearings(automatic=True)
REPLACE = msgspec.structs.replace


def without_its_record() -> ModelRoom:
    """A room whose recorder came back idle half an hour into a hearing."""
    room = planned()
    room.until(TEN)
    room.clerk_starts("h1")
    room.until(TEN + 30 * MINUTE_US)
    room.recorder.state, room.recorder.record, room.recorder.hearing = "idle", "", ""
    room.look()
    return room


@pytest.mark.parametrize(("new", "outcome"), [(hearing(state="cancelled"), "cancelled"), (hearing(room="almaty-2"), "moved")])
def test_a_hearing_that_is_taken_away_before_it_begins_is_reconciled_and_comes_back_when_it_is_planned_anew(
    new: contract.Hearing, outcome: str
) -> None:
    room = planned()
    room.until(TEN - 20 * MINUTE_US)
    room.plan(new)
    room.until(TEN + MINUTE_US)
    assert (room.outcomes(), room.codes()) == ([outcome], set())
    room.plan(hearing(starts_us=TEN + HOUR_US))
    room.until(TEN + HOUR_US)
    assert (room.state(), room.codes()) == ("ready", {"start_due"})


def test_a_hearing_that_a_snapshot_no_longer_names_is_reconciled() -> None:
    room = planned()
    room.look()
    room.schedule = REPLACE(room.schedule, changes={}, floor=9)
    room.look()
    assert room.told_of(contract.Reconciled) == [
        contract.Reconciled(hearing="h1", outcome="cancelled", reason="not_in_schedule", revision=0)
    ]


def test_a_hearing_that_nobody_began_is_not_held_and_the_clerk_is_asked_why_first() -> None:
    room = planned()
    room.until(TEN + 2 * HOUR_US)
    assert room.codes() == {"not_started"}
    room.until(TEN + 6 * HOUR_US)
    assert room.hearing().reason == "nobody_started"
    assert room.outcomes() == ["not_held"]


def test_the_clerk_says_why_a_hearing_was_not_held_and_a_session_bound_later_corrects_it() -> None:
    room = planned()
    room.until(TEN)
    room.clerk_starts()
    room.until(TEN + HOUR_US)
    room.clerk_stops()
    room.look()
    room._told(told.not_held, room=ROOM, hearing="h1", by="clerk", reason="the defendant is ill")
    assert room.hearing().reason == "the defendant is ill (clerk)"
    room.clerk_binds(room.session.session, "h1")
    assert room.outcomes() == ["not_held", "sealed"]


def test_a_hearing_that_the_recorder_refused_to_the_end_failed_with_a_signed_certificate() -> None:
    room = planned(AUTOMATIC)
    room.recorder.refuses = True
    room.until(TEN + MINUTE_US)
    assert "start_failed" in room.codes()
    room.until(TEN + 6 * HOUR_US)
    certificates = [event for event in room.events if isinstance(event, contract.FaultCertificate)]
    assert [(one.hearing, one.cause, one.lost_s, one.from_utc_us) for one in certificates] == [("h1", "refused", 3600, TEN)]
    assert room.outcomes() == ["failed"]


def test_one_refused_start_of_a_recorder_that_is_well_certifies_nothing() -> None:
    room = planned()
    room.until(TEN)
    room.recorder.refuses = True
    room.clerk_starts("h1")
    assert "start_failed" in room.codes()
    room.recorder.refuses = False
    room.until(TEN + 6 * HOUR_US)
    assert room.told_of(contract.FaultCertificate) == []
    assert (room.outcomes(), room.hearing().reason) == (["not_held"], "nobody_started; refused for 0 s of it")


def test_a_start_that_was_refused_for_two_minutes_is_certified_for_no_longer() -> None:
    room = planned(AUTOMATIC)
    room.recorder.refuses = True
    room.until(TEN + 2 * MINUTE_US)
    room.recorder.refuses = False
    room.until(TEN + HOUR_US)
    certificates = [event for event in room.events if isinstance(event, contract.FaultCertificate)]
    assert [(one.from_utc_us, one.lost_s) for one in certificates] == [(TEN, 120)]


def test_what_a_late_recorder_cost_a_hearing_that_was_held_is_certified_too() -> None:
    room = planned(AUTOMATIC)
    room.recorder.reachable = False
    room.until(TEN + 10 * MINUTE_US)
    assert "recorder_unreachable" in room.codes()
    room.recorder.reachable = True
    room.until(TEN + HOUR_US)
    certificates = [event for event in room.events if isinstance(event, contract.FaultCertificate)]
    assert [(one.record, one.cause, one.lost_s) for one in certificates] == [(room.session.session, "recorder_unreachable", 620)]
    assert room.state() == "open"


def test_a_record_that_is_gone_fails_its_hearing_with_a_certificate() -> None:
    room = without_its_record()
    assert room.state() == "unsealed"
    fault = Fault(cause="disk_lost", detail="", from_utc_us=TEN, until_utc_us=room.now_us, channels=("judge",), lost_s=1800)
    room._told(told.record_lost, session=room.session.session, fault=fault)
    room.look()
    room.look()
    certificates = [event for event in room.events if isinstance(event, contract.FaultCertificate)]
    assert [(one.record, one.channels, one.lost_s) for one in certificates] == [(room.session.session, ["judge"], 1800)]
    assert (room.outcomes(), room.hearing().reason) == (["failed"], "disk_lost")


def test_a_record_that_was_taken_for_lost_and_comes_to_light_is_told_as_sealed() -> None:
    room = without_its_record()
    fault = Fault(cause="record_lost", detail="", from_utc_us=TEN, until_utc_us=room.now_us, lost_s=1800)
    room._told(told.record_lost, session=room.session.session, fault=fault)
    room.until(TEN + 40 * MINUTE_US)
    assert room.outcomes() == ["failed"]
    room.recorder.sealed[room.session.session] = 30 * MINUTE_US
    room.until(TEN + 50 * MINUTE_US)
    assert (room.session.state, room.session.fault, room.outcomes()) == ("sealed", None, ["failed", "sealed"])
    assert len(room.told_of(contract.SessionEnded)) == 1


def test_a_hearing_that_was_given_up_by_a_clock_that_was_ahead_is_planned_again_when_the_clock_is_right() -> None:
    room = planned(AUTOMATIC)
    room.look()
    room.now_us = TEN + 8 * HOUR_US
    room.look()
    assert room.outcomes() == ["not_held"]
    room.now_us = TEN - HOUR_US
    room.look()
    assert room.state() == "planned"
    room.until(TEN + MINUTE_US)
    assert room.recorder.state == "open"


def test_a_hearing_of_which_a_person_said_that_it_is_not_held_stays_so() -> None:
    room = planned(AUTOMATIC)
    room.look()
    room._told(told.not_held, room=ROOM, hearing="h1", by="clerk", reason="the defendant is ill")
    room.until(TEN + MINUTE_US)
    assert room.state() == "not_held"


def test_a_room_whose_disk_was_replaced_does_not_say_that_nobody_came_to_what_was_over() -> None:
    room = ModelRoom(AUTOMATIC)
    room.schedule = merge_snapshot(room.schedule, contract.Snapshot(as_of=7, hearings=[hearing(), hearing("h2", room="almaty-2")]))
    room.now_us = TEN + 2 * HOUR_US
    room.until(TEN + 9 * HOUR_US)
    assert (room.events, room.codes()) == ([], set())
    room._told(told.not_held, room=ROOM, hearing="h1", by="clerk", reason="the judge was ill")
    assert (room.outcomes(), room.hearing().reason) == (["not_held"], "the judge was ill (clerk)")
    with pytest.raises(told.ToldError):
        room._told(told.not_held, room=ROOM, hearing="h2", by="clerk", reason="it is another room's")


def test_a_hearing_that_the_centre_plans_when_it_is_over_is_asked_about_and_reconciled_with_the_reason() -> None:
    room = ModelRoom(AUTOMATIC)
    room.now_us = TEN + HOUR_US
    room.look()
    for id_ in ("h1", "h2"):
        room.plan(hearing(id_, starts_us=TEN - MINUTE_US * 10))
        room.until(room.now_us + MINUTE_US)
    assert [prompt.hearing for prompt in room.prompts if prompt.code == "not_started"] == ["h1", "h2"]
    room._told(told.not_held, room=ROOM, hearing="h1", by="clerk", reason="the judge was ill")
    room.until(TEN + 6 * HOUR_US)
    assert (room.outcomes("h1"), room.outcomes("h2"), room.told_of(contract.LateStart)) == (["not_held"], ["not_held"], [])
    assert room.hearing("h2").reason == "heard_too_late; the room was told of it 680 s after its planned end"
    room.clerk_starts()
    room.clerk_stops()
    room.clerk_binds(room.session.session, "h2")
    assert room.outcomes("h2") == ["not_held", "sealed"]
    room.plan(hearing("h3", starts_us=TEN - 40 * DAY_US))
    room.until(room.now_us + 5 * HOUR_US)
    assert room.outcomes("h3") == [], "it may have been recorded, and forgotten since"


def test_a_second_session_of_the_same_hearing_is_followed_and_delivered_only_when_both_are() -> None:
    room = planned()
    room.until(TEN)
    sessions = []
    for minutes in (10, 20):
        room.clerk_starts("h1")
        room.until(TEN + minutes * MINUTE_US)
        sessions.append(room.session.session)
        room.clerk_stops()
        room.look()
    room.archive_acknowledges(sessions[1])
    assert room.state() == "sealed"
    room.archive_acknowledges(sessions[0])
    assert room.state() == "delivered"


def began_again_after_the_clock_was_set_back() -> ModelRoom:
    """A room that recorded the hearing by a clock a day ahead, and records it again by the right one."""
    room = planned()
    room.look()
    room.is_time_known, room.now_us = False, TEN + DAY_US
    room.clerk_starts("h1")
    room.until(room.now_us + 5 * MINUTE_US)
    room.clerk_stops()
    room.look()
    room.is_time_known, room.now_us = True, TEN + 10 * MINUTE_US
    room.look()
    room.clerk_starts("h1")
    return room


def test_a_hearing_that_is_begun_again_after_the_clock_was_set_back_follows_its_second_session_to_the_end() -> None:
    room = began_again_after_the_clock_was_set_back()
    second = record_of(room.recorder.record)
    assert (room.state(), room.hearing().session) == ("open", second)
    room.plan(hearing(length_us=2 * HOUR_US))
    room.until(TEN + 20 * MINUTE_US)
    conflicts = [event for event in room.events if isinstance(event, contract.ScheduleConflict)]
    assert [(event.change, event.session) for event in conflicts] == [("retimed", second)]
    room.clerk_stops()
    room.until(TEN + 12 * HOUR_US)
    assert (room.state(), room.hearing().session) == ("sealed", second)
    assert "not_held" not in room.outcomes()


def test_a_session_that_was_begun_by_a_clock_ahead_is_not_the_newest_when_it_is_bound_and_delivered_later() -> None:
    room = began_again_after_the_clock_was_set_back()
    second = record_of(room.recorder.record)
    room.clerk_stops()
    room.look()
    (first,) = room.facts.sessions.keys() - {second}
    for other in ("h2", "h1"):
        room.clerk_binds(first, other)
    assert room.hearing().session == second
    room.archive_acknowledges(first)
    assert (room.state(), room.hearing().session) == ("sealed", second)
    room.archive_acknowledges(second)
    assert room.state() == "delivered"


def test_a_session_whose_record_comes_to_light_and_goes_on_leads_its_hearing_again() -> None:
    room = planned()
    room.until(TEN)
    room.clerk_starts("h1")
    first, record = room.hearing().session, room.recorder.record
    room.recorder.state, room.recorder.record = "idle", ""
    room.look()
    room.clerk_starts("h1")
    room.until(TEN + 10 * MINUTE_US)
    room.clerk_stops()
    room.look()
    assert (room.state(), room.hearing().session == first) == ("sealed", False)
    room.recorder.state, room.recorder.record = "open", record
    room.look()
    assert (room.state(), room.hearing().session) == ("open", first)
    room.clerk_stops()
    room.look()
    assert (room.state(), room.outcomes()) == ("sealed", ["sealed", "sealed"])


def test_a_clock_that_nobody_disciplines_and_that_is_ahead_ends_no_hearing_and_tells_of_none() -> None:
    room = planned(AUTOMATIC)
    room.look()
    room.is_time_known, room.recorder.reachable = False, False
    room.now_us = TEN + 8 * HOUR_US
    room.look()
    assert (room.state(), room.events) == ("planned", [])
    room.is_time_known, room.recorder.reachable = True, True
    room.now_us = DAY
    room.until(TEN + MINUTE_US)
    assert (room.state(), room.told_of(contract.LateStart)) == ("open", [])


def test_a_session_is_found_by_the_beginning_of_its_id_where_no_other_begins_so() -> None:
    room = planned()
    for _ in range(2):
        room.until(room.now_us + MINUTE_US)
        room.clerk_starts()
        room.clerk_stops()
        room.look()
    first, second = sorted(room.facts.sessions)
    assert told.session_named(room.facts, first) == first
    with pytest.raises(told.ToldError, match="2 sessions begin with"):
        told.session_named(room.facts, first[:8])
    with pytest.raises(told.ToldError, match="there is no session f"):
        told.session_named(room.facts, "f")
    alone = REPLACE(room.facts, sessions={second: room.facts.sessions[second]})
    assert told.session_named(alone, second[:8]) == second


def could_not_begin(room: ModelRoom, hearing: str = "h1") -> None:
    """The recorder begins a record, cannot record, and seals it at once; the agent looked in between."""
    room.recorder.start(hearing, room.now_us)
    room.recorder.state = "closing"
    room.look()
    record = record_of(room.recorder.record)
    room.recorder.state, room.recorder.record, room.recorder.hearing = "idle", "", ""
    room.look()
    room._told(told.sealed, session=record, duration_us=1, head=None, now_utc_us=room.now_us, not_begun="could not begin: no keys")


def test_a_hearing_whose_session_could_not_begin_waits_for_its_start_and_says_why_it_failed() -> None:
    room = planned()
    room.until(TEN)
    could_not_begin(room)
    assert (room.state(), room.outcomes(), room.session.state) == ("planned", [], "sealed")
    room.look()
    (prompt,) = [prompt for prompt in room.prompts if prompt.code == "start_failed"]
    assert prompt.args["detail"] == "could not begin: no keys"
    failed = room.session.session
    room.archive_acknowledges(failed)
    assert room.facts.sessions[failed].state == "delivered"
    room.clerk_starts("h1")
    room.until(TEN + MINUTE_US)
    assert (room.state(), room.recorder.state) == ("open", "open")
    room.clerk_stops()
    room.look()
    assert (room.state(), room.outcomes()) == ("sealed", ["sealed"])


def test_a_hearing_of_which_something_was_recorded_is_not_lost_because_a_second_session_could_not_begin() -> None:
    room = planned()
    room.until(TEN)
    room.clerk_starts("h1")
    room.until(TEN + MINUTE_US)
    room.clerk_stops()
    room.look()
    held = room.session.session
    could_not_begin(room)
    assert (room.state(), room.hearing().session, room.hearing().fault) == ("sealed", held, None)


def test_refusals_before_a_session_that_could_not_begin_fail_no_hearing_that_still_can_be_held() -> None:
    room = planned()
    room.until(TEN + MINUTE_US)
    room._told(told.start_failed, hearing="h1", by="agent", cause="recorder_refused", detail="no disk", now_utc_us=room.now_us)
    room.until(TEN + 2 * MINUTE_US)
    could_not_begin(room)
    room.until(TEN + 3 * MINUTE_US)
    assert (room.outcomes(), room.state()) == ([], "planned")


def test_a_session_that_a_person_ended_is_its_hearings_record_whatever_reason_was_given() -> None:
    room = planned()
    room.until(TEN)
    room.clerk_starts("h1")
    room.until(TEN + MINUTE_US)
    session = room.session.session
    room._told(told.stop, session=session, by="clerk", reason="could not begin: late", now_utc_us=room.now_us)
    room._told(told.sealed, session=session, duration_us=1, head=None, now_utc_us=room.now_us, not_begun="could not begin: late")
    assert room.state() == "sealed"
