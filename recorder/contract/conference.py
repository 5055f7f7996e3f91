"""What the agent and vks say to each other, as JSON over the WebSocket ``/agent`` of vks's own socket.

The agent alone connects (SO_PEERCRED). It says which hearing is held, who may come to it and what staff ask for; vks answers each act, and
tells what changed and how the conference stands, so that one that was killed goes on from there. Nothing of a participant comes this way
but what the clerk must see.
"""

import hashlib
from typing import Annotated, Literal

import msgspec

from recorder.contract.control import State

Role = Literal["judge", "clerk", "party", "counsel", "witness", "interpreter", "prosecutor", "specialist", "observer"]
PersonId = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9](?:[a-z0-9-]{0,28}[a-z0-9])?$(?![\s\S])")]
"""A person's name in the record's tracks (``remote-<person>-audio``), so it is what may name one."""
DeviceId = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{8,64}$(?![\s\S])")]
"""Made by the page, once for each device."""
LookInId = Annotated[str, msgspec.Meta(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]*$(?![\s\S])")]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$(?![\s\S])")]
Words = Annotated[str, msgspec.Meta(max_length=500, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$(?![\s\S])")]
Channel = Annotated[str, msgspec.Meta(max_length=8, pattern=r"^([a-z]{2,3})?$(?![\s\S])")]
"""A language's code (ISO 639), or empty for the floor."""


class Act(msgspec.Struct, frozen=True, kw_only=True, tag_field="act", forbid_unknown_fields=True):
    """Base of all that may be asked of a conference."""


class StaffAct(Act, frozen=True, kw_only=True):
    """Base of what staff ask."""

    by: Name
    reason: Words = ""


class Admit(StaffAct, frozen=True, kw_only=True, tag="admit"):
    """Out of the lobby into the hearing; a witness waits apart until called."""

    person: PersonId


class Call(StaffAct, frozen=True, kw_only=True, tag="call"):
    """Who was isolated or dismissed takes part."""

    person: PersonId


class Isolate(StaffAct, frozen=True, kw_only=True, tag="isolate"):
    """The person neither sees nor hears until called."""

    person: PersonId


class Dismiss(StaffAct, frozen=True, kw_only=True, tag="dismiss"):
    """The person was heard, and is not needed now."""

    person: PersonId


class Remove(StaffAct, frozen=True, kw_only=True, tag="remove"):
    """The person is put out; the link opens nothing until ``Readmit``."""

    person: PersonId


class Readmit(StaffAct, frozen=True, kw_only=True, tag="readmit"):
    """Who was removed may come to the lobby again."""

    person: PersonId


class Mute(StaffAct, frozen=True, kw_only=True, tag="mute"):
    """The person is not heard, and not recorded; or is again."""

    person: PersonId
    on: bool


class Consult(StaffAct, frozen=True, kw_only=True, tag="consult"):
    """These people talk among themselves: heard by nobody else, never recorded."""

    people: Annotated[list[PersonId], msgspec.Meta(min_length=2, max_length=20)]


class EndConsultation(StaffAct, frozen=True, kw_only=True, tag="end_consultation"):
    """Everybody in it is where he was before."""

    consultation: int


class Interpret(StaffAct, frozen=True, kw_only=True, tag="interpret"):
    """An interpreter speaks into this language's channel; empty: to everybody."""

    person: PersonId
    channel: Channel


class StopShare(StaffAct, frozen=True, kw_only=True, tag="stop_share"):
    """The shared screen is shown no more."""


class LowerHand(StaffAct, frozen=True, kw_only=True, tag="lower_hand"):
    """Whoever raised a hand was seen."""

    person: PersonId


class ChooseDevice(StaffAct, frozen=True, kw_only=True, tag="choose_device"):
    """Whether the person's other device takes the seat."""

    person: PersonId
    accept: bool


class StopLookIn(StaffAct, frozen=True, kw_only=True, tag="stop_look_in"):
    """The judge ends a look-in."""

    look_in: LookInId


class ToAudience(StaffAct, frozen=True, kw_only=True, tag="to_audience"):
    """The public hearing is handed to the large audience's server; or no more."""

    on: bool


class TakeIn(StaffAct, frozen=True, kw_only=True, tag="take_in"):
    """A speaker of the large audience takes part, until dismissed: fetched from the audience's server by WHEP."""

    feed: Annotated[str, msgspec.Meta(min_length=1, max_length=500, pattern=r"^[!-~]+$(?![\s\S])")]
    name: Name
    role: Role


class Vouch(StaffAct, frozen=True, kw_only=True, tag="vouch"):
    """The person has read out the code that the page shows: the page's certificate is the person's own (``vks/vouching.py``)."""

    person: PersonId
    code: Annotated[str, msgspec.Meta(max_length=64)]


StillOf = Literal["face", "document"]
Identity = Literal["unchecked", "checking", "confirmed", "refused"]


class Identify(StaffAct, frozen=True, kw_only=True, tag="identify"):
    """The clerk checks who the person is. From now on one screen alone sees the person, by a link whose token has this hash."""

    person: PersonId
    token_sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$(?![\s\S])")]


class TakeStill(StaffAct, frozen=True, kw_only=True, tag="take_still"):
    """The next keyframe of the person's camera goes into the record, at level ``identity``."""

    person: PersonId
    of: StillOf


class ConfirmIdentity(StaffAct, frozen=True, kw_only=True, tag="confirm_identity"):
    """The person is who was expected; both stills were taken."""

    person: PersonId


class RefuseIdentity(StaffAct, frozen=True, kw_only=True, tag="refuse_identity"):
    """That is not known. The person stays where he is: what follows from it the clerk says."""

    person: PersonId
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$(?![\s\S])")]


class BeginLookIn(Act, frozen=True, kw_only=True, tag="look_in"):
    """A named person of the Situation Centre may look in for so long, by a link of whose token the room knows the SHA-256 alone."""

    look_in: LookInId
    person: Name
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
    length_s: Annotated[int, msgspec.Meta(ge=1, le=3600)]
    token_sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$(?![\s\S])")]


class EndLookIn(Act, frozen=True, kw_only=True, tag="end_look_in"):
    """The centre, or the agent, wants it no more; nothing where there is none of this name."""

    look_in: LookInId


OfIdentity = Identify | TakeStill | ConfirmIdentity | RefuseIdentity
OfStaff = (
    Admit | Call | Isolate | Dismiss | Remove | Readmit | Mute | Consult | EndConsultation | Interpret | StopShare | LowerHand
    | ChooseDevice | StopLookIn | ToAudience | TakeIn | Vouch | OfIdentity
)  # fmt: skip
OfCentre = BeginLookIn | EndLookIn
"""What the centre's commands lead to: no staff of the room asks for it, and no command for what staff may."""


class Invitation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Somebody may come to the hearing by a link. The room knows the SHA-256 of the link's token alone. Times: microseconds since 1970."""

    token_sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$(?![\s\S])")]
    person: PersonId
    name: Name
    role: Role
    from_utc_us: int
    until_utc_us: int
    iin_sha256: Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{64})?$(?![\s\S])")] = ""
    """Of the person's identification number (``iin_sha256_of``); empty: no signature vouches for the person's page."""


class Visit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """This room takes part in another room's hearing, by a link such as a person is given."""

    id: str
    """Names the visit between agent and vks alone."""
    root: str
    """Where the link leads, without ``/join/`` and what follows."""
    token: str
    """The link's."""
    device: DeviceId
    resume: str = ""
    """The resume token that a vks before this one had last (``VisitIs``)."""
    authorities: str = ""
    """Certificates (PEM) that vouch for the other room's door, besides those that this PC trusts."""
    secret: bytes = b""
    """Of what this room's certificate in the other's hearing is made, the same for as long as the visit lasts."""
    host: str = ""
    """The SHA-256 of the certificate that the other room has to show: it was compared, by the code (``VisitIs``). Empty: none was yet."""


class Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="m", forbid_unknown_fields=True):
    """Base of the messages."""


