"""What is said on the one WebSocket by which the centre relays participants' signalling to a room (``/v1/relay``, opened by the room).

A *channel* is one participant's request or connection at the centre's public door; its number is the centre's. The centre adds nothing to
what a page and its room say to each other but where the page comes from, and takes nothing away: who may come is decided in the room.
"""

from typing import Annotated

import msgspec

PATH = "/v1/relay"
MOST_CHANNELS = 300
"""Of a room, at once."""
TEXT_BYTES = 128 * 1024
"""Of one message of a page or of its room."""
FRAME_BYTES = TEXT_BYTES + 1_024
BODY_BYTES = 8 * 1024
"""Of a request, and of its answer."""
QUEUE = 256
"""Messages that wait for a page that does not read; of one more the channel ends."""
Channel = Annotated[int, msgspec.Meta(ge=1, le=2**53 - 1)]
Source = Annotated[str, msgspec.Meta(max_length=64)]


class Frame(msgspec.Struct, frozen=True, kw_only=True, tag_field="f", forbid_unknown_fields=True):
    """Base of the frames."""

    channel: Channel


class Request(Frame, frozen=True, kw_only=True, tag="request"):
    """From the centre: a page uses its link (``POST api/join``)."""

    source: Source
    body: Annotated[bytes, msgspec.Meta(max_length=BODY_BYTES)]


class Response(Frame, frozen=True, kw_only=True, tag="response"):
    """From the room: the answer; the channel ends with it."""

    status: Annotated[int, msgspec.Meta(ge=200, le=599)]
    body: Annotated[bytes, msgspec.Meta(max_length=BODY_BYTES)]


class Connect(Frame, frozen=True, kw_only=True, tag="connect"):
    """From the centre: a page opens its connection (``api/connect``)."""

    source: Source


class Look(Frame, frozen=True, kw_only=True, tag="look"):
    """From the centre: a page that looks in opens its connection (``api/look``)."""

    source: Source


class Said(Frame, frozen=True, kw_only=True, tag="said"):
    """One message of either end of a connection."""

    text: Annotated[str, msgspec.Meta(max_length=TEXT_BYTES)]


class Gone(Frame, frozen=True, kw_only=True, tag="gone"):
    """From either side: the channel is over."""


encoder = msgspec.msgpack.Encoder()
from_centre = msgspec.msgpack.Decoder(Request | Connect | Look | Said | Gone)
from_room = msgspec.msgpack.Decoder(Response | Said | Gone)
"""Strings are held to characters here and to bytes by the WebSockets themselves."""
