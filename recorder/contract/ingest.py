"""What vks may say to the recorder's ingest child, and to the speaker child: nothing else exists on those sockets.

``<run>/ingest.sock`` takes participants' media as received; ``<run>/room-out.sock`` takes the sound for the courtroom's loudspeakers
(``RoomOut`` heads, 48 kHz mono signed 16-bit bodies). No message can stop, pause or steer a recording, and no name becomes a path
before it passed ``layout.is_id``.
"""

from typing import Literal

import msgspec


class Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="m", forbid_unknown_fields=True):
    """Base of ingest's messages."""


class TrackStart(Message, frozen=True, kw_only=True, tag="track_start"):
    """A participant's track begins; the recorder names it ``remote-<track>``."""

    track: str
    kind: Literal["video", "audio"]
    codec: Literal["h264", "opus"]
    label: str
    level: Literal["identity"] | None = None
    """``identity``: it holds stills of an identity check, whatever the session's level is. None: it is of the session's level."""
    delay_us: int = 0
    """So long before its time, at most, was captured what a packet holds: more than 0 for a mix of sounds. Of the beginning of a part
    nothing is recorded that may have been captured before the part."""


class MediaPacket(Message, frozen=True, kw_only=True, tag="media"):
    """One access unit (Annex B) or Opus packet as received; the body holds it. ``mono_us`` is its time on CLOCK_MONOTONIC."""

    track: str
    mono_us: int
    dur_us: int
    key: bool


class TrackStop(Message, frozen=True, kw_only=True, tag="track_stop"):
    """The track ended; the cause is a code such as ``left`` or ``disconnected``."""

    track: str
    cause: str
    detail: str = ""


class Quality(Message, frozen=True, kw_only=True, tag="quality"):
    """Loss, jitter, the link's quality, who speaks (``vks/account.py``)."""

    track: str
    name: str
    data: dict[str, str | int]


class KeyframeWanted(Message, frozen=True, kw_only=True, tag="keyframe_wanted"):
    """To vks: the record needs a keyframe of this track."""

    track: str


class Refusal(Message, frozen=True, kw_only=True, tag="refusal"):
    """To vks: that was refused. Where ``track`` is empty the connection closes after it."""

    what: str
    detail: str
    track: str = ""
    """Only what was said of this track was refused, and everything else goes on."""
    is_open: bool = False
    """A single message of it was; else its start, which may be tried again later."""


class RoomOut(Message, frozen=True, kw_only=True, tag="room_out"):
    """Head of a block of samples for the loudspeakers."""

    mono_us: int


encoder = msgspec.msgpack.Encoder()
from_vks = msgspec.msgpack.Decoder(TrackStart | MediaPacket | TrackStop | Quality)
from_ingest = msgspec.msgpack.Decoder(KeyframeWanted | Refusal)
from_room_out = msgspec.msgpack.Decoder(RoomOut)
