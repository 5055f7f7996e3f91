"""Carries the room's decisions out: one of each at a time, each followed by what became of it.

A new decision is asked for at once only where the facts changed. What comes to nothing stands in the next decision too, and is tried again
ever more seldom (``not_before.py``); how often a start and a stop are asked for, the decision itself says.
"""

import asyncio
import time
from collections.abc import Callable, Collection
from typing import Literal, assert_never

import msgspec
import structlog

from agent import missed, told
from agent.actions import AnyAction, BindRecord, Certify, FindMissed, FindOut, RunChecks, StartRecording, StopRecording
from agent.diagnostics.check import Context
from agent.diagnostics.registry import CHECKS
from agent.diagnostics.runner import HearingRunsError, run_checks
from agent.hearing import KEPT_S, REFUSED, RUNNING, UNREACHABLE, Facts, Fault, record_of
from agent.not_before import NotBefore
from agent.recorder_link import RecorderAwayError, RecorderLink, RecorderRefusedError
from agent.room_process import RoomProcess
from agent.schedule import Schedule
from agent.turn import Outcome
from agent.upstream import contract
from recorder.contract import control

log = structlog.get_logger()

LOST = "record_lost"
_MAY_RUN = (
    "the recorder does not answer, and may be recording a hearing that checks would disturb; see `systemctl status courtroom-recorder`, "
    "and run them when it answers"
)
CheckReason = Literal["before_hearing", "command", "operator"]


