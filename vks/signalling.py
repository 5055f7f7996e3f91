"""What a participant's page, or a screen of the courtroom, and this process say to each other, as JSON over one WebSocket.

``docs/videoconference.md`` tells the course of it. The page offers, this side answers; nothing is offered a second time: media lines are
there from the beginning, and what they carry changes without negotiation. A lost connection is dialled again with the resume token.

A screen of the courtroom (the display's page) needs no token: it is told ``Screen`` at once, and offers lines that take pictures alone. A
page of the Situation Centre looks in by ``Look``, is told the same, and offers one line that takes sound and then pictures alone. The
screen on which the clerk checks who somebody is says ``See``, is told ``Checking``, and offers one line that takes a picture.
"""

from typing import Annotated, Literal

import msgspec

from recorder.contract.conference import DeviceId, IceServer, Role
from recorder.contract.control import State as RoomState
from vks.acts import OfParticipant
from vks.order import Place, Unsure

MESSAGE_BYTES = 128 * 1024
"""A longer message ends the connection."""
MOST_TILES = 9
Number32 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$(?![\s\S])")]
"""32 bytes in hexadecimal."""
Step = Literal["", "face", "document", "done"]
Token = Annotated[str, msgspec.Meta(min_length=1, max_length=1_024)]


class Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="m", forbid_unknown_fields=True):
    """Base of all messages."""


# from the page


