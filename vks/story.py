"""What a change of the conference's order is in the record: every change of who could hear or be heard is told. Pure.

The facts are found by comparing the order before and after, not told by whoever made the change: no act can alter who hears whom in silence
(a property test holds it). The room's own state is told by the recorder (``pause`` and ``resume`` entries).

A record that begins knows nothing of what was arranged before: it is told all that lasts, by comparison with a conference of nobody.
"""

from collections.abc import Iterator

from recorder.contract.conference import Fact
from vks.order import AUDIENCE, Check, Order, Person, is_on_floor

MOST_NAMES = 20
"""A private talk has no more people (``staff.Consult``)."""
_PLACES = {"lobby": "waits", "hearing": "admitted", "isolated": "isolated", "dismissed": "dismissed", "removed": "removed"}


def facts(before: Order, after: Order, by: str = "", reason: str = "") -> list[Fact]:
    """What changed, in a fixed order; ``by`` and ``reason`` are put into each fact where they are known."""
    begins = after.record not in {"", before.record}
    if begins or before.hearing != after.hearing:
        before = Order(hearing=after.hearing)
    found = [
        *_room(before, after),
        *_ended_talks(before, after),
        *_people(before, after),
        *_begun_talks(before, after),
        *_screen(before, after),
    ]
    found += [*_look_ins(before, after), *_audience(before, after)]
    told: dict[str, str | int] = {key: value for key, value in (("by", by), ("reason", reason)) if value}
    if begins:
        return [Fact(name="conference_began", data={}), *(Fact(name=name, data={**data, "before": 1}) for name, data in found)]
    return [Fact(name=name, data={**told, **data}) for name, data in found]


_Found = tuple[str, dict[str, str | int]]


def _room(before: Order, after: Order) -> Iterator[_Found]:
    if (before.unsure == "room") != (after.unsure == "room"):
        yield ("room_unknown" if after.unsure == "room" else "room_known"), {}


def _people(before: Order, after: Order) -> Iterator[_Found]:
    for name, now in after.people.items():
        then = before.people.get(name)
        if then != now:
            yield from _person(then, now)


def _person(then: Person | None, now: Person) -> Iterator[_Found]:
    who: dict[str, str | int] = {"person": now.id}
    if then is None:
        yield "came", {**who, "name": now.name, "role": now.role, **({"from": now.feed} if now.feed else {})}
        then = Person(id=now.id, name=now.name, role=now.role)
    if then.place != now.place:
        called = then.place in {"isolated", "dismissed"} and now.place == "hearing"
        yield ("called" if called else _PLACES[now.place]), {**who, **({"by": now.placed_by} if now.placed_by else {})}
    if then.device != now.device and then.device:
        yield "device_changed", who
    if then.connected != now.connected:
        yield ("connected" if now.connected else "disconnected"), who
    for one in now.vouched:
        if one not in then.vouched:
            yield "vouched", {**who, "fingerprint": one.sha256, "how": one.how, **({"by": one.by} if one.by else {})}
    if then.muted != now.muted:
        yield ("muted" if now.muted else "unmuted"), who
    if then.interprets != now.interprets:
        yield "interprets", {**who, "channel": now.interprets}
    yield from _identity(then, now)
    if then.listens != now.listens:
        yield "listens", {**who, "channel": now.listens}
    if (then.hand_us is None) != (now.hand_us is None):
        yield ("hand_lowered" if now.hand_us is None else "hand_raised"), who


def _identity(then: Person, now: Person) -> Iterator[_Found]:
    """The check of who somebody is, from its beginning to what was found."""
    who: dict[str, str | int] = {"person": now.id}
    began = now.check is not None and (then.check is None or then.check.token_sha256 != now.check.token_sha256)
    if began:
        yield "identity_check_began", who
    elif then.check is not None and now.check is not None:
        yield from _stills(who, then.check, now.check)
    if then.identity != now.identity and not began:
        yield {"unchecked": "identity_unknown", "confirmed": "identity_confirmed", "refused": "identity_refused"}[now.identity], who
    elif then.check is not None and now.check is None:
        yield "identity_check_ended", who


def _stills(who: dict[str, str | int], then: Check, now: Check) -> Iterator[_Found]:
    if now.lost and (then.faces, then.documents) > (now.faces, now.documents):
        yield "identity_stills_lost", who
    for of, were, are in (("face", then.faces, now.faces), ("document", then.documents, now.documents)):
        if are > were:
            yield "identity_still_taken", {**who, "of": of, "by": now.by}


def _members(order: Order) -> dict[int, list[Person]]:
    talks: dict[int, list[Person]] = {}
    for person in order.people.values():
        if person.consultation:
            talks.setdefault(person.consultation, []).append(person)
    return talks


def _begun_talks(before: Order, after: Order) -> Iterator[_Found]:
    earlier = _members(before)
    for number, people in _members(after).items():
        if {one.id for one in people} != {one.id for one in earlier.get(number, [])}:
            name = "consultation_changed" if number in earlier else "consultation_began"
            yield name, {"consultation": number, **{f"person_{n}": one.id for n, one in enumerate(people[:MOST_NAMES], 1)}}


def _ended_talks(before: Order, after: Order) -> Iterator[_Found]:
    left = _members(after)
    for number in _members(before):
        if number not in left:
            yield "consultation_ended", {"consultation": number}


def _screen(before: Order, after: Order) -> Iterator[_Found]:
    if before.sharing == after.sharing:
        return
    if before.sharing:
        yield "share_ended", {"person": before.sharing}
    if after.sharing:
        yield "share_began", {"person": after.sharing}


def _look_ins(before: Order, after: Order) -> Iterator[_Found]:
    then, now = ({one.id: one for one in order.look_ins} for order in (before, after))
    for name in [name for name in then if name not in now]:
        yield "look_in_ended", {"look_in": name}
    for name, one in now.items():
        if name not in then:
            yield "look_in_began", {"look_in": name, "person": one.person, "reason": one.reason}
        if one.connected != (name in then and then[name].connected):
            yield ("look_in_connected" if one.connected else "look_in_disconnected"), {"look_in": name}


def _audience(before: Order, after: Order) -> Iterator[_Found]:
    if after.to_audience and not before.to_audience:
        yield "audience_on", {}
    if before.reaches_audience != after.reaches_audience:
        ended = "audience_lost" if after.to_audience else "audience_ended"
        yield ("audience_began" if after.reaches_audience else ended), {}
    hears = is_on_floor(after, AUDIENCE)
    if before.to_audience and after.to_audience and hears != is_on_floor(before, AUDIENCE):
        yield ("audience_hears" if hears else "audience_silent"), {}
    if before.to_audience and not after.to_audience:
        yield "audience_off", {}
