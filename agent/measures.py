"""The indicators of this moment, and what is rolled up of them for the centre."""

import time
from dataclasses import dataclass, field
from pathlib import Path

from agent.conference_quality import ConferenceQuality
from agent.hearing import BEFORE, is_local
from agent.host import HostReader
from agent.indicators import HostFacts, OutboxFacts, SessionFacts, compose
from agent.outbox import Depth
from agent.rollup import Rollup
from agent.room_process import RoomProcess
from agent.staff import Staff
from agent.upstream import contract

DAY_US = 86_400 * 1_000_000


@dataclass(slots=True)
class Measures:
    """Looks each few seconds (``look``); ``values`` are the last ones."""

    process: RoomProcess
    staff: Staff
    certificate: Path | None
    depth: Depth = field(default_factory=lambda: Depth(waiting=0, oldest_utc_us=None, quarantined=0))
    delivery: dict[str, float] = field(default_factory=dict)
    """As the delivery told it last."""
    conference: ConferenceQuality | None = None
    """None where this room has no videoconference."""
    heard_s: float | None = None
    """When the centre was heard last, by CLOCK_MONOTONIC."""
    _host: HostReader = field(init=False)
    _rollup: Rollup = field(init=False)
    _read: HostFacts = field(default_factory=HostFacts)

    def __post_init__(self) -> None:
        self._host = HostReader(self.certificate)
        self._rollup = Rollup(self.process.stamp().utc_us)

    async def look(self) -> None:
        """Read the PC and the outbox, and take the values into the span under way."""
        stamp = self.process.stamp()
        self._read = self._host.read(stamp.clock)
        depth = await self.process.store.do(lambda store: store.change(lambda outbox: outbox.depth(), stamp))
        self.depth = depth or self.depth
        self._rollup.add(self.values())

    def values(self) -> dict[str, float]:
        """All that is known now."""
        now_us = self.process.stamp().utc_us
        oldest_us = self.depth.oldest_utc_us
        outbox = OutboxFacts(
            outbox_depth=float(self.depth.waiting),
            outbox_oldest_s=0.0 if oldest_us is None else max(0.0, (now_us - oldest_us) / 1e6),
            outbox_quarantined=float(self.depth.quarantined),
        )
        conference = {} if self.conference is None else self.conference.values(time.monotonic())
        return compose(
            self.process.history, time.monotonic(), session=self._session(now_us), outbox=outbox, host=self._read,
            told=self.delivery | conference,
        )  # fmt: skip

    def take(self) -> contract.Measured | None:
        """The span that ended now."""
        return self._rollup.take(self.process.stamp().utc_us)

    def _session(self, now_us: int) -> SessionFacts:
        facts = self.staff.facts
        recent = [
            hearing for hearing in facts.hearings.values() if hearing.plan is not None and hearing.plan.starts_utc_us > now_us - DAY_US
        ]
        waiting = [hearing for hearing in recent if hearing.state in BEFORE and hearing.plan and hearing.plan.ends_utc_us < now_us]
        planned = {hearing.hearing for hearing in facts.hearings.values() if hearing.plan is not None}
        works_alone = self.process.config.centre is None  # nothing is planned then, and a name is all that a hearing has
        unbound = [
            session
            for session in facts.sessions.values()
            if session.began_utc_us > now_us - DAY_US
            and (is_local(session.hearing) or (session.hearing not in planned and not works_alone))
        ]
        return SessionFacts(
            scheduled_not_recorded=float(len(waiting)),
            recorded_unscheduled=float(len(unbound)),
            schedule_conflicts=float(sum(bool(hearing.conflict) for hearing in recent)),
            offset_lag_s=None if self.heard_s is None else time.monotonic() - self.heard_s,
        )
