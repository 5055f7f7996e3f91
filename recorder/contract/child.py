"""Messages between the recorder core and its children, one frame (``framing.py``) each.

The core starts a child with one end of a Unix stream socket as its file descriptor 3 and sends ``Configure`` first. The child opens its
device, answers ``Opened``, and from then on does what it is told: by default it meters and serves the bus, and makes fragments only
between ``StartPart`` and ``StopPart``. It exits when the link closes. Times named ``mono_us`` are CLOCK_MONOTONIC.
"""

from typing import Annotated, Any, Literal

import msgspec

LINK_FD = 3
MAX_INTEGER = 2**53 - 1
"""What the journal can hold: what a child says goes into it."""
SEGMENT_S = 60
"""How long a segment of a track is, at least."""
Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_INTEGER)]
Timescale = Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)]


class Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="m", forbid_unknown_fields=True):
    """Base of the link's messages."""


# core -> child


class Configure(Message, frozen=True, kw_only=True, tag="configure"):
    """Who the child is: the device's stanza of room.toml (JSON form of its pydantic model) and where its sockets go."""

    device: dict[str, Any]
    run_dir: str
    encoder: str = "auto"
    segment_s: int = SEGMENT_S
    fragment_us: int = 450_000
    options: dict[str, Any] = {}


class MediaKey(msgspec.Struct, frozen=True, kw_only=True):
    """A part's content key and its id (16 bytes each), for CENC."""

    key: bytes
    kid: bytes

    def __repr__(self) -> str:
        """Without the key: what is printed ends in a log."""
        return "MediaKey(…)"


class StartPart(Message, frozen=True, kw_only=True, tag="start_part"):
    """Make fragments of what is captured from ``from_mono_us`` on.

    Session time is ``mono_us - origin_mono_us``; ``tracks`` maps each track to be recorded to its part number, ``keys`` to its key
    (absent: written in the clear).
    """

    from_mono_us: int
    origin_mono_us: int
    tracks: dict[str, int]
    keys: dict[str, MediaKey] = {}


class StopPart(Message, frozen=True, kw_only=True, tag="stop_part"):
    """Close the running part at this capture time, to the sample where the child encodes, and answer ``PartEnded`` for each track."""

    at_mono_us: int


class Mute(Message, frozen=True, kw_only=True, tag="mute"):
    """Drop (or take again) all that the device gives, before encoder, bus and meters; wipes every buffer. Answered by ``Muted``."""

    on: bool


class ArmPreroll(Message, frozen=True, kw_only=True, tag="arm_preroll"):
    """Keep the last ``seconds`` encrypted in memory; 0 wipes and disarms."""

    seconds: int


class RequestKeyframe(Message, frozen=True, kw_only=True, tag="request_keyframe"):
    """Begin a new GOP soon, where the child encodes."""

    track: str


class WatchPart(Message, frozen=True, kw_only=True, tag="watch_part"):
    """To the watch child: a part was begun in this file; ``key`` opens it."""

    track: str
    kind: Literal["video", "audio"]
    part: int
    init_path: str
    timescale: int
    key: bytes | None


class WatchCommitted(Message, frozen=True, kw_only=True, tag="watch_committed"):
    """To the watch child: these bytes of a segment are on the disk; ``t0`` and ``dur`` in the part's timescale."""

    track: str
    part: int
    path: str
    off: int
    len: int
    t0: int
    dur: int


class Seats(Message, frozen=True, kw_only=True, tag="seats"):
    """To the watch child: which tracks are expected to be silent now (muted seats)."""

    muted: list[str]


# child -> core


class Opened(Message, frozen=True, kw_only=True, tag="opened"):
    """The device is open and delivers. ``continuous`` is False for sources that may rightly be quiet (room-out, participants)."""

    driver: str
    address: str
    serial: str
    tracks: dict[str, Literal["video", "audio"]]
    detail: str = ""
    continuous: bool = True


class Init(Message, frozen=True, kw_only=True, tag="init"):
    """A part's CMAF header; the body holds its bytes."""

    track: str
    part: Count
    kind: Literal["video", "audio"]
    codec: str
    timescale: Timescale
    width: Count = 0
    height: Count = 0
    rate_hz: Count = 0
    channels: Count = 0
    label: str = ""


class Fragment(Message, frozen=True, kw_only=True, tag="fragment"):
    """A finished CMAF fragment; the body holds its bytes, already encrypted, with ``tfdt`` on the session clock.

    ``new_segment`` asks that a new segment file begin with it (it starts with a random access point and 60 s have passed).
    """

    track: str
    part: Count
    t0: Count
    dur: Count
    timescale: Timescale
    key: bool
    new_segment: bool


