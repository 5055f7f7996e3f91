"""Which device holds a person's seat, and what another one that comes by the same link is not given."""

import pytest

from recorder.contract import conference as staff
from tests.vks.browsers import until
from tests.vks.test_rules import CLERK, came, everything, opened
from tests.vks.test_service import House, invited
from tests.vks.test_service import house as house  # noqa: PLC0414 - a fixture is used by its name
from vks import acts, signalling
from vks.hall import FACTS_BURST
from vks.order import Order, hears, is_on_floor
from vks.rules import RefusedError, apply


def gone(order: Order, name: str, device: str = "phone", *, left: bool = False) -> Order:
    return apply(order, acts.Gone(person=name, device=device, left=left), 0)


def test_another_device_enters_no_private_talk_though_the_seat_is_free() -> None:
    order = apply(opened("party", "counsel", "prosecutor"), staff.Consult(by=CLERK, people=["party", "counsel", "prosecutor"]), 0)
    order = apply(gone(order, "party"), came("party", "stranger"), 0)
    assert not hears(order, "party", "counsel")
    assert hears(order, "prosecutor", "counsel")
    assert apply(gone(order, "counsel"), came("counsel"), 0).people["counsel"].consultation == 1  # the same device goes on


def test_a_device_that_the_clerk_lets_take_the_seat_is_not_in_the_private_talk_either() -> None:
    order = apply(opened("party", "counsel"), staff.Consult(by=CLERK, people=["party", "counsel"]), 0)
    order = apply(order, came("party", "stranger"), 0)
    order = apply(order, staff.ChooseDevice(by=CLERK, person="party", accept=True), 0)
    assert order.people["party"].device == "stranger"
    assert order.people["party"].consultation == order.people["counsel"].consultation == 0


@pytest.mark.parametrize("role", ["witness", "interpreter"])
def test_another_device_of_who_gives_evidence_waits_in_the_lobby(role: str) -> None:
    order = opened("party", role)
    if role == "witness":
        order = apply(order, staff.Call(by=CLERK, person=role), 0)
    assert is_on_floor(order, role)
    order = apply(gone(order, role), came(role, "stranger"), 0)
    assert order.people[role].place == "lobby"
    assert not any(role in pair for pair in everything(order))


def test_a_changed_device_is_marked_until_the_clerk_says_that_it_is_right() -> None:
    order = apply(gone(opened("party"), "party"), came("party", "tablet"), 0)
    assert order.people["party"].changed
    with pytest.raises(RefusedError, match="put it out by `remove`"):
        apply(order, staff.ChooseDevice(by=CLERK, person="party", accept=False), 0)
    assert not apply(order, staff.ChooseDevice(by=CLERK, person="party", accept=True), 0).people["party"].changed
    assert apply(gone(order, "party", "tablet"), came("party", "tablet"), 0).people["party"].changed


def test_a_device_that_the_clerk_refused_waits_for_him_again_though_the_seat_is_free() -> None:
    order = apply(opened("party", "counsel"), came("party", "stranger"), 0)
    order = apply(order, staff.ChooseDevice(by=CLERK, person="party", accept=False), 0)
    for name in ("stranger", "renamed"):  # a device names itself
        tried = apply(gone(order, "party"), came("party", name), 0)
        assert (tried.people["party"].device, tried.people["party"].rival) == ("phone", name)
        assert not any("party" in pair for pair in everything(tried))
    assert is_on_floor(apply(tried, came("party"), 0), "party")


def test_the_clerk_decides_about_the_device_that_he_was_asked_about() -> None:
    order = apply(opened("party", "counsel"), came("party", "laptop"), 0)
    with pytest.raises(RefusedError, match="waits for the clerk already") as refused:
        apply(order, came("party", "stranger"), 0)
    assert refused.value.code == "other_waits"
    assert apply(order, came("party", "laptop"), 0).people["party"].rival == "laptop"
    order = apply(order, staff.ChooseDevice(by=CLERK, person="party", accept=False), 0)
    assert apply(order, came("party", "stranger"), 0).people["party"].rival == "stranger", "he may be asked about the next one"


