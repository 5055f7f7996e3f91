"""What an act makes of the conference's order, or why it is refused. Pure; the clock is passed in.

``apply`` settles the order after each act, so that what is no longer allowed ends by itself: a share whose owner has left the floor, a
private talk of one, a look-in that is over or that the room's state forbids.
"""

from collections.abc import Callable

from msgspec.structs import replace

from recorder.contract import conference as staff
from vks import acts, identity
from vks.order import (
    ADMITTED_ANEW,
    AUDIENCE,
    ROOM,
    SILENT,
    WAITS_TO_BE_CALLED,
    LookIn,
    Order,
    OwnCertificate,
    Person,
    Place,
    is_kept_out,
    is_on_floor,
    is_open,
    is_reached,
    may_look_in,
    may_speak,
)
from vks.refused import RefusedError as RefusedError  # noqa: PLC0414 - everybody takes it from here

MOST_PEOPLE = 500
"""In one hearing, whoever has come and gone."""
FED = "from-audience-"
"""Before a number, the name of a speaker of the large audience."""
MOST_LOOK_INS = 4
"""At once: all are named on the courtroom's screen."""
MOST_CERTIFICATES = 4
"""Of one person: for the oldest nobody vouches any more."""


def apply(order: Order, act: acts.AnyAct, now_us: int, who: str = "", seats: int = MOST_PEOPLE) -> Order:
    """The order after the act.

    Args:
        order: how it stands.
        act: what is asked.
        now_us: CLOCK_MONOTONIC.
        who: the person on whose connection a participant's act came.
        seats: so many people who may be heard and seen the recorder takes at once. Nobody is let in beyond them: what the court hears of
            people is recorded. A language channel takes a seat.

    Raises:
        RefusedError: it cannot be done; nothing has changed.
    """
    before = order
    match act:
        case acts.Came():
            order = _came(order, act)
        case acts.Gone():
            order = _gone(order, act)
        case acts.Media():
            order = _media(order, act)
        case acts.Vouched():
            order = _vouched(order, act)
        case acts.RoomIs():
            order = _room_is(order, act)
        case staff.BeginLookIn():
            order = _begin_look_in(order, act, now_us)
        case acts.Looks():
            order = _looks(order, act)
        case acts.LooksNoMore():
            order = _each_look_in(order, act.look_in, lambda one: replace(one, connected=False))
        case staff.EndLookIn() | staff.StopLookIn():
            order = replace(order, look_ins=tuple(one for one in order.look_ins if one.id != act.look_in))
        case staff.ToAudience():
            order = _to_audience(order, on=act.on)
        case acts.AudienceIs():
            order = replace(order, reaches_audience=act.reached, audience_fault=act.reason)
        case acts.AudienceRefused():
            order = replace(order, to_audience=False, audience_fault=act.reason)
        case staff.TakeIn():
            order = _take_in(order, act)
        case acts.FeedRefused():
            order = _each(order, lambda one: replace(one, place="dismissed") if one.id == act.person else one)
        case acts.Restarted():
            order = _restarted(order)
        case acts.TimeIs():
            pass
        case acts.RaiseHand() | acts.Share() | acts.Listen() | acts.LeaveConsultation():
            order = _own(order, _person(order, who), act, now_us)
        case staff.Consult():
            order = _consult(order, act)
        case staff.EndConsultation():
            order = _each(order, lambda one: replace(one, consultation=0) if one.consultation == act.consultation else one)
        case staff.Identify() | staff.TakeStill() | staff.ConfirmIdentity() | staff.RefuseIdentity() | acts.StillTaken() | acts.CheckSeen():
            order = _with(order, identity.asked(order, _person(order, act.person), act, now_us))
        case acts.StillsLost():
            order = _each(order, identity.without_stills)
        case staff.StopShare():
            order = replace(order, sharing="")
        case _:
            order = _with(order, _placed(_person(order, act.person), act, order))
    after = _placed_by(before, _settled(order, now_us), getattr(act, "by", ""))
    if (seated := _seated_in(after)) > seats and seated > _seated_in(before):
        raise RefusedError(
            "no_seat",
            f"{seats} people take part, a language channel counted as one, and the recorder takes no more: "
            "dismiss somebody first, or raise [ingest] max_tracks",
        )
    if isinstance(act, staff.Identify) and identity.checks_beside(after) > max(identity.MOST_CHECKS, identity.checks_beside(before)):
        raise RefusedError(
            "too_many_checks",
            f"the identities of {identity.MOST_CHECKS} people outside of the hearing are checked, and the recorder takes no more at once: "
            "end one of these checks first",
        )
    return after


