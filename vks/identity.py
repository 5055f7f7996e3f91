"""The check of who somebody is: what may be asked while it goes on, and when it is over. Pure.

The clerk begins it, has a still taken of the face and one of the document, and confirms or refuses. Until then the clerk alone sees the
person (``order.sees``), and of the camera nothing is recorded but the stills. It goes on only while a session is open: else a still would
stand in no record.
"""

from typing import Literal

from msgspec.structs import replace

from recorder.contract import conference as staff
from vks import acts
from vks.order import SILENT, Check, Order, Person, is_reached
from vks.refused import RefusedError

WISH_US = 10_000_000
"""A still that no picture has given by then is taken no more: the clerk looks elsewhere."""
MOST_CHECKS = 3
"""At once, of people who are not in the hearing: stills of each are a track that the recorder takes beside those of the hearing. Who is in
it has a camera's track less meanwhile."""
_PLACES = frozenset({"lobby", "hearing", "isolated"})

Asked = staff.OfIdentity | acts.StillTaken | acts.CheckSeen


def asked(order: Order, person: Person, act: Asked, now_us: int) -> Person:
    """The person after the act.

    Raises:
        RefusedError: it cannot be done.
    """
    if isinstance(act, staff.Identify):
        _admit(order, person)
        return replace(person, check=Check(by=act.by, token_sha256=act.token_sha256), identity="unchecked", looked_at=person.media)
    check = person.check
    if check is None:
        raise RefusedError("not_checked", f"nobody checks the identity of {person.name}: begin by `identify`")
    match act:
        case acts.CheckSeen():
            if check.device not in {"", act.device}:
                raise RefusedError("check_seen", "this link was opened already")
            return replace(person, check=replace(check, device=act.device))
        case staff.TakeStill():
            return replace(person, check=replace(check, by=act.by, wanted=act.of, wanted_until_us=now_us + WISH_US))
        case acts.StillTaken():
            if check.wanted != act.of:
                raise RefusedError("not_wanted", f"no still of the {act.of} is asked for")
            return replace(person, check=_with_still(check, act.of))
        case staff.ConfirmIdentity():
            if not (check.faces and check.documents):
                missing = "the document" if check.faces else "the face"
                if check.lost:
                    words = f"the recorder was away, and what was taken may be in no record: take the still of {missing} anew"
                    raise RefusedError("still_lost", words)
                raise RefusedError("no_still", f"there is no still yet of {missing}: take it first")
            return replace(person, check=None, identity="confirmed")
        case staff.RefuseIdentity():
            return replace(person, check=None, identity="refused")


def settled(order: Order, person: Person, now_us: int) -> Person:
    """End a check that may not go on, and a wish that nothing has fulfilled."""
    check = person.check
    if check is None:
        return person
    if not is_reached(order, person):
        return broken_off(person)
    if not _may_go_on(order, person):
        return replace(person, check=None)
    if check.wanted is not None and check.wanted_until_us <= now_us:
        return replace(person, check=replace(check, wanted=None))
    return person


def broken_off(person: Person) -> Person:
    """The page that was looked at is gone in the midst of a check.

    It may be back in a moment with the document still before the camera: whoever took part waits until the clerk admits him anew.
    """
    if person.place == "hearing":
        person = replace(person, place="lobby", hand_us=None)
    return replace(person, check=None)


def without_stills(person: Person) -> Person:
    """What was taken in a check that goes on does not count."""
    check = person.check
    if check is None or not (check.faces or check.documents):
        return person
    return replace(person, check=replace(check, faces=0, documents=0, lost=True))


def step(person: Person) -> Literal["", "face", "document", "done"]:
    """What the person is asked to show; empty where nobody checks."""
    check = person.check
    if check is None:
        return ""
    if check.wanted is not None:
        return check.wanted
    if not check.faces:
        return "face"
    return "done" if check.documents else "document"


def standing(person: Person) -> staff.Identity:
    """What is known of who the person is."""
    return person.identity if person.check is None else "checking"


def checks_beside(order: Order) -> int:
    """How many people are checked who are not in the hearing."""
    return sum(one.check is not None and one.place != "hearing" for one in order.people.values())


def _admit(order: Order, person: Person) -> None:
    if order.room != "open":
        raise RefusedError("not_open", "nothing is recorded now, and stills of an identity check belong into the record: begin the session")
    if person.role in SILENT:
        raise RefusedError("no_picture", f"{person.name} only follows the hearing, and sends no picture")
    if person.feed:
        raise RefusedError("fed", f"{person.name} speaks from the large audience, and has no page that would say what to show")
    if person.consultation:
        raise RefusedError("consults", f"{person.name} is in a private talk")
    if not _may_go_on(order, person):
        raise RefusedError("not_there", f"{person.name} cannot be seen now")


def _may_go_on(order: Order, person: Person) -> bool:
    return order.room == "open" and is_reached(order, person) and person.place in _PLACES and not person.consultation


def _with_still(check: Check, of: staff.StillOf) -> Check:
    if of == "face":
        return replace(check, wanted=None, faces=check.faces + 1)
    return replace(check, wanted=None, documents=check.documents + 1)
