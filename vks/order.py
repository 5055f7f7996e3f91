"""Who is in the hearing, and who hears and sees whom: the conference's state as one value. Pure; ``rules.py`` changes it.

Theory of operation. Everybody who may hear or be heard is a *person* with a *place*, or the courtroom itself (``ROOM``). Two people are
together on the *floor* or in one *consultation*; whoever is in neither hears nobody and is heard by nobody. ``hears`` and ``sees`` are all
that the forwarding of sound and pictures asks: nothing else decides what goes to whom, or what goes to the recorder (``recorded``).

The floor and every consultation are closed while the room is privileged or deliberates (invariant 8), while no session runs, and while
nobody says which of these it is.
"""

from typing import Literal, get_args

import msgspec

from recorder.contract.conference import Role, StillOf
from recorder.contract.control import State as RoomState

ROLES: tuple[Role, ...] = get_args(Role)
Place = Literal["lobby", "hearing", "isolated", "dismissed", "removed"]
"""``isolated``: admitted, and neither sees nor hears until called. ``dismissed``: was heard and is not needed now."""

ROOM = "room"
"""The courtroom among those who hear and are heard. No person bears this name (``rules.py``)."""
WAITS_TO_BE_CALLED: frozenset[Role] = frozenset({"witness"})
"""Whom admission leads into isolation."""
ADMITTED_ANEW: frozenset[Role] = frozenset({"witness", "interpreter"})
"""Whose other device waits in the lobby: what they say is evidence, so the clerk sees first who says it."""
SILENT: frozenset[Role] = frozenset({"observer"})
"""Who sends neither sound nor pictures."""
AUDIENCE = "audience:"
"""The large audience among those who hear and see. It stands elsewhere, and sends nothing; no person can bear this name (``PersonId``)."""
LOOKS_IN = "look-in:"
"""Before its id, the name of a look-in among those who hear and see. No person can bear such a name (``PersonId``)."""
CHECKS = "identity:"
"""Before a person's name, the clerk's screen on which that person's identity is checked. No person can bear such a name."""
CHANNEL = "channel:"
"""Before its language, the name of a language channel among those who hear: the record has of it what a silent listener hears. No person
can bear such a name."""
Unsure = Literal["", "recording", "room"]
"""What is not known: whether the session is recorded, for the recorder is silent; or what state the room is in, for the agent is."""
_TALKS: frozenset[RoomState] = frozenset({"open", "off_record"})


