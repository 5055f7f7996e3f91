"""The hearing's order: who hears and sees whom, whatever is asked in whatever sequence."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.contract import conference as staff
from recorder.contract.conference import Role
from recorder.contract.control import State as RoomState
from vks import acts
from vks.order import (
    AUDIENCE,
    LOOKS_IN,
    ROLES,
    ROOM,
    Order,
    Place,
    checker,
    hears,
    is_on_floor,
    looker,
    may_speak,
    recorded,
    sees,
    sees_screen,
    sound_recorded,
)
from vks.rules import MOST_LOOK_INS, RefusedError, apply
from vks.story import facts

PEOPLE = ("party", "counsel", "witness", "interpreter", "observer")
CLERK = "A. Clerk"


def opened(*names: str, state: str = "open") -> Order:
    """A hearing that is held, and these people in it (each bears the name of the role)."""
    order = apply(Order(), acts.RoomIs(hearing="h1", state="open"), 0)
    for name in names:
        order = apply(order, came(name), 0)
        order = apply(order, staff.Admit(by=CLERK, person=name), 0)
    return apply(order, acts.RoomIs(hearing="h1", state=state), 0)  # type: ignore[arg-type]


def came(name: str, device: str = "phone") -> acts.Came:
    role: Role = next(role for role in ROLES if role == name.split("-", maxsplit=1)[0])
    return acts.Came(person=name, name=name.title(), role=role, device=device)


def hearers(order: Order, speaker: str) -> set[str]:
    return {name for name in (ROOM, *order.people) if hears(order, name, speaker)}


def everything(order: Order) -> set[tuple[str, str, str]]:
    """All pairs of whom the one hears or sees the other, or his screen."""
    found = {
        (what, one, other)
        for one, other in permutations((ROOM, AUDIENCE, *order.people, *map(looker, order.look_ins), *map(checker, order.people)), 2)
        for what, does in (("hears", hears), ("sees", sees))
        if does(order, one, other)
    }
    found |= {("screen", name, order.sharing) for name in (ROOM, *order.people) if sees_screen(order, name)}
    return found


def test_who_waits_in_the_lobby_neither_hears_nor_is_heard() -> None:
    order = apply(opened("counsel"), came("party"), 0)
    assert not any("party" in pair for pair in everything(order))
    order = apply(order, staff.Admit(by=CLERK, person="party"), 0)
    assert hearers(order, "party") == {ROOM, "counsel"}
    assert hearers(order, ROOM) == {"party", "counsel"}


def test_a_witness_waits_apart_until_called_and_again_when_isolated() -> None:
    order = opened("party", "witness")
    assert not any("witness" in pair for pair in everything(order))
    order = apply(order, staff.Call(by=CLERK, person="witness"), 0)
    assert hearers(order, "witness") == {ROOM, "party"}
    for act in (
        staff.Isolate(by=CLERK, person="witness"),
        staff.Dismiss(by=CLERK, person="witness"),
        staff.Remove(by=CLERK, person="witness"),
    ):
        assert not any("witness" in pair for pair in everything(apply(order, act, 0)))


def test_a_private_talk_is_heard_by_those_in_it_alone_and_is_not_recorded() -> None:
    order = apply(opened("party", "counsel", "prosecutor"), staff.Consult(by=CLERK, people=["party", "counsel"]), 0)
    assert hearers(order, "party") == {"counsel"}
    assert hearers(order, "counsel") == {"party"}
    assert hearers(order, ROOM) == hearers(order, "prosecutor") - {ROOM} | {"prosecutor"} == {"prosecutor"}
    assert [name for name in order.people if recorded(order, name)] == ["prosecutor"]
    order = apply(order, acts.LeaveConsultation(), 0, "counsel")
    assert recorded(order, "party")
    assert order.people["party"].consultation == 0


@pytest.mark.parametrize("state", ["privileged", "deliberation", "closing", "idle"])
def test_nobody_hears_anybody_while_the_room_is_closed_to_the_outside(state: str) -> None:
    order = apply(opened("party", "counsel", "prosecutor"), staff.Consult(by=CLERK, people=["party", "counsel"]), 0)
    assert everything(order)
    assert not everything(apply(order, acts.RoomIs(hearing="h1", state=state), 0))  # type: ignore[arg-type]


def test_off_the_record_the_conference_goes_on() -> None:
    assert everything(opened("party", state="off_record")) == everything(opened("party"))


def test_who_is_muted_is_seen_and_neither_heard_nor_recorded_as_sound() -> None:
    order = apply(opened("party", "counsel"), staff.Mute(by=CLERK, person="party", on=True), 0)
    assert hearers(order, "party") == set()
    assert sees(order, "counsel", "party")
    assert recorded(order, "party")
    assert not sound_recorded(order, "party")


def test_an_interpreters_channel_is_heard_by_those_who_chose_it_and_the_floor_goes_on() -> None:
    order = opened("party", "counsel", "interpreter")
    order = apply(order, staff.Interpret(by=CLERK, person="interpreter", channel="kk"), 0)
    order = apply(order, acts.Listen(channel="kk"), 0, "party")
    assert hearers(order, "interpreter") == {"party"}
    assert hearers(order, "counsel") == {ROOM, "party", "interpreter"}
    assert sound_recorded(order, "interpreter")


def test_an_observer_sends_nothing_and_leaves_when_the_public_is_excluded() -> None:
    order = opened("party", "observer")
    assert hearers(order, "party") == {ROOM, "observer"}
    assert hearers(order, "observer") == set()
    assert not sees(order, "party", "observer")
    order = apply(order, acts.RoomIs(hearing="h1", state="open", closed=True), 0)
    assert not any("observer" in pair for pair in everything(order))
    with pytest.raises(RefusedError, match="readmit him when it is again"):
        apply(order, staff.Readmit(by=CLERK, person="observer"), 0)
    with pytest.raises(RefusedError, match="the hearing is not public") as kept_out:
        apply(order, came("observer"), 0)
    assert kept_out.value.code == "not_public"
    public = apply(order, acts.RoomIs(hearing="h1", state="open"), 0)
    assert apply(public, staff.Readmit(by=CLERK, person="observer"), 0).people["observer"].place == "lobby"


def test_one_screen_is_shown_at_a_time_and_ends_with_its_owner() -> None:
    order = apply(opened("party", "counsel"), acts.Share(on=True), 0, "party")
    assert sees_screen(order, "counsel")
    assert sees_screen(order, ROOM)
    with pytest.raises(RefusedError, match="shows a screen already"):
        apply(order, acts.Share(on=True), 0, "counsel")
    for act in (
        staff.Dismiss(by=CLERK, person="party"),
        acts.Gone(person="party", device="phone"),
        staff.Mute(by=CLERK, person="party", on=True),
    ):
        assert apply(order, act, 0).sharing == ""


def test_nobody_chooses_a_channel_before_he_is_admitted() -> None:
    order = apply(Order(hearing="h1", room="open"), came("party"), 0)
    with pytest.raises(RefusedError, match="does not take part now"):
        apply(order, acts.Listen(channel="kk"), 0, "party")
    order = apply(order, staff.Admit(by=CLERK, person="party"), 0)
    assert apply(order, acts.Listen(channel="kk"), 0, "party").people["party"].listens == "kk"


def test_the_same_device_comes_back_to_its_place_and_another_asks_while_the_first_is_there() -> None:
    order = opened("party")
    order = apply(order, acts.Gone(person="party", device="phone"), 0)
    assert not is_on_floor(order, "party")
    order = apply(order, came("party"), 0)
    assert is_on_floor(order, "party")
    order = apply(order, came("party", "laptop"), 0)
    assert (order.people["party"].device, order.people["party"].rival) == ("phone", "laptop")
    assert apply(order, staff.ChooseDevice(by=CLERK, person="party", accept=False), 0).people["party"].rival == ""
    order = apply(order, staff.ChooseDevice(by=CLERK, person="party", accept=True), 0)
    assert (order.people["party"].device, is_on_floor(order, "party")) == ("laptop", True)


@pytest.mark.parametrize(("closed", "place"), [(False, "hearing"), (True, "lobby")])
def test_another_device_takes_the_place_of_one_that_is_gone_unless_the_hearing_is_closed(*, closed: bool, place: Place) -> None:
    order = apply(opened("party"), acts.RoomIs(hearing="h1", state="open", closed=closed), 0)
    order = apply(order, acts.Gone(person="party", device="phone"), 0)
    order = apply(order, came("party", "tablet"), 0)
    assert (order.people["party"].device, order.people["party"].place) == ("tablet", place)


def test_who_was_removed_comes_back_only_when_the_clerk_says_so() -> None:
    order = apply(opened("party"), staff.Remove(by=CLERK, person="party"), 0)
    with pytest.raises(RefusedError, match="put out"):
        apply(order, came("party"), 0)
    order = apply(order, staff.Readmit(by=CLERK, person="party"), 0)
    assert apply(order, came("party"), 0).people["party"].place == "lobby"


def test_a_look_in_ends_by_its_time_by_the_judge_and_by_the_rooms_state() -> None:
    look = staff.BeginLookIn(look_in="l1", person="B. Inspector", reason="late start", length_s=60, token_sha256="0" * 64)
    order = apply(opened("party"), look, 1_000)
    assert [one.person for one in order.look_ins] == ["B. Inspector"]
    assert not apply(order, acts.TimeIs(), 1_000 + 60_000_000).look_ins
    assert apply(order, acts.TimeIs(), 999 + 60_000_000).look_ins
    assert not apply(order, staff.StopLookIn(by="A. Judge", look_in="l1"), 2_000).look_ins
    assert not apply(order, acts.RoomIs(hearing="h1", state="off_record"), 2_000).look_ins
    with pytest.raises(RefusedError, match="nobody may look in"):
        apply(opened("party", state="off_record"), look, 0)


def look_in(name: str = "l1") -> staff.BeginLookIn:
    return staff.BeginLookIn(look_in=name, person="B. Inspector", reason="late start", length_s=60, token_sha256=f"{name:0>64}")


def test_a_look_in_hears_and_sees_the_floor_alone_and_nobody_hears_or_sees_it() -> None:
    order = apply(opened("party", "counsel", "prosecutor", "witness"), look_in(), 0)
    viewer = f"{LOOKS_IN}l1"
    order = apply(order, staff.Consult(by=CLERK, people=["counsel", "prosecutor"]), 0)
    present = (ROOM, *order.people)
    assert {name for name in present if hears(order, viewer, name)} == {ROOM, "party"}
    assert {name for name in present if sees(order, viewer, name)} == {ROOM, "party"}
    assert not any(hears(order, name, viewer) or sees(order, name, viewer) for name in present)
    assert not may_speak(order, viewer)
    assert not recorded(order, viewer)


@pytest.mark.parametrize(
    ("state", "closed"), [("off_record", False), ("privileged", False), ("deliberation", False), ("closing", False), ("open", True)]
)
def test_no_look_in_outlasts_the_open_state_or_comes_to_a_closed_hearing(state: RoomState, closed: bool) -> None:
    order = apply(apply(opened("party"), look_in(), 0), acts.RoomIs(hearing="h1", state=state, closed=closed), 0)
    assert not order.look_ins
    assert not hears(order, f"{LOOKS_IN}l1", ROOM)
    with pytest.raises(RefusedError, match="nobody may look in"):
        apply(order, look_in(), 0)


def test_a_look_ins_link_opens_for_the_first_device_alone_and_for_that_one_again() -> None:
    order = apply(apply(opened("party"), look_in(), 0), acts.Looks(look_in="l1", device="device-1"), 0)
    with pytest.raises(RefusedError, match="another device"):
        apply(order, acts.Looks(look_in="l1", device="device-2"), 0)
    order = apply(order, acts.LooksNoMore(look_in="l1"), 0)
    with pytest.raises(RefusedError, match="another device"):
        apply(order, acts.Looks(look_in="l1", device="device-2"), 0)
    assert apply(order, acts.Looks(look_in="l1", device="device-1"), 0).look_ins[0].connected
    with pytest.raises(RefusedError, match="over"):
        apply(apply(order, staff.EndLookIn(look_in="l1"), 0), acts.Looks(look_in="l1", device="device-1"), 0)


def test_a_look_in_begins_once_and_few_last_at_a_time() -> None:
    order = opened("party")
    for number in range(MOST_LOOK_INS):
        order = apply(order, look_in(f"l{number}"), 0)
    with pytest.raises(RefusedError, match="look in already"):
        apply(order, look_in("more"), 0)
    with pytest.raises(RefusedError, match="has begun already"):
        apply(order, look_in("l0"), 0)


def test_another_hearing_begins_with_nobody_in_it() -> None:
    order = apply(opened("party"), acts.RoomIs(hearing="h2", state="open"), 0)
    assert order.people == {}


def test_a_large_audience_hears_and_sees_what_an_observer_would_and_nobody_hears_or_sees_it() -> None:
    order = opened("party", "counsel", "prosecutor", "interpreter", "observer", "witness")
    order = apply(order, staff.ToAudience(by=CLERK, on=True), 0)
    order = apply(order, staff.Consult(by=CLERK, people=["counsel", "prosecutor"]), 0)
    order = apply(order, staff.Interpret(by=CLERK, person="interpreter", channel="kk"), 0)
    pairs = everything(order)
    of_audience, of_observer = ({(what, other) for what, one, other in pairs if one == name} for name in (AUDIENCE, "observer"))
    assert of_audience == of_observer == {("hears", "party"), ("hears", ROOM), ("sees", "party"), ("sees", "interpreter"), ("sees", ROOM)}
    assert not any(other == AUDIENCE for _, _, other in pairs)
    assert sees_screen(apply(order, acts.Share(on=True), 0, "party"), AUDIENCE)


@pytest.mark.parametrize(
    ("state", "closed", "goes_on"),
    [
        ("off_record", False, True), ("privileged", False, True), ("deliberation", False, True), ("open", True, False),
        ("closing", False, False), ("idle", False, False),
    ],
)  # fmt: skip
def test_a_large_audience_has_nothing_of_what_is_not_public(state: RoomState, closed: bool, goes_on: bool) -> None:
    order = apply(opened("party"), staff.ToAudience(by=CLERK, on=True), 0)
    order = apply(order, acts.RoomIs(hearing="h1", state=state, closed=closed), 0)
    assert not any(AUDIENCE in pair for pair in everything(order))
    with pytest.raises(RefusedError, match="no open hearing is recorded"):
        apply(order, staff.ToAudience(by=CLERK, on=True), 0)
    order = apply(order, acts.RoomIs(hearing="h1", state="open"), 0)
    assert hears(order, AUDIENCE, "party") == goes_on


def test_a_speaker_of_the_audience_has_a_seat_that_no_link_opens() -> None:
    taken = staff.TakeIn(by=CLERK, feed="https://sfu.example/whep/1", name="C. Expert", role="specialist")
    order = apply(opened("party"), taken, 0)
    assert order.people["from-audience-1"].place == "hearing"
    assert not any("from-audience-1" in pair for pair in everything(order)), "not until the media is there"
    for person in ("from-audience-1", "from-audience-2"):
        with pytest.raises(RefusedError):
            apply(order, acts.Came(person=person, name="Forged", role="judge", device="phone"), 0)
    with pytest.raises(RefusedError, match="already"):
        apply(order, taken, 0)
    dismissed = apply(order, staff.Dismiss(by=CLERK, person="from-audience-1"), 0)
    assert set(apply(dismissed, taken, 0).people) == {"party", "from-audience-1", "from-audience-2"}
    for closed, state in ((True, "open"), (False, "privileged"), (False, "idle")):
        room = acts.RoomIs(hearing="h1", state=state, closed=closed)  # type: ignore[arg-type]
        with pytest.raises(RefusedError, match="no public hearing"):
            apply(apply(opened(), room, 0), taken, 0)


@st.composite
def any_act(draw: st.DrawFn) -> tuple[acts.AnyAct, str]:
    person, other = draw(st.sampled_from(PEOPLE)), draw(st.sampled_from(PEOPLE))
    on = draw(st.booleans())
    possible: list[acts.AnyAct] = [
        came(person, draw(st.sampled_from(["phone", "tablet"]))), acts.Gone(person=person, device="phone", left=on),
        staff.Admit(by=CLERK, person=person), staff.Call(by=CLERK, person=person), staff.Isolate(by=CLERK, person=person),
        staff.Dismiss(by=CLERK, person=person), staff.Remove(by=CLERK, person=person), staff.Readmit(by=CLERK, person=person),
        staff.Mute(by=CLERK, person=person, on=on), staff.Consult(by=CLERK, people=[person, other]),
        staff.EndConsultation(by=CLERK, consultation=1), staff.Interpret(by=CLERK, person=person, channel="kk" if on else ""),
        staff.ChooseDevice(by=CLERK, person=person, accept=on), acts.Share(on=on), acts.Listen(channel="kk" if on else ""),
        acts.LeaveConsultation(), acts.RaiseHand(on=on), staff.StopShare(by=CLERK), look_in(), staff.StopLookIn(by=CLERK, look_in="l1"),
        acts.RoomIs(hearing="h1", state="open" if on else "off_record"), staff.ToAudience(by=CLERK, on=on), acts.Restarted(),
    ]  # fmt: skip
    return draw(st.sampled_from(possible)), person


@given(st.lists(any_act(), max_size=30))
def test_nothing_changes_who_hears_or_sees_whom_without_a_line_in_the_record(asked: list[tuple[acts.AnyAct, str]]) -> None:
    order = opened("party", "counsel", "witness", "interpreter", "observer")
    for act, who in asked:
        before = order
        try:
            order = apply(before, act, 0, who)
        except RefusedError:
            continue
        assert facts(before, order) or everything(before) == everything(order)


@given(st.lists(any_act(), max_size=30))
def test_hearing_and_seeing_stay_within_a_talk_and_no_private_word_is_recorded(asked: list[tuple[acts.AnyAct, str]]) -> None:
    order = opened("party", "counsel", "witness", "interpreter", "observer")
    for act, who in asked:
        try:
            order = apply(order, act, 0, who)
        except RefusedError:
            continue
        talks = {name: one.consultation for name, one in order.people.items()} | dict.fromkeys(
            (ROOM, AUDIENCE, *map(looker, order.look_ins)), 0
        )
        for _, one, other in everything(order):
            assert talks[one] == talks[other]
        for name in order.people:
            if sound_recorded(order, name):
                # What is recorded is what the court's own talk was: on the floor, or interpreted from it.
                assert hears(order, ROOM, name) or order.people[name].interprets
            assert not (recorded(order, name) and talks[name])
        assert not any(order.people[name].role == "observer" and may_speak(order, name) for name in order.people)


def test_nobody_is_let_in_whom_the_recorder_could_not_take_and_observers_need_no_seat() -> None:
    order = opened("party", "counsel")
    for name, role in (("late", "prosecutor"), ("guest", "observer"), ("witness", "witness")):
        order = apply(order, acts.Came(person=name, name=name.title(), role=role, device="d"), 0)  # type: ignore[arg-type]
    for person in ("guest", "witness"):
        order = apply(order, staff.Admit(by=CLERK, person=person), 0, seats=2)
    for act in (staff.Admit(by=CLERK, person="late"), staff.Call(by=CLERK, person="witness")):
        with pytest.raises(RefusedError, match="dismiss somebody first"):
            apply(order, act, 0, seats=2)
    order = apply(order, staff.Mute(by=CLERK, person="party", on=True), 0, seats=1)
    order = apply(order, staff.Dismiss(by=CLERK, person="party"), 0, seats=2)
    assert apply(order, staff.Admit(by=CLERK, person="late"), 0, seats=2).people["late"].place == "hearing"


def test_nothing_is_private_with_a_speaker_who_is_fetched_from_the_large_audience() -> None:
    order = apply(opened("party"), staff.TakeIn(by=CLERK, feed="https://sfu.example/whep/1", name="C. Expert", role="specialist"), 0)
    (fed,) = (name for name in order.people if name.startswith("from-audience-"))
    order = apply(order, acts.Came(person=fed, name="C. Expert", role="specialist", device=AUDIENCE), 0)
    with pytest.raises(RefusedError, match="others may hear"):
        apply(order, staff.Consult(by=CLERK, people=["party", fed]), 0)