# from the agent


class IceServer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A STUN or TURN server, as a browser's ``RTCPeerConnection`` takes it."""

    urls: list[str]
    username: str = ""
    credential: str = ""


class Relays(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """By what a person's media may go where it finds no straight way. Credentials are that person's own, and expire soon."""

    page: list[IceServer]
    """For the person's browser."""
    room: list[IceServer]
    """For vks's end of that connection."""


class AudienceServer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where vks hands the public hearing to a large audience, by WHIP (RFC 9725)."""

    whip: str
    token: str
    ca: str = ""
    """PEM file of the authority that the server's certificate is checked with; empty: the machine's own."""


class HearingIs(Message, frozen=True, kw_only=True, tag="hearing", omit_defaults=True):
    """The hearing that people may come to, and the recorder's state; said at once when connected, and whenever it changes.

    What is left as it is by itself is not sent: a vks of before does not know each field.
    """

    hearing: str
    """Empty: none is near."""
    title: str
    state: State
    closed: bool
    """It is not public."""
    invitations: list[Invitation]
    secret: bytes
    """The key for resume tokens of this hearing, 32 bytes."""
    relays: dict[PersonId, Relays] = {}
    """For those of ``invitations``; empty: media finds its way without."""
    look_in_relays: Relays = Relays(page=[], room=[])
    """For whoever looks in."""
    audience: AudienceServer | None = None
    """None: the hearing goes to no large audience."""
    kept: bytes = b""
    """The newest ``Stands.order`` of this hearing."""
    visit: Visit | None = None
    """The hearing of another room that this room takes part in."""
    record: str = ""
    """That of the session that is recorded (its UUID). Where it is another one, all that lasts is told for it."""
    unsure: bool = False
    """The recorder is silent: whether the session is recorded nobody knows."""


class Ask(Message, frozen=True, kw_only=True, tag="ask"):
    """Staff, or the centre, ask for this; answered by one ``Answer`` of the same number, after the ``Stands`` that shows it."""

    number: int
    act: OfStaff | OfCentre


class Handed(Message, frozen=True, kw_only=True, tag="handed"):
    """What was told until then (``Told.mono_us``) stands in a record, or there is none in which it could: it need not be kept any more."""

    until_mono_us: int


# from vks


class Answer(Message, frozen=True, kw_only=True, tag="answer"):
    """What became of an act: empty words where it was done."""

    number: int
    code: str = ""
    words: str = ""


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the record: an ``event`` entry of the source ``conference``."""

    name: str
    data: dict[str, str | int]


class Told(Message, frozen=True, kw_only=True, tag="told"):
    """What changed, for the record; ``mono_us`` is when (CLOCK_MONOTONIC), and names it: none of later has the same.

    What is not ``Handed`` is told again on each new link.
    """

    mono_us: int
    facts: list[Fact]


class Present(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody as the clerk sees him."""

    person: str
    name: str
    role: Role
    place: str
    connected: bool
    rival: bool
    muted: bool
    hand: bool
    consultation: int
    quality: str
    changed: bool = False
    """Another device took the seat of one that was gone, and the clerk has not said yet that this is right."""
    unvouched: bool = False
    """The hearing is not public, and nobody has vouched for the certificate of the person's page: no media goes either way."""
    identity: Identity = "unchecked"
    faces: int = 0
    documents: int = 0
    """Stills that were taken in the check that goes on."""


class LookingIn(msgspec.Struct, frozen=True, kw_only=True):
    """A look-in as the clerk sees it."""

    look_in: LookInId
    person: str
    reason: str
    until_mono_us: int
    watches: bool
    """The person's page is there now."""


Audience = Literal["off", "dials", "on_air", "silent"]
"""Whether the hearing reaches the large audience: ``silent`` while it is not public, over a connection that stands."""


class Links(msgspec.Struct, frozen=True, kw_only=True):
    """How good the participants' links are, over the last seconds; None is not known."""

    rtt_ms: float | None = None
    """There and back, by their reports (RFC 3550, section 6.4.1): the worst of all."""
    jitter_ms: float | None = None
    """Of what they send (RFC 3550, appendix A.8): the worst of all."""
    loss_percent: float | None = None
    """Of all packets that they sent."""


class Stands(Message, frozen=True, kw_only=True, tag="stands"):
    """How the conference stands now: for the clerk's eyes, and (``order``) for a vks that comes after this one."""

    hearing: str
    people: list[Present]
    sharing: str
    look_ins: list[LookingIn]
    order: bytes
    audience: Audience = "off"
    audience_fault: str = ""
    """Why the large audience is not reached, or was given up."""
    links: Links = Links()


VisitPhase = Literal["dials", "unvouched", "waits", "takes_part", "apart", "over"]
"""``unvouched``: the hearing is not public, and the other room's clerk is to be read ``code``. ``waits``: in the other room's lobby.
``apart``: admitted, and neither sees nor hears now. ``over``: it does not dial again."""


class VisitIs(Message, frozen=True, kw_only=True, tag="visit"):
    """How this room's visit stands."""

    visit: str
    phase: VisitPhase
    title: str = ""
    """Of the other room's hearing."""
    name: str = ""
    """As whom this room is there."""
    words: str = ""
    """Why it dials, or is over."""
    resume: str = ""
    """What a vks that comes after this one goes on by."""
    code: str = ""
    """What the other room's clerk is to be read (20 digits)."""
    host: str = ""
    """The SHA-256 of the other room's certificate, since it was compared."""


encoder = msgspec.json.Encoder()
from_agent = msgspec.json.Decoder(HearingIs | Ask | Handed)
from_vks = msgspec.json.Decoder(Answer | Told | Stands | VisitIs)


def iin_sha256_of(iin: str) -> str:
    """What is kept of an identification number: 12 digits can be tried out, so it hides the number from a glance and no more."""
    return hashlib.sha256(f"courtroom-iin-v1\n{iin}".encode()).hexdigest()


def socket_path(run_dir: str) -> str:
    """Where vks listens."""
    return f"{run_dir}/vks.sock"