class Struct(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the conference's values: they are kept by the agent as JSON while this process is gone."""


class OwnCertificate(Struct, frozen=True, kw_only=True):
    """A certificate for which somebody has vouched (``vouching.py``)."""

    sha256: str
    how: Literal["code", "signature"]
    by: str = ""
    """Who."""


class Check(Struct, frozen=True, kw_only=True):
    """The clerk checks who somebody is (``identity.py``)."""

    by: str
    """Who asked last."""
    token_sha256: str
    """Of the token of the link by which a screen shows the person."""
    device: str = ""
    """The page that has opened the link: it opens for no other."""
    wanted: StillOf | None = None
    wanted_until_us: int = 0
    faces: int = 0
    documents: int = 0
    """Stills that were taken."""
    lost: bool = False
    """There were others, which may be in no record."""


class Person(Struct, frozen=True, kw_only=True):
    """Somebody who has come by a link."""

    id: str
    name: str
    role: Role
    place: Place = "lobby"
    placed_by: str = ""
    """Who of the staff said so; empty: nobody has."""
    device: str = ""
    """The device that holds the seat."""
    changed: bool = False
    """It took the seat of one that was gone, and the clerk has not said yet that this is right."""
    connected: bool = False
    rival: str = ""
    """Another device that came with this person's link while the first is there; the clerk says which it is to be."""
    contested: bool = False
    """There was one. From then on none but the device that holds the seat takes it without the clerk's word: a refused one may give itself
    another name."""
    muted: bool = False
    """By the clerk: neither heard nor recorded."""
    hand_us: int | None = None
    """Since when the hand is raised (CLOCK_MONOTONIC)."""
    listens: str = ""
    """The language channel that is heard; empty: the floor as it is spoken."""
    interprets: str = ""
    """The language channel that an interpreter speaks into; empty: the floor."""
    consultation: int = 0
    """The number of the private consultation; 0: none."""
    feed: str = ""
    """From where a speaker of the large audience is fetched; empty: the person comes by a link."""
    media: str = ""
    """By what media goes: the certificate of the other end (SHA-256, hexadecimal). Empty: there is none."""
    vouched: tuple[OwnCertificate, ...] = ()
    """Those that are certainly this person's own, the newest last: of a telephone and a PC, say."""
    identity: Literal["unchecked", "confirmed", "refused"] = "unchecked"
    """What the last check has found. It is of the page that was looked at: a device's name may be copied, its certificate's key may not."""
    looked_at: str = ""
    """The certificate of that page (SHA-256, hexadecimal)."""
    check: Check | None = None
    """The check that goes on."""


class LookIn(Struct, frozen=True, kw_only=True):
    """A named person of the Situation Centre sees and hears the floor until ``until_us`` (CLOCK_MONOTONIC)."""

    id: str
    person: str
    reason: str
    until_us: int
    token_sha256: str
    """Of the link's token."""
    device: str = ""
    """The one that opened the link first: it opens for no other."""
    connected: bool = False


class Order(Struct, frozen=True, kw_only=True):
    """The whole state. ``people`` by their id, in the order in which they came."""

    hearing: str = ""
    room: RoomState = "idle"
    """What it was when it was known last."""
    unsure: Unsure = ""
    record: str = ""
    """That which is made of the hearing, and has been told how the conference stands."""
    closed: bool = False
    """The hearing is not public: no observers, no look-in, and nobody whose certificate is not vouched for."""
    people: dict[str, Person] = {}
    consultations: int = 0
    """How many there have been: the number of the newest."""
    sharing: str = ""
    """Whose screen is shown."""
    look_ins: tuple[LookIn, ...] = ()
    to_audience: bool = False
    """Staff want the hearing to be handed to the large audience's server while it is public."""
    reaches_audience: bool = False
    """The connection to that server stands."""
    audience_fault: str = ""
    """Why it does not, or why it was given up."""


def is_open(order: Order) -> bool:
    """Whether anybody may hear anybody: not while the room is privileged or deliberates, or may be, nor while no session runs."""
    return order.room in _TALKS and order.unsure != "room"


def is_on_floor(order: Order, name: str) -> bool:
    """Whether this person, or the room, takes part in the open talk, or a look-in hears and sees it."""
    if not is_open(order):
        return False
    if name == ROOM:
        return True
    if name == AUDIENCE:
        return order.to_audience and may_look_in(order)
    if name.startswith(CHANNEL):
        return name.removeprefix(CHANNEL) in recorded_channels(order)
    if name.startswith(LOOKS_IN):
        return may_look_in(order) and any(looker(one) == name for one in order.look_ins)
    person = order.people.get(name)
    return person is not None and is_reached(order, person) and person.place == "hearing" and not person.consultation


def is_kept_out(order: Order, person: Person) -> bool:
    """Whether the person may not be there because the hearing is not public."""
    return order.closed and person.role in SILENT


def is_reached(order: Order, person: Person) -> bool:
    """Whether it is this person to whom media goes, and from whom it comes: in a hearing that is not public somebody else might be it."""
    return person.connected and (not order.closed or admits(order, person.id, person.media))


def admits(order: Order, name: str, certificate: str) -> bool:
    """Whether media may go by a connection to who has this certificate."""
    person = order.people.get(name)
    return not order.closed or (person is not None and any(one.sha256 == certificate for one in person.vouched))


def may_speak(order: Order, name: str) -> bool:
    """Whether anything that this person, or the room, says goes anywhere."""
    if name == ROOM:
        return is_open(order)
    person = order.people.get(name)
    return (
        person is not None
        and is_open(order)
        and is_reached(order, person)
        and not person.muted
        and person.role not in SILENT
        and (person.consultation > 0 or person.place == "hearing")
    )


def is_broadcast(order: Order) -> bool:
    """Whether a large audience hears and sees the open talk now."""
    return order.reaches_audience and is_on_floor(order, AUDIENCE)


def hears(order: Order, listener: str, speaker: str) -> bool:
    """Whether one hears another (``ROOM`` may stand for either). An interpreter's channel is heard by those alone who chose it."""
    if not together(order, listener, speaker) or not may_speak(order, speaker):
        return False
    channel = "" if speaker == ROOM else order.people[speaker].interprets
    if not channel or order.people[speaker].consultation:
        return True
    return listens_to(order, listener) == channel


def listens_to(order: Order, listener: str) -> str:
    """The language channel that somebody hears; empty: the floor as it is spoken."""
    if listener.startswith(CHANNEL):
        return listener.removeprefix(CHANNEL)
    return order.people[listener].listens if listener in order.people else ""


def sees(order: Order, viewer: str, shown: str) -> bool:
    """Whether one sees another. A muted person is still seen; whose identity is checked is seen by the clerk's screen alone."""
    if shown in order.people and order.people[shown].check is not None:
        return is_open(order) and is_reached(order, order.people[shown]) and viewer == checker(shown)
    if shown != ROOM and (shown not in order.people or order.people[shown].role in SILENT):
        return False
    return together(order, viewer, shown)


def sees_screen(order: Order, viewer: str) -> bool:
    """Whether the shared screen is shown to this person, or in the room."""
    return bool(order.sharing) and is_on_floor(order, order.sharing) and viewer != order.sharing and is_on_floor(order, viewer)


def recorded(order: Order, name: str) -> bool:
    """Whether what this person sends goes to the recorder: what the court could hear or see, and nothing else."""
    person = order.people.get(name)
    return person is not None and person.role not in SILENT and is_on_floor(order, name)


def picture_recorded(order: Order, name: str) -> bool:
    """Whether this person's camera is recorded: not while it may show a document."""
    return recorded(order, name) and order.people[name].check is None


def sound_recorded(order: Order, name: str) -> bool:
    """Whether this person's voice is recorded: not while the clerk has muted it."""
    return recorded(order, name) and may_speak(order, name)


def recorded_channels(order: Order) -> frozenset[str]:
    """The languages whose channels are tracks of the record now: somebody on the floor may speak into each.

    The courtroom's sound is in their mix. Its own tracks the recorder ends in a break by itself; so these end in one too.
    """
    return spoken_channels(order) if order.room == "open" else frozenset()


def spoken_channels(order: Order) -> frozenset[str]:
    """The languages into whose channels somebody on the floor may speak. Who listens to another one hears the floor as it is spoken."""
    return frozenset(one.interprets for one in order.people.values() if one.interprets and sound_recorded(order, one.id))


def together(order: Order, one: str, other: str) -> bool:
    """Whether two different ones (people or the room) are on the floor both, or in the same consultation."""
    if one == other or not is_open(order):
        return False
    if is_on_floor(order, one) and is_on_floor(order, other):
        return True
    first, second = order.people.get(one), order.people.get(other)
    if first is None or second is None or not is_reached(order, first) or not is_reached(order, second):
        return False
    return first.consultation > 0 and first.consultation == second.consultation


def looker(look_in: LookIn) -> str:
    """The name of a look-in among those who hear and see."""
    return f"{LOOKS_IN}{look_in.id}"


def checker(person: str) -> str:
    """The name of the clerk's screen on which this person's identity is checked, among those who see."""
    return f"{CHECKS}{person}"


def may_look_in(order: Order) -> bool:
    """Whether the Situation Centre, or a large audience, may see and hear the floor now: only while an open hearing is recorded."""
    return order.room == "open" and not order.closed