class Conductor:
    """Acts for one room."""

    def __init__(self, process: RoomProcess) -> None:
        self._process = process
        self._running: dict[bytes, asyncio.Task[None]] = {}
        self._not_before = NotBefore()
        self._refused: dict[bytes, str] = {}
        self._begins_for = ""

    @property
    def begins_for(self) -> str:
        """In whose name the recorder is being asked for a start at this moment; empty: it is not."""
        return self._begins_for

    @property
    def alarms(self) -> list[str]:
        """What the recorder refuses and a person can change, in words."""
        return list(self._refused.values())

    async def run(self) -> None:
        """Decide and act, each second and whenever something happened, for ever."""
        try:
            while True:
                self._process.wake.clear()
                self.carry(await self._process.decide())
                try:
                    async with asyncio.timeout(1.0):
                        await self._process.wake.wait()
                except TimeoutError:
                    continue
        finally:
            for task in self._running.values():
                task.cancel()
            await asyncio.gather(*self._running.values(), return_exceptions=True)

    def carry(self, actions: Collection[AnyAction]) -> None:
        """Begin what is not under way yet, and may be tried now."""
        keyed = {msgspec.json.encode(action): action for action in actions}
        self._not_before.keep_only(keyed)
        self._refused = {key: words for key, words in self._refused.items() if key in keyed}
        for key, action in keyed.items():
            if key not in self._running and self._not_before.may(key, time.monotonic()):
                task = asyncio.create_task(self._quietly(key, action))
                self._running[key] = task
                task.add_done_callback(lambda _, key=key: self._running.pop(key, None))  # type: ignore[misc]

    async def order(self, action: AnyAction) -> control.Reply | None:
        """Carry out at once what a person asked for; returns the recorder's answer to a start or a stop.

        Raises:
            RecorderAwayError: the recorder cannot be reached.
            RecorderRefusedError: it says no.
        """
        if isinstance(action, StartRecording):
            return await self._start(action)
        if isinstance(action, StopRecording):
            return await self._stop(action)
        await self._act(action)
        return None

    async def _act(self, action: AnyAction) -> bool:
        """Carry one out, and keep what became of it; returns whether that changed anything.

        Raises:
            RecorderAwayError: the recorder cannot be reached.
            RecorderRefusedError: it says no.
        """
        match action:
            case StartRecording():
                await self._start(action)
            case StopRecording():
                await self._stop(action)
            case FindOut():
                return await self._find_out(action)
            case FindMissed():
                return await self._find_missed()
            case BindRecord():
                return await self._bind(action)
            case RunChecks():
                await self.check(action.hearing, "before_hearing")
            case Certify():
                return await self._certify(action)
            case _:
                assert_never(action)
        return True

    async def check(self, hearing: str, reason: CheckReason) -> list[contract.CheckResult]:
        """Run the checks and keep what they found.

        Raises:
            HearingRunsError: a hearing is being recorded, or may be: a recorder that hangs for a moment is silent, and goes on.
        """
        process = self._process
        if process.status() is None and any(session.state in RUNNING for session in process.store.sessions.values()):
            raise HearingRunsError(_MAY_RUN)
        context = Context(
            config=process.config, status=process.status, quality=process.clock.read, planned_hours=await process.planned_hours(),
            centre=process.centre_clock.difference(time.monotonic()),
        )  # fmt: skip
        report = await run_checks(CHECKS, context)
        results = report.results(process.config.hearings.languages[0])
        await process.apply(lambda facts, schedule: told.checked(facts, schedule, hearing=hearing, reason=reason, checks=results))
        process.wake.set()
        return results

    @property
    def _link(self) -> RecorderLink:
        return self._process.link

    async def _quietly(self, key: bytes, action: AnyAction) -> None:
        changes = False
        try:
            changes = await self._act(action)
        except (RecorderAwayError, RecorderRefusedError, HearingRunsError, told.ToldError) as error:
            # It stands, and comes with the next decision if it is still to be done.
            log.warning("could not do what was decided", action=type(action).__name__, error=str(error))
            if isinstance(action, BindRecord) and isinstance(error, RecorderRefusedError):
                self._refused[key] = (
                    f"session {action.session} cannot be bound to hearing {action.hearing}: {error}; "
                    "`courtroom hearing withdraw` takes the order back"
                )
        if isinstance(action, StartRecording | StopRecording) or changes:
            self._not_before.was_done(key)
        else:
            self._not_before.came_to_nothing(key, time.monotonic())

    async def _apply(self, change: Callable[[Facts, Schedule], Outcome]) -> bool:
        """Keep what became of it; returns whether that changes anything, which asks for a decision now."""
        changes = False

        def noted(facts: Facts, schedule: Schedule) -> Outcome:
            nonlocal changes
            outcome = change(facts, schedule)
            changes = bool(outcome.events) or outcome.facts != facts
            return outcome

        await self._process.apply(noted)
        if changes:
            self._process.wake.set()
        return changes

    async def _start(self, action: StartRecording) -> control.Reply:
        request = control.Start(
            hearing=action.hearing, actor=action.actor, case=action.case, title=action.title, start_token=action.start_token,
            level=action.level,
        )  # fmt: skip
        self._begins_for = action.actor
        try:
            try:
                return await self._link.do(request)
            except RecorderRefusedError as error:
                if not str(error).startswith(control.NOT_A_REQUEST):
                    raise
                # What only describes the hearing must not cost its record. The level stays: it says who may open it.
                log.error("the recorder does not take what is known of the hearing; it is begun without", error=str(error))
                return await self._link.do(control.Start(hearing=action.hearing, actor=action.actor, level=action.level))
        except (RecorderAwayError, RecorderRefusedError) as error:
            cause = UNREACHABLE if isinstance(error, RecorderAwayError) else REFUSED
            detail, now_us = str(error), self._process.stamp().utc_us
            await self._apply(
                lambda facts, schedule: told.start_failed(
                    facts, schedule, hearing=action.hearing, by=action.actor, cause=cause, detail=detail, now_utc_us=now_us
                )
            )
            raise
        finally:
            self._begins_for = ""

    async def _stop(self, action: StopRecording) -> control.Reply:
        return await self._do_to_session(control.StopRequest(actor=action.actor, reason=action.reason, record=action.session))

    async def _do_to_session(self, request: control.StopRequest | control.BindRequest) -> control.Reply:
        try:
            return await self._link.do(request)
        except RecorderRefusedError as error:
            status = self._process.status()
            if "unknown field `record`" not in str(error) or status is None or record_of(status.record) != request.record:
                raise
            # A session goes on with the program of before an update, which does not know the field. It must be possible to end it.
            return await self._link.do(msgspec.structs.replace(request, record=""))

    async def _find_out(self, action: FindOut) -> bool:
        found = (await self._link.do(control.FindRecord(record=action.session))).found
        if found is None or (found.there and not found.sealed and found.left is None):
            return False  # the recorder seals it, or takes it up, and then says so
        now_us = self._process.stamp().utc_us
        if found.sealed:
            head = contract.Head(record=action.session, at=found.at, sha256=found.head)
            return await self._apply(
                lambda facts, schedule: told.sealed(
                    facts,
                    schedule,
                    session=action.session,
                    duration_us=found.duration_us,
                    head=head,
                    now_utc_us=now_us,
                    not_begun=found.reason if found.reason.startswith(control.COULD_NOT_BEGIN) else "",
                )
            )
        return await self._apply(
            lambda facts, schedule: told.record_lost(
                facts, schedule, session=action.session, fault=_lost(facts.sessions[action.session].began_utc_us, now_us, found.left)
            )
        )

    async def _find_missed(self) -> bool:
        process, now_us = self._process, self._process.stamp().utc_us
        found = (await self._link.do(control.FindRecords(since_utc_us=max(0, now_us - KEPT_S * 1_000_000)))).records
        is_time_known = process.is_time_known
        if found is None or not is_time_known:
            return False
        await self._apply(
            lambda facts, schedule: missed.take_in(
                facts, schedule, past=found.past, room=process.room, now_utc_us=now_us, is_time_known=is_time_known
            )
        )
        # Of one that waits for its seal nobody says yet of which hearing it is; but for those whose sessions are known.
        status = process.status()
        known = {*process.store.sessions, "" if status is None else record_of(status.record)}
        are_all = not found.silent and all(record_of(path) in known for path in found.unsealed)
        process.records_are_known(are_all=are_all)
        return are_all

    async def _bind(self, action: BindRecord) -> bool:
        words = {"hearing": action.hearing, "case": action.case, "actor": action.actor, "reason": action.reason}
        if action.sealed:
            await self._link.do(control.BindSealed(record=action.session, **words))
        else:
            await self._do_to_session(control.BindRequest(record=action.session, **words))
        return await self._apply(lambda facts, schedule: told.bound(facts, schedule, action=action))

    async def _certify(self, action: Certify) -> bool:
        reply = await self._link.do(
            control.CertifyFault(
                hearing=action.hearing, record=action.record, cause=action.cause, detail=action.detail, channels=list(action.channels),
                from_utc_us=action.from_utc_us, lost_s=action.lost_s,
            )
        )  # fmt: skip
        certificate = msgspec.json.decode(reply.signed, type=contract.FaultCertificate)
        return await self._apply(lambda facts, schedule: told.certified(facts, schedule, action=action, certificate=certificate))


def _lost(began_us: int, now_us: int, left: control.LeftUnsealed | None) -> Fault:
    """Nothing is left of a session, or a record that nobody here can seal: all of it is lost, as far as is known."""
    until_us = now_us if left is None or not left.duration_us else min(now_us, began_us + left.duration_us)
    return Fault(
        cause=LOST if left is None else left.cause,
        detail="no disk holds the record any more" if left is None else left.detail[:1_000],
        from_utc_us=began_us,
        until_utc_us=until_us,
        lost_s=max(0, until_us - began_us) // 1_000_000,
    )