def _seated_in(order: Order) -> int:
    """How many people are in the hearing who are recorded there, with the language channels that they may speak into."""
    seated = [one for one in order.people.values() if one.place == "hearing" and one.role not in SILENT]
    return len(seated) + len({one.interprets for one in seated} - {""})


def _placed_by(before: Order, after: Order, by: str) -> Order:
    moved = {one.id for one in after.people.values() if one.id not in before.people or before.people[one.id].place != one.place}
    return _each(after, lambda one: replace(one, placed_by=by) if one.id in moved else one) if moved else after


def _placed(person: Person, act: staff.OfStaff, order: Order) -> Person:
    """What the clerk does with one person."""
    match act:
        case staff.Admit():
            if person.place != "lobby":
                raise RefusedError("not_in_lobby", f"{person.name} does not wait in the lobby")
            return replace(person, place="isolated" if person.role in WAITS_TO_BE_CALLED else "hearing", changed=False)
        case staff.Call():
            if person.place not in {"isolated", "dismissed"}:
                raise RefusedError("not_apart", f"{person.name} neither waits apart nor was dismissed")
            return replace(person, place="hearing", changed=False)
        case staff.Isolate():
            return replace(_admitted(person), place="isolated", hand_us=None, consultation=0)
        case staff.Dismiss():
            return replace(_admitted(person), place="dismissed", hand_us=None, consultation=0)
        case staff.Remove():
            # What was found of a person who is put out holds no more: the clerk may have taken somebody else for him.
            return _seated(replace(person, place="removed", hand_us=None, consultation=0, connected=False, rival="", vouched=()), "")
        case staff.Readmit():
            if person.place != "removed":
                raise RefusedError("not_removed", f"{person.name} was not removed")
            if is_kept_out(order, person):
                raise RefusedError(
                    "not_public", f"{person.name} is an observer, and the hearing is not public: readmit him when it is again"
                )
            return replace(person, place="lobby")
        case staff.Mute():
            return replace(person, muted=act.on)
        case staff.LowerHand():
            return replace(person, hand_us=None)
        case staff.Interpret():
            if person.role != "interpreter":
                raise RefusedError("not_interpreter", f"{person.name} is no interpreter")
            return replace(person, interprets=act.channel)
        case staff.ChooseDevice():
            return _chosen(person, accept=act.accept)
        case _:
            raise RefusedError("unknown", f"{type(act).__name__} is nothing that is done with one person")


def _own(order: Order, person: Person, act: acts.OfParticipant, now_us: int) -> Order:
    match act:
        case acts.RaiseHand():
            if act.on and not is_on_floor(order, person.id):
                raise RefusedError("not_in_hearing", f"{person.name} does not take part now")
            return _with(order, replace(person, hand_us=(person.hand_us or now_us) if act.on else None))
        case acts.Share():
            return _share(order, person, on=act.on)
        case acts.Listen():
            if not is_on_floor(order, person.id) and not person.consultation:
                raise RefusedError("not_in_hearing", f"{person.name} does not take part now")
            return _with(order, replace(person, listens=act.channel))
        case acts.LeaveConsultation():
            return _with(order, replace(person, consultation=0))


def _share(order: Order, person: Person, *, on: bool) -> Order:
    if not on:
        return replace(order, sharing="") if order.sharing == person.id else order
    if not is_on_floor(order, person.id) or not may_speak(order, person.id):
        raise RefusedError("not_in_hearing", f"{person.name} may not show anything now")
    if order.sharing not in {"", person.id}:
        raise RefusedError("other_screen", f"{order.people[order.sharing].name} shows a screen already")
    return replace(order, sharing=person.id)


def _consult(order: Order, act: staff.Consult) -> Order:
    chosen = {_person(order, name).id for name in act.people}
    for name in chosen:
        person = order.people[name]
        if person.place not in {"lobby", "hearing", "isolated"} or person.role in SILENT or not person.connected:
            raise RefusedError("not_there", f"{person.name} cannot be spoken with now")
        if not is_reached(order, person):
            raise RefusedError("unvouched", f"nobody has vouched for the page of {person.name}: it hears nobody, and nobody hears it")
        if person.feed:
            raise RefusedError(
                "fed", f"{person.name} speaks from the large audience: others may hear what is said there, and nothing goes back"
            )
        if person.consultation:
            raise RefusedError("consults", f"{person.name} is in a private talk already")
        if person.check is not None:
            raise RefusedError("checked", f"the identity of {person.name} is being checked")
    if len(chosen) < 2:
        raise RefusedError("alone", "a private talk takes two people at least")
    number = order.consultations + 1
    order = replace(order, consultations=number)
    return _each(order, lambda one: replace(one, consultation=number, hand_us=None) if one.id in chosen else one)


