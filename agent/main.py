"""The agent as a process: its parts, started and ended together.

It never dies with the recorder or because of it, and the recorder never with it: what it wants of the other it asks for through a socket.
"""

import asyncio
import contextlib
import pwd
import signal
import time
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog

from agent import told
from agent.centre_link import CentreLink
from agent.clock_quality import ClockWatch
from agent.conduct import Conductor
from agent.conference_link import ConferenceLink
from agent.desk import DeliveryAnswer, DeliveryReport, DeskError, Sending
from agent.guest_desk import GuestDesk
from agent.guests import Guests, GuestsError
from agent.held import Follow
from agent.indicators import of_delivery
from agent.local_server import DoorError, LocalServer, Probes
from agent.look_in_desk import LookInDesk
from agent.look_ins import LookIns
from agent.measures import Measures
from agent.metrics import RoomMetrics, Snapshot
from agent.probes import ready, recording
from agent.quarantine_desk import QuarantineDesk
from agent.relay_room import RoomEnd
from agent.room_process import VERSION, RoomProcess
from agent.schedule import planned
from agent.staff import Linked, Staff
from agent.store import Store
from agent.store_file import StoreError
from agent.upstream import contract
from agent.upstream.client import Credentials
from agent.visit_desk import VisitDesk
from agent.visits import Visits
from provisioning.room import RoomConfig
from recorder.contract import conference
from recorder.contract.control import Status

log = structlog.get_logger()

FILE, GUESTS, LOOK_INS, VISIT = "agent.sqlite", "guests.json", "look_ins.json", "visit.json"
RECORDER = "courtroom-recorder"
"""The user as whom the recorder and the delivery run."""
DELIVERY_SILENT_S = 10.0
"""It tells each second how it stands; what it said longer ago is not shown as what it does now."""
MEASURE_S, SPAN_S, TIDY_S = 5.0, 60.0, 3_600.0
TOLD_AGAIN = 256
"""Among so many events of the delivery one that comes again is known; it tells them one by one."""


class AgentError(Exception):
    """The agent cannot run; the message says why and what to do."""


async def serve(config: RoomConfig, run_dir: Path, own_run_dir: Path, vks_run_dir: Path, state_dir: Path) -> None:
    """Run until SIGTERM or SIGINT.

    Raises:
        AgentError: its file or its socket cannot be used.
    """
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    process = RoomProcess(config, run_dir, ClockWatch())
    try:
        own_run_dir.mkdir(mode=0o755, parents=True, exist_ok=True)  # noqa: ASYNC240 - before anything runs
    except OSError as error:
        raise AgentError(f"the directory {own_run_dir} cannot be made: {error.strerror}; name another one by --own-run") from error
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)  # noqa: ASYNC240
        await process.open(state_dir / FILE)
    except (OSError, StoreError) as error:
        raise AgentError(f"the agent's file {state_dir / FILE} cannot be used: {error}") from error
    try:
        agent = Agent(process, state_dir, vks_run_dir)
    except GuestsError as error:
        await process.store.close()
        raise AgentError(str(error)) from error
    try:
        async with agent.doors(own_run_dir):
            log.info("the agent runs", room=config.room.id, version=VERSION)
            await agent.run(ended)
    except DoorError as error:
        raise AgentError(str(error)) from error
    finally:
        await process.store.close()