class Join(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of the POST that follows the device check: the link's token, and a name that the page has given this device."""

    token: Token
    device: DeviceId


class Resume(Message, frozen=True, kw_only=True, tag="resume"):
    """First message of a connection: whose it is."""

    token: Token


class Offer(Message, frozen=True, kw_only=True, tag="offer"):
    """Media: line 0 is sound, 1 the camera, 2 the shared screen, the others take pictures. Of the courtroom's screens all do."""

    sdp: Annotated[str, msgspec.Meta(max_length=64 * 1024)]


class Number(Message, frozen=True, kw_only=True, tag="number"):
    """The answer to ``Unvouched``: the page's own random number."""

    number: Number32


class Signed(Message, frozen=True, kw_only=True, tag="signed"):
    """The person's signature over ``vouching.Unvouched.text``: a detached CMS signature in base64."""

    cms: Annotated[str, msgspec.Meta(max_length=48 * 1024)]


class Candidate(Message, frozen=True, kw_only=True, tag="candidate"):
    """An address of the browser's that it found after its offer, such as one at a relay (RFC 8839, ``candidate-attribute``)."""

    candidate: Annotated[str, msgspec.Meta(max_length=512)]


class Do(Message, frozen=True, kw_only=True, tag="do"):
    """Ask for something."""

    act: OfParticipant


class Ping(Message, frozen=True, kw_only=True, tag="ping"):
    """Is the courtroom there? Asked where nothing came from it for a moment; answered by ``Pong``."""


class Leave(Message, frozen=True, kw_only=True, tag="leave"):
    """Go, by one's own will."""


class Look(Message, frozen=True, kw_only=True, tag="look"):
    """First message of one who looks in: the link's token, and the device's name, to which the link belongs from then on."""

    token: Token
    device: DeviceId


class See(Message, frozen=True, kw_only=True, tag="see"):
    """First message of the screen on which the clerk checks somebody: the link's token, and the page's name, which it belongs to then."""

    token: Token
    device: DeviceId


FromPage = Resume | Offer | Number | Signed | Candidate | Do | Ping | Leave
FromLookIn = Look | Offer | Candidate | Leave
FromIdentity = See | Offer


# to the page


class Joined(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to ``Join``."""

    resume: str


class Welcome(Message, frozen=True, kw_only=True, tag="welcome"):
    """The answer to ``Resume``."""

    person: str
    name: str
    role: Role
    title: str
    resume: str
    ice: list[IceServer]


class Answer(Message, frozen=True, kw_only=True, tag="answer"):
    """The answer to ``Offer``."""

    sdp: str


class Unvouched(Message, frozen=True, kw_only=True, tag="unvouched"):
    """The answer to ``Offer`` in a hearing that is not public, where nobody has vouched for the page's certificate (``vouching.py``).

    The page keeps its offer, and says it again when it is told ``Vouched``.
    """

    hearing: str
    commitment: Number32
    sign: bool
    """Whether the person's own signature would do."""


class Shown(Message, frozen=True, kw_only=True, tag="shown"):
    """The answer to ``Number``: what the commitment was made of."""

    room: Number32
    number: Number32


class Vouched(Message, frozen=True, kw_only=True, tag="vouched"):
    """Somebody has vouched for the page's certificate, or nobody needs to any more: the offer is to be said again."""


class Other(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody whom this person sees or hears."""

    person: str
    name: str
    role: Role
    muted: bool
    hand: bool


class View(Message, frozen=True, kw_only=True, tag="view"):
    """All that the page shows; sent whole whenever anything of it changes."""

    place: Place
    room: RoomState
    muted: bool
    hand: bool
    others: list[Other]
    consultation: bool
    """``others`` are those of a private talk: nobody else hears it, and it is not recorded."""
    sharing: str
    """Whose screen is shown; empty: nobody's."""
    look_ins: list[str]
    """The names of those who look in."""
    channels: list[str]
    """Languages that are interpreted into now."""
    listens: str
    identity: Step
    """What the clerk, who checks who this person is, asks to be shown to the camera; nobody else sees it. Empty: nothing."""
    audience: bool = False
    """A large audience that stands elsewhere hears and sees what this person does."""
    closed: bool = False
    """The hearing is not public."""
    unsure: Unsure = ""
    interprets: str = ""
    """The language channel that this person speaks into; empty: to everybody."""


class Tiles(Message, frozen=True, kw_only=True, tag="tiles"):
    """Whose picture is on each media line that takes pictures; "" is none, "room" the courtroom, "screen" the shared screen."""

    shown: list[str]


class Link(Message, frozen=True, kw_only=True, tag="link"):
    """How good this person's link is: all pictures, small ones, or sound alone."""

    quality: Literal["good", "small", "sound"]


class Wait(Message, frozen=True, kw_only=True, tag="wait"):
    """This device waits: another one of the same person is in the hearing, and the clerk says which it is to be."""


class Pong(Message, frozen=True, kw_only=True, tag="pong"):
    """It is."""


class Refused(Message, frozen=True, kw_only=True, tag="refused"):
    """What was asked for cannot be done; the page says the code's words in its language."""

    code: str


class Bye(Message, frozen=True, kw_only=True, tag="bye"):
    """The connection ends; ``again`` says whether dialling again is of use."""

    code: str
    again: bool


class Screen(Message, frozen=True, kw_only=True, tag="screen"):
    """All that a screen of the courtroom shows; sent whole whenever anything of it changes. The public reads it."""

    title: str
    """The hearing's; empty: none is near."""
    room: RoomState
    recording: bool
    people: list[Other]
    """Those whom the room hears and sees: nobody who waits, and nobody in a private talk."""
    sharing: str
    look_ins: list[str]
    closed: bool
    """The hearing is not public."""
    audience: bool = False
    """A large audience that stands elsewhere hears and sees it."""
    unsure: Unsure = ""
    visit: Place | Literal["", "private", "lost"] = ""
    """The hearing is another courtroom's, and this is the place that this one has in it: in a private talk, or not known now. Empty: it
    is this one's own."""


class Looking(Message, frozen=True, kw_only=True, tag="looking"):
    """The answer to ``Look``: as whom the room's screens name the person, and for how long still."""

    person: str
    left_s: int
    ice: list[IceServer]


class Checking(Message, frozen=True, kw_only=True, tag="checking"):
    """Whose identity is checked, and what the person is asked to show; sent whole whenever anything of it changes."""

    name: str
    role: Role
    step: Step
    faces: int
    documents: int
    """Stills that were taken."""


ToPage = Welcome | Answer | Unvouched | Shown | Vouched | View | Tiles | Link | Wait | Pong | Refused | Bye
ToDisplay = Screen | Answer | Tiles | Refused | Bye
ToLookIn = Looking | Screen | Answer | Tiles | Link | Refused | Bye
ToIdentity = Checking | Answer | Tiles | Refused | Bye
encoder = msgspec.json.Encoder()
from_page = msgspec.json.Decoder(FromPage)
to_page = msgspec.json.Decoder(ToPage)
from_display = msgspec.json.Decoder(Offer)
to_display = msgspec.json.Decoder(ToDisplay)
from_look_in = msgspec.json.Decoder(FromLookIn)
to_look_in = msgspec.json.Decoder(ToLookIn)
from_identity = msgspec.json.Decoder(FromIdentity)
to_identity = msgspec.json.Decoder(ToIdentity)
join_body = msgspec.json.Decoder(Join)
