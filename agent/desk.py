"""What the clerk can see and order: the messages of the staff's socket, and whoever carries them out."""

from typing import Annotated, Protocol

import msgspec

from agent.upstream.contract import CheckResult, Id, Micros, RecordDeleted, RecordDelivered
from provisioning.room import Language
from recorder.contract.control import Prose, Words
from recorder.record.entries import PausedState

SOCKET = "agent.sock"
"""The staff's socket, in the directory of the room's sockets."""
Actor = Annotated[
    str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f]*[^\x00-\x20\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*\Z")
]
"""The name of the person who gives the order: it stands in the signed record."""


class DeskError(Exception):
    """An order that cannot be carried out; the message says why and what to do."""


class Order(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the orders."""

    actor: Actor


class StartOrder(Order, frozen=True, kw_only=True):
    """Record: a planned hearing, or (without one) a session that is bound later. ``not_planned``: one that the room never heard of."""

    hearing: Id | None = None
    case: Words = ""
    not_planned: bool = False


class StopOrder(Order, frozen=True, kw_only=True):
    """Close the session and seal its record."""

    reason: Words = "ended"


class PauseOrder(Order, frozen=True, kw_only=True):
    """Leave the open state."""

    state: PausedState
    reason: Words = ""
    order: Words = ""


class ResumeOrder(Order, frozen=True, kw_only=True):
    """Record again."""


class NoteOrder(Order, frozen=True, kw_only=True):
    """A note in the record."""

    text: Prose


class BindOrder(Order, frozen=True, kw_only=True):
    """The session belongs to this hearing. ``session``: its id's beginning, without it the running one. ``not_planned``: as of a start."""

    hearing: Id
    case: Words = ""
    reason: Words = ""
    session: Words = ""
    not_planned: bool = False


class WithdrawOrder(Order, frozen=True, kw_only=True):
    """An order to bind that is not carried out yet is taken back; without ``session`` the running one's."""

    session: Words = ""


class NotHeldOrder(Order, frozen=True, kw_only=True):
    """A planned hearing does not take place."""

    hearing: Id
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=1_000)]


class AnswerOrder(Order, frozen=True, kw_only=True):
    """The answer to a prompt."""

    prompt: Words
    yes: bool


class DiagnosticsOrder(Order, frozen=True, kw_only=True):
    """Run the checks now."""


class PlannedHearing(msgspec.Struct, frozen=True, kw_only=True):
    """A hearing as the clerk sees it; ``state`` is that of its life cycle, ``session`` the one that belongs to it."""

    id: str
    case: str
    title: str
    judge: str
    starts_utc_us: Micros
    ends_utc_us: Micros
    state: str
    session: str = ""


class OtherSession(msgspec.Struct, frozen=True, kw_only=True):
    """A session that no planned hearing shows: its hearing is not planned, or has a newer session. ``hearing``: empty, not bound yet."""

    session: str
    hearing: str
    case: str
    state: str
    began_utc_us: Micros


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """Something that the clerk is asked, or told; ``words`` by language. One with ``until_utc_us`` answers itself then, with yes.

    ``asks``: it is answered by yes or no. ``command``: what answers it otherwise; capitals are to be filled in.
    """

    id: str
    code: str
    words: dict[str, str]
    hearing: str = ""
    until_utc_us: Micros | None = None
    asks: bool = True
    command: str = ""


class Sending(msgspec.Struct, frozen=True, kw_only=True):
    """A record that is on its way to the archive, by its name, and how much of it the archive has."""

    record: str
    done_bytes: int
    total_bytes: int

    @property
    def percent(self) -> int:
        """Whole ones, so that 100 is all."""
        return 100 * self.done_bytes // max(1, self.total_bytes)


class DeskState(msgspec.Struct, frozen=True, kw_only=True):
    """The room as the clerk sees it. ``recorder`` is the recorder's state, or ``unreachable``."""

    room: str
    utc_us: Micros
    recorder: str
    session: str = ""
    hearing: str = ""
    t_us: Micros = 0
    languages: list[Language]
    """Of the words, the room's own first."""
    timezone: str = "UTC"
    """The courtroom's, in which people are told times (IANA's name)."""
    centre_reached: bool | None = None
    """None where the room has no centre."""
    centre_refuses: str = ""
    """Why, where it answers and takes nothing of this room."""
    hearings: list[PlannedHearing] = []
    others: list[OtherSession] = []
    sending: Sending | None = None
    prompts: list[Prompt] = []
    alarms: list[str] = []


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """An order was carried out: in words. ``warning``: it holds, but the disk has not taken it yet, and what to do."""

    text: str
    session: str = ""
    warning: str = ""


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """The checks' results."""

    checks: list[CheckResult]


class DeliveryReport(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the delivery's process tells: events to keep; or its indicators, what somebody should look at, and what it sends."""

    events: list[RecordDelivered | RecordDeleted] = []
    indicators: dict[str, float] = {}
    alarms: list[str] = []
    sending: Sending | None = None


class DeliveryAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The events are durable. ``hearing``: a session runs, or may, so be slow. ``clock_believed``: the age of a thing can be told."""

    hearing: bool
    clock_believed: bool = False


class Desk(Protocol):
    """Carries the clerk's orders out. All raise ``DeskError`` where that cannot be."""

    def state(self) -> DeskState:
        """The room now."""
        ...

    async def start(self, order: StartOrder) -> Said:
        """Begin a session."""
        ...

    async def stop(self, order: StopOrder) -> Said:
        """End it."""
        ...

    async def pause(self, order: PauseOrder) -> Said:
        """Leave the open state."""
        ...

    async def resume(self, order: ResumeOrder) -> Said:
        """Record again."""
        ...

    async def note(self, order: NoteOrder) -> Said:
        """Take a note."""
        ...

    async def bind(self, order: BindOrder) -> Said:
        """Bind a session to a hearing."""
        ...

    async def withdraw(self, order: WithdrawOrder) -> Said:
        """Take an order to bind back."""
        ...

    async def not_held(self, order: NotHeldOrder) -> Said:
        """Note that a hearing does not take place."""
        ...

    async def answer(self, order: AnswerOrder) -> Said:
        """Take the answer to a prompt."""
        ...

    async def diagnostics(self, order: DiagnosticsOrder) -> Checked:
        """Run the checks."""
        ...
