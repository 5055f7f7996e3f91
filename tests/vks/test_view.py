"""A page shows whom its person sees or hears, and the names of nobody else."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from recorder.contract import conference as staff
from tests.vks.test_rules import CLERK, PEOPLE, any_act, came, opened
from vks import acts, signalling
from vks.order import ROOM, hears, sees
from vks.rules import RefusedError, apply
from vks.view import screen_of, view_of


def names(view: signalling.View) -> list[str]:
    return [other.person for other in view.others]


def test_who_waits_or_is_isolated_is_shown_no_names() -> None:
    order = apply(opened("party", "witness"), came("counsel"), 0)
    assert names(view_of(order, "party")) == []
    assert names(view_of(order, "witness")) == []
    assert names(view_of(order, "counsel")) == []
    order = apply(order, staff.Call(by=CLERK, person="witness"), 0)
    assert names(view_of(order, "party")) == ["witness"]


def test_a_private_talk_shows_its_people_and_says_what_it_is() -> None:
    order = apply(opened("party", "counsel", "prosecutor"), staff.Consult(by=CLERK, people=["party", "counsel"]), 0)
    view = view_of(order, "party")
    assert (names(view), view.consultation) == (["counsel"], True)
    assert (names(view_of(order, "prosecutor")), view_of(order, "prosecutor").consultation) == ([], False)


def test_who_looks_in_is_named_to_all_on_the_floor() -> None:
    look = staff.BeginLookIn(look_in="l1", person="B. Inspector", reason="late start", length_s=60, token_sha256="0" * 64)
    order = apply(opened("party"), look, 0)
    assert view_of(order, "party").look_ins == ["B. Inspector"]


def test_that_a_large_audience_watches_is_shown_to_all_on_the_floor_and_in_the_room_while_it_does() -> None:
    order = apply(opened("party", "witness"), staff.ToAudience(by=CLERK, on=True), 0)
    assert not view_of(order, "party").audience, "its server is not reached yet"
    order = apply(order, acts.AudienceIs(reached=True), 0)
    assert view_of(order, "party").audience
    assert screen_of(order, "Case 1").audience
    assert not view_of(order, "witness").audience, "who waits apart is not watched"
    order = apply(order, acts.RoomIs(hearing="h1", state="off_record"), 0)
    assert not view_of(order, "party").audience
    assert not screen_of(order, "Case 1").audience


def test_an_interpreter_on_the_floor_is_told_whom_he_speaks_to() -> None:
    order = opened("party", "interpreter")
    assert view_of(order, "interpreter").interprets == ""
    order = apply(order, staff.Interpret(by=CLERK, person="interpreter", channel="kk"), 0)
    assert view_of(order, "interpreter").interprets == "kk"
    assert view_of(order, "party").interprets == ""
    order = apply(order, staff.Consult(by=CLERK, people=["party", "interpreter"]), 0)
    assert view_of(order, "interpreter").interprets == "", "in a private talk there is no channel"


@given(st.lists(any_act(), max_size=30))
def test_nobody_is_shown_whom_the_person_neither_sees_nor_hears(asked: list[tuple[acts.AnyAct, str]]) -> None:
    order = opened(*PEOPLE)
    for act, who in asked:
        try:
            order = apply(order, act, 0, who)
        except RefusedError:
            continue
        for name in order.people:
            view = view_of(order, name)
            reached = {other for other in (ROOM, *order.people) if sees(order, name, other) or hears(order, name, other)}
            assert reached - {ROOM} <= set(names(view))
            known_back = {other for other in order.people if hears(order, other, name) or sees(order, other, name)}
            assert known_back <= set(names(view))
            assert msgspec.json.decode(signalling.encoder.encode(view))["m"] == "view"
