"""What page and room have in common where nobody is in the middle, and have not where somebody is; and that order obeys it."""

import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from recorder.contract import conference as staff
from tests.vks.test_rules import CLERK, PEOPLE, came, everything, opened
from vks import acts
from vks.mixing import mix_of
from vks.order import ROOM, Order, admits, recorded
from vks.rules import MOST_CERTIFICATES, RefusedError, apply
from vks.story import facts
from vks.vouching import CODE_DIGITS, Unvouched

DOUBT = Unvouched(hearing="h-1 Іс №7", person="g1", page="11" * 32, room="22" * 32, number="33" * 32, page_number="44" * 32)
OWN, OTHER = "a" * 64, "b" * 64
numbers = st.text("0123456789abcdef", min_size=64, max_size=64)


def test_page_and_room_reckon_the_same() -> None:
    """The same numbers stand in web/test/vouching.test.ts."""
    assert DOUBT.commitment == "62f3039e35468f30f42d5bf581cc1ce5c64fb19d71104caef7a5c2eef5f6dd20"
    assert DOUBT.code == "16464626444026686458"
    assert DOUBT.text == f"courtroom-dtls-v1\nh-1 Іс №7\ng1\n{'11' * 32}\n{'22' * 32}\n".encode()


@pytest.mark.parametrize("field", ["hearing", "person", "page", "room", "number", "page_number"])
@given(value=numbers)
def test_whatever_is_another_gives_another_code(field: str, value: str) -> None:
    other = replace(DOUBT, **{field: value})
    assert (other.code == DOUBT.code) == (value == getattr(DOUBT, field))


@pytest.mark.parametrize("field", ["hearing", "person", "room", "number"])
@given(value=numbers)
def test_the_room_is_held_to_its_certificate_and_number_before_the_page_tells_its_own(field: str, value: str) -> None:
    assert (replace(DOUBT, **{field: value}).commitment == DOUBT.commitment) == (value == getattr(DOUBT, field))
    assert replace(DOUBT, page=value, page_number=value).commitment == DOUBT.commitment


@given(doubt=st.builds(Unvouched, hearing=st.text(), person=st.just("g1"), page=numbers, room=numbers, number=numbers, page_number=numbers))
def test_a_code_is_read_in_groups_and_typed_as_one_likes(doubt: Unvouched) -> None:
    code = doubt.code
    assert re.fullmatch(rf"[0-9]{{{CODE_DIGITS}}}", code)
    groups = [code[at : at + 5] for at in range(0, CODE_DIGITS, 5)]
    assert all(doubt.fits(typed) for typed in (code, " ".join(groups), "-".join(groups)))
    wrong = f"{(int(code) + 1) % 10**CODE_DIGITS:0{CODE_DIGITS}d}"
    assert not any(doubt.fits(typed) for typed in (wrong, "", code[:-1], f"{code}0", code[:10], "٣" * CODE_DIGITS))


def test_before_the_page_has_told_its_number_no_code_fits() -> None:
    early = replace(DOUBT, page_number="")
    assert not any(early.fits(typed) for typed in ("", DOUBT.code, "0" * CODE_DIGITS))


def closed(order: Order) -> Order:
    return apply(order, acts.RoomIs(hearing="h1", state="open", closed=True), 0)


def with_media(order: Order, certificate: str = OWN) -> Order:
    return apply(order, acts.Media(person="party", device="phone", certificate=certificate), 0)


def vouched(order: Order, certificate: str = OWN) -> Order:
    return apply(order, acts.Vouched(person="party", certificate=certificate, by=CLERK, how="code"), 0)


def test_a_closed_hearing_takes_and_gives_media_by_a_certificate_that_is_vouched_for_alone() -> None:
    order = with_media(closed(opened("party")))
    assert not everything(order)
    assert not admits(order, "party", OWN)
    assert not everything(vouched(order, OTHER))
    order = vouched(order)
    assert admits(order, "party", OWN)
    assert not admits(order, "party", OTHER)
    assert ("hears", "party", ROOM) in everything(order)
    assert recorded(order, "party")
    assert not everything(with_media(order, OTHER))
    assert not recorded(with_media(order, OTHER), "party")


def test_an_open_hearing_asks_for_no_vouching() -> None:
    order = with_media(opened("party"))
    assert everything(order)
    assert admits(order, "party", "")


def test_a_hearing_that_becomes_closed_cuts_off_whom_nobody_vouches_for() -> None:
    order = with_media(opened("party", "counsel"))
    order = vouched(apply(order, acts.Media(person="counsel", device="phone", certificate=OTHER), 0))
    assert {name for _, *pair in everything(closed(order)) for name in pair} == {ROOM, "party"}


def test_no_certificate_at_all_is_none_that_is_vouched_for() -> None:
    assert not admits(closed(opened("party")), "party", "")
    assert not everything(with_media(closed(opened("party")), ""))


