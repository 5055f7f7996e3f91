"""Which hearing participants may come to now: the one that is recorded, else the next one that begins soon. Pure."""

import msgspec
from msgspec.structs import replace

from agent.hearing import LIVE, Facts, record_of
from agent.schedule import Schedule, planned
from agent.upstream.contract import Hearing
from recorder.contract import control

OPENS_US = 60 * 60_000_000
"""The lobby opens so long before the planned start, and stays open so long after the planned end of a hearing that did not begin,
unless the next one is about to."""
GIVES_WAY_US = 15 * 60_000_000
"""So long before the next one begins, one that is over has its lobby no more. Not earlier: it may be late, and all are sent away then."""
SILENT_S = 2.0
"""The recorder tells its state five times a second, and one that is started anew is back sooner."""
_BEFORE = frozenset({"planned", "preparing", "ready"})


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """The hearing as people at the door see it."""

    id: str = ""
    """The conference's name: that of the hearing when it began. Empty: there is none."""
    hearing: str = ""
    """The hearing that it belongs to now: a session may be bound to another one while it runs."""
    title: str = ""
    closed: bool = False
    """It is not public."""
    state: control.State = "idle"
    record: str = ""
    """The session that is recorded (the record's UUID); empty: none is."""
    unsure: bool = False
    """The recorder is silent: nobody knows whether it still does what it said last."""


class Follow:
    """The hearing from moment to moment."""

    def __init__(self) -> None:
        self._held: Held | None = None
        self._record = ""

    def look(
        self, facts: Facts, schedule: Schedule, room: str, status: control.Status | None, now_utc_us: int, silent_s: float | None = 0.0
    ) -> Held | None:
        """The hearing now; None until the recorder has spoken.

        One that is away for a moment changes nothing. For longer, what it said last may not hold any more; ``silent_s`` is since when.
        """
        held = self._look(facts, schedule, room, status, now_utc_us)
        return held if held is None or (silent_s is not None and silent_s <= SILENT_S) else replace(held, unsure=True)

    def _look(self, facts: Facts, schedule: Schedule, room: str, status: control.Status | None, now_utc_us: int) -> Held | None:
        if status is None:
            return self._held
        plans = {hearing.id: hearing for hearing in planned(schedule, room)}
        plans |= {known.hearing: known.plan for known in facts.hearings.values() if known.plan is not None}
        if status.state == "idle" or not status.hearing:
            self._record = ""
            self._held = _near(facts, plans, now_utc_us)
            return self._held
        name = self._held.id if self._held is not None and self._held.id and self._record == status.record else _began_as(facts, status)
        self._record = status.record
        plan = plans.get(status.hearing)
        cases = [session.case for session in facts.sessions.values() if session.state in LIVE | {"closing"}]
        self._held = Held(
            id=name, hearing=status.hearing, title=_title(plan) or (cases[-1] if cases else ""), state=status.state,
            record=record_of(status.record),
            closed=status.level != "open" or (plan is not None and plan.level != "open"),
        )  # fmt: skip
        return self._held


def _began_as(facts: Facts, status: control.Status) -> str:
    """The name of a conference that this process did not see begin: another one would send away whoever is in it."""
    session = facts.sessions.get(record_of(status.record))
    return status.hearing if session is None or not session.began_as else session.began_as


def _near(facts: Facts, plans: dict[str, Hearing], now_utc_us: int) -> Held:
    near = [
        plan for plan in plans.values()
        if plan.state == "planned" and plan.starts_utc_us - OPENS_US <= now_utc_us < plan.ends_utc_us + OPENS_US
        and (plan.id not in facts.hearings or facts.hearings[plan.id].state in _BEFORE)
    ]  # fmt: skip
    near.sort(key=lambda plan: (plan.starts_utc_us, plan.id))
    due = [plan for plan in near if plan.starts_utc_us - GIVES_WAY_US <= now_utc_us < plan.ends_utc_us]
    over = [plan for plan in near if plan.ends_utc_us <= now_utc_us]
    first = next(iter([*due, *reversed(over), *near]), None)
    if first is None:
        return Held()
    return Held(id=first.id, hearing=first.id, title=_title(first), closed=first.level != "open")


def _title(plan: Hearing | None) -> str:
    return "" if plan is None else plan.title or plan.case
