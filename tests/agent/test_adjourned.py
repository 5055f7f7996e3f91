"""A hearing whose times are changed while it is recorded: held again at a new date, and not because it takes longer."""

import msgspec
import pytest

from agent.upstream import contract
from provisioning.room import Hearings
from tests.agent.model_room import ModelRoom, planned
from tests.agent.plans import DAY_US, HOUR_US, MINUTE_US, TEN, hearing

AUTOMATIC = Hearings(automatic=True)
REPLACE = msgspec.structs.replace


def ended_after_changes(*changes: contract.Hearing, began_us: int = TEN) -> ModelRoom:
    """A room whose hearing was changed while it was recorded, half an hour long."""
    room = planned(AUTOMATIC)
    room.until(began_us)
    room.clerk_starts("h1")
    for change in changes:
        room.until(room.now_us + MINUTE_US)
        room.plan(change)
    room.until(began_us + 30 * MINUTE_US)
    assert (room.recorder.state, room.stops) == ("open", [])
    room.clerk_stops()
    room.look()
    return room


TOMORROW = hearing(starts_us=TEN + DAY_US)


@pytest.mark.parametrize(
    "changes",
    [
        [TOMORROW],
        [hearing(length_us=2 * HOUR_US), TOMORROW, REPLACE(TOMORROW, title="adjourned")],
        [hearing(starts_us=TEN + DAY_US, state="cancelled"), TOMORROW],
    ],
)
def test_a_hearing_that_is_adjourned_while_it_is_recorded_is_held_at_its_new_date(changes: list[contract.Hearing]) -> None:
    room = ended_after_changes(*changes)
    assert (room.state(), room.outcomes()) == ("planned", ["sealed"])
    first = room.session.session
    room.archive_acknowledges(first)
    room.until(TEN + DAY_US + MINUTE_US)
    assert (room.state(), room.recorder.state, room.hearing().session == first) == ("open", "open", False)
    room.clerk_stops()
    room.until(TEN + 2 * DAY_US)
    assert (room.state(), room.outcomes()) == ("sealed", ["sealed", "sealed"])


@pytest.mark.parametrize(
    ("changes", "began_us"),
    [
        ([hearing(length_us=2 * HOUR_US)], TEN),
        ([hearing(length_us=2 * HOUR_US)], TEN - 40 * MINUTE_US),
        ([hearing(starts_us=TEN + 10 * MINUTE_US)], TEN),
        ([TOMORROW, hearing()], TEN),
        ([TOMORROW, hearing()], TEN - 40 * MINUTE_US),
        ([hearing(starts_us=TEN + DAY_US, state="cancelled")], TEN),
        ([hearing(starts_us=TEN + DAY_US, room="almaty-2")], TEN),
    ],
)
def test_a_hearing_that_is_changed_otherwise_while_it_is_recorded_is_over_when_it_ends(
    changes: list[contract.Hearing], began_us: int
) -> None:
    room = ended_after_changes(*changes, began_us=began_us)
    room.until(TEN + 2 * DAY_US)
    assert (room.state(), room.outcomes(), len(room.facts.sessions)) == ("sealed", ["sealed"], 1)