def test_a_device_that_waits_takes_no_seat_by_dialling_again() -> None:
    order = apply(opened("party", "counsel"), came("party", "stranger"), 0)
    order = gone(order, "party", "stranger")
    order = apply(gone(order, "party"), came("party", "stranger"), 0)
    assert not any("party" in pair for pair in everything(order))
    order = apply(order, staff.ChooseDevice(by=CLERK, person="party", accept=True), 0)
    assert (order.people["party"].device, is_on_floor(order, "party")) == ("stranger", True)


@pytest.mark.parametrize("role", ["party", "witness", "observer"])
def test_who_left_by_his_own_will_waits_for_the_clerk_when_he_is_back(role: str) -> None:
    order = apply(gone(opened(role, "counsel"), role, left=True), came(role), 0)
    assert order.people[role].place == "lobby"
    assert not any(role in pair for pair in everything(order))
    assert apply(gone(opened(role), role), came(role), 0).people[role].place != "lobby", "a lost connection leads back"


@pytest.mark.parametrize(("act", "place"), [(staff.Dismiss, "dismissed"), (staff.Remove, "removed")])
def test_leaving_undoes_nothing_that_the_clerk_said(act: type[staff.Dismiss | staff.Remove], place: str) -> None:
    order = apply(opened("party"), act(by=CLERK, person="party"), 0)
    assert gone(order, "party", left=True).people["party"].place == place


async def test_a_refused_device_that_tries_again_waits_for_the_clerk_though_the_seat_is_free(house: House) -> None:
    token, invitation = invited("p1")
    agent = await house.agent()
    await agent.hold(invitation)
    await until(lambda: agent.stands, "the hearing is held")
    phone = await house.come(token, "phone-01")
    await phone.first(signalling.Welcome)
    await agent.ask(staff.Admit(by=CLERK, person="p1"))
    stranger = await house.come(token, "stranger")
    await stranger.first(signalling.Wait)
    await agent.ask(staff.ChooseDevice(by=CLERK, person="p1", accept=False))
    assert (await stranger.first(signalling.Bye)).code == "elsewhere"
    await phone.close()
    stranger = await house.come(token, "stranger")
    await stranger.first(signalling.Wait)
    assert stranger.all(signalling.View) == []
    await agent.ask(staff.ChooseDevice(by=CLERK, person="p1", accept=True))
    await until(lambda: stranger.place == "hearing", "the seat, by the clerk's word")


async def test_who_dials_on_and_on_with_a_copy_of_a_link_takes_nothing_of_its_owners_measure(house: House) -> None:
    token, invitation = invited("p1")
    agent = await house.agent()
    await agent.hold(invitation)
    await until(lambda: agent.stands, "the hearing is held")
    phone = await house.come(token, "phone-01")
    resume = (await phone.first(signalling.Welcome)).resume
    await agent.ask(staff.Admit(by=CLERK, person="p1"))
    _, strangers = await house.join(token, "stranger")
    for _ in range(10 * FACTS_BURST):
        stranger = await house.page(strangers["resume"])
        await until(lambda: stranger.all(signalling.Wait) or stranger.all(signalling.Bye), "the answer")  # noqa: B023 - at once
        await stranger.close()
        if stranger.all(signalling.Bye):
            break
    assert (await stranger.first(signalling.Bye)).code == "too_many"
    await phone.say(signalling.Do(act=acts.RaiseHand(on=True)))
    await until(lambda: phone.all(signalling.View)[-1].hand or phone.all(signalling.Refused), "the hand")
    assert not phone.all(signalling.Refused)
    await phone.close()
    phone = await house.page(resume)
    await phone.first(signalling.View)
    assert phone.place == "hearing"


async def test_two_people_who_use_one_browser_do_not_take_each_others_seats(house: House) -> None:
    (token, invitation), (other, second) = invited("p1"), invited("p2")
    agent = await house.agent()
    await agent.hold(invitation, second)
    await until(lambda: agent.stands, "the hearing is held")
    phone = await house.come(token, "phone-01")
    await phone.first(signalling.Welcome)
    computer = await house.come(token, "computer")
    await computer.first(signalling.Wait)
    neighbour = await house.come(other, "computer")
    await neighbour.first(signalling.Welcome)
    await agent.ask(staff.ChooseDevice(by=CLERK, person="p1", accept=True))
    await computer.first(signalling.View)
    assert (await phone.first(signalling.Bye)).code == "elsewhere"
