"""The control socket ``<run>/control.sock``: JSON lines, a request each, answered by one ``Reply``.

``Subscribe`` is answered by a ``Status`` line at least five times a second for as long as the reader keeps up. Only the agent's user may
connect (SO_PEERCRED).
"""

import re
from typing import Annotated, Literal

import msgspec

from recorder.record.entries import Level, PausedState

State = Literal["idle", "open", "off_record", "privileged", "deliberation", "closing"]

WORDS_LONGEST = 1_000
Words = Annotated[str, msgspec.Meta(max_length=WORDS_LONGEST, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$(?![\s\S])")]
"""A line of text without control characters."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
Prose = Annotated[str, msgspec.Meta(max_length=20_000, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f-\x9f]*$(?![\s\S])")]
"""Text of any number of lines."""
SessionTime = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]


def words(text: str) -> str:
    """Any text as ``Words``: what breaks a line is a space, and what is too long is cut."""
    return _CONTROL.sub(" ", text)[:WORDS_LONGEST]


def why_no_request(error: Exception) -> str:
    """Why a line is no request, without the regular expressions of ``Words`` and ``Prose``, which tell nobody anything."""
    words = str(error)
    if "matching regex" not in words or r"\\x7f-\\x9f]*$" not in words:
        return words
    where = words.rpartition("$.")[2].rstrip("`")
    return f"{'a note' if where == 'text' else where} may not hold control characters"


class Request(msgspec.Struct, frozen=True, kw_only=True, tag_field="do", forbid_unknown_fields=True, omit_defaults=True):
    """Base of the requests. What is left as it is by itself is not sent: a recorder of before does not know each field."""


COULD_NOT_BEGIN = "could not begin: "
"""So begins the reason in the seal of a session in which nothing could be recorded: it is no record of its hearing."""
NOT_A_REQUEST = "not a request"
"""So begins the answer to a line whose fields the recorder does not take."""


class Start(Request, frozen=True, kw_only=True, tag="start"):
    """Begin a session of a hearing. Refused while one is running."""

    hearing: Words
    actor: Words
    case: Words = ""
    title: Words = ""
    start_token: Words = ""
    level: Level = "open"


class PauseRequest(Request, frozen=True, kw_only=True, tag="pause"):
    """Leave the state open: ``off_record`` stops the record alone, the two others drop every sample at the device."""

    state: PausedState
    actor: Words
    reason: Words = ""
    order: Words = ""


class ResumeRequest(Request, frozen=True, kw_only=True, tag="resume"):
    """Record again. Takes a named person, and one who waits for the answer: dropped where he hung up before it was read."""

    actor: Words


class AddNote(Request, frozen=True, kw_only=True, tag="note"):
    """A note; ``at_us`` is session time (default now)."""

    author: Words
    text: Prose
    at_us: SessionTime | None = None


class AddEvent(Request, frozen=True, kw_only=True, tag="event"):
    """Something that the conference tells for the record: who could be heard from now on, who looked in (``entries.Event``)."""

    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{0,47}$(?![\s\S])")]
    data: Annotated[dict[Words, Words | SessionTime], msgspec.Meta(max_length=40)]
    mono_us: Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)] | None = None
    """When it was (CLOCK_MONOTONIC): whoever tells it may have been held up. Stands in the entry's data as ``at_us``, session time."""


class SetLevel(Request, frozen=True, kw_only=True, tag="level"):
    """What follows is of this level."""

    level: Level
    actor: Words
    order: Words = ""


class BindRequest(Request, frozen=True, kw_only=True, tag="bind"):
    """The session belongs to this hearing. With ``record`` it is meant for that record alone, and refused while another one is made."""

    hearing: Words
    actor: Words
    case: Words = ""
    reason: Words = ""
    record: Words = ""


class BindSealed(Request, frozen=True, kw_only=True, tag="bind_sealed"):
    """The sealed record of this id belongs to this hearing: a signed line beside the seal (``record/binding.py``)."""

    record: Words
    hearing: Words
    actor: Words
    case: Words = ""
    reason: Words = ""


class CertifyFault(Request, frozen=True, kw_only=True, tag="certify_fault"):
    """Sign that for a technical fault so much of a hearing was not recorded; ``Reply.signed`` is the fault certificate as JSON."""

    hearing: Words
    record: Words = ""
    cause: Words
    detail: Words = ""
    channels: Annotated[list[Words], msgspec.Meta(max_length=200)] = []
    from_utc_us: SessionTime
    lost_s: Annotated[int, msgspec.Meta(ge=0, le=31_536_000)]


class CertifyHandover(Request, frozen=True, kw_only=True, tag="certify_handover"):
    """Sign that these two people carry this sealed record away on a disk; ``Reply.signed`` is a ``record.handover.Handover``.

    The recorder says itself what the seal of its record is: one of another seal is refused.
    """

    record: Words
    sums_sha256: Words
    files_sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$(?![\s\S])")]
    bytes: SessionTime
    files: SessionTime
    people: Annotated[list[Words], msgspec.Meta(min_length=2, max_length=2)]


class FindRecord(Request, frozen=True, kw_only=True, tag="find_record"):
    """How a record stands that is not being made: ``Reply.found``."""

    record: Words


class FindRecords(Request, frozen=True, kw_only=True, tag="find_records"):
    """Which records that are not being made were begun since then: ``Reply.records``."""

    since_utc_us: SessionTime


class StopRequest(Request, frozen=True, kw_only=True, tag="stop"):
    """End the session and seal the record; answered when it is sealed.

    With ``record`` it is meant for that record alone, and refused while another one is made.
    """

    actor: Words
    reason: Words = "ended"
    record: Words = ""


class ArmRequest(Request, frozen=True, kw_only=True, tag="arm"):
    """Arm or wipe the pre-roll."""

    on: bool
    actor: Words


class KeyframeRequest(Request, frozen=True, kw_only=True, tag="keyframe"):
    """A new GOP on this track."""

    track: Words


class AddReceipt(Request, frozen=True, kw_only=True, tag="receipt"):
    """The centre's receipt for a head (JSON of ``checkpoint.Receipt``), to be stored in ``anchors.jsonl``."""

    receipt: str


class GetStatus(Request, frozen=True, kw_only=True, tag="status"):
    """One ``Status``."""


class Subscribe(Request, frozen=True, kw_only=True, tag="subscribe"):
    """A stream of ``Status``."""


AnyRequest = (
    Start | PauseRequest | ResumeRequest | AddNote | AddEvent | SetLevel | BindRequest | BindSealed | CertifyFault | CertifyHandover
    | FindRecord | FindRecords | StopRequest | ArmRequest | KeyframeRequest | AddReceipt | GetStatus | Subscribe
)  # fmt: skip


class LeftUnsealed(msgspec.Struct, frozen=True, kw_only=True):
    """Why the recorder leaves a record as it is, which it can neither take up nor seal; ``duration_us`` where its length is known."""

    cause: Literal["record_unread", "record_unsealed"]
    detail: str
    duration_us: int = 0


class RecordFound(msgspec.Struct, frozen=True, kw_only=True):
    """A record as it lies on the disks; of a sealed one its length, the seal's reason and the head of its chain (line ``at``).

    One that is not sealed is taken up, or sealed in time, unless ``left`` says why not.
    """

    there: bool
    sealed: bool = False
    duration_us: int = 0
    reason: str = ""
    at: int = -1
    head: str = ""
    left: LeftUnsealed | None = None


class PastRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A record that is sealed, or is left without a seal: where it lies, of which room and hearing it is by now, and when it was begun.

    No hearing is named where what binds it to one does not hold.
    """

    path: str
    room: str
    hearing: str
    began_utc_us: int


class RecordsFound(msgspec.Struct, frozen=True, kw_only=True):
    """The oldest first. On a disk that is ``silent`` there may be others.

    ``unsealed`` are the paths of those that are neither sealed nor left so: the one that is being made, and those that wait for a seal.
    """

    past: list[PastRecord]
    unsealed: list[str] = []
    silent: list[str] = []


class Reply(msgspec.Struct, frozen=True, kw_only=True, tag_field="reply", tag="done"):
    """The answer: ``ok``, or the error in words with what to do. ``record`` is the path of the session's record.

    Something that was begun or is obeyed, and is not on the disk yet, is answered without ``ok`` too: ``is_obeyed`` tells it apart.
    """

    ok: bool
    error: str = ""
    record: str = ""
    t_us: int = 0
    signed: str = ""
    found: RecordFound | None = None
    records: RecordsFound | None = None


class ChannelStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One track as the room sees it now.

    Levels are dBFS, None for video. ``drift_ppb`` is the device's clock against the PC's, and ``misplaced_us`` by how much, at most, that
    clock sets its media off its place on the session clock: both None where no clock was measured.
    """

    track: str
    kind: Literal["video", "audio"]
    device: str
    live: bool
    units: int
    dropped: int
    rms_dbfs: float | None = None
    peak_dbfs: float | None = None
    clipped: int = 0
    drift_ppb: int | None = None
    misplaced_us: int | None = None
    bytes_written: int = 0
    written_us: int = 0
    gap: str = ""


class DiskStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One disk: free bytes, and for how many hours they last at the present rate (None while nothing is recorded)."""

    disk: Literal["primary", "mirror"]
    path: str
    state: str
    free_bytes: int
    hours_left: float | None
    lag_bytes: int = 0


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """An alarm that is on."""

    code: str
    track: str
    detail: str
    since_us: int


def is_obeyed(request: Request, reply: Reply) -> bool:
    """Whether what was asked for is done; ``error`` then warns that it is not on the disk yet, or is empty.

    A refusal of these four names no record. A stop that names one without ``ok`` ended the session and could not seal it.
    """
    return reply.ok or (bool(reply.record) and isinstance(request, Start | PauseRequest | ResumeRequest | SetLevel))


class Status(msgspec.Struct, frozen=True, kw_only=True, tag_field="reply", tag="status"):
    """The recorder as it is now."""

    state: State
    record: str
    hearing: str
    t_us: int
    entries: int
    head: str
    head_at: int
    signed_at: int
    commit_p99_us: int
    preroll_armed: bool
    channels: list[ChannelStatus]
    disks: list[DiskStatus]
    alarms: list[Alarm]
    level: Level = "open"
    """Of what is recorded now."""


FromRecorder = Reply | Status
json_encoder = msgspec.json.Encoder()
requests = msgspec.json.Decoder(AnyRequest)
from_recorder = msgspec.json.Decoder(FromRecorder)