def _came(order: Order, act: acts.Came) -> Order:
    person = order.people.get(act.person)
    if person is not None and person.feed and act.device != AUDIENCE:
        raise RefusedError("name", f"{person.name} was taken in out of the large audience")
    if person is None:
        if act.person == ROOM or act.person.startswith(FED):
            raise RefusedError("name", "that name is the room's own")
        if len(order.people) >= MOST_PEOPLE:
            raise RefusedError("full", f"{MOST_PEOPLE} people have come to this hearing; no more are taken")
        return _with(order, Person(id=act.person, name=act.name, role=act.role, device=act.device, connected=True))
    if person.place == "removed" and is_kept_out(order, person):
        raise RefusedError("not_public", f"{person.name} is an observer, and the hearing is not public")
    if person.place == "removed":
        raise RefusedError("removed", f"{person.name} was put out of the hearing")
    if person.rival not in {"", act.device} and person.device != act.device:
        # The clerk was asked about the device that waits: another one in its place would be let in by his answer.
        raise RefusedError("other_waits", f"another device of {person.name} waits for the clerk already")
    if person.device != act.device and (person.connected or person.contested):
        return _with(order, replace(person, rival=act.device, contested=True))
    if person.device == act.device:
        return _with(order, replace(person, connected=True, media=""))
    # Another device while the first is not there. What a hearing that is not public would show, only the clerk shows to it.
    waits = order.closed or (person.place == "hearing" and person.role in ADMITTED_ANEW)
    seated = _seated(replace(person, connected=True, rival="", place="lobby" if waits else person.place), act.device)
    return _with(order, replace(seated, changed=True))


def _seated(person: Person, device: str) -> Person:
    """Another device holds the seat: who sits at it nobody has checked, so it is in no private talk."""
    return replace(person, device=device, media="", identity="unchecked", check=None, looked_at="", consultation=0, changed=False)


def _chosen(person: Person, *, accept: bool) -> Person:
    """The clerk says which device is the person's own."""
    if person.rival:
        return _seated(replace(person, rival="", connected=True), person.rival) if accept else replace(person, rival="")
    if person.changed and accept:
        return replace(person, changed=False)
    if person.changed:
        raise RefusedError("no_other_device", f"{person.name} is here with one device only: put it out by `remove` if it is a stranger's")
    raise RefusedError("no_other_device", f"{person.name} has come with one device only")


def _gone(order: Order, act: acts.Gone) -> Order:
    person = order.people.get(act.person)
    if person is None:
        return order
    if person.rival == act.device:
        return _with(order, replace(person, rival=""))
    if person.device != act.device:
        return order
    if act.left:  # whoever opens the link in that browser afterwards may be somebody else
        place: Place = person.place if person.place in {"dismissed", "removed"} else "lobby"
        person = replace(person, hand_us=None, consultation=0, place=place)
    return _with(order, replace(person, connected=False))


def _media(order: Order, act: acts.Media) -> Order:
    person = _person(order, act.person)
    if person.device != act.device:
        return order
    if person.looked_at not in {"", act.certificate}:
        person = person if person.check is None else identity.broken_off(person)
        person = replace(person, identity="unchecked", looked_at="")
    elif person.check is not None:
        person = replace(person, looked_at=act.certificate)
    return _with(order, replace(person, media=act.certificate))


def _vouched(order: Order, act: acts.Vouched) -> Order:
    person = _person(order, act.person)
    others = [one for one in person.vouched if one.sha256 != act.certificate]
    vouched = (*others, OwnCertificate(sha256=act.certificate, how=act.how, by=act.by))[-MOST_CERTIFICATES:]
    return _with(order, replace(person, vouched=vouched))


def _room_is(order: Order, act: acts.RoomIs) -> Order:
    if act.hearing != order.hearing:
        order = Order(hearing=act.hearing)
    return replace(order, room=act.state, closed=act.closed, unsure=act.unsure, record=act.record)


