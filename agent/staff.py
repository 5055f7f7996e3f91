"""Carries the clerk's orders out: ``desk.Desk`` for one room."""

import asyncio
import dataclasses
import zoneinfo
from collections.abc import Callable
from typing import Literal

import structlog

from agent import desk, told
from agent.actions import Prompt
from agent.conduct import Conductor
from agent.diagnostics.runner import HearingRunsError
from agent.hearing import LIVE, RUNNING, Facts, is_local, local_hearing, record_of
from agent.prompt_words import asks, command, say
from agent.room_process import RoomProcess
from agent.schedule import Schedule, planned
from agent.turn import Outcome
from recorder.contract import control

log = structlog.get_logger()

_OPEN_PROMPTS = {"start_due", "late", "start_failed"}
KEPT_WITHIN_S = 0.5
"""The recorder is asked for a start or a stop when the file has it, or after so long: a disk that stalls longer costs what is said."""


@dataclasses.dataclass(slots=True)
class Linked:
    """How the room stands with its centre; None where it has none."""

    reached: Callable[[], bool | None] = lambda: None
    refusal: Callable[[], str] = str
    """Why a centre that answers refuses the room."""
    alarms: Callable[[], list[str]] = list
    sending: Callable[[], desk.Sending | None] = lambda: None
    """What the delivery sends now."""