def test_who_talks_in_private_by_an_unvouched_connection_gets_no_sound_of_it() -> None:
    order = apply(opened("party", "counsel", "prosecutor"), staff.Consult(by=CLERK, people=["party", "counsel", "prosecutor"]), 0)
    assert mix_of(order, "party", set()) != ""
    order = with_media(closed(order))
    assert mix_of(order, "party", set()) == ""
    assert mix_of(vouched(order), "party", set()) != ""


def test_another_device_of_the_same_person_has_to_be_vouched_for_again() -> None:
    order = with_media(vouched(closed(opened("party"))))
    order = apply(apply(order, came("party", "tablet"), 0), staff.ChooseDevice(by=CLERK, person="party", accept=True), 0)
    order = apply(order, acts.Media(person="party", device="tablet", certificate=OTHER), 0)
    assert not everything(order)
    order = vouched(order, OTHER)
    assert everything(order)
    assert {one.sha256 for one in order.people["party"].vouched} == {OWN, OTHER}, "the first is the person's own still"


def test_for_the_oldest_of_many_certificates_nobody_vouches_any_more() -> None:
    order = closed(opened("party"))
    for number in range(MOST_CERTIFICATES + 1):
        order = vouched(order, f"{number:064x}")
        assert admits(order, "party", f"{number:064x}")
    assert [admits(order, "party", f"{number:064x}") for number in range(MOST_CERTIFICATES + 1)] == [False] + [True] * MOST_CERTIFICATES
    assert vouched(order, f"{1:064x}").people["party"].vouched[-1].sha256 == f"{1:064x}"


def test_a_reload_needs_no_second_vouching() -> None:
    order = with_media(vouched(closed(opened("party"))))
    order = apply(order, acts.Gone(person="party", device="phone"), 0)
    order = apply(order, came("party"), 0)
    assert not everything(order)
    assert admits(order, "party", OWN)
    assert everything(with_media(order))


@pytest.mark.parametrize("how", ["code", "signature"])
def test_who_vouched_for_which_certificate_stands_in_the_record(how: str) -> None:
    order = opened("party")
    act = acts.Vouched(person="party", certificate=OWN, by=CLERK, how=how)  # type: ignore[arg-type]
    (told,) = facts(order, apply(order, act, 0), by=act.by, reason=act.reason)
    assert (told.name, told.data) == ("vouched", {"person": "party", "fingerprint": OWN, "how": how, "by": CLERK})
    assert facts(order, with_media(order)) == []


any_act = st.one_of(
    st.builds(acts.RoomIs, hearing=st.just("h1"), state=st.sampled_from(["open", "off_record"]), closed=st.booleans()),
    st.builds(
        acts.Media,
        person=st.sampled_from(PEOPLE),
        device=st.sampled_from(["phone", "tablet"]),
        certificate=st.sampled_from(["", OWN, OTHER]),
    ),
    st.builds(
        acts.Vouched, person=st.sampled_from(PEOPLE), certificate=st.sampled_from([OWN, OTHER]), by=st.just(CLERK), how=st.just("code")
    ),
    st.builds(acts.Gone, person=st.sampled_from(PEOPLE), device=st.sampled_from(["phone", "tablet"])),
    st.builds(came, st.sampled_from(PEOPLE), st.sampled_from(["phone", "tablet"])),
    st.builds(staff.ChooseDevice, by=st.just(CLERK), person=st.sampled_from(PEOPLE), accept=st.booleans()),
    st.builds(staff.Call, by=st.just(CLERK), person=st.sampled_from(PEOPLE)),
    st.builds(staff.Consult, by=st.just(CLERK), people=st.lists(st.sampled_from(PEOPLE), min_size=2, max_size=3, unique=True)),
    st.builds(acts.Share, on=st.booleans()),
)


@given(st.lists(st.tuples(any_act, st.sampled_from(PEOPLE)), max_size=30))
def test_in_no_closed_hearing_does_anything_go_to_or_from_who_is_not_vouched_for(asked: Sequence[tuple[acts.AnyAct, str]]) -> None:
    order = opened(*PEOPLE)
    vouching: dict[str, set[str]] = {}
    for act, who in asked:
        try:
            order = apply(order, act, 0, who)
        except RefusedError:
            continue
        if isinstance(act, acts.Vouched):
            vouching.setdefault(act.person, set()).add(act.certificate)
        if order.closed:
            reached = {name for _, *pair in everything(order) for name in pair} - {ROOM}
            assert all(order.people[name].media in vouching.get(name, set()) for name in reached)


def test_no_private_talk_is_begun_with_a_page_that_nobody_has_vouched_for() -> None:
    order = with_media(closed(opened("party", "counsel")))
    with pytest.raises(RefusedError, match="nobody has vouched"):
        apply(order, staff.Consult(by=CLERK, people=["party", "counsel"]), 0)
