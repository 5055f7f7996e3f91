"""What people and the agent ask of the recorder, and what they are answered.

A pause, a resume and a level are obeyed at once, in the event loop: they wait for no disk, no token and no network. What must wait for one
(a start, a stop, a receipt, a signature) waits by itself, and never stands in the way of those.
"""

from typing import Protocol

from msgspec.structs import replace

from recorder import session as rules
from recorder.child_guard import ChildGuard
from recorder.clock import mono_us
from recorder.conference_events import ConferenceEvents
from recorder.contract import control
from recorder.notary import Notary
from recorder.open_session import OpenSession
from recorder.orders_in_force import KEPT, UNSIGNED, InForce, OrdersInForce, obey_again, signed_orders
from recorder.receipts import ForgedReceiptError, ReceiptError, Receipts
from recorder.record import entries
from recorder.record.canonical import NotCanonicalError
from recorder.record.entries import Level
from recorder.recovery import Left
from recorder.running import RunningSession

DURABLE_S = 2.0
"""An order that is on the disk by then is answered with ok; one that is not has been obeyed all the same, and the answer says both."""
_NOT_DURABLE = (
    "the order is obeyed, but it is not on the disk yet, which takes nothing now: look after the disk. {} if the power fails before it does"
)


class Room(Protocol):
    """What the requests need of the recorder: ``core.Recorder``."""

    @property
    def state(self) -> control.State:
        """Its state."""
        ...

    @property
    def session(self) -> RunningSession | None:
        """The session that runs."""
        ...

    @property
    def opened(self) -> OpenSession | None:
        """The same on the disk."""
        ...

    async def begin(self, request: control.Start) -> control.Reply:
        """Begin a session."""
        ...

    async def end(self, request: control.StopRequest) -> control.Reply:
        """End it, and seal its record."""
        ...

    def arm(self, *, on: bool) -> control.Reply:
        """Arm or wipe the pre-roll."""
        ...

    def keyframe(self, track: str) -> control.Reply:
        """Ask an encoder for a new group of pictures."""
        ...

    def reply(self) -> control.Reply:
        """It is done."""
        ...

    def alarm(self, code: str, track: str, *, on: bool, detail: str) -> None:
        """Raise or end an alarm."""
        ...

    def can_be_opened(self, level: Level) -> bool:
        """Whether media of this level would have a reader."""
        ...


