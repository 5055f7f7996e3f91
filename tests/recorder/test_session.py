"""What a request may do in which state."""

from typing import get_args

import pytest

from recorder.contract import control
from recorder.contract.control import State
from recorder.session import ALLOWED, refusal

PAUSE = control.PauseRequest(state="privileged", actor="Judge")


def test_every_state_has_its_rules() -> None:
    assert set(ALLOWED) == set(get_args(State))


@pytest.mark.parametrize("state", ["off_record", "privileged", "deliberation"])
def test_only_a_named_person_leads_out_of_a_pause(state: State) -> None:
    assert refusal(state, control.ResumeRequest(actor="Judge B.")) is None
    assert refusal(state, control.ResumeRequest(actor="  ")) == "cannot resume: name the person who asks for it"


@pytest.mark.parametrize("state", ["open", "off_record", "privileged", "deliberation", "closing"])
def test_a_running_session_is_never_replaced_by_another(state: State) -> None:
    assert refusal(state, control.Start(hearing="h", actor="Clerk")) is not None


def test_a_session_is_paused_once() -> None:
    assert refusal("open", PAUSE) is None
    assert refusal("privileged", PAUSE) == "cannot pause: the session is already privileged"
    assert refusal("deliberation", PAUSE) is None


def test_the_preroll_cannot_be_armed_where_people_believe_that_nothing_is_kept() -> None:
    for state in ("off_record", "privileged", "deliberation"):
        assert refusal(state, control.ArmRequest(on=True, actor="Clerk")) is not None


def test_nothing_but_looking_is_allowed_while_sealing() -> None:
    assert refusal("closing", control.GetStatus()) is None
    assert refusal("closing", control.StopRequest(actor="Clerk")) is not None


def test_whoever_resumes_where_nothing_is_paused_is_not_sent_to_end_the_hearing() -> None:
    assert refusal("open", control.ResumeRequest(actor="Clerk")) == "cannot resume: nothing is paused; the session is being recorded"


@pytest.mark.parametrize("text", ["", " \n\t"])
def test_an_empty_note_does_not_come_to_stand_in_a_record(text: str) -> None:
    assert refusal("open", control.AddNote(author="Clerk", text=text)) == "cannot take a note: it is empty"
