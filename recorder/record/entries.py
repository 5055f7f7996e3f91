"""The journal's entry types: what each line of ``journal.jsonl`` may say.

Every line is one canonical JSON object (``canonical.py``) with the fields of ``Line`` around the fields of one entry below, in one flat
object: ``{"v":1,"seq":…,"type":…,"prev":…,"mono_us":…,"utc_us":…,"t_us":…, …}``. ``prev`` is the SHA-256, in hex, of the raw bytes of the
line before it without the line end; the first line's ``prev`` is 64 zeros.

Times: ``t_us`` is session time, microseconds since the session's origin, the one clock on which every track lies. ``mono_us`` is the PC's
CLOCK_MONOTONIC and means something within one boot only; ``utc_us`` is the PC's claim of UTC, to be checked against the clock entries.
"""

from typing import Literal

import msgspec

FORMAT_VERSION = 1
FIRST_PREV = "0" * 64

PausedState = Literal["off_record", "privileged", "deliberation"]
Level = Literal["open", "closed", "secret", "identity"]
TrackKind = Literal["video", "audio"]


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """The fields around every entry."""

    v: int
    seq: int
    type: str
    prev: str
    mono_us: int
    utc_us: int
    t_us: int


class Entry(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", forbid_unknown_fields=True, omit_defaults=False):
    """Base of all entries; the tag is the line's ``type``."""


class Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A device as the session found it. ``latency_us`` is what commissioning measured from the event to the capture time."""

    id: str
    driver: str
    address: str
    serial: str = ""
    latency_us: int = 0


class ClockState(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the PC knew of UTC: ``error_us`` is the bound of its error, or None where nothing disciplines the clock."""

    source: str
    stratum: int | None = None
    offset_us: int | None = None
    error_us: int | None = None


class Recipient(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who can decrypt the media: a name and the SHA-256 of the DER certificate."""

    name: str
    certificate_sha256: str


class Genesis(Entry, frozen=True, kw_only=True, tag="genesis"):
    """First line: which hearing, where, by which device, with what, and what came before."""

    record: str
    hearing: str
    case: str
    title: str
    court: str
    room: str
    actor: str
    start_token: str
    previous_head: str
    device_certificate_sha256: str
    boot: str
    agent_version: str
    config_sha256: str
    origin_mono_us: int
    clock: ClockState
    sources: list[Source]
    recipients: list[Recipient]
    media: Literal["cenc-aes-ctr", "clear"]
    hash: Literal["sha-256"] = "sha-256"
    signature: Literal["ecdsa-p256-sha256"] = "ecdsa-p256-sha256"


class Init(Entry, frozen=True, kw_only=True, tag="init"):
    """A part of a track begins: its CMAF header was written. ``key`` names the CMS file that holds the wrapped media key."""

    track: str
    part: int
    file: str
    len: int
    sha256: str
    kind: TrackKind
    codec: str
    timescale: int
    width: int = 0
    height: int = 0
    rate_hz: int = 0
    channels: int = 0
    key: str | None = None
    level: Level = "open"
    label: str = ""


class Frag(Entry, frozen=True, kw_only=True, tag="frag"):
    """A CMAF fragment (moof and mdat) lies on the disk: bytes ``off`` to ``off+len`` of segment ``seg``.

    ``n`` counts a track's fragments from 0 without a hole; ``t0`` and ``dur`` are in the part's timescale, on the session clock.
    """

    track: str
    part: int
    seg: int
    n: int
    off: int
    len: int
    sha256: str
    t0: int
    dur: int


class Segment(Entry, frozen=True, kw_only=True, tag="segment"):
    """A segment file is closed: its whole length and hash. ``file`` is relative to the record."""

    track: str
    seg: int
    file: str
    len: int
    sha256: str


class Key(Entry, frozen=True, kw_only=True, tag="key"):
    """A wrapped media key was written and synced (before its part's first fragment)."""

    track: str
    part: int
    file: str
    len: int
    sha256: str


class Checkpoint(Entry, frozen=True, kw_only=True, tag="ckpt"):
    """The device's signature over the chain's head at line ``at`` (``signing_text`` in ``checkpoint.py``). ``sig`` is base64 of DER."""

    at: int
    head: str
    sig: str
    key_id: str


class Receipt(Entry, frozen=True, kw_only=True, tag="receipt"):
    """The centre's receipt for the head at line ``at`` has been stored in ``anchors.jsonl``; the hash is that of its raw line."""

    at: int
    receipt_sha256: str


class Pause(Entry, frozen=True, kw_only=True, tag="pause"):
    """From ``from_us`` on nothing is recorded, by order of ``actor``."""

    state: PausedState
    actor: str
    reason: str
    order: str
    from_us: int


class Resume(Entry, frozen=True, kw_only=True, tag="resume"):
    """Recording goes on at ``to_us``."""

    state: PausedState
    actor: str
    from_us: int
    to_us: int


class Alive(Entry, frozen=True, kw_only=True, tag="alive"):
    """The recorder was there, in this state, while nothing was recorded (at most 10 s apart)."""

    state: PausedState


class Clock(Entry, frozen=True, kw_only=True, tag="clock"):
    """The map from session time to UTC at this line."""

    clock: ClockState


class ClockStep(Entry, frozen=True, kw_only=True, tag="clock_step"):
    """The PC's wall clock moved against its monotonic clock by ``delta_us``."""

    delta_us: int


class Drift(Entry, frozen=True, kw_only=True, tag="drift"):
    """A device's clock against CLOCK_MONOTONIC: ``drift_ppb`` > 0 where the device runs fast; ``error_us`` is the fit's residual."""

    track: str
    media_us: int
    mono: int
    drift_ppb: int
    error_us: int


class SenderReport(Entry, frozen=True, kw_only=True, tag="sender_report"):
    """An RTCP sender report of a network device: its own wall clock (``ntp_us`` since 1970) at session time ``media_us``."""

    track: str
    media_us: int
    ntp_us: int


class SourceChange(Entry, frozen=True, kw_only=True, tag="source_change"):
    """A device came back, or changed its format; ``detail`` says how."""

    track: str
    detail: str


class Gap(Entry, frozen=True, kw_only=True, tag="gap"):
    """A track stopped: no media from session time ``from_us`` on. ``cause`` is a code, ``detail`` is plain words."""

    track: str
    cause: str
    detail: str
    from_us: int


class GapEnd(Entry, frozen=True, kw_only=True, tag="gap_end"):
    """The track's media goes on at ``to_us``."""

    track: str
    from_us: int
    to_us: int


class Overflow(Entry, frozen=True, kw_only=True, tag="overflow"):
    """The disk took nothing for so long that finished fragments had to be given up."""

    track: str
    fragments: int
    bytes: int
    from_us: int
    to_us: int


class DiskState(Entry, frozen=True, kw_only=True, tag="disk_state"):
    """A disk changed: failed, full, left, came back, was caught up, took the lead."""

    disk: Literal["primary", "mirror"]
    state: str
    detail: str


class Alarm(Entry, frozen=True, kw_only=True, tag="alarm"):
    """An alarm was raised (``on``) or ended: source, disk, signing, proof of sound or picture."""

    code: str
    track: str
    on: bool
    detail: str


class Note(Entry, frozen=True, kw_only=True, tag="note"):
    """A person's note at session time ``at_us``."""

    author: str
    text: str
    at_us: int


class LevelChange(Entry, frozen=True, kw_only=True, tag="level"):
    """What follows ``from_us`` is of this level, by order of ``actor``."""

    level: Level
    actor: str
    order: str
    from_us: int


class Bind(Entry, frozen=True, kw_only=True, tag="bind"):
    """The session belongs to another hearing than was thought."""

    hearing: str
    case: str
    actor: str
    reason: str


class Event(Entry, frozen=True, kw_only=True, tag="event"):
    """Something that another process tells for the record (a participant's link quality, who spoke); ``data`` holds codes and integers."""

    source: str
    name: str
    track: str
    data: dict[str, str | int]


ENDED = ("recorder", "ended")
"""Source and name of the event that the recorder writes when it is told to end while a session runs."""

STOPPING = ("recorder", "stopping")
"""Source and name of the event that a session's end was asked for: whatever comes between it and the seal, the session is not taken up."""


def down_words(*, told_to_end: bool) -> str:
    """Why the recorder was not there before a ``Recovered``; ``told_to_end``: an ``ENDED`` stands before it."""
    return "the recorder was told to end, and was started again" if told_to_end else "crash or power cut"


class ByteRange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bytes of a file that no entry covers, left where they lie."""

    file: str
    off: int
    len: int
    sha256: str


class Abandoned(Entry, frozen=True, kw_only=True, tag="abandoned"):
    """Bytes at the end of a segment that no fragment covers: the disk failed while they were written; a new segment follows."""

    track: str
    file: str
    off: int
    len: int
    sha256: str
    reason: str


class Recovered(Entry, frozen=True, kw_only=True, tag="recovered"):
    """The recorder came back after a crash, a power cut, or an orderly end (``ENDED``) while a session ran.

    The file is never truncated: what lies behind the last valid line is named here.

    ``last`` is the last valid line's number; ``torn`` are unjournaled bytes (of the journal: a torn line); ``damaged`` are journaled
    fragments whose bytes no longer match. ``from_us`` to ``to_us`` is the time in which the recorder was not there; ``to_us`` is
    None where UTC was not trusted after a reboot and the length of the gap is unknown.
    """

    last: int
    boot: str
    same_boot: bool
    torn: list[ByteRange]
    damaged: list[ByteRange]
    from_us: int
    to_us: int | None
    origin_mono_us: int


class TrackTotal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A track's sums at the seal. ``sha256`` is over the concatenated 32-byte hashes of its inits and segments in journal order."""

    track: str
    bytes: int
    fragments: int
    segments: int
    sha256: str


class Seal(Entry, frozen=True, kw_only=True, tag="seal"):
    """Nothing follows but the last checkpoint."""

    reason: str
    actor: str
    duration_us: int
    tracks: list[TrackTotal]
    paused_us: dict[str, int]
    mirror: str


AnyEntry = (
    Genesis | Init | Frag | Segment | Key | Checkpoint | Receipt | Pause | Resume | Alive | Clock | ClockStep | Drift | SenderReport
    | SourceChange | Gap | GapEnd | Overflow | DiskState | Alarm | Note | LevelChange | Bind | Event | Abandoned | Recovered | Seal
)  # fmt: skip