class Staff:
    """The clerk's counter of one room."""

    def __init__(self, process: RoomProcess, conductor: Conductor, linked: Linked) -> None:
        self._process = process
        self._conductor = conductor
        self._linked = linked
        self._facts, self._schedule = Facts(), Schedule()
        self._zone = zoneinfo.ZoneInfo(process.config.room.timezone)
        self._keeping: set[asyncio.Task[Outcome]] = set()
        self._begins_for = ""

    async def look(self) -> None:
        """Take the facts and the schedule as they are stored, for ``state``."""
        self._facts, self._schedule = await self._process.store.do(lambda store: (store.facts, store.schedule))

    def state(self) -> desk.DeskState:
        """The room now."""
        process = self._process
        status = process.status()
        hearings = self._hearings()
        return desk.DeskState(
            room=process.room,
            utc_us=process.stamp().utc_us,
            recorder="unreachable" if status is None else status.state,
            session="" if status is None or not status.record else record_of(status.record),
            hearing="" if status is None else status.hearing,
            t_us=0 if status is None else status.t_us,
            languages=list(process.config.hearings.languages),
            timezone=process.config.room.timezone,
            centre_reached=self._linked.reached(),
            centre_refuses=self._linked.refusal(),
            hearings=hearings,
            others=self._others(hearings),
            sending=self._linked.sending(),
            prompts=[self._prompt(prompt) for prompt in process.prompts],
            alarms=self._alarms(),
        )

    async def start(self, order: desk.StartOrder) -> desk.Said:
        """Begin a session: one at a time, so that what is told of it bears the name of whom the recorder begins it for."""
        if other := self._begins_for or self._conductor.begins_for:
            raise desk.DeskError(f"a session is being begun for {other} at this moment; look again")
        self._begins_for = order.actor
        try:
            return await self._start(order)
        finally:
            self._begins_for = ""

    async def _start(self, order: desk.StartOrder) -> desk.Said:
        now_us, hearing = self._process.stamp().utc_us, order.hearing or local_hearing()
        outcome = await self._ordered(
            lambda facts, schedule: told.start(
                facts,
                schedule,
                hearing=hearing,
                case=order.case,
                by=order.actor,
                now_utc_us=now_us,
                must_be_known=order.hearing is not None and self._must_be_known(not_planned=order.not_planned),
            ),
            lambda facts, schedule: told.broken_off(facts, schedule, by=order.actor, now_utc_us=now_us),
        )
        reply = None
        for action in outcome.actions:
            reply = await self._conductor.order(action)
        session = record_of(reply.record) if reply is not None else ""
        return desk.Said(text="The session is being recorded.", session=session, warning=reply.error if reply is not None else "")

    async def stop(self, order: desk.StopOrder) -> desk.Said:
        """End it."""
        return await self._stop(self._running(), order)

    async def _stop(self, session: str, order: desk.StopOrder) -> desk.Said:
        now_us = self._process.stamp().utc_us
        outcome = await self._ordered(
            lambda facts, schedule: told.stop(facts, schedule, session=session, by=order.actor, reason=order.reason, now_utc_us=now_us),
            lambda facts, schedule: told.broken_off(facts, schedule, by=order.actor, now_utc_us=now_us),
        )
        for action in outcome.actions:
            await self._conductor.order(action)
        return desk.Said(text="The session is closed, and its record is sealed.", session=session)

    async def pause(self, order: desk.PauseOrder) -> desk.Said:
        """Leave the open state."""
        self._note_asked(order.state, order.actor)
        request = control.PauseRequest(state=order.state, actor=order.actor, reason=order.reason, order=order.order)
        reply = await self._process.link.do(request)
        return desk.Said(text=f"The session is {order.state.replace('_', ' ')}.", session=record_of(reply.record), warning=reply.error)

    async def resume(self, order: desk.ResumeOrder) -> desk.Said:
        """Record again."""
        self._note_asked("open", order.actor)
        reply = await self._process.link.do(control.ResumeRequest(actor=order.actor))
        return desk.Said(text="The session is being recorded again.", session=record_of(reply.record), warning=reply.error)

    async def note(self, order: desk.NoteOrder) -> desk.Said:
        """Take a note."""
        self._process.touched()
        reply = await self._process.link.do(control.AddNote(author=order.actor, text=order.text))
        return desk.Said(text="The note stands in the record.", session=record_of(reply.record))

    async def bind(self, order: desk.BindOrder) -> desk.Said:
        """Bind a session to a hearing."""
        session = await self._named(order.session)
        await self._changed(
            lambda facts, schedule: told.bind(
                facts, schedule, session=session, hearing=order.hearing, case=order.case, by=order.actor, reason=order.reason,
                must_be_known=self._must_be_known(not_planned=order.not_planned),
            )
        )  # fmt: skip
        return desk.Said(
            text=f"The session is being bound to hearing {order.hearing}; the record says so as soon as it is signed.", session=session
        )

    async def withdraw(self, order: desk.WithdrawOrder) -> desk.Said:
        """Take back an order to bind that is not carried out yet."""
        session = await self._named(order.session)
        await self._changed(lambda facts, schedule: told.withdraw(facts, schedule, session=session))
        return desk.Said(text="The order to bind the session is withdrawn.", session=session)

    async def not_held(self, order: desk.NotHeldOrder) -> desk.Said:
        """Note that a hearing does not take place."""
        await self._changed(
            lambda facts, schedule: told.not_held(
                facts, schedule, room=self._process.room, hearing=order.hearing, by=order.actor, reason=order.reason
            )
        )
        return desk.Said(text=f"Hearing {order.hearing} is noted as not held.")

    async def answer(self, order: desk.AnswerOrder) -> desk.Said:
        """Take the answer to a prompt."""
        prompt = next((each for each in self._process.prompts if _id(each) == order.prompt), None)
        if prompt is None:
            raise desk.DeskError("this question does not stand any more; look again")
        if order.yes and prompt.code in _OPEN_PROMPTS:
            return await self.start(desk.StartOrder(actor=order.actor, hearing=prompt.hearing))
        if order.yes and prompt.code == "forgotten_stop":
            if self._running() != prompt.session:  # the one that was forgotten is over, and another one is not meant
                raise desk.DeskError("the session that this asks about does not run any more")
            return await self._stop(prompt.session, desk.StopOrder(actor=order.actor, reason="ended"))
        if not asks(prompt):
            how = command(prompt)
            raise desk.DeskError(f"yes or no is no answer to this: `{how}`" if how else "this asks nothing that yes or no would answer")
        if prompt.code == "hearing_changed":
            await self._changed(lambda facts, schedule: told.change_seen(facts, schedule, hearing=prompt.hearing))
            return desk.Said(text="Noted.")
        self._process.touched()  # a "no": somebody is there
        self._process.wake.set()
        return desk.Said(text="Noted.")

    async def diagnostics(self, order: desk.DiagnosticsOrder) -> desk.Checked:
        """Run the checks."""
        del order  # who asked stands in no record: checks change nothing
        try:
            return desk.Checked(checks=await self._conductor.check("", "operator"))
        except HearingRunsError as error:
            raise desk.DeskError(str(error)) from None

    def _note_asked(self, to: Literal["open", "off_record", "privileged", "deliberation"], by: str) -> None:
        """Have it kept who pauses or resumes, and wait for no disk with the order itself: who waits for privacy is heard until then.

        The file takes one thing after the other, so the name is there before any decision that sees what the recorder did.
        """
        now_us = self._process.stamp().utc_us
        self._keep(lambda facts, schedule: told.asked(facts, schedule, to=to, by=by, now_utc_us=now_us))

    async def _ordered(self, change: Callable[[Facts, Schedule], Outcome], take_back: Callable[[Facts, Schedule], Outcome]) -> Outcome:
        """As ``_changed``, but where the disk stalls it is decided by what memory holds, and kept when the file takes it.

        ``take_back``: where whoever ordered it hangs up meanwhile, for what the file is just taking cannot be dropped.
        """
        keeping = self._keep(change)
        try:
            await asyncio.wait({keeping}, timeout=KEPT_WITHIN_S)
            if keeping.done():
                return keeping.result()
            try:
                outcome = change(*self._process.store.now)
            except told.ToldError:
                return await keeping  # what waits for the file as well may change that: a session that is just being taken up
        except asyncio.CancelledError:
            keeping.cancel()
            self._keep(take_back)
            raise
        log.error("the agent's file takes nothing for the moment; the recorder is asked without waiting for it")
        return outcome

    def _keep(self, change: Callable[[Facts, Schedule], Outcome]) -> asyncio.Task[Outcome]:
        keeping = asyncio.create_task(self._changed(change))
        self._keeping.add(keeping)
        keeping.add_done_callback(self._kept)
        return keeping

    def _kept(self, keeping: asyncio.Task[Outcome]) -> None:
        self._keeping.discard(keeping)
        if not keeping.cancelled() and (error := keeping.exception()) is not None:
            log.warning("what was ordered is not kept", error=str(error))

    async def _changed(self, change: Callable[[Facts, Schedule], Outcome]) -> Outcome:
        self._process.touched()
        try:
            outcome = await self._process.apply(change)
        except told.ToldError as error:
            raise desk.DeskError(str(error)) from None
        await self.look()
        self._process.wake.set()
        return outcome

    async def _named(self, begin: str) -> str:
        """The session whose id begins so; the running one where nothing is given."""
        if not begin:
            return self._running()
        await self.look()
        try:
            return told.session_named(self._facts, begin)
        except told.ToldError as error:
            raise desk.DeskError(str(error)) from None

    def _running(self) -> str:
        running = [session.session for session in self._facts.sessions.values() if session.state in LIVE | {"closing"}]
        status = self._process.status()
        if status is not None and status.record:
            return record_of(status.record)
        if not running:
            raise desk.DeskError("no session is running")
        return running[-1]

    def _hearings(self) -> list[desk.PlannedHearing]:
        known = self._facts.hearings
        plans = {hearing.id: hearing for hearing in planned(self._schedule, self._process.room)}
        plans |= {facts.hearing: facts.plan for facts in known.values() if facts.plan is not None}
        found = [
            desk.PlannedHearing(
                id=plan.id, case=plan.case, title=plan.title, judge=plan.judge,
                starts_utc_us=plan.starts_utc_us, ends_utc_us=plan.ends_utc_us,
                state=known[plan.id].state if plan.id in known else "planned", session=known[plan.id].session if plan.id in known else "",
            )
            for plan in plans.values()
        ]  # fmt: skip
        return sorted(found, key=lambda hearing: (hearing.starts_utc_us, hearing.id))

    def _others(self, hearings: list[desk.PlannedHearing]) -> list[desk.OtherSession]:
        shown = {hearing.session for hearing in hearings}
        found = [
            desk.OtherSession(
                session=one.session, hearing="" if is_local(one.hearing) else one.hearing, case=one.case, state=one.state,
                began_utc_us=one.began_utc_us,
            )
            for one in self._facts.sessions.values() if one.session not in shown
        ]  # fmt: skip
        return sorted(found, key=lambda one: (one.began_utc_us, one.session))

    def _must_be_known(self, *, not_planned: bool) -> bool:
        """Whether a hearing's id is held against the schedule: a room that works alone has none."""
        return self._process.config.centre is not None and not not_planned

    def _prompt(self, prompt: Prompt) -> desk.Prompt:
        closes_s = prompt.args.get("closes_in_s") if prompt.code == "forgotten_stop" else None
        until_us = None if closes_s is None else self._process.stamp().utc_us + int(closes_s) * 1_000_000
        words: dict[str, str] = {language: say(prompt, language, self._zone) for language in self._process.config.hearings.languages}
        return desk.Prompt(
            id=_id(prompt), code=prompt.code, words=words, hearing=prompt.hearing, until_utc_us=until_us, asks=asks(prompt),
            command=command(prompt),
        )  # fmt: skip

    def _alarms(self) -> list[str]:
        status = self._process.status()
        found = [] if status is None else [f"{alarm.track}: {alarm.detail}".removeprefix(": ") for alarm in status.alarms]
        trouble = self._process.store.trouble
        return [*found, *([trouble] if trouble else []), *self._conductor.alarms, *self._linked.alarms()]

    @property
    def facts(self) -> Facts:
        """The facts as last looked at."""
        return self._facts

    @property
    def schedule(self) -> Schedule:
        """The schedule as last looked at."""
        return self._schedule

    @property
    def is_recording(self) -> bool:
        """Whether a session exists that is not sealed."""
        return any(session.state in RUNNING for session in self._facts.sessions.values())


def _id(prompt: Prompt) -> str:
    return "/".join(filter(None, (prompt.code, prompt.hearing, prompt.session)))
