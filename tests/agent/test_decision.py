"""What the room does by itself, what it asks the clerk, and what it tells the centre."""

import msgspec
import pytest

from agent import told
from agent.actions import BindRecord, StartRecording
from agent.hearing import is_local
from agent.upstream import contract
from provisioning.room import Hearings
from recorder.contract import control
from tests.agent.model_room import ModelRoom, planned
from tests.agent.plans import DAY, HOUR_US, MINUTE_US, ROOM, TEN, hearing

AUTOMATIC = Hearings(automatic=True)
REPLACE = msgspec.structs.replace


def test_the_clerk_is_prompted_at_the_planned_time_and_nothing_starts_by_itself() -> None:
    room = planned()
    room.until(TEN - MINUTE_US)
    assert room.codes() == set()
    room.until(TEN)
    assert room.codes() == {"start_due"}
    assert room.prompts[0].args == {"starts_utc_us": TEN, "automatic": 0}
    assert room.recorder.state == "idle"


def test_a_hearing_goes_from_its_plan_to_the_archive_and_each_step_is_told_once() -> None:
    room = planned()
    room.until(TEN - 29 * MINUTE_US)
    assert room.state() == "ready"
    room.until(TEN + 2 * MINUTE_US)
    room.clerk_starts("h1")
    room.until(TEN + HOUR_US)
    room.clerk_stops()
    room.look()
    room.archive_acknowledges(room.session.session)
    room.archive_acknowledges(room.session.session)
    room.until(TEN + 3 * HOUR_US)
    assert room.state() == "delivered"
    assert [type(event).__struct_config__.tag for event in room.events] == [
        "diagnostics.done", "session.started", "session.ended", "hearing.reconciled", "record.delivered", "hearing.reconciled",
    ]  # fmt: skip
    started = room.told_of(contract.SessionStarted)[0]
    assert isinstance(started, contract.SessionStarted)
    assert (started.by, started.automatic, started.planned_utc_us, started.late_s) == ("clerk", False, TEN, 120)
    ended = room.told_of(contract.SessionEnded)[0]
    assert isinstance(ended, contract.SessionEnded)
    assert (ended.by, ended.reason, ended.hearing) == ("clerk", "ended", "h1")


def test_checks_run_half_an_hour_before_a_hearing_and_never_during_one() -> None:
    room = planned()
    room.plan(hearing("h2", starts_us=TEN + HOUR_US + 10 * MINUTE_US))
    room.until(TEN)
    assert len(room.told_of(contract.DiagnosticsDone)) == 1
    room.clerk_starts("h1")
    room.until(TEN + HOUR_US)
    assert len(room.told_of(contract.DiagnosticsDone)) == 1
    room.clerk_stops()
    room.until(TEN + HOUR_US + MINUTE_US)
    assert room.state("h2") == "ready"


def test_a_late_start_is_told_once_with_the_revision_that_the_room_knew() -> None:
    room = planned()
    room.schedule = REPLACE(room.schedule, applied_offset=7)
    room.until(TEN + 20 * MINUTE_US)
    late = room.told_of(contract.LateStart)
    assert late == [contract.LateStart(hearing="h1", planned_utc_us=TEN, late_s=300, revision=7)]
    assert "late" in room.codes()
    room.plan(hearing(starts_us=TEN + HOUR_US))
    room.until(TEN + 2 * HOUR_US)
    assert len(room.told_of(contract.LateStart)) == 2


@pytest.mark.parametrize(("by_room", "by_hearing", "starts"), [(True, None, True), (False, True, True), (True, False, False)])
def test_automatic_start_is_chosen_for_the_room_or_for_one_hearing(by_room: bool, by_hearing: bool | None, starts: bool) -> None:
    room = ModelRoom(Hearings(automatic=by_room))
    room.plan(hearing(automatic=by_hearing))
    room.until(TEN + 2 * MINUTE_US)
    assert (room.recorder.state == "open") is starts
    if starts:
        assert (room.session.by, room.session.automatic) == ("agent", True)


@pytest.mark.parametrize("text", ["Ivanov v. Petrov\nrecovery of a debt", "x" * 2_000, "a\tb", "\x7f\x85"])
def test_no_text_that_the_centre_may_send_keeps_a_hearing_from_being_recorded(text: str) -> None:
    room = ModelRoom()
    plan = msgspec.json.decode(msgspec.json.encode(REPLACE(hearing(), title=text, case=text, start_token=text)), type=contract.Hearing)
    room.plan(plan)
    (action,) = told.start(room.facts, room.schedule, hearing="h1", by="Clerk", now_utc_us=TEN).actions
    assert isinstance(action, StartRecording)
    request = control.Start(hearing="h1", actor="Clerk", case=action.case, title=action.title, start_token=action.start_token)
    assert control.requests.decode(control.json_encoder.encode(request)) == request
    assert len(action.title) <= control.WORDS_LONGEST


