"""What was recorded while the agent was away is taken in by its record, and no hearing that has one is told as not held."""

import pytest

from agent.hearing import KEPT_S, Facts
from agent.upstream import contract
from provisioning.room import Hearings
from recorder.contract.control import PastRecord
from tests.agent.model_room import ModelRoom
from tests.agent.plans import DAY, DAY_US, HOUR_US, MINUTE_US, ROOM, TEN, hearing


def room_that_was_started() -> ModelRoom:
    room = ModelRoom()
    room.starts_anew()
    room.plan(hearing())
    room.until(TEN - 5 * MINUTE_US)
    return room


def recorded_unseen(room: ModelRoom, hearing: str, from_us: int = TEN, to_us: int = TEN + HOUR_US) -> str:
    room.recorder.start(hearing, from_us)
    record = room.recorder.record.rsplit("_", 1)[1]
    room.recorder.stop(to_us)
    room.now_us = to_us + 5 * MINUTE_US
    return record


def test_a_hearing_that_was_recorded_while_the_agent_was_away_is_sealed_and_delivered_and_never_not_held() -> None:
    room = room_that_was_started()
    record = recorded_unseen(room, "h1")
    room.starts_anew()
    assert (room.state(), room.session.session, room.session.hearing) == ("sealed", record, "h1")
    assert (room.session.began_utc_us, room.session.ended_utc_us) == (TEN, TEN + HOUR_US)
    room.archive_acknowledges(record)
    room.until(TEN + 6 * HOUR_US)
    assert room.outcomes() == ["sealed", "delivered"]
    (started,), (ended,) = room.told_of(contract.SessionStarted), room.told_of(contract.SessionEnded)
    assert isinstance(started, contract.SessionStarted)
    assert (started.record, started.hearing, started.by, started.late_s) == (record, "h1", "recorder", 0)
    assert isinstance(ended, contract.SessionEnded)
    assert ended.duration_us == HOUR_US
    room.starts_anew()
    assert len(room.told_of(contract.SessionStarted)) == 1


def test_while_it_was_not_asked_which_records_there_are_no_hearing_is_told_as_not_held() -> None:
    room = room_that_was_started()
    record = recorded_unseen(room, "h1")
    room.recorder.reachable = False
    room.now_us = TEN + 8 * HOUR_US
    room.starts_anew()
    assert room.outcomes() == []
    room.recorder.reachable = True
    room.look()
    room.look()
    assert (room.outcomes(), room.hearing().session) == (["sealed"], record)


def test_a_hearing_without_a_record_is_told_as_not_held_once_that_was_asked() -> None:
    room = room_that_was_started()
    room.now_us = TEN + 8 * HOUR_US
    room.starts_anew()
    assert room.outcomes() == ["not_held"]


def test_an_unplanned_session_that_nobody_saw_is_taken_in_and_the_one_that_runs_goes_on() -> None:
    room = room_that_was_started()
    missed = recorded_unseen(room, "", TEN - 5 * MINUTE_US, TEN)
    room.clerk_starts("h1")
    running = room.facts.hearings["h1"].session
    room.starts_anew()
    assert room.facts.sessions[missed].state == "sealed"
    assert (room.state(), room.hearing().session) == ("open", running)
    assert "bind_session" in room.codes()


def test_another_session_of_a_hearing_that_runs_does_not_end_it() -> None:
    room = room_that_was_started()
    missed = recorded_unseen(room, "h1", TEN, TEN + 10 * MINUTE_US)
    room.clerk_starts("h1")
    running = room.hearing().session
    room.starts_anew()
    assert room.facts.sessions[missed].state == "sealed"
    assert (room.state(), room.hearing().session) == ("open", running)
    room.clerk_stops()
    room.look()
    assert room.state() == "sealed"


def test_a_hearing_that_was_adjourned_waits_for_its_new_date_whatever_was_recorded_of_it_before() -> None:
    room = room_that_was_started()
    recorded_unseen(room, "h1")
    room.plan(hearing(starts_us=TEN + 7 * DAY_US))
    room.starts_anew()
    assert room.state() == "planned"
    room.until(TEN + 7 * DAY_US)
    room.clerk_starts("h1")
    room.starts_anew()
    assert room.state() == "open"
    assert len(room.facts.sessions) == 2, "it does not wait any more: the first one is known now, too"


def test_a_hearing_that_was_adjourned_to_the_afternoon_is_recorded_then_whatever_was_missed_of_its_morning() -> None:
    room = room_that_was_started()
    room.rules = Hearings(automatic=True)
    first = recorded_unseen(room, "h1")
    afternoon = TEN + 3 * HOUR_US + 30 * MINUTE_US
    room.plan(hearing(starts_us=afternoon))
    room.starts_anew()
    assert room.state() != "sealed"
    room.until(afternoon)
    room.look()
    assert (room.state(), room.recorder.state) == ("open", "open")
    second = room.hearing().session
    room.clerk_stops()
    room.starts_anew()
    assert (room.state(), set(room.facts.sessions)) == ("sealed", {first, second})


def test_a_record_that_was_begun_an_hour_before_its_hearing_is_that_hearings_once_its_time_is_over() -> None:
    room = room_that_was_started()
    record = recorded_unseen(room, "h1", TEN - HOUR_US, TEN + 10 * MINUTE_US)
    room.facts = Facts()
    room.starts_anew()
    assert room.facts.sessions == {}
    room.until(TEN + HOUR_US)
    room.starts_anew()
    assert (room.state(), list(room.facts.sessions)) == ("sealed", [record])


def test_facts_that_begin_anew_take_in_what_a_waiting_hearing_lacks_and_nothing_that_earlier_ones_knew() -> None:
    room = room_that_was_started()
    recorded_unseen(room, "", DAY, DAY + HOUR_US)
    record = recorded_unseen(room, "h1", TEN - 5 * MINUTE_US, TEN + 10 * MINUTE_US)
    room.facts = Facts()
    room.starts_anew()
    assert list(room.facts.sessions) == [record]
    assert room.state() == "sealed"


def test_a_record_of_another_room_on_this_rooms_disk_is_none_of_its_sessions() -> None:
    room = room_that_was_started()
    recorded_unseen(room, "h1")
    room.recorder.past = [PastRecord(path=one.path, room=f"not-{ROOM}", hearing="h1", began_utc_us=TEN) for one in room.recorder.past]
    room.starts_anew()
    assert room.facts.sessions == {}


def test_while_the_time_is_not_known_no_old_record_is_taken_for_one_that_was_missed() -> None:
    room = room_that_was_started()
    record = recorded_unseen(room, "h1")
    room.now_us, room.is_time_known = TEN - 500 * DAY_US, False  # a PC whose battery is empty
    room.starts_anew()
    assert (room.facts.sessions, room.told_of(contract.SessionStarted)) == ({}, [])
    room.now_us, room.is_time_known = TEN + 2 * HOUR_US, True
    room.look()
    room.look()
    assert list(room.facts.sessions) == [record]


@pytest.mark.parametrize("now_us", [TEN - DAY_US, TEN + KEPT_S * 1_000_000 + HOUR_US])
def test_what_was_recorded_before_facts_are_forgotten_or_is_still_to_come_by_the_clock_is_not_taken_for_missed(now_us: int) -> None:
    room = ModelRoom()
    room.starts_anew()
    recorded_unseen(room, "")
    room.now_us = now_us
    room.starts_anew()
    assert room.facts.sessions == {}
