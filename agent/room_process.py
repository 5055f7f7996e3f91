"""What the parts of the agent's process share: the room's configuration, its recorder, its file, its clocks, and one way to decide.

Every change of the room's facts goes through ``apply``: decided in the file's thread, durable with its events, and only then acted upon.
"""

import asyncio
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import structlog

from agent import told
from agent.actions import AnyAction, Prompt
from agent.centre_clock import CentreClock, is_believed
from agent.clock_quality import ClockWatch
from agent.decision import decide
from agent.follow_recorder import Seen
from agent.hearing import Facts
from agent.outbox import Stamp
from agent.quiet import Quiet, read_floors
from agent.recorder_link import RecorderLink
from agent.schedule import Schedule, planned
from agent.status_history import StatusHistory
from agent.store_thread import StoreThread
from agent.turn import Outcome
from agent.upstream import contract
from provisioning.room import RoomConfig
from recorder.contract.control import Status
from recorder.record.checkpoint import Receipt

log = structlog.get_logger()

VERSION = version("courtroom-agent")
RECORDS_AGAIN_S = 3_600.0
"""So often it is asked which records the room has: one that a crash left is sealed in its time, and may be known only then."""
RECORDS_S = 300.0
"""At its start the recorder takes up what a crash left, and answers nobody; what the delivery tells waits no longer for it."""
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class RoomProcess:
    """The room as this process has it.

    Args:
        config: the room's configuration.
        run_dir: the directory of the recorder's sockets.
        clock: the PC's clock quality.
    """

    def __init__(self, config: RoomConfig, run_dir: Path, clock: ClockWatch) -> None:
        self.config = config
        self.clock = clock
        self.boot = _BOOT_ID.read_text(encoding="ascii").strip()
        self.link = RecorderLink(run_dir, on_status=self._took_status, on_reachable=self._reachable, on_receipt=self._has_receipt)
        self.history = StatusHistory()
        self.quiet = Quiet(read_floors(config.watch.baseline))
        self.centre_clock = CentreClock()
        self.prompts: tuple[Prompt, ...] = ()
        self.wake = asyncio.Event()
        """Something changed that asks for a decision now."""
        self.on_events: list[Callable[[], None]] = []
        """Called when there are new events to send."""
        self.on_alarms: list[Callable[[Status], None]] = []
        """Called with each state of the recorder."""
        self._touched_s = self._began_s = time.monotonic()
        self._records_s: float | None = None
        self._were_asked = False
        self._seen: tuple[str, str, str] = ("", "", "")
        self._store: StoreThread | None = None

    @property
    def room(self) -> str:
        """The room's id."""
        return self.config.room.id

    @property
    def store(self) -> StoreThread:
        """The agent's file, once it is open."""
        assert self._store is not None
        return self._store

    async def open(self, path: Path) -> None:
        """Open the agent's file.

        Raises:
            StoreError: another agent holds it.
        """
        self._store = await StoreThread.open(path, self.room, self.stamp())

    def stamp(self) -> Stamp:
        """This moment, by all clocks."""
        return Stamp(utc_us=time.time_ns() // 1000, mono_us=time.monotonic_ns() // 1000, boot=self.boot, clock=self.clock.latest)

    def status(self) -> Status | None:
        """The recorder's state now; None where it is away."""
        return self.link.status if self.link.reachable else None

    @property
    def is_time_known(self) -> bool:
        """Whether this PC's UTC can be believed: somebody disciplines it, or the centre's clock says the same."""
        return is_believed(self.clock.latest, self.centre_clock.difference(time.monotonic()))

    @property
    def knows_records(self) -> bool:
        """Whether the sessions that the facts lack were looked for of late, on all disks, and nothing can have been missed since."""
        return self._records_s is not None and time.monotonic() - self._records_s < RECORDS_AGAIN_S

    def may_lack(self, record: str) -> bool:
        """Whether the facts have no session of this record, and may get it in a moment: the agent was just started."""
        is_late = self._were_asked or time.monotonic() - self._began_s >= RECORDS_S
        return not is_late and record not in self.store.sessions

    def records_are_known(self, *, are_all: bool) -> None:
        """The sessions of which there are records are taken in; ``are_all``: no disk was silent."""
        self._were_asked = True
        self._records_s = time.monotonic() if are_all else None

    def touched(self) -> None:
        """Somebody is at the console: the room is not empty."""
        self._touched_s = time.monotonic()

    async def apply(self, change: Callable[[Facts, Schedule], Outcome]) -> Outcome:
        """Change the room's facts; what is returned is durable."""
        outcome = await self.store.apply(change, self.stamp())
        if outcome.events:
            for call in self.on_events:
                call()
        return outcome

    async def tell(self, data: contract.AnyData, eventclass: contract.EventClass | None = None) -> None:
        """Add an event; durable when it returns."""
        stamp = self.stamp()
        await self.store.do(lambda store: store.tell(data, stamp, eventclass))
        for call in self.on_events:
            call()

    async def planned_hours(self) -> float:
        """Of the hearings that are planned here from now on."""
        now_us = time.time_ns() // 1000
        hearings = planned(await self.store.do(lambda store: store.schedule), self.room)
        return sum(max(0, hearing.ends_utc_us - max(now_us, hearing.starts_utc_us)) for hearing in hearings) / 3.6e9

    async def decide(self) -> tuple[AnyAction, ...]:
        """One decision; returns what is to be done."""
        seen = _seen(self.status())
        now_s, now_us = time.monotonic(), time.time_ns() // 1000
        heard_s = self.quiet.quiet_s(now_s)
        quiet_s = None if heard_s is None else min(heard_s, now_s - self._touched_s)
        is_time_known, knows_records = self.is_time_known, self.knows_records
        outcome = await self.apply(
            lambda facts, schedule: decide(
                facts, schedule, seen, self.config.hearings, room=self.room, quiet_s=quiet_s, now_utc_us=now_us,
                is_time_known=is_time_known, knows_records=knows_records,
            )
        )  # fmt: skip
        self.prompts = outcome.prompts
        return outcome.actions

    def _took_status(self, status: Status) -> None:
        now_s = time.monotonic()
        self.history.feed(status, now_s)
        self.quiet.feed(status, now_s)
        for call in self.on_alarms:
            call(status)
        seen = (status.state, status.record, status.hearing)
        if seen != self._seen:
            self._seen = seen
            self.wake.set()

    async def _has_receipt(self, receipt: Receipt) -> None:
        head = contract.Head(record=receipt.record, at=receipt.at, sha256=receipt.head)
        await self.apply(lambda facts, schedule: told.countersigned(facts, schedule, head=head))

    def _reachable(self, on: bool) -> None:
        if not on:
            self.history.away()
            self._records_s = None
        self.wake.set()


def _seen(status: Status | None) -> Seen | None:
    return None if status is None else Seen(state=status.state, record=status.record, hearing=status.hearing, t_us=status.t_us)
