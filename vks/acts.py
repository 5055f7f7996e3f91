"""What may be asked of the conference: by the clerk and the judge in the room, by a participant, by the agent.

``rules.py`` obeys or refuses. Which acts somebody may ask for is decided by the union that his connection is decoded with: a participant's
message that names a clerk's act does not decode. What staff ask comes from the agent, and is part of its contract with this process.
"""

from typing import Literal

from recorder.contract.conference import Act, Channel, DeviceId, LookInId, Name, OfCentre, OfStaff, PersonId, Role, StillOf, Words
from recorder.contract.control import State as RoomState
from vks.order import Unsure

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


class Media(OwnFact, frozen=True, kw_only=True, tag="media"):
    """The person's media goes by a connection whose other end has this certificate (the SHA-256 of it)."""

    person: PersonId
    device: DeviceId
    certificate: str


class Vouched(OwnFact, frozen=True, kw_only=True, tag="vouched"):
    """It is certain that a certificate is the person's own."""

    person: PersonId
    certificate: str
    by: Name
    """The clerk; or whom the certificate names by which it was signed."""
    how: Literal["code", "signature"]
    reason: Words = ""


class RoomIs(OwnFact, frozen=True, kw_only=True, tag="room"):
    """The recorder's state, the hearing that is held, and the record that is made of it."""

    hearing: str
    state: RoomState
    closed: bool = False
    unsure: Unsure = ""
    record: str = ""


class Looks(OwnFact, frozen=True, kw_only=True, tag="looks"):
    """Somebody opened a look-in's link, with this device."""

    look_in: LookInId
    device: DeviceId


class LooksNoMore(OwnFact, frozen=True, kw_only=True, tag="looks_no_more"):
    """The connection is lost by which somebody looked in."""

    look_in: LookInId


class AudienceIs(OwnFact, frozen=True, kw_only=True, tag="audience"):
    """The connection to the large audience's server stands now, or is lost."""

    reached: bool
    reason: str = ""


class AudienceRefused(OwnFact, frozen=True, kw_only=True, tag="audience_refused"):
    """The large audience's server does not take the hearing."""

    reason: str


class FeedRefused(OwnFact, frozen=True, kw_only=True, tag="feed_refused"):
    """The large audience's server does not give this speaker."""

    person: PersonId
    reason: str


class CheckSeen(OwnFact, frozen=True, kw_only=True, tag="check_seen"):
    """A screen shows the person whose identity is checked: the page of this name has opened the link."""

    person: PersonId
    device: DeviceId


class StillTaken(OwnFact, frozen=True, kw_only=True, tag="still_taken"):
    """The picture that was asked for was handed to the recorder."""

    person: PersonId
    of: StillOf


class StillsLost(OwnFact, frozen=True, kw_only=True, tag="stills_lost"):
    """The recorder's ingest is gone. What was handed to it last may be in no record, so no still of a check that goes on counts."""


class Restarted(OwnFact, frozen=True, kw_only=True, tag="restarted"):
    """The process that held the conference is gone, and another one goes on with it: all connections are lost."""

    reason: str = "the videoconference was started anew"


class TimeIs(OwnFact, frozen=True, kw_only=True, tag="time"):
    """Nothing happened; what lasts until a time may be over."""


OfParticipant = RaiseHand | Share | Listen | LeaveConsultation
OfProcess = (
    Came
    | Gone
    | Media
    | Vouched
    | RoomIs
    | Looks
    | LooksNoMore
    | AudienceIs
    | AudienceRefused
    | FeedRefused
    | CheckSeen
    | StillTaken
    | StillsLost
    | Restarted
    | TimeIs
)
AnyAct = OfStaff | OfCentre | OfParticipant | OfProcess