def test_automatic_start_never_follows_directly_on_another_hearing() -> None:
    room = planned(AUTOMATIC)
    room.plan(hearing("h2", starts_us=TEN + HOUR_US))
    room.until(TEN + 50 * MINUTE_US)
    room.clerk_stops()
    room.until(TEN + HOUR_US + 10 * MINUTE_US)
    assert room.recorder.state == "idle"
    assert [prompt.args["automatic"] for prompt in room.prompts if prompt.code == "start_due"] == [0]


def test_automatic_start_waits_until_the_people_of_an_unplanned_session_are_gone() -> None:
    room = planned(AUTOMATIC)
    room.until(TEN - 30 * MINUTE_US)
    room.clerk_starts()
    room.until(TEN - 5 * MINUTE_US)
    room.clerk_stops()
    room.until(TEN + 9 * MINUTE_US)
    assert room.recorder.count == 1
    room.until(TEN + 11 * MINUTE_US)
    assert room.recorder.count == 2


def test_a_record_that_is_not_sealed_keeps_no_later_hearing_from_its_checks_its_prompt_and_its_start() -> None:
    room = planned(AUTOMATIC)
    room.plan(hearing("h2", starts_us=TEN + 2 * HOUR_US))
    room.plan(hearing("h3", starts_us=TEN + 4 * HOUR_US, automatic=False))
    room.until(TEN + 50 * MINUTE_US)
    room.recorder.seals = False
    room.clerk_stops()
    room.until(TEN + 2 * HOUR_US + MINUTE_US)
    assert (room.state("h1"), room.state("h2"), room.recorder.hearing) == ("unsealed", "open", "h2")
    checked = [event.hearing for event in room.events if isinstance(event, contract.DiagnosticsDone)]
    assert checked == ["h1", "h2"]
    room.recorder.stop(room.now_us)
    room.until(TEN + 4 * HOUR_US)
    assert (room.codes(), room.state("h3")) == ({"start_due"}, "ready")


def test_a_session_that_runs_over_beside_a_record_that_is_not_sealed_is_the_one_that_the_clerk_is_told_of() -> None:
    room = planned()
    for number in (2, 3):
        room.plan(hearing(f"h{number}", starts_us=TEN + (number - 1) * HOUR_US))
    room.until(TEN)
    room.clerk_starts("h1")
    room.recorder.seals = False
    room.clerk_stops()
    room.until(TEN + HOUR_US)
    room.clerk_starts("h2")
    room.until(TEN + 2 * HOUR_US + MINUTE_US)
    assert [(prompt.hearing, prompt.args["next"]) for prompt in room.prompts if prompt.code == "runs_over"] == [("h2", "h3")]
    room.recorder.reachable = False
    room.until(TEN + 2 * HOUR_US + 2 * MINUTE_US)
    assert [prompt.hearing for prompt in room.prompts if prompt.code == "runs_over"] == ["h2"]


def test_automatic_start_waits_until_the_people_of_a_session_whose_record_is_not_sealed_are_gone() -> None:
    room = planned(AUTOMATIC)
    room.until(TEN - 30 * MINUTE_US)
    room.clerk_starts()
    room.until(TEN - 5 * MINUTE_US)
    room.recorder.seals = False
    room.clerk_stops()
    room.until(TEN + 9 * MINUTE_US)
    assert room.recorder.count == 1
    room.recorder.restart()
    room.until(TEN + 11 * MINUTE_US)
    assert room.recorder.count == 2


def test_no_checks_run_while_a_recorder_that_is_away_may_still_record() -> None:
    room = planned()
    room.until(TEN - 40 * MINUTE_US)
    room.clerk_starts()
    room.recorder.reachable = False
    room.until(TEN)
    assert room.told_of(contract.DiagnosticsDone) == []


