"""Carries the room's decisions out: one of each at a time, each followed by what became of it."""

import asyncio
import time
from collections.abc import Iterable
from typing import Literal, assert_never

import msgspec
import structlog

from agent import told
from agent.actions import AnyAction, BindRecord, Certify, FindOut, RunChecks, StartRecording, StopRecording
from agent.diagnostics.check import Context
from agent.diagnostics.registry import CHECKS
from agent.diagnostics.runner import HearingRunsError, run_checks
from agent.hearing import Fault
from agent.recorder_link import RecorderAwayError, RecorderLink, RecorderRefusedError
from agent.room_process import RoomProcess
from agent.upstream import contract
from recorder.contract import control

log = structlog.get_logger()

LOST = "record_lost"
CheckReason = Literal["before_hearing", "command", "operator"]


class Conductor:
    """Acts for one room."""

    def __init__(self, process: RoomProcess) -> None:
        self._process = process
        self._running: dict[bytes, asyncio.Task[None]] = {}

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

    def carry(self, actions: Iterable[AnyAction]) -> None:
        """Begin what is not under way yet."""
        for action in actions:
            key = msgspec.json.encode(action)
            if key not in self._running:
                task = asyncio.create_task(self._quietly(action))
                self._running[key] = task
                task.add_done_callback(lambda _, key=key: self._running.pop(key, None))  # type: ignore[misc]

    async def act(self, action: AnyAction) -> control.Reply | None:
        """Carry one out, and keep what became of it.

        Raises:
            RecorderAwayError: the recorder cannot be reached.
            RecorderRefusedError: it says no.
        """
        match action:
            case StartRecording():
                return await self._start(action)
            case StopRecording():
                return await self._link.do(control.StopRequest(actor=action.actor, reason=action.reason))
            case FindOut():
                await self._find_out(action)
            case BindRecord():
                await self._bind(action)
            case RunChecks():
                await self.check(action.hearing, "before_hearing")
            case Certify():
                await self._certify(action)
            case _:
                assert_never(action)
        return None

    async def check(self, hearing: str, reason: CheckReason) -> list[contract.CheckResult]:
        """Run the checks and keep what they found.

        Raises:
            HearingRunsError: a hearing is being recorded.
        """
        process = self._process
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

    async def _quietly(self, action: AnyAction) -> None:
        try:
            await self.act(action)
        except (RecorderAwayError, RecorderRefusedError, HearingRunsError, told.ToldError) as error:
            # It stands, and comes with the next decision if it is still to be done.
            log.warning("could not do what was decided", action=type(action).__name__, error=str(error))
        self._process.wake.set()

    async def _start(self, action: StartRecording) -> control.Reply:
        request = control.Start(
            hearing=action.hearing, actor=action.actor, case=action.case, title=action.title, start_token=action.start_token,
            level=action.level,
        )  # fmt: skip
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
            cause = "recorder_unreachable" if isinstance(error, RecorderAwayError) else "recorder_refused"
            detail, now_us = str(error), self._process.stamp().utc_us
            await self._process.apply(
                lambda facts, schedule: told.start_failed(
                    facts, schedule, hearing=action.hearing, cause=cause, detail=detail, now_utc_us=now_us
                )
            )
            raise

    async def _find_out(self, action: FindOut) -> None:
        found = (await self._link.do(control.FindRecord(record=action.session))).found
        if found is None or (found.there and not found.sealed):
            return  # the recorder seals it, or takes it up, and then says so
        now_us = self._process.stamp().utc_us
        if found.sealed:
            head = contract.Head(record=action.session, at=found.at, sha256=found.head)
            await self._process.apply(
                lambda facts, schedule: told.sealed(
                    facts, schedule, session=action.session, duration_us=found.duration_us, head=head, now_utc_us=now_us
                )
            )
            return
        await self._process.apply(
            lambda facts, schedule: told.record_lost(
                facts, schedule, session=action.session, fault=_lost(facts.sessions[action.session].began_utc_us, now_us)
            )
        )

    async def _bind(self, action: BindRecord) -> None:
        words = {"hearing": action.hearing, "case": action.case, "actor": action.actor, "reason": action.reason}
        request: control.AnyRequest = control.BindSealed(record=action.session, **words) if action.sealed else control.BindRequest(**words)
        await self._link.do(request)
        await self._process.apply(lambda facts, schedule: told.bound(facts, schedule, session=action.session))

    async def _certify(self, action: Certify) -> None:
        reply = await self._link.do(
            control.CertifyFault(
                hearing=action.hearing, record=action.record, cause=action.cause, detail=action.detail, channels=list(action.channels),
                from_utc_us=action.from_utc_us, lost_s=action.lost_s,
            )
        )  # fmt: skip
        certificate = msgspec.json.decode(reply.signed, type=contract.FaultCertificate)
        await self._process.apply(lambda facts, schedule: told.certified(facts, schedule, action=action, certificate=certificate))


def _lost(began_us: int, now_us: int) -> Fault:
    """Nothing is left of a session: all of it is lost, as far as is known."""
    return Fault(
        cause=LOST,
        detail="no disk holds the record any more",
        from_utc_us=began_us,
        until_utc_us=now_us,
        lost_s=(now_us - began_us) // 1_000_000,
    )
