"""What may be asked of the conference: by the clerk and the judge in the room, by a participant, by the agent.

``rules.py`` obeys or refuses. Which acts somebody may ask for is decided by the union that his connection is decoded with: a participant's
message that names a clerk's act does not decode.
"""

from typing import Annotated

import msgspec

from vks.order import Role, RoomState

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
    """Base of all acts."""


# of the clerk and the judge, by the agent; ``by`` names them


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


# of the participants, on their own connection


class OwnAct(Act, frozen=True, kw_only=True):
    """Base of what a participant may ask."""


class RaiseHand(OwnAct, frozen=True, kw_only=True, tag="raise_hand"):
    """Ask to speak; or no more."""

    on: bool


class Share(OwnAct, frozen=True, kw_only=True, tag="share"):
    """Show a screen; or no more."""

    on: bool


class Listen(OwnAct, frozen=True, kw_only=True, tag="listen"):
    """Hear this language's channel where an interpreter speaks."""

    channel: Channel


class LeaveConsultation(OwnAct, frozen=True, kw_only=True, tag="leave_consultation"):
    """Go back from a private talk."""


# of this process itself and of the agent


class OwnFact(Act, frozen=True, kw_only=True):
    """Base of what has happened."""


class Came(OwnFact, frozen=True, kw_only=True, tag="came"):
    """Somebody came by a link that was found good, with this device."""

    person: PersonId
    name: Name
    role: Role
    device: DeviceId


class Gone(OwnFact, frozen=True, kw_only=True, tag="gone"):
    """The connection of the device that holds the seat is lost; ``left``: by the person's own will."""

    person: PersonId
    device: DeviceId
    left: bool = False


class RoomIs(OwnFact, frozen=True, kw_only=True, tag="room"):
    """The recorder's state, and the hearing that is held."""

    hearing: str
    state: RoomState
    closed: bool = False


class BeginLookIn(OwnFact, frozen=True, kw_only=True, tag="look_in"):
    """The agent lets a named person of the Situation Centre look in for so long."""

    look_in: LookInId
    person: Name
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
    length_s: Annotated[int, msgspec.Meta(ge=10, le=3600)]


class LookInOver(OwnFact, frozen=True, kw_only=True, tag="look_in_over"):
    """It ended at the centre."""

    look_in: LookInId


class TimeIs(OwnFact, frozen=True, kw_only=True, tag="time"):
    """Nothing happened; what lasts until a time may be over."""


OfStaff = (
    Admit | Call | Isolate | Dismiss | Remove | Readmit | Mute | Consult | EndConsultation | Interpret | StopShare | LowerHand
    | ChooseDevice | StopLookIn
)  # fmt: skip
OfParticipant = RaiseHand | Share | Listen | LeaveConsultation
OfProcess = Came | Gone | RoomIs | BeginLookIn | LookInOver | TimeIs
AnyAct = OfStaff | OfParticipant | OfProcess
