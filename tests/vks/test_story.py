"""What the record says of the conference: each change once, by whom and why."""

from recorder.contract import conference as staff
from tests.vks.test_rules import CLERK, came, opened
from vks import acts
from vks.order import Order
from vks.rules import apply
from vks.story import facts


def told(before: Order, act: acts.AnyAct, who: str = "") -> list[tuple[str, dict[str, str | int]]]:
    after = apply(before, act, 0, who)
    return [(fact.name, fact.data) for fact in facts(before, after, by=getattr(act, "by", ""), reason=getattr(act, "reason", ""))]


def test_a_private_talk_is_an_interval_with_its_people() -> None:
    order = opened("party", "counsel", "prosecutor")
    consult = staff.Consult(by=CLERK, people=["counsel", "party"], reason="asked by counsel")
    assert told(order, consult) == [
        ("consultation_began", {"consultation": 1, "person_1": "party", "person_2": "counsel", "by": CLERK, "reason": "asked by counsel"})
    ]
    talking = apply(order, consult, 0)
    assert told(talking, staff.EndConsultation(by=CLERK, consultation=1)) == [("consultation_ended", {"consultation": 1, "by": CLERK})]
    assert told(talking, acts.Gone(person="party", device="phone", left=True)) == [
        ("consultation_ended", {"consultation": 1}), ("waits", {"person": "party"}), ("disconnected", {"person": "party"}),
    ]  # fmt: skip


def test_who_came_with_which_role_and_what_became_of_him() -> None:
    order = opened()
    assert told(order, came("witness")) == [
        ("came", {"person": "witness", "name": "Witness", "role": "witness"}), ("connected", {"person": "witness"}),
    ]  # fmt: skip
    order = apply(order, came("witness"), 0)
    assert told(order, staff.Admit(by=CLERK, person="witness")) == [("isolated", {"person": "witness", "by": CLERK})]
    order = apply(order, staff.Admit(by=CLERK, person="witness"), 0)
    assert told(order, staff.Call(by=CLERK, person="witness")) == [("called", {"person": "witness", "by": CLERK})]


def test_a_look_in_is_told_with_the_person_and_the_reason() -> None:
    look = staff.BeginLookIn(look_in="l1", person="B. Inspector", reason="late start", length_s=60, token_sha256="0" * 64)
    order = opened("party")
    assert told(order, look) == [("look_in_began", {"look_in": "l1", "person": "B. Inspector", "reason": "late start"})]
    assert told(apply(order, look, 0), staff.StopLookIn(by="A. Judge", look_in="l1", reason="private matters")) == [
        ("look_in_ended", {"look_in": "l1", "by": "A. Judge", "reason": "private matters"})
    ]


def test_what_a_large_audience_had_is_told_with_who_wanted_it_and_why_it_ended() -> None:
    order = opened("party")
    on, reached = staff.ToAudience(by=CLERK, on=True), acts.AudienceIs(reached=True)
    assert told(order, on) == [("audience_on", {"by": CLERK})]
    wanted = apply(order, on, 0)
    assert told(wanted, reached) == [("audience_began", {})]
    on_air = apply(wanted, reached, 0)
    assert told(on_air, acts.AudienceIs(reached=False, reason="the connection is lost")) == [
        ("audience_lost", {"reason": "the connection is lost"})
    ]
    assert told(on_air, acts.RoomIs(hearing="h1", state="privileged")) == [("audience_silent", {})]
    silent = apply(on_air, acts.RoomIs(hearing="h1", state="privileged"), 0)
    assert told(silent, acts.RoomIs(hearing="h1", state="open")) == [("audience_hears", {})]
    why = {"by": CLERK, "reason": "a witness is afraid"}
    assert told(on_air, staff.ToAudience(on=False, **why)) == [("audience_ended", why), ("audience_off", why)]
    assert told(wanted, acts.AudienceRefused(reason="401")) == [("audience_off", {"reason": "401"})]


def test_a_record_is_told_what_was_arranged_before_it_began_and_each_one_once() -> None:
    order = apply(Order(), acts.RoomIs(hearing="h1", state="idle", closed=True), 0)
    for name in ("party", "counsel", "interpreter", "prosecutor", "witness"):
        order = apply(order, came(name), 0)
        order = apply(order, acts.Media(person=name, device="phone", certificate=name), 0)
        order = apply(order, acts.Vouched(person=name, certificate=name, by=CLERK, how="code"), 0)
        order = apply(order, staff.Admit(by=CLERK, person=name), 0)
    for act in (
        staff.Interpret(by=CLERK, person="interpreter", channel="kk"), staff.Mute(by=CLERK, person="prosecutor", on=True),
        staff.Consult(by=CLERK, people=["party", "counsel"]), acts.Gone(person="witness", device="phone"),
    ):  # fmt: skip
        order = apply(order, act, 0)
    begins = acts.RoomIs(hearing="h1", state="open", closed=True, record="r1")
    (first, of_first), *then = told(order, begins)
    assert (first, of_first) == ("conference_began", {})
    assert all(data.pop("before") == 1 for _, data in then), "none of it happened now"
    assert [(name, data) for name, data in then if data.get("person") == "prosecutor"] == [
        ("came", {"person": "prosecutor", "name": "Prosecutor", "role": "prosecutor"}), ("admitted", {"person": "prosecutor", "by": CLERK}),
        ("connected", {"person": "prosecutor"}),
        ("vouched", {"person": "prosecutor", "fingerprint": "prosecutor", "how": "code", "by": CLERK}), ("muted", {"person": "prosecutor"}),
    ]  # fmt: skip
    assert ("interprets", {"person": "interpreter", "channel": "kk"}) in then
    assert [name for name, data in then if data.get("person") == "witness"] == ["came", "isolated", "vouched"], "who is away may come back"
    assert then[-1] == ("consultation_began", {"consultation": 1, "person_1": "party", "person_2": "counsel"})
    order = apply(order, begins, 0)
    assert told(order, acts.RoomIs(hearing="h1", state="off_record", closed=True, record="r1")) == []
    ended = acts.RoomIs(hearing="h1", state="idle", closed=True)
    assert told(order, ended) == []
    assert told(apply(order, ended, 0), acts.RoomIs(hearing="h1", state="open", closed=True, record="r2"))[0][0] == "conference_began"


def test_what_ends_with_the_process_that_held_the_conference_is_told_and_what_was_arranged_lasts() -> None:
    order = apply(opened("party", "counsel", "judge"), acts.Share(on=True), 0, "party")
    look = staff.BeginLookIn(look_in="l1", person="B. Inspector", reason="late start", length_s=60, token_sha256="0" * 64)
    for act in (
        staff.Consult(by=CLERK, people=["counsel", "judge"]), staff.ToAudience(by=CLERK, on=True), acts.AudienceIs(reached=True),
        look, acts.Looks(look_in="l1", device="device-1"),
    ):  # fmt: skip
        order = apply(order, act, 0)
    restarted = acts.Restarted()
    found = told(order, restarted)
    assert all(data.pop("reason") == restarted.reason for _, data in found)
    assert found == [
        *(("disconnected", {"person": name}) for name in ("party", "counsel", "judge")), ("share_ended", {"person": "party"}),
        ("look_in_disconnected", {"look_in": "l1"}), ("audience_lost", {}),
    ]  # fmt: skip
    assert told(apply(order, restarted, 0), came("party")) == [("connected", {"person": "party"})]