def test_a_start_whose_answer_was_lost_still_bears_the_name_of_who_asked() -> None:
    room = planned()
    room.until(TEN)
    outcome = told.start(room.facts, room.schedule, hearing="h1", by="clerk", now_utc_us=room.now_us)
    room.facts = outcome.facts
    room.recorder.start("h1", room.now_us)
    room._told(told.start_failed, hearing="h1", by="clerk", cause="recorder_unreachable", detail="", now_utc_us=room.now_us + 10_000_000)
    room.until(TEN + MINUTE_US)
    assert (room.session.by, room.hearing().fault) == ("clerk", None)


def test_a_start_that_is_refused_because_one_begins_for_somebody_else_takes_no_name_from_that_one() -> None:
    room = planned()
    room.until(TEN)
    room.facts = told.start(room.facts, room.schedule, hearing="h1", by="clerk", now_utc_us=room.now_us).facts
    room.recorder.start("h1", room.now_us)
    room._told(told.start_failed, hearing="h1", by="agent", cause="recorder_refused", detail="one is running", now_utc_us=room.now_us)
    room.look()
    assert room.session.by == "clerk"


def test_the_same_news_after_a_crash_is_told_once() -> None:
    room = planned()
    room.until(TEN)
    room.clerk_starts("h1")
    room.until(TEN + HOUR_US)
    room.clerk_stops()
    room.look()
    session = room.session.session
    for _ in range(2):
        room._told(told.sealed, session=session, duration_us=1, head=None, now_utc_us=room.now_us)
        room._told(told.bound, action=bind_action(room, "h1"))
    assert len(room.told_of(contract.SessionEnded)) == 1
    assert room.told_of(contract.SessionBound) == []


def test_a_case_number_that_the_clerk_typed_for_an_unplanned_session_reaches_the_recorder_and_the_facts() -> None:
    room = ModelRoom()
    outcome = told.start(room.facts, room.schedule, hearing="", by="clerk", case="2-77/26", now_utc_us=room.now_us)
    assert [action.case for action in outcome.actions if isinstance(action, StartRecording)] == ["2-77/26"]
    room.take(outcome)
    room.look()
    assert room.session.case == "2-77/26"


def test_a_hearing_that_was_ended_by_the_clerk_does_not_start_again_by_itself() -> None:
    room = planned(AUTOMATIC)
    room.until(TEN + 10 * MINUTE_US)
    room.clerk_stops()
    room.until(TEN + HOUR_US)
    assert len(room.facts.sessions) == 1


def test_a_room_that_was_off_at_the_planned_time_starts_late_rather_than_never() -> None:
    room = planned(AUTOMATIC)
    room.look()
    room.now_us = TEN + 20 * MINUTE_US
    room.look()
    room.look()
    assert (room.recorder.state, room.state()) == ("open", "open")


def test_an_unplanned_session_starts_at_once_and_is_bound_to_its_case_later() -> None:
    room = ModelRoom()
    room.until(TEN)
    room.clerk_starts()
    assert room.recorder.state == "open"
    assert is_local(room.recorder.hearing)
    room.until(TEN + 10 * MINUTE_US)
    assert "bind_session" in room.codes()
    room.clerk_stops()
    room.look()
    session = room.session.session
    room.plan(hearing(starts_us=TEN - HOUR_US, length_us=HOUR_US))
    room.clerk_binds(session, "h1")
    assert (room.state(), room.outcomes(), room.session.case) == ("sealed", ["sealed"], "case of h1")
    assert "bind_session" not in room.codes()
    assert len(room.told_of(contract.SessionBound)) == 1


def test_a_running_session_is_rebound_from_the_wrong_case_to_the_right_one() -> None:
    room = planned()
    room.plan(hearing("other", starts_us=TEN + 9 * HOUR_US))
    room.until(TEN + MINUTE_US)
    room.clerk_starts("other")
    room.until(TEN + 10 * MINUTE_US)
    assert "wrong_case" in room.codes()
    room.clerk_binds(room.session.session, "h1")
    room.until(TEN + 11 * MINUTE_US)
    assert (room.state("h1"), room.state("other"), room.recorder.hearing) == ("open", "planned", "h1")
    assert len(room.told_of(contract.SessionBound)) == 1
    assert room.codes() == set()


def test_a_hearing_that_runs_over_is_not_ended_for_the_next_and_the_clerk_is_told() -> None:
    room = planned()
    room.plan(hearing("h2", starts_us=TEN + HOUR_US))
    room.until(TEN)
    room.clerk_starts("h1")
    room.until(TEN + HOUR_US + 10 * MINUTE_US)
    assert room.recorder.state == "open"
    assert {prompt.code: prompt.args.get("next") for prompt in room.prompts}["runs_over"] == "h2"
    assert [event for event in room.told_of(contract.LateStart) if isinstance(event, contract.LateStart) and event.hearing == "h2"]