class PartEnded(Message, frozen=True, kw_only=True, tag="part_ended"):
    """All fragments of the part were sent; its media ends at session time ``end_us`` (None: it never had any)."""

    track: str
    part: Count
    end_us: Count | None


class Muted(Message, frozen=True, kw_only=True, tag="muted"):
    """``Mute`` took effect at this time."""

    on: bool
    at_mono_us: Count


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """One channel's meter over the last period, in dBFS (-120 is digital silence), and its clipped samples."""

    track: str
    rms_dbfs: float
    peak_dbfs: float
    clipped: Count


class Levels(Message, frozen=True, kw_only=True, tag="levels"):
    """Meters of the device's channels, at least 5 a second."""

    channels: list[Level]


class TrackStats(msgspec.Struct, frozen=True, kw_only=True):
    """A track's counters since the device was opened."""

    track: str
    units: Count
    """Frames (video) or samples (audio) captured."""
    dropped: Count
    """Frames or samples that the device or the network lost, by its own timestamps."""
    last_mono_us: Count
    bytes: Count = 0
    detail: str = ""


class Stats(Message, frozen=True, kw_only=True, tag="stats"):
    """Sent at least 4 a second while the device delivers: the core's proof that the child lives."""

    tracks: list[TrackStats]


class DriftMeasured(Message, frozen=True, kw_only=True, tag="drift_measured"):
    """Device clock against CLOCK_MONOTONIC, each 10 s: at device time ``media_us``, fitted monotonic time ``mono_us``."""

    track: str
    media_us: Count
    mono_us: Count
    drift_ppb: Annotated[int, msgspec.Meta(ge=-MAX_INTEGER, le=MAX_INTEGER)]
    error_us: Count


class SenderReportSeen(Message, frozen=True, kw_only=True, tag="sender_report_seen"):
    """An RTCP sender report: the device's NTP time (microseconds since 1970) for the capture time ``mono_us``."""

    track: str
    mono_us: Count
    ntp_us: Count


class SourceLost(Message, frozen=True, kw_only=True, tag="source_lost"):
    """The device is gone; the child then exits. ``cause`` is a code (``unplugged``, ``eof``, ``timeout``, ``error``, ``format``)."""

    cause: str
    detail: str


class TrackOpened(Message, frozen=True, kw_only=True, tag="track_opened"):
    """From ingest: a participant's track wants to be recorded (the core answers with ``StartPart`` while the session is open)."""

    track: str
    kind: Literal["video", "audio"]
    label: str
    level: Literal["identity"] | None = None
    """The least level of its parts; None: that of the session. No child can have one lowered."""


class TrackClosed(Message, frozen=True, kw_only=True, tag="track_closed"):
    """From ingest: the participant's track ended, with the cause."""

    track: str
    cause: str
    detail: str


class QualityEvent(Message, frozen=True, kw_only=True, tag="quality_event"):
    """From ingest: something about a participant for the journal."""

    track: str
    name: str
    data: dict[str, str | int]


class Refused(Message, frozen=True, kw_only=True, tag="refused"):
    """From ingest: a peer asked for what it may not have."""

    what: str
    detail: str


class Finding(Message, frozen=True, kw_only=True, tag="finding"):
    """From the watch: what was read back from the disk raises (``on``) or ends an alarm. ``at_us`` is session time."""

    track: str
    code: Literal["silent", "clipped", "frozen", "black", "unreadable", "late", "room_silent"]
    on: bool
    at_us: Count
    detail: str


class Baseline(Message, frozen=True, kw_only=True, tag="baseline"):
    """From the watch: measured values of a track on the disk over the last second, for ``status`` and ``courtroom baseline``."""

    track: str
    at_us: Count
    values: dict[str, float]


class Judged(Message, frozen=True, kw_only=True, tag="judged"):
    """From the watch, at least once a second: until when (session time) each track of the room's own devices was read back and judged.

    It is said between two pieces of work, so that it proves that the watch works.
    """

    until_us: dict[str, Count]


ToChild = (
    Configure | StartPart | StopPart | Mute | ArmPreroll | RequestKeyframe | WatchPart | WatchCommitted | Seats
)  # fmt: skip
FromChild = (
    Opened | Init | Fragment | PartEnded | Muted | Levels | Stats | DriftMeasured | SenderReportSeen | SourceLost | TrackOpened
    | TrackClosed | QualityEvent | Refused | Finding | Baseline | Judged
)  # fmt: skip

encoder = msgspec.msgpack.Encoder()
to_child = msgspec.msgpack.Decoder(ToChild)
from_child = msgspec.msgpack.Decoder(FromChild)
