"""What a room and its centre say to each other: every message once. The operations that carry them are in ``operations.py``.

The room opens every connection. Its name is that in its certificate; a body that names another room is refused. Times are microseconds
since 1970 (``_utc_us``) unless a name says otherwise. Events are CloudEvents 1.0 (JSON format) whose ``data`` is one of the structs
below, told apart by ``is``; the sender's own order and exactly-once key are the extension attributes ``room``, ``epoch`` and ``seq``.
"""

from typing import Annotated, Literal

import msgspec

from recorder.record import canonical
from recorder.record.checkpoint import Receipt
from recorder.record.entries import Level, PausedState

BATCH_EVENTS, BATCH_BYTES = 500, 256 * 1024
"""What one batch of events may hold."""
EVENT_BYTES = 64 * 1024
"""And one event."""
TYPE_PREFIX = "kz.courtroom."
ROOM_SOURCE = "urn:courtroom:room:"
"""So begins the ``source`` of a room's events, before the room's id."""

# In Python `$` also matches before a line end at the very end, in other languages it does not: `$(?![\s\S])` is the end in all of them.
Id = Annotated[str, msgspec.Meta(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]*$(?![\s\S])")]
"""The centre's name of a hearing, a room, a case system: whatever it uses, without spaces."""
Text = Annotated[str, msgspec.Meta(max_length=2_000)]
Short = Annotated[str, msgspec.Meta(max_length=256)]
"""What a machine makes: an epoch, a boot, a version."""
_SHOWN = r"^[^\x00-\x20\x7f-\xa0][^\x00-\x1f\x7f-\x9f]*$(?![\s\S])"
"""What the room's screens show: one line that does not begin with a space."""
Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$(?![\s\S])")]
Micros = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
EventClass = Literal["A", "B", "C"]
"""A: never lost (sessions, recordings, audit, faults). B: only the latest counts. C: rolled up while it waits."""


class Struct(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all messages: what is not known is refused, not passed over."""


class ClockQuality(Struct, frozen=True, kw_only=True):
    """What the sender knows of its clock: who disciplines it, and the bound of its error (None: nobody knows)."""

    source: Short
    stratum: int | None = None
    error_us: int | None = None


class Head(Struct, frozen=True, kw_only=True):
    """A head of a record's chain: the SHA-256 of line ``at`` of its journal."""

    record: Text
    at: Count
    sha256: Sha256


# what the room tells


class EventData(Struct, frozen=True, kw_only=True, tag_field="is"):
    """Base of what events tell."""


class AgentStarted(EventData, frozen=True, kw_only=True, tag="agent.started"):
    """The agent runs; ``boot`` changes where the PC was started anew."""

    version: Short
    boot: Short


class SessionStarted(EventData, frozen=True, kw_only=True, tag="session.started"):
    """A recording began. ``late_s`` is against the plan as ``revision`` (offset of the schedule) had it; None without a plan."""

    session: Text
    record: Text
    hearing: Text
    by: Text
    automatic: bool
    planned_utc_us: Micros | None
    late_s: int | None
    revision: Count


class SessionEnded(EventData, frozen=True, kw_only=True, tag="session.ended"):
    """A recording was sealed (or could not be: ``problem``)."""

    session: Text
    record: Text
    hearing: Text
    by: Text
    reason: Text
    duration_us: Micros
    head: Head | None
    problem: Text = ""


class SessionBound(EventData, frozen=True, kw_only=True, tag="session.bound"):
    """A session belongs to this hearing, whatever was said before."""

    session: Text
    record: Text
    hearing: Text
    case: Text
    by: Text
    reason: Text


class IntervalChanged(EventData, frozen=True, kw_only=True, tag="session.interval"):
    """The session left the open state, or came back to it (``state`` is then ``open``)."""

    session: Text
    record: Text
    state: PausedState | Literal["open"]
    by: Text
    at_us: Micros
    """Session time."""


class LateStart(EventData, frozen=True, kw_only=True, tag="hearing.late"):
    """A planned hearing has not begun in time, by the plan as ``revision`` had it."""

    hearing: Text
    planned_utc_us: Micros
    late_s: int
    revision: Count


class Reconciled(EventData, frozen=True, kw_only=True, tag="hearing.reconciled"):
    """How a planned hearing ended for good. ``not_held`` and ``failed`` say why."""

    hearing: Text
    outcome: Literal["sealed", "delivered", "not_held", "cancelled", "moved", "failed"]
    reason: Text
    session: Text = ""
    revision: Count = 0


class FaultCertificate(EventData, frozen=True, kw_only=True, tag="fault.certificate"):
    """What was not recorded for a technical fault, said by the machine: ``sig`` is the device's, over ``fault_text``, base64 of DER."""

    hearing: Text
    record: Text
    cause: Text
    detail: Text
    channels: list[Text]
    from_utc_us: Micros
    lost_s: int
    key_id: Short
    sig: Text


class DeviceFault(EventData, frozen=True, kw_only=True, tag="device.fault"):
    """An alarm of the recorder began or ended."""

    code: Text
    track: Text
    on: bool
    detail: Text


class ScheduleConflict(EventData, frozen=True, kw_only=True, tag="schedule.conflict"):
    """A hearing was changed while it was being recorded; recording goes on."""

    hearing: Text
    session: Text
    change: Literal["cancelled", "moved", "retimed"]
    offset: Count


class CheckResult(Struct, frozen=True, kw_only=True):
    """One check of the diagnostics: ``remedy`` says what to do where it is not ``good``."""

    check: Short
    version: int
    result: Literal["good", "warning", "bad", "unknown"]
    detail: Text
    remedy: Text = ""
    values: dict[str, float] = {}


class DiagnosticsDone(EventData, frozen=True, kw_only=True, tag="diagnostics.done"):
    """The checks before a hearing, or on command."""

    hearing: Text
    reason: Literal["before_hearing", "command", "operator"]
    checks: list[CheckResult]


LookInPhase = Literal["began", "ended", "refused"]


class LookedIn(EventData, frozen=True, kw_only=True, tag="lookin"):
    """Somebody of the Situation Centre looked into the room: an audit event for either end of it."""

    lookin: Text
    person: Text
    reason: Text
    phase: LookInPhase
    by: Text = ""
    detail: Text = ""


class CommandDone(EventData, frozen=True, kw_only=True, tag="command.done"):
    """A command was carried out, or why not."""

    number: Count
    ok: bool
    detail: Text


class RecordDelivered(EventData, frozen=True, kw_only=True, tag="record.delivered"):
    """The room holds the acknowledgement for a whole record under this seal, from the centre or from an archive station."""

    record: Text
    sums_sha256: Sha256
    by: Text


class RecordDeleted(EventData, frozen=True, kw_only=True, tag="record.deleted"):
    """A record was deleted here, long after it was delivered."""

    record: Text
    sums_sha256: Sha256
    freed_bytes: Count


class Quarantined(EventData, frozen=True, kw_only=True, tag="outbox.quarantined"):
    """The centre refuses an event of ours; it is kept here and no longer sent."""

    seq: Count
    type: Short
    detail: Text


class Measured(EventData, frozen=True, kw_only=True, tag="metrics"):
    """Indicators over a span of time: mean, and the worst where that says more (class C)."""

    from_utc_us: Micros
    to_utc_us: Micros
    values: dict[str, float]


AnyData = (
    AgentStarted | SessionStarted | SessionEnded | SessionBound | IntervalChanged | LateStart | Reconciled | FaultCertificate | DeviceFault
    | ScheduleConflict | DiagnosticsDone | LookedIn | CommandDone | RecordDelivered | RecordDeleted | Quarantined | Measured
)  # fmt: skip


class Event(Struct, frozen=True, kw_only=True):
    """A CloudEvent. ``type`` is ``kz.courtroom.`` and the data's ``is``; ``mono_us`` counts within ``boot`` only."""

    specversion: Literal["1.0"]
    id: Short
    source: Short
    type: Short
    time: Short
    datacontenttype: Literal["application/json"]
    room: Id
    epoch: Short
    seq: Annotated[int, msgspec.Meta(ge=1, le=2**53 - 1)]
    eventclass: EventClass
    monous: Micros
    bootid: Short
    clock: ClockQuality
    data: AnyData


class TakenEvent(Struct, frozen=True, kw_only=True):
    """An event as the centre has it: the ``number``-th that it took, at ``utc_us`` of its clock."""

    number: Count
    utc_us: Micros
    event: Event


class Place(Struct, frozen=True, kw_only=True):
    """An event's place in a room's outbox."""

    epoch: Short
    seq: Count


class EventBatch(Struct, frozen=True, kw_only=True):
    """Events of one epoch in their order; ``seq`` rises, and need not be without holes (class B and C drop out)."""

    epoch: Short
    events: Annotated[list[Event], msgspec.Meta(min_length=1, max_length=BATCH_EVENTS)]
    after: Place | None = None
    """The last event before these that the centre acknowledged and the room still has; None: there is none."""


class EventsTaken(Struct, frozen=True, kw_only=True):
    """All events of the epoch up to ``to`` are durable at the centre, or were there before.

    Where a centre that was restored from a copy has not what the batch comes ``after``, it takes nothing, and answers with that one's epoch
    and how much it has of it: the room sends again what follows.
    """

    epoch: Short
    to: Count


class Heartbeat(Struct, frozen=True, kw_only=True):
    """Each ten seconds: that the room is there, and how it is."""

    utc_us: Micros
    boot: Short
    version: Short
    clock: ClockQuality
    state: Text
    """The recorder's state, or ``unreachable``."""
    session: Text
    hearing: Text
    head: Head | None
    applied_offset: Count
    outbox_depth: Count
    indicators: dict[str, float]
    alarms: list[Text] = []


class HeartbeatTaken(Struct, frozen=True, kw_only=True):
    """The centre's clock, and its receipt for the head, which belongs into the record's ``anchors.jsonl``."""

    utc_us: Micros
    receipt: Receipt | None
    due_s: float = 10.0
    """When the next one is expected."""


class RoomState(Struct, frozen=True, kw_only=True):
    """What the centre knows of a room: its last heartbeat, and when it came by the centre's clock (None: never)."""

    room: Id
    heard_utc_us: Micros | None
    heartbeat: Heartbeat | None
    flags: list[str] = []
    """What is wrong there, by codes: ``silent``, ``late``, ``not_recorded``, ``alarm``, ``contradiction``."""


# what the centre tells


class Hearing(Struct, frozen=True, kw_only=True):
    """A hearing as planned. One that was moved out of a room or cancelled stays, in that state."""

    id: Id
    room: Id
    case: Text = ""
    title: Text = ""
    judge: Text = ""
    starts_utc_us: Micros
    ends_utc_us: Micros
    level: Level = "open"
    state: Literal["planned", "cancelled"] = "planned"
    start_token: str = ""
    """Made by the centre for this hearing: it stands in the record's first line and proves that the record is not older."""
    automatic: bool | None = None
    """Whether the recording may start by itself; None leaves it to the room."""


class Change(Struct, frozen=True, kw_only=True):
    """The state of a hearing as of ``offset``. Rooms get each change of a hearing that is or was theirs."""

    offset: Annotated[int, msgspec.Meta(ge=1, le=2**53 - 1)]
    hearing: Hearing


class Snapshot(Struct, frozen=True, kw_only=True):
    """All hearings of a room from today on, as of an offset."""

    as_of: Count
    hearings: list[Hearing]


class Command(Struct, frozen=True, kw_only=True, tag_field="do"):
    """Base of the centre's commands. ``number`` is the centre's (0 in a request to give one) and rises; each is carried out once."""

    number: Count


class Refresh(Command, frozen=True, kw_only=True, tag="refresh"):
    """Ask for a snapshot of the schedule."""


class RunDiagnostics(Command, frozen=True, kw_only=True, tag="diagnostics"):
    """Run the checks, unless a hearing is running."""


class StartLookIn(Command, frozen=True, kw_only=True, tag="lookin.start"):
    """A named person of the Situation Centre wants to look in, for this reason and so long.

    Whoever gives the command makes the link's token (32 random bytes) and keeps it; the command, and so the room and everything that keeps
    commands, has its hash alone.
    """

    lookin: Id
    person: Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=_SHOWN)]
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=500, pattern=_SHOWN)]
    length_s: Annotated[int, msgspec.Meta(ge=10, le=3600)]
    token_sha256: Sha256
    before_utc_us: Micros
    """Refused where the command comes later: a room that was away is not looked into when nobody waits for it any more."""


class EndLookIn(Command, frozen=True, kw_only=True, tag="lookin.end"):
    """The look-in is over."""

    lookin: Id


class Configure(Command, frozen=True, kw_only=True, tag="configure"):
    """A new room.toml: it is checked and laid down as room.toml.next; a technician copies it to its place between two hearings."""

    toml: Annotated[str, msgspec.Meta(max_length=256 * 1024)]
    sha256: Sha256


AnyCommand = Refresh | RunDiagnostics | StartLookIn | EndLookIn | Configure


class Feed(Struct, frozen=True, kw_only=True):
    """The answer to a long poll: what is new of schedule and commands; nothing where the wait ended."""

    as_of: Count
    """The newest offset that this room need know of."""
    snapshot: Snapshot | None = None
    """Instead of changes, where the room's offset is too old or it asked for one."""
    changes: list[Change] = []
    commands: list[AnyCommand] = []


def fault_text(fault: FaultCertificate) -> bytes:
    """The text under a fault certificate's signature (ECDSA P-256, SHA-256): what it is, then the certificate without it, canonically."""
    return b"courtroom-fault-v1\n" + canonical.encode(msgspec.structs.replace(fault, sig="")) + b"\n"
