"""The life of a hearing, as the table has it: nothing the centre says ends a recording, and every hearing can end reconciled."""

from agent.hearing import BEFORE, CAUSE_OF, LIVE, PATH_TO, RECONCILED, RUNNING, STATES, TABLE, State, follow
from agent.hearing_diagram import PATH, page


def test_nothing_that_the_centre_says_leads_out_of_a_state_in_which_something_is_recorded() -> None:
    for state in RUNNING:
        assert not TABLE[state].keys() & {"cancelled", "moved", "retimed", "planned_again", "not_held"}


def test_from_every_state_a_hearing_can_still_end_reconciled() -> None:
    for state in STATES:
        reached, new = {state}, {state}
        while new:
            new = {to for found in new for to in TABLE[found].values()} - reached
            reached |= new
        assert reached & RECONCILED, state


def test_every_state_can_be_reached_from_a_plan() -> None:
    reached: set[State] = {"planned"}
    while more := {to for found in reached for to in TABLE[found].values()} - reached:
        reached |= more
    assert reached == set(STATES)


def test_a_hearing_that_waits_or_ended_can_always_be_started() -> None:
    assert all("started" in TABLE[state] for state in BEFORE | RECONCILED)


def test_a_person_may_lead_from_each_live_state_to_each_other() -> None:
    for state in LIVE:
        assert {follow(state, CAUSE_OF[other]) for other in LIVE - {state}} == LIVE - {state}


def test_a_hearing_catches_up_with_a_session_in_any_state() -> None:
    for target, causes in PATH_TO.items():
        state: State = "planned"
        for cause in causes:
            state = follow(state, cause)
        assert state == target


def test_the_page_in_the_documentation_is_drawn_from_the_table_as_it_is() -> None:
    assert PATH.read_text() == page(), "run `python -m agent.hearing_diagram`"