class Agent:
    """The parts of one room's agent."""

    def __init__(self, process: RoomProcess, state_dir: Path, vks_run_dir: Path) -> None:
        self._process = process
        self._conductor = Conductor(process)
        centre = process.config.centre
        self._linked = Linked()
        self._staff = Staff(process, self._conductor, self._linked)
        self._measures = Measures(process, self._staff, None if centre is None else Path(centre.certificate))
        self._guests: GuestDesk | None = None
        self._conference: ConferenceLink | None = None
        if process.config.vks is not None:
            self._conference = ConferenceLink(vks_run_dir, process.link, self._hearing_is)
            self._measures.conference = self._conference.quality
            visits = VisitDesk(self._conference, Visits(state_dir / VISIT, process.boot), _authorities(process.config))
            self._guests = GuestDesk(
                self._conference,
                Guests(state_dir / GUESTS),
                process.config.vks,
                process.room,
                visits,
                self._plan,
                process.config.room.timezone,
            )
        self._room_end: RoomEnd | None = None
        self._centre: CentreLink | None = None
        self._delivery_alarms: tuple[str, ...] = ()
        self._sending: Sending | None = None
        self._delivery_heard_s = 0.0
        self._told_lately: deque[contract.AnyData] = deque(maxlen=TOLD_AGAIN)
        """What the delivery told: it tells an event again until it has read the answer, which a disk or a stall may keep from it."""
        self._linked.sending = lambda: self._sending if time.monotonic() - self._delivery_heard_s < DELIVERY_SILENT_S else None
        self._look_ins: LookInDesk | None = None
        self._quarantine = None if centre is None else QuarantineDesk(process)
        if centre is not None:
            if self._conference is not None:
                self._look_ins = LookInDesk(process, self._conference, LookIns(state_dir / LOOK_INS))
            self._centre = CentreLink(process, self._conductor, self._measures, centre, state_dir, self._look_ins)
            if self._conference is not None:
                credentials = Credentials(key=Path(centre.key), certificate=Path(centre.certificate), roots=Path(centre.roots))
                self._room_end = RoomEnd(centre.url, credentials, str(vks_run_dir), time.monotonic)
            self._linked.reached = lambda: self._centre is not None and self._centre.reached
            self._linked.refusal = lambda: "" if self._centre is None else self._centre.refusal
        self._doors: LocalServer | None = None
        self._linked.alarms = self._alarms
        self._held = Follow()
        self._alarms_on: dict[tuple[str, str], str] | None = None
        process.on_alarms.append(self._compare_alarms)
        self._faults: asyncio.Queue[contract.DeviceFault] = asyncio.Queue()

    def doors(self, own_run_dir: Path) -> LocalServer:
        """The socket for the clerk and the delivery, and the port for probes."""
        process = self._process
        metrics = RoomMetrics(
            lambda: Snapshot(
                values=self._measures.values(),
                status=process.status(),
                reachable=process.link.reachable,
                version=VERSION,
                room=process.room,
            )
        )
        probes = Probes(
            ready=lambda: ready(process.status(), reachable=process.link.reachable),
            recording=lambda: recording(process.status(), process.history, time.monotonic(), reachable=process.link.reachable),
            metrics=metrics.text,
        )
        clerks, delivery = _uids([*process.config.hearings.clerks, RECORDER]), _uids([RECORDER])
        self._doors = LocalServer(
            probes, self._staff, own_run_dir, port=process.config.metrics.port, allowed_uids=clerks, delivery_uids=delivery,
            take_delivery=self._take_delivery, guests=self._guests, quarantine=self._quarantine,
        )  # fmt: skip
        return self._doors

    async def run(self, ended: asyncio.Event) -> None:
        """Run all parts until ``ended``; one that fails unexpectedly ends the agent, which is then started anew."""
        await self._staff.look()
        stamp = self._process.stamp()
        await self._process.tell(contract.AgentStarted(version=VERSION, boot=stamp.boot))
        loops: list[Awaitable[None]] = [
            self._process.link.run(), self._process.clock.run(), self._conductor.run(), self._tell_faults(),
            _every(MEASURE_S, self._look), _every(SPAN_S, self._measure), _every(TIDY_S, self._tidy),
        ]  # fmt: skip
        if self._centre is not None:
            loops.append(self._centre.run())
        if self._conference is not None:
            loops.append(self._conference.run())
        if self._look_ins is not None:
            loops.append(self._look_ins.run())
        if self._room_end is not None:
            loops.append(self._room_end.run())
        tasks = [asyncio.ensure_future(loop) for loop in loops]
        waiting = asyncio.create_task(ended.wait())
        try:
            done, _ = await asyncio.wait([*tasks, waiting], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (*tasks, waiting):
                task.cancel()
            await asyncio.gather(*tasks, waiting, return_exceptions=True)
        for task in done:
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error

    def _alarms(self) -> list[str]:
        """What somebody should look at, besides what recorder and file say."""
        door = self._doors.trouble if self._doors is not None else ""
        return [*(self._centre.alarms if self._centre else []), *self._delivery_alarms, *([door] if door else [])]

    def _plan(self) -> dict[str, contract.Hearing] | None:
        """The hearings planned here; None: the room works alone."""
        if self._process.config.centre is None:
            return None
        return {one.id: one for one in planned(self._staff.schedule, self._process.room)}

    def _hearing_is(self) -> conference.HearingIs | None:
        """The hearing as vks is to know it now."""
        assert self._guests is not None
        process = self._process
        now_us = process.stamp().utc_us
        held = self._held.look(self._staff.facts, self._staff.schedule, process.room, process.status(), now_us, process.link.age_s)
        return None if held is None else self._guests.hearing_is(held)

    async def _look(self) -> None:
        await self._staff.look()
        await self._measures.look()

    async def _measure(self) -> None:
        measured = self._measures.take()
        if measured is not None:
            await self._process.tell(measured)

    async def _tidy(self) -> None:
        stamp, is_time_known = self._process.stamp(), self._process.is_time_known
        await self._process.store.do(lambda store: store.tidy(stamp, is_time_known=is_time_known))

    def _compare_alarms(self, status: Status) -> None:
        """Alarms that began or ended since the last state."""
        on = {(alarm.code, alarm.track): alarm.detail for alarm in status.alarms}
        before = self._alarms_on or {}
        self._alarms_on = on
        for (code, track), detail in on.items():
            if (code, track) not in before:
                self._faults.put_nowait(contract.DeviceFault(code=code, track=track, on=True, detail=detail[:2_000]))
        for code, track in before.keys() - on.keys():
            self._faults.put_nowait(contract.DeviceFault(code=code, track=track, on=False, detail=""))

    async def _tell_faults(self) -> None:
        while True:
            await self._process.tell(await self._faults.get())

    async def _take_delivery(self, report: DeliveryReport) -> DeliveryAnswer:
        """What the delivery tells: kept before it is answered.

        Raises:
            DeskError: the agent's file takes nothing; the delivery tells it again.
        """
        for event in report.events:
            if event in self._told_lately:  # it is in the file, or memory holds it until the file takes it
                continue
            if isinstance(event, contract.RecordDelivered) and self._process.may_lack(event.record):
                raise DeskError("which sessions the agent missed has to be found out first")
            self._told_lately.append(event)  # before anything is waited for: the same may come again meanwhile
            if isinstance(event, contract.RecordDelivered):
                await self._process.apply(
                    lambda facts, schedule, event=event: told.delivered(  # type: ignore[misc]
                        facts, schedule, record=event.record, sums_sha256=event.sums_sha256, by=event.by
                    )
                )
            else:
                await self._process.tell(event)
        if report.events and (trouble := await self._not_written()):
            raise DeskError(f"what the delivery tells is not kept yet: {trouble}")
        if report.indicators:  # without them it tells of an event alone
            self._measures.delivery = of_delivery(report.indicators)
            self._delivery_alarms, self._sending = tuple(report.alarms), report.sending
            self._delivery_heard_s = time.monotonic()
        status = self._process.status()
        # A recorder that cannot be reached may record, or take up what was broken off: that needs disk and line for itself.
        return DeliveryAnswer(hearing=status is None or status.state != "idle", clock_believed=self._process.is_time_known)

    async def _not_written(self) -> str:
        """Why the agent's file does not hold what memory does, or empty."""
        stamp = self._process.stamp()

        def written(store: Store) -> str:
            store.write(stamp)
            return store.trouble

        return await self._process.store.do(written)


async def _every(period_s: float, work: Callable[[], Awaitable[None]]) -> None:
    while True:
        await work()
        await asyncio.sleep(period_s)


def _authorities(config: RoomConfig) -> Path | None:
    """Who vouches for the court's servers, so also for other rooms' doors; None: those alone whom the PC trusts."""
    return None if config.centre is None else Path(config.centre.roots)


def _uids(names: list[str]) -> list[int]:
    """The ids of the users that this PC has."""
    found = []
    for name in names:
        with contextlib.suppress(KeyError):
            found.append(pwd.getpwnam(name).pw_uid)
    return found