def _restarted(order: Order) -> Order:
    order = _each(order, lambda one: replace(one, connected=False, rival=""))
    look_ins = tuple(replace(one, connected=False) for one in order.look_ins)
    return replace(order, look_ins=look_ins, sharing="", reaches_audience=False)


def _begin_look_in(order: Order, act: staff.BeginLookIn, now_us: int) -> Order:
    if not may_look_in(order):
        raise RefusedError("not_open", "no open hearing is recorded now: nobody may look in")
    if any(one.id == act.look_in or one.token_sha256 == act.token_sha256 for one in order.look_ins):
        raise RefusedError("look_in_known", "this look-in has begun already")
    if len(order.look_ins) >= MOST_LOOK_INS:
        raise RefusedError("too_many", f"{MOST_LOOK_INS} look in already")
    until_us = now_us + act.length_s * 1_000_000
    begun = LookIn(id=act.look_in, person=act.person, reason=act.reason, until_us=until_us, token_sha256=act.token_sha256)
    return replace(order, look_ins=(*order.look_ins, begun))


def _looks(order: Order, act: acts.Looks) -> Order:
    one = next((one for one in order.look_ins if one.id == act.look_in), None)
    if one is None:
        raise RefusedError("look_in_over", "this look-in is over")
    if one.device not in {"", act.device}:
        raise RefusedError("look_in_used", "another device has opened this link")
    return _each_look_in(order, one.id, lambda one: replace(one, device=act.device, connected=True))


def _each_look_in(order: Order, look_in: str, change: Callable[[LookIn], LookIn]) -> Order:
    return replace(order, look_ins=tuple(change(one) if one.id == look_in else one for one in order.look_ins))


def _take_in(order: Order, act: staff.TakeIn) -> Order:
    if order.closed or not is_open(order):
        raise RefusedError("not_open", "no public hearing is held now: nobody is taken in")
    if any(one.feed == act.feed and one.place not in {"dismissed", "removed"} for one in order.people.values()):
        raise RefusedError("taken_in", "this speaker was taken in already")
    if act.role in SILENT:
        raise RefusedError("silent", "an observer does not speak: name another role")
    if len(order.people) >= MOST_PEOPLE:
        raise RefusedError("full", f"{MOST_PEOPLE} people have come to this hearing; no more are taken")
    number = sum(bool(one.feed) for one in order.people.values()) + 1
    place: Place = "isolated" if act.role in WAITS_TO_BE_CALLED else "hearing"
    return _with(order, Person(id=f"{FED}{number}", name=act.name, role=act.role, place=place, device=AUDIENCE, feed=act.feed))


def _to_audience(order: Order, *, on: bool) -> Order:
    if on and not may_look_in(order):
        raise RefusedError("not_open", "no open hearing is recorded now: it is handed to nobody")
    return replace(order, to_audience=on, audience_fault="")


def _settled(order: Order, now_us: int) -> Order:
    """End what may not go on."""
    if order.closed:
        order = _each(order, lambda one: replace(one, place="removed", connected=False) if is_kept_out(order, one) else one)
    order = _each(order, lambda one: identity.settled(order, one, now_us))
    sizes: dict[int, int] = {}
    for person in order.people.values():
        sizes[person.consultation] = sizes.get(person.consultation, 0) + 1
    order = _each(order, lambda one: replace(one, consultation=0) if one.consultation and sizes[one.consultation] < 2 else one)
    if order.sharing and not (is_on_floor(order, order.sharing) and may_speak(order, order.sharing)):
        order = replace(order, sharing="")
    if order.closed or order.room in {"idle", "closing"}:
        order = replace(order, to_audience=False)
    if order.reaches_audience and not order.to_audience:
        order = replace(order, reaches_audience=False)
    kept = tuple(one for one in order.look_ins if one.until_us > now_us) if may_look_in(order) else ()
    return replace(order, look_ins=kept) if kept != order.look_ins else order


def _admitted(person: Person) -> Person:
    if person.place in {"lobby", "removed"}:
        raise RefusedError("not_admitted", f"{person.name} has not been admitted")
    return person


def _person(order: Order, name: str) -> Person:
    person = order.people.get(name)
    if person is None:
        raise RefusedError("unknown_person", f"nobody in this hearing is '{name}'")
    return person


def _with(order: Order, person: Person) -> Order:
    return replace(order, people={**order.people, person.id: person})


def _each(order: Order, change: Callable[[Person], Person]) -> Order:
    return replace(order, people={name: change(person) for name, person in order.people.items()})