class Requests:
    """Answers requests."""

    def __init__(self, room: Room, guard: ChildGuard, orders: OrdersInForce, notary: Notary, receipts: Receipts) -> None:
        self._room = room
        self._guard = guard
        self._orders = orders
        self._in_force = InForce(record="")
        self._notary = notary
        self._receipts = receipts
        self._bound: tuple[str, control.BindRequest] | None = None
        """The record that was bound last while it was made, and how."""
        self._events = ConferenceEvents()

    async def handle(self, request: control.AnyRequest) -> control.Reply:
        """Do what a request asks. All that happens before the first wait happens at once."""
        refused = rules.refusal(self._room.state, request) or self._is_for_another(request)
        if refused is not None:
            return control.Reply(ok=False, error=refused)
        try:
            return await self._do(request)
        except NotCanonicalError as error:
            return control.Reply(ok=False, error=f"this cannot stand in a record: {error}")

    def _is_for_another(self, request: control.AnyRequest) -> str | None:
        """Why what was meant for one session may not reach this one: between the decision and now, another one may have begun."""
        session = self._room.session
        if session is None or not isinstance(request, control.StopRequest | control.BindRequest):
            return None
        if request.record in {"", session.record}:
            return None
        return f"this was meant for session {request.record}, which does not run any more; session {session.record} runs, and goes on"

    def goes_on(self, session: RunningSession, left: Left | None) -> None:
        """A session was taken up: what had been ordered holds on."""
        known = self._orders.get(session.record)
        orders = known or signed_orders(session.record, None if left is None else left.signed)
        was = session.state, session.level
        obey_again(session, orders, mono_us())
        kept = orders.kept or (known is None and (session.state, session.level) != was)
        if kept:
            detail = f"{session.state}, level {session.level}: {UNSIGNED}; resume the session, or set its level, if that is over"
            self._room.alarm(KEPT, "", on=True, detail=detail)
        self.took_up(replace(orders, kept=kept))

    def took_up(self, orders: InForce) -> None:
        """A session runs with these orders in force."""
        self._in_force = orders
        self._orders.put(orders)

    def stops(self, request: control.StopRequest) -> None:
        """The session's end was asked for: it holds, whatever the disks do until the record is sealed."""
        self.took_up(replace(self._in_force, stop=request))

    async def _do(self, request: control.AnyRequest) -> control.Reply:
        if isinstance(request, control.Start):
            return await self._room.begin(request)
        if isinstance(request, control.StopRequest):
            return await self._room.end(request)
        if isinstance(request, control.ArmRequest):
            return self._room.arm(on=request.on)
        if isinstance(request, control.AddReceipt):
            return await self._receipt(request)
        if isinstance(
            request, control.BindSealed | control.CertifyFault | control.CertifyHandover | control.FindRecord | control.FindRecords
        ):
            return await self._notary.do(request)
        session = self._room.session
        if session is None:
            return control.Reply(ok=False, error="no session is running")
        if isinstance(request, control.PauseRequest | control.ResumeRequest | control.SetLevel):
            return await self._order(session, request)
        now_us = mono_us()
        if isinstance(request, control.AddNote):
            at_us = session.clock.t_us(now_us) if request.at_us is None else request.at_us
            if at_us > session.clock.t_us(now_us):
                return control.Reply(ok=False, error="cannot take a note: its at_us lies behind the session's present time")
            session.journal(entries.Note(author=request.author, text=request.text, at_us=at_us))
        elif isinstance(request, control.AddEvent):
            if not self._events.knows(session.record, request):
                data = dict(request.data)
                if request.mono_us is not None:  # nothing was before the session, nor will be behind its present time
                    data["at_us"] = session.clock.t_us(min(request.mono_us, now_us))
                session.journal(entries.Event(source="conference", name=request.name, track="", data=data))
                self._events.add(session.record, request)
        elif isinstance(request, control.BindRequest):
            bound = session.record, replace(request, record="")
            if bound != self._bound:  # who asks twice, because no answer reached him, changes nothing
                self._bound = bound
                session.hearing = request.hearing
                session.journal(entries.Bind(hearing=request.hearing, case=request.case, actor=request.actor, reason=request.reason))
        elif isinstance(request, control.KeyframeRequest):
            return self._room.keyframe(request.track)
        return self._room.reply()

    async def _order(
        self, session: RunningSession, request: control.PauseRequest | control.ResumeRequest | control.SetLevel
    ) -> control.Reply:
        """Obey at once; then see to it that the order survives."""
        level = request.level if isinstance(request, control.SetLevel) else session.level
        if not isinstance(request, control.PauseRequest) and not self._room.can_be_opened(level):
            return control.Reply(ok=False, error=f"nobody may open level '{level}': name a [[recipient]] for it in room.toml")
        now_us = mono_us()
        pause, last_level = self._in_force.pause, self._in_force.level
        if isinstance(request, control.PauseRequest):
            was_dropping = session.state in rules.DROPPING
            session.pause(request, now_us)
            if was_dropping or request.state in rules.DROPPING:
                self._guard.mute(on=request.state in rules.DROPPING)
            pause, otherwise = request, "The recorder would come back recording"
        elif isinstance(request, control.ResumeRequest):
            self._guard.mute(on=False)
            session.resume(request.actor, now_us)
            pause, otherwise = None, "The recorder would come back paused"
        else:
            session.set_level(request, now_us)
            last_level, otherwise = request, "The recorder would come back with the level that was before"
        self._room.alarm(KEPT, "", on=False, detail="")
        self.took_up(InForce(record=session.record, pause=pause, level=last_level))
        done = self._room.reply()
        opened = self._room.opened
        try:
            durable = opened is not None and await opened.is_durable(DURABLE_S)
        except OSError:
            durable = False
        return done if durable else control.Reply(ok=False, error=_NOT_DURABLE.format(otherwise), record=done.record, t_us=done.t_us)

    async def _receipt(self, request: control.AddReceipt) -> control.Reply:
        try:
            await self._receipts.take(request.receipt, self._room.opened)
        except ReceiptError as error:
            if isinstance(error, ForgedReceiptError):
                self._room.alarm("receipt_refused", "", on=True, detail=f"{error}; ask the centre what it sends to this room")
            return control.Reply(ok=False, error=str(error))
        self._room.alarm("receipt_refused", "", on=False, detail="")
        return control.Reply(ok=True)
