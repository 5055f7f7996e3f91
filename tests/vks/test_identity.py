"""The check of who somebody is: who sees it, what the record has of it, and when it is over."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from recorder.contract import conference as staff
from recorder.contract.control import State as RoomState
from tests.vks.test_rules import CLERK, PEOPLE, any_act, came, everything, look_in, opened
from tests.vks.test_vouching import closed, vouched, with_media
from vks import acts, identity
from vks.order import AUDIENCE, LOOKS_IN, ROOM, Order, checker, hears, looker, picture_recorded, sees, sound_recorded
from vks.rules import RefusedError, apply
from vks.story import facts
from vks.view import view_of

TOKEN = "a" * 64


def identify(person: str = "party", token: str = TOKEN) -> staff.Identify:
    return staff.Identify(by=CLERK, person=person, token_sha256=token)


def still(order: Order, of: staff.StillOf, person: str = "party") -> Order:
    """A still is asked for, and a picture comes."""
    order = apply(order, staff.TakeStill(by=CLERK, person=person, of=of), 0)
    return apply(order, acts.StillTaken(person=person, of=of), 0)


def seers(order: Order, shown: str) -> set[str]:
    everybody = (ROOM, AUDIENCE, *order.people, *map(looker, order.look_ins), *map(checker, order.people))
    return {name for name in everybody if sees(order, name, shown)}


def told(before: Order, act: acts.AnyAct) -> list[tuple[str, dict[str, str | int]]]:
    after = apply(before, act, 0)
    return [(fact.name, fact.data) for fact in facts(before, after, by=getattr(act, "by", ""), reason=getattr(act, "reason", ""))]


def test_who_shows_a_document_is_seen_by_the_clerk_alone_and_goes_on_being_heard() -> None:
    order = apply(opened("party", "counsel"), look_in(), 0)
    assert seers(order, "party") == {ROOM, "counsel", f"{LOOKS_IN}l1"}
    order = apply(order, identify(), 0)
    assert seers(order, "party") == {checker("party")}
    assert seers(order, "counsel") == {ROOM, "party", f"{LOOKS_IN}l1"}
    assert hears(order, ROOM, "party")
    assert not any(hears(order, checker("party"), name) for name in (ROOM, *order.people))
    assert (sound_recorded(order, "party"), picture_recorded(order, "party")) == (True, False)
    order = still(still(order, "face"), "document")
    assert seers(order, "party") == {checker("party")}, "until the clerk has said what is found"
    order = apply(order, staff.ConfirmIdentity(by=CLERK, person="party"), 0)
    assert seers(order, "party") == {ROOM, "counsel", f"{LOOKS_IN}l1"}
    assert picture_recorded(order, "party")


def test_the_clerks_screen_sees_the_person_who_is_checked_and_nobody_else() -> None:
    order = apply(apply(opened("party", "counsel", "prosecutor"), identify(), 0), identify("counsel", "b" * 64), 0)
    shown = (ROOM, *order.people)
    assert [name for name in shown if sees(order, checker("party"), name)] == ["party"]
    assert [name for name in shown if sees(order, checker("counsel"), name)] == ["counsel"]
    assert [name for name in shown if sees(order, checker("prosecutor"), name)] == []


def test_in_the_lobby_too_and_while_a_witness_waits() -> None:
    order = apply(opened("witness"), came("party"), 0)
    for name in ("party", "witness"):
        assert seers(apply(order, identify(name), 0), name) == {checker(name)}


def test_no_more_are_checked_at_once_than_the_recorder_has_tracks_for() -> None:
    names = [f"party-{number}" for number in range(identity.MOST_CHECKS + 1)]
    order = opened("counsel", "prosecutor")
    for name in names:
        order = apply(order, came(name), 0)
    for name in names[:-1]:
        order = apply(order, identify(name), 0)
    with pytest.raises(RefusedError) as refused:
        apply(order, identify(names[-1]), 0)
    assert refused.value.code == "too_many_checks"
    seated = apply(order, identify("counsel"), 0)
    apart = apply(seated, staff.Isolate(by=CLERK, person="counsel"), 0)
    assert apart.people["counsel"].place == "isolated", "whom the clerk sets apart hears nothing, whatever the recorder has tracks for"
    ended = apply(order, staff.RefuseIdentity(by=CLERK, person=names[0], reason="another face"), 0)
    assert apply(ended, identify(names[-1]), 0).people[names[-1]].check is not None


def test_the_page_is_told_what_to_show() -> None:
    order = opened("party")
    steps = [view_of(order, "party").identity]
    order = apply(order, identify(), 0)
    steps.append(view_of(order, "party").identity)
    for of in ("face", "document"):
        order = still(order, of)
        steps.append(view_of(order, "party").identity)
    steps.append(view_of(apply(order, staff.TakeStill(by=CLERK, person="party", of="face"), 0), "party").identity)
    assert steps == ["", "face", "document", "done", "face"]


def test_the_record_has_the_check_from_its_beginning_to_what_was_found() -> None:
    order = opened("party")
    assert told(order, identify()) == [("identity_check_began", {"person": "party", "by": CLERK})]
    order = apply(order, identify(), 0)
    assert told(order, identify(token="b" * 64)) == [("identity_check_began", {"person": "party", "by": CLERK})]
    order = apply(order, staff.TakeStill(by="B. Clerk", person="party", of="face"), 0)
    assert told(order, acts.StillTaken(person="party", of="face")) == [
        ("identity_still_taken", {"person": "party", "of": "face", "by": "B. Clerk"})
    ]
    order = still(still(order, "face"), "document")
    assert told(order, staff.ConfirmIdentity(by=CLERK, person="party")) == [("identity_confirmed", {"person": "party", "by": CLERK})]
    refusal = staff.RefuseIdentity(by=CLERK, person="party", reason="another face")
    assert told(order, refusal) == [("identity_refused", {"person": "party", "by": CLERK, "reason": "another face"})]
    assert told(order, acts.Gone(person="party", device="phone")) == [
        ("waits", {"person": "party"}), ("disconnected", {"person": "party"}), ("identity_check_ended", {"person": "party"}),
    ]  # fmt: skip


def test_what_was_found_holds_for_the_device_that_was_looked_at() -> None:
    order = still(still(apply(opened("party"), identify(), 0), "face"), "document")
    order = apply(order, staff.ConfirmIdentity(by=CLERK, person="party"), 0)
    assert identity.standing(order.people["party"]) == "confirmed"
    gone = apply(order, acts.Gone(person="party", device="phone"), 0)
    assert identity.standing(apply(gone, came("party"), 0).people["party"]) == "confirmed"
    assert identity.standing(apply(gone, came("party", "tablet"), 0).people["party"]) == "unchecked"
    assert ("identity_unknown", {"person": "party"}) in told(gone, came("party", "tablet"))
    both = apply(apply(order, came("party", "tablet"), 0), staff.ChooseDevice(by=CLERK, person="party", accept=True), 0)
    assert identity.standing(both.people["party"]) == "unchecked"
    assert identity.standing(apply(order, identify(), 0).people["party"]) == "checking"


ENDS: list[acts.AnyAct] = [
    acts.Gone(person="party", device="phone"), staff.Dismiss(by=CLERK, person="party"), staff.Remove(by=CLERK, person="party"),
    *(acts.RoomIs(hearing="h1", state=state) for state in ("off_record", "privileged", "deliberation", "closing", "idle")),
]  # fmt: skip


@pytest.mark.parametrize("act", ENDS)
def test_a_check_ends_where_it_cannot_go_on_and_does_not_come_back_with_it(act: acts.AnyAct) -> None:
    order = apply(apply(opened("party", "counsel"), identify(), 0), act, 0)
    assert identity.standing(order.people["party"]) == "unchecked"
    order = apply(order, acts.RoomIs(hearing="h1", state="open"), 0)
    assert order.people["party"].check is None
    with pytest.raises(RefusedError, match="begin by"):
        apply(order, staff.TakeStill(by=CLERK, person="party", of="face"), 0)


@pytest.mark.parametrize("killed", [False, True])
def test_who_was_on_the_floor_when_a_lost_connection_broke_the_check_off_waits_for_the_clerk(*, killed: bool) -> None:
    """The page is back in a moment, and the document may still be before the camera."""
    order = apply(apply(opened("party", "counsel"), identify(), 0), acts.RaiseHand(on=True), 0, "party")
    if killed:  # this process, and the next one is told that the hearing goes on
        order = replace(order, people={name: replace(one, connected=False) for name, one in order.people.items()})
        order = apply(order, acts.RoomIs(hearing="h1", state="open"), 0)
    else:
        order = apply(order, acts.Gone(person="party", device="phone"), 0)
    for name in ("party", "counsel"):
        order = apply(order, came(name), 0)
    assert seers(order, "party") == set()
    assert not picture_recorded(order, "party")
    assert (order.people["party"].place, order.people["party"].hand_us) == ("lobby", None)
    assert seers(order, "counsel") == {ROOM}, "who was not checked is in his place"
    assert seers(apply(order, identify(), 0), "party") == {checker("party")}, "the clerk may look first"
    assert seers(apply(order, staff.Admit(by=CLERK, person="party"), 0), "party") == {ROOM, "counsel"}


def test_who_waited_to_be_called_while_he_was_checked_still_does_when_his_page_is_back() -> None:
    order = apply(apply(opened("party", "witness"), identify("witness"), 0), acts.Gone(person="witness", device="phone"), 0)
    assert apply(order, came("witness"), 0).people["witness"].place == "isolated"


STATES: list[RoomState] = ["off_record", "privileged", "deliberation", "closing", "idle"]


@pytest.mark.parametrize("state", STATES)
def test_no_check_begins_while_nothing_is_recorded(state: RoomState) -> None:
    with pytest.raises(RefusedError, match="nothing is recorded now"):
        apply(opened("party", state=state), identify(), 0)


def test_who_cannot_be_looked_at_is_not_checked() -> None:
    order = opened("party", "counsel", "observer")
    with pytest.raises(RefusedError, match="sends no picture"):
        apply(order, identify("observer"), 0)
    talking = apply(order, staff.Consult(by=CLERK, people=["party", "counsel"]), 0)
    with pytest.raises(RefusedError, match="private talk"):
        apply(talking, identify(), 0)
    with pytest.raises(RefusedError, match="is being checked"):
        apply(apply(order, identify(), 0), staff.Consult(by=CLERK, people=["party", "counsel"]), 0)
    with pytest.raises(RefusedError, match="cannot be seen"):
        apply(apply(order, acts.Gone(person="party", device="phone"), 0), identify(), 0)


def test_a_speaker_of_the_large_audience_has_no_page_that_says_what_to_show() -> None:
    order = apply(opened("party"), staff.TakeIn(by=CLERK, feed="https://sfu.example/whep/7", name="C. Expert", role="specialist"), 0)
    (fed,) = [one.id for one in order.people.values() if one.feed]
    with pytest.raises(RefusedError, match="has no page"):
        apply(order, identify(fed), 0)


def test_in_a_closed_hearing_a_document_goes_by_a_certificate_that_is_vouched_for_alone() -> None:
    order = with_media(closed(opened("party")))
    with pytest.raises(RefusedError, match="cannot be seen"):
        apply(order, identify(), 0)
    order = apply(vouched(order), identify(), 0)
    assert seers(order, "party") == {checker("party")}
    order = apply(order, acts.Media(person="party", device="phone", certificate="00" * 32), 0)
    assert order.people["party"].check is None, "it goes by another connection now"


def test_nothing_is_confirmed_without_both_stills() -> None:
    order = apply(opened("party"), identify(), 0)
    confirm = staff.ConfirmIdentity(by=CLERK, person="party")
    for missing, of in (("face", "face"), ("document", "document")):
        with pytest.raises(RefusedError, match=f"no still yet of the {missing}"):
            apply(order, confirm, 0)
        order = still(order, of)  # type: ignore[arg-type]
    assert identity.standing(apply(order, confirm, 0).people["party"]) == "confirmed"


def test_stills_that_may_be_in_no_record_are_taken_anew() -> None:
    order = still(still(apply(opened("party", "counsel"), identify(), 0), "face"), "document")
    order = still(apply(order, identify("counsel", "b" * 64), 0), "face", "counsel")
    assert told(order, acts.StillsLost()) == [("identity_stills_lost", {"person": name}) for name in ("party", "counsel")]
    order = apply(order, acts.StillsLost(), 0)
    assert view_of(order, "party").identity == "face"
    assert apply(order, acts.StillsLost(), 0) == order
    for of in ("face", "document"):
        with pytest.raises(RefusedError, match=f"take the still of the {of} anew"):
            apply(order, staff.ConfirmIdentity(by=CLERK, person="party"), 0)
        order = still(order, of)
    order = apply(order, staff.ConfirmIdentity(by=CLERK, person="party"), 0)
    assert identity.standing(order.people["party"]) == "confirmed"
    assert apply(order, acts.StillsLost(), 0).people["party"] == order.people["party"], "that check is over"


def test_a_still_comes_only_while_it_is_asked_for() -> None:
    order = apply(opened("party"), identify(), 0)
    with pytest.raises(RefusedError, match="no still of the face is asked for"):
        apply(order, acts.StillTaken(person="party", of="face"), 0)
    asked = apply(order, staff.TakeStill(by=CLERK, person="party", of="face"), 0)
    with pytest.raises(RefusedError, match="document"):
        apply(asked, acts.StillTaken(person="party", of="document"), 0)
    late = apply(asked, acts.TimeIs(), identity.WISH_US)
    with pytest.raises(RefusedError, match="no still of the face is asked for"):
        apply(late, acts.StillTaken(person="party", of="face"), identity.WISH_US)


def test_the_link_opens_for_one_page_alone_and_another_link_takes_its_place() -> None:
    order = apply(apply(opened("party"), identify(), 0), acts.CheckSeen(person="party", device="screen-1"), 0)
    assert apply(order, acts.CheckSeen(person="party", device="screen-1"), 0) == order
    with pytest.raises(RefusedError, match="opened already"):
        apply(order, acts.CheckSeen(person="party", device="screen-2"), 0)
    order = apply(order, identify(token="b" * 64), 0)
    assert apply(order, acts.CheckSeen(person="party", device="screen-2"), 0).people["party"].check is not None


@st.composite
def any_act_or_check(draw: st.DrawFn) -> tuple[acts.AnyAct, str]:
    if draw(st.booleans()):
        return draw(any_act())
    person, of = draw(st.sampled_from(PEOPLE)), draw(st.sampled_from(["face", "document"]))
    possible: list[acts.AnyAct] = [
        identify(person), staff.TakeStill(by=CLERK, person=person, of=of), acts.StillTaken(person=person, of=of),  # type: ignore[arg-type]
        staff.ConfirmIdentity(by=CLERK, person=person), staff.RefuseIdentity(by=CLERK, person=person, reason="r"), acts.TimeIs(),
        acts.StillsLost(),
        acts.CheckSeen(person=person, device="screen-1"),
    ]  # fmt: skip
    return draw(st.sampled_from(possible)), person


@given(st.lists(any_act_or_check(), max_size=30))
def test_nobody_else_ever_sees_who_is_checked_and_nothing_changes_that_in_silence(asked: list[tuple[acts.AnyAct, str]]) -> None:
    order = opened("party", "counsel", "witness", "interpreter", "observer")
    for act, who in asked:
        before = order
        try:
            order = apply(before, act, 0, who)
        except RefusedError:
            continue
        assert facts(before, order) or everything(before) == everything(order)
        for name, person in order.people.items():
            if person.check is not None:
                assert seers(order, name) == {checker(name)}
                assert not picture_recorded(order, name)
                assert order.room == "open"
            else:
                assert checker(name) not in seers(order, name)


def test_what_was_found_is_of_the_certificate_that_was_looked_at_and_not_of_a_name_that_may_be_copied() -> None:
    first, other = "a" * 64, "b" * 64
    device = opened("party").people["party"].device
    begun = apply(apply(opened("party"), acts.Media(person="party", device=device, certificate=first), 0), identify(), 0)
    taken = still(begun, "face")
    confirmed = apply(still(taken, "document"), staff.ConfirmIdentity(by=CLERK, person="party"), 0)
    for order, standing, fact in ((taken, "checking", "identity_check_ended"), (confirmed, "confirmed", "identity_unknown")):
        again = apply(order, acts.Media(person="party", device=device, certificate=first), 0)
        assert identity.standing(again.people["party"]) == standing
        another = acts.Media(person="party", device=device, certificate=other)
        after = apply(order, another, 0)
        assert identity.standing(after.people["party"]) == "unchecked"
        assert seers(after, "party") == (set() if order is taken else {ROOM}), "a document may be before its camera"
        assert fact in [name for name, _ in told(order, another)]


def test_a_check_that_began_before_there_was_a_picture_is_of_the_page_that_then_sends_one() -> None:
    device = opened("party").people["party"].device
    order = apply(opened("party"), identify(), 0)
    order = still(apply(order, acts.Media(person="party", device=device, certificate="a" * 64), 0), "face")
    assert identity.standing(order.people["party"]) == "checking"
    assert (
        identity.standing(apply(order, acts.Media(person="party", device=device, certificate="b" * 64), 0).people["party"]) == "unchecked"
    )


def test_of_who_was_put_out_nothing_is_believed_any_more() -> None:
    order = vouched(with_media(closed(opened("party"))))
    order = apply(still(still(apply(order, identify(), 0), "face"), "document"), staff.ConfirmIdentity(by=CLERK, person="party"), 0)
    order = apply(apply(order, staff.Remove(by=CLERK, person="party"), 0), staff.Readmit(by=CLERK, person="party"), 0)
    assert (order.people["party"].vouched, order.people["party"].identity) == ((), "unchecked")
