"""A session that nobody ended is closed when the room is empty and its time is over, never sooner and never without a warning."""

import pytest

from agent import told
from agent.upstream import contract
from recorder.record.entries import PausedState
from tests.agent.model_room import ModelRoom, planned
from tests.agent.plans import DAY, DAY_US, HOUR_US, MINUTE_US, TEN, hearing


def test_a_forgotten_stop_is_announced_counted_down_and_closed() -> None:
    room = planned()
    room.until(TEN)
    room.clerk_starts("h1")
    room.until(TEN + HOUR_US)
    room.until(TEN + HOUR_US + 10 * MINUTE_US, quiet=True)
    assert [prompt.args["closes_in_s"] for prompt in room.prompts if prompt.code == "forgotten_stop"] == [60]
    room.until(TEN + HOUR_US + 10 * MINUTE_US + 40_000_000, quiet=True)
    assert not room.stops
    room.until(TEN + HOUR_US + 12 * MINUTE_US, quiet=True)
    assert [(stop.actor, stop.reason) for stop in room.stops] == [("agent", "forgotten_stop")]
    assert room.state() == "sealed"


def test_somebody_who_speaks_in_the_countdown_keeps_the_recording_open() -> None:
    room = planned()
    room.until(TEN)
    room.clerk_starts("h1")
    room.until(TEN + HOUR_US)
    for _ in range(5):
        room.until(room.now_us + 10 * MINUTE_US + 40_000_000, quiet=True)
        room.until(room.now_us + 20_000_000)
    assert not room.stops


def test_an_empty_room_is_not_closed_before_its_planned_end_nor_without_a_warning() -> None:
    room = planned()
    room.until(TEN)
    room.clerk_starts("h1")
    room.until(TEN + 59 * MINUTE_US, quiet=True)
    assert not room.stops
    room.now_us += 5 * HOUR_US  # the wall clock steps
    room.look()
    room.now_us += 1_000_000
    room.look()
    assert not room.stops
    assert "forgotten_stop" in room.codes()


@pytest.mark.parametrize("state", ["off_record", "privileged", "deliberation"])
def test_only_a_person_ends_a_pause(state: PausedState) -> None:
    room = planned()
    room.until(TEN)
    room.clerk_starts("h1")
    room._told(told.asked, to=state, by="clerk", now_utc_us=room.now_us)
    room.recorder.state = state
    room.until(TEN + 3 * HOUR_US, quiet=True)
    assert not room.stops
    assert "paused_past_end" in room.codes()
    room._told(told.asked, to="open", by="judge", now_utc_us=room.now_us)
    room.recorder.state = "open"
    room.look()
    told_of = [event for event in room.events if isinstance(event, contract.IntervalChanged)]
    assert [(event.state, event.by) for event in told_of] == [(state, "clerk"), ("open", "judge")]


def test_a_forgotten_unplanned_session_is_closed_after_an_hour_of_silence() -> None:
    room = ModelRoom()
    room.clerk_starts()
    room.until(DAY + 55 * MINUTE_US, quiet=True)
    assert not room.stops
    room.until(DAY + 65 * MINUTE_US, quiet=True)
    assert room.recorder.state == "idle"


def test_a_plan_that_is_over_when_it_comes_does_not_bring_the_closing_of_an_unplanned_session_forward() -> None:
    room = ModelRoom()
    room.now_us = TEN + 2 * HOUR_US
    room.clerk_starts("h1")
    room.look()
    room.plan(hearing("h1"))
    room.until(TEN + 2 * HOUR_US + 55 * MINUTE_US, quiet=True)
    assert not room.stops
    room.until(TEN + 2 * HOUR_US + 65 * MINUTE_US, quiet=True)
    assert room.recorder.state == "idle"


def test_a_clock_that_nobody_vouches_for_and_that_is_ahead_closes_a_hearing_only_after_an_hour_of_silence() -> None:
    room = planned()
    room.look()
    room.is_time_known = False
    room.now_us = TEN + DAY_US
    room.clerk_starts("h1")
    assert room.session.ends_utc_us == TEN + HOUR_US
    room.until(room.now_us + 55 * MINUTE_US, quiet=True)
    assert (room.recorder.state, "forgotten_stop" in room.codes()) == ("open", False)
    room.until(room.now_us + 10 * MINUTE_US, quiet=True)
    assert room.recorder.state == "idle"


def test_where_nobody_can_tell_whether_the_room_is_empty_nothing_is_closed() -> None:
    room = planned()
    room.until(TEN)
    room.clerk_starts("h1")
    for hours in range(2, 20):
        room.now_us = TEN + hours * HOUR_US
        room.quiet_s = None  # type: ignore[assignment]
        room.look()
    assert not room.stops