@pytest.mark.parametrize("change", ["cancelled", "moved", "retimed"])
def test_a_hearing_that_is_changed_while_it_is_recorded_goes_on_and_clerk_and_centre_are_told(change: str) -> None:
    room = planned()
    room.until(TEN)
    room.clerk_starts("h1")
    new = {
        "cancelled": hearing(state="cancelled"), "moved": hearing(room="almaty-2"), "retimed": hearing(starts_us=TEN - 9 * HOUR_US),
    }[change]  # fmt: skip
    room.plan(new)
    room.until(TEN + 30 * MINUTE_US, quiet=True)
    assert (room.recorder.state, room.state(), room.stops) == ("open", "open", [])
    conflicts = [event for event in room.events if isinstance(event, contract.ScheduleConflict)]
    assert [(event.change, event.offset, event.session) for event in conflicts] == [(change, 2, room.session.session)]
    assert "hearing_changed" in room.codes()
    room._told(told.change_seen, hearing="h1")
    room.look()
    assert "hearing_changed" not in room.codes()
    room.clerk_stops()
    room.look()
    assert room.outcomes() == ["sealed"]


def test_a_recorder_that_crashes_and_comes_back_goes_on_with_the_same_session() -> None:
    room = planned()
    room.until(TEN)
    room.clerk_starts("h1")
    session = room.session.session
    room.recorder.reachable = False
    room.until(TEN + MINUTE_US)
    assert (room.state(), room.codes()) == ("unsealed", {"recorder_unreachable"})
    room.recorder.reachable = True
    room.look()
    assert (room.state(), list(room.facts.sessions)) == ("open", [session])
    assert len(room.told_of(contract.SessionStarted)) == 1


def test_an_agent_that_lost_all_it_knew_takes_the_running_session_up_as_it_is() -> None:
    room = planned()
    room.until(TEN)
    room.clerk_starts("h1")
    session = room.session
    fresh = ModelRoom()
    fresh.plan(hearing())
    fresh.recorder, fresh.now_us = room.recorder, TEN + MINUTE_US
    fresh.look()
    assert (fresh.session.session, fresh.session.began_utc_us, fresh.state()) == (session.session, session.began_utc_us, "open")
    assert fresh.recorder.count == 1


def test_the_same_decision_twice_changes_and_tells_nothing_more() -> None:
    room = planned()
    room.plan(hearing("h2", room=ROOM, starts_us=TEN + 4 * HOUR_US))
    room.until(TEN + 20 * MINUTE_US)
    before, told_before = room.facts, len(room.events)
    room.look()
    room.look()
    assert (room.facts, len(room.events)) == (before, told_before)


def test_a_start_that_seems_to_have_been_asked_for_in_the_future_was_not_asked_for() -> None:
    room = planned(AUTOMATIC)
    room.look()
    room.now_us, room.recorder.refuses = TEN + 30 * MINUTE_US, True
    room.look()
    assert room.hearing().start_asked_utc_us == room.now_us
    room.now_us, room.recorder.refuses = TEN, False
    room.look()
    assert room.recorder.state == "open"


def bind_action(room: ModelRoom, hearing_id: str) -> BindRecord:
    return BindRecord(session=room.session.session, sealed=True, hearing=hearing_id, case="", actor="clerk", reason="")


def test_a_binding_that_was_signed_after_its_order_was_withdrawn_or_changed_holds_and_the_new_order_stands() -> None:
    room = ModelRoom()
    room.clerk_starts()
    room.until(DAY + MINUTE_US)
    room.clerk_stops()
    room.look()
    order = {"session": room.session.session, "case": "", "by": "clerk", "reason": ""}
    room._told(told.bind, hearing="h1", **order)
    room._told(told.withdraw, session=room.session.session)
    room._told(told.bound, action=bind_action(room, "h1"))
    assert (room.session.hearing, room.session.wanted) == ("h1", None)
    room._told(told.bind, hearing="h2", **order)
    room._told(told.bind, hearing="h3", **order)
    room._told(told.bound, action=bind_action(room, "h2"))
    assert room.session.hearing == "h2"
    room.look()
    assert (room.session.hearing, room.session.wanted) == ("h3", None)
    told_of = [event.hearing for event in room.events if isinstance(event, contract.SessionBound)]
    assert told_of == ["h1", "h2", "h3"]
