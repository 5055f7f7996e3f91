"""What a visiting room sends and shows, by what it is told of the hearing."""

import itertools
from typing import Any, get_args

import msgspec
import pytest

from recorder.contract.control import State
from vks import signalling
from vks.order import Place
from vks.plain import plain
from vks.visit_state import may_send, names_on, phase_of, screen_of, words_of

PARTY = signalling.Other(person="party", name="A. Party", role="party", muted=False, hand=False)
VIEW = signalling.View(
    place="hearing", room="open", muted=False, hand=False, others=[PARTY], consultation=False, sharing="", look_ins=[], channels=[],
    listens="", identity="",
)  # fmt: skip


def view(**more: Any) -> signalling.View:
    return msgspec.structs.replace(VIEW, **more)


def test_sound_and_pictures_leave_the_room_only_where_somebody_there_may_hear_and_see_it() -> None:
    for place, room, talks in itertools.product(get_args(Place), get_args(State), (False, True)):
        allowed = (place == "hearing" or talks) and room in {"open", "off_record"}
        assert may_send(view(place=place, room=room, consultation=talks)) == (allowed, allowed), (place, room, talks)
    assert may_send(view(muted=True)) == (False, True)
    assert may_send(None) == (False, False)


def test_pictures_are_shown_of_those_alone_whom_the_room_was_told_of() -> None:
    shown = ["room", "party", "witness", "", "screen"]
    assert names_on(view(sharing="party"), shown) == ["room", "party", "", "", "screen"]
    assert names_on(view(), shown) == ["room", "party", "", "", ""]
    assert names_on(view(place="isolated", others=[]), shown) == [""] * 5
    assert names_on(view(room="privileged", others=[]), shown) == [""] * 5
    assert names_on(view(consultation=True), shown) == ["", "party", "", "", ""], "the hearing's room is in no private talk"
    assert names_on(None, shown) == [""] * 5


@pytest.mark.parametrize(
    ("change", "visit", "recording"),
    [
        ({}, "hearing", True),
        ({"room": "off_record"}, "hearing", False),
        ({"place": "lobby"}, "lobby", False),
        ({"place": "isolated"}, "isolated", False),
        ({"consultation": True}, "private", False),
    ],
)
def test_the_public_reads_where_this_room_is_and_whether_it_is_recorded(change: dict[str, Any], visit: str, recording: bool) -> None:
    shown = screen_of("Case 1", view(**change))
    assert (shown.title, shown.visit, shown.recording) == ("Case 1", visit, recording)


def test_nothing_is_claimed_of_a_hearing_while_the_connection_is_lost() -> None:
    shown = screen_of("Case 1", None)
    assert (shown.visit, shown.recording, shown.people) == ("lost", False, [])


def test_the_clerk_reads_where_this_room_is() -> None:
    phases = [phase_of(view(place=place, others=[])) for place in get_args(Place)]
    assert dict(zip(get_args(Place), phases, strict=True)) == {
        "lobby": "waits", "hearing": "takes_part", "isolated": "apart", "dismissed": "apart", "removed": "apart",
    }  # fmt: skip


def test_a_code_that_is_not_known_is_told_too() -> None:
    assert "something-new" in words_of("something-new")


def test_what_the_other_room_says_cannot_write_over_the_clerk_s_terminal() -> None:
    assert plain("Case\x1b[2J 1\n\x9b\u202e") == "Case·[2J 1···"
    assert len(plain("x" * 10_000)) < 1_000
