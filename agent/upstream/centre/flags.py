"""What is wrong in the rooms, computed from schedule, events and heartbeats: silent rooms, late starts, hearings without a recording. Pure.

Rules:

1. A room is *silent* when its last heartbeat is too old. What came before this centre was started counts from its start: it was the centre
   that was away.
2. A hearing is *late* when its planned start has passed by ``late_after_us`` without a session, and while one runs that began so late.
3. A hearing is *not recorded* when its planned end has passed without a session and without a reason, or when it failed; for a day.
4. Of a room that is silent, or whose events wait in its outbox, nothing is said but what it had told: it may well be recording. Events are
   sent in their order: of the time before the oldest that waits all is known.
5. A session counts for the hearing that it was last bound to, and only from the room that the hearing is planned in. A hearing keeps its id
   when it is adjourned: a session that is over counts only if it began within ``EARLY_US`` before the planned start, or later.
6. An outcome counts if the room knew the hearing as it is planned now, or told it after the planned start: not that of an earlier date.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from agent.upstream import contract
from agent.upstream.centre.backend import Contradiction

Code = Literal["contradiction", "silent", "not_recorded", "late", "alarm"]
WORST_FIRST: tuple[Code, ...] = ("contradiction", "not_recorded", "late", "silent", "alarm")
LOOK_BACK_US = 2 * 86_400 * 1_000_000
"""Hearings that were to start earlier are not looked at: none lasts longer, and each flag of it has been shown for a day."""
SHOWN_US = 86_400 * 1_000_000
"""For so long after a hearing's planned end it is shown that it was not recorded."""
EARLY_US = 3_600_000_000
"""A session that began so long before the planned start, and is over, was that of an earlier date."""
CONTRADICTION_US = 7 * 86_400 * 1_000_000
_EXCUSED = frozenset({"not_held", "cancelled", "moved"})
_RECORDING = frozenset({"open", "off_record", "privileged", "deliberation", "closing"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """From when on something is wrong."""

    late_after_us: int
    silent_after_us: int


def is_looked_for(hearing: contract.Hearing, now_utc_us: int) -> bool:
    """Whether a flag is raised, or may still be, if it is not recorded."""
    return hearing.state == "planned" and hearing.ends_utc_us + SHOWN_US > now_utc_us


@dataclass(frozen=True, slots=True)
class Wrong:
    """One thing that is wrong in a room, and since when (by the centre's clock; 0: from the beginning)."""

    code: Code
    since_utc_us: int
    hearing: str = ""
    record: str = ""


@dataclass(frozen=True, slots=True)
class Session:
    """A session as its room told of it. ``late_s`` is None where nobody knows; it began by the room's clock."""

    hearing: str
    late_s: int | None
    is_over: bool
    began_utc_us: int
    told_utc_us: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a hearing ended, as its room told when it knew the schedule up to ``revision``; ``utc_us`` by the room's clock."""

    outcome: str
    revision: int
    utc_us: int
    told_utc_us: int

    def is_of(self, change: contract.Change) -> bool:
        """Whether it is of the hearing as it is planned now, and not of an earlier date."""
        return self.revision >= change.offset or self.utc_us >= change.hearing.starts_utc_us


class Told:
    """What events told of sessions and hearings; events are taken in the centre's order, again or for the first time."""

    def __init__(self) -> None:
        self.sessions: dict[tuple[str, str], Session] = {}
        """By room and session."""
        self.outcomes: dict[tuple[str, str], Outcome] = {}
        """By room and hearing."""

    def take(self, taken: contract.TakenEvent) -> None:
        """Take one event."""
        room, data, at_us = taken.event.room, taken.event.data, _room_utc_us(taken)
        match data:
            case contract.SessionStarted():
                self.sessions[room, data.session] = Session(
                    data.hearing, data.late_s, is_over=False, began_utc_us=at_us, told_utc_us=taken.utc_us
                )  # fmt: skip
            case contract.SessionBound():
                known = self._session(room, data.session, at_us)
                late_s = known.late_s if known.hearing == data.hearing else None
                self.sessions[room, data.session] = replace(known, hearing=data.hearing, late_s=late_s, told_utc_us=taken.utc_us)
            case contract.SessionEnded():
                known = self._session(room, data.session, at_us - data.duration_us)
                hearing = known.hearing or data.hearing
                self.sessions[room, data.session] = replace(known, hearing=hearing, is_over=True, told_utc_us=taken.utc_us)
            case contract.Reconciled():
                self.outcomes[room, data.hearing] = Outcome(data.outcome, data.revision, at_us, taken.utc_us)
            case _:
                return

    def forget(self, before_utc_us: int) -> None:
        """Forget what was last told of before."""
        self.sessions = {name: session for name, session in self.sessions.items() if session.told_utc_us >= before_utc_us}
        self.outcomes = {place: outcome for place, outcome in self.outcomes.items() if outcome.told_utc_us >= before_utc_us}

    def by_hearing(self) -> Mapping[tuple[str, str], Sequence[Session]]:
        """The sessions of each hearing in each room."""
        found: defaultdict[tuple[str, str], list[Session]] = defaultdict(list)
        for (room, _), session in self.sessions.items():
            found[room, session.hearing].append(session)
        return found

    def _session(self, room: str, name: str, began_us: int) -> Session:
        return self.sessions.get((room, name)) or Session("", None, is_over=False, began_utc_us=began_us, told_utc_us=0)


def judge(
    rooms: Sequence[contract.RoomState],
    hearings: Sequence[contract.Change],
    told: Told,
    contradictions: Sequence[Contradiction],
    limits: Limits,
    *,
    awake_utc_us: int,
    now_utc_us: int,
) -> dict[str, list[Wrong]]:
    """What is wrong in each room, the worst first.

    Args:
        rooms: each with its last heartbeat.
        hearings: those that were to start within ``LOOK_BACK_US``, each with the offset of its last change.
        told: what events told in that time.
        contradictions: those seen within ``CONTRADICTION_US``.
        limits: from when on something is wrong.
        awake_utc_us: since when this centre takes heartbeats.
        now_utc_us: its clock.
    """
    found: dict[str, list[Wrong]] = {}
    known_to: dict[str, int] = {}
    running: dict[str, str] = {}
    for state in rooms:
        silent = _silent_since(state, limits, awake_utc_us, now_utc_us)
        beat = state.heartbeat
        wrongs = found[state.room] = [] if silent is None else [Wrong("silent", silent)]
        if beat is not None and (beat.alarms or beat.state == "unreachable"):
            wrongs.append(Wrong("alarm", state.heard_utc_us or 0))
        if beat is not None and beat.state in _RECORDING:
            running[state.room] = beat.hearing
        known_to[state.room] = _known_to(state, is_silent=silent is not None, now_utc_us=now_utc_us)
    sessions = told.by_hearing()
    for change in hearings:
        hearing = change.hearing
        if hearing.state == "planned" and hearing.room in found:
            place = hearing.room, hearing.id
            last = told.outcomes.get(place)
            wrong = _of_hearing(
                hearing, sessions.get(place, ()), last.outcome if last is not None and last.is_of(change) else "", limits,
                is_running=running.get(hearing.room) == hearing.id, known_utc_us=known_to[hearing.room], now_utc_us=now_utc_us,
            )  # fmt: skip
            if wrong is not None:
                found[hearing.room].append(wrong)
    for each in contradictions:
        found.setdefault(each.room, []).append(Wrong("contradiction", each.first_utc_us, record=each.record))
    for wrongs in found.values():
        wrongs.sort(key=lambda wrong: (WORST_FIRST.index(wrong.code), wrong.since_utc_us, wrong.hearing))
    return found


def codes(wrongs: Sequence[Wrong]) -> list[str]:
    """The flags of a room, each once."""
    return list(dict.fromkeys(wrong.code for wrong in wrongs))


def _room_utc_us(taken: contract.TakenEvent) -> int:
    """When it happened by the room's clock; where that says nothing of use, when it was told."""
    try:
        at = dt.datetime.fromisoformat(taken.event.time)
        return int(at.timestamp() * 1e6) if at.tzinfo is not None else taken.utc_us
    except (ValueError, OverflowError):
        return taken.utc_us


def _silent_since(state: contract.RoomState, limits: Limits, awake_utc_us: int, now_utc_us: int) -> int | None:
    if state.heard_utc_us is None:
        return 0
    since_us = max(state.heard_utc_us, awake_utc_us)
    return state.heard_utc_us if now_utc_us - since_us > limits.silent_after_us else None


def _known_to(state: contract.RoomState, *, is_silent: bool, now_utc_us: int) -> int:
    """Up to when the centre knows what the room did; 0 where nothing can be said."""
    if state.heard_utc_us is None or state.heartbeat is None:
        return 0
    if state.heartbeat.outbox_depth:
        oldest_s = state.heartbeat.indicators.get("outbox_oldest_s")
        return 0 if oldest_s is None else state.heard_utc_us - int(oldest_s * 1e6)
    return state.heard_utc_us if is_silent else now_utc_us


def _of_hearing(
    hearing: contract.Hearing,
    sessions: Sequence[Session],
    outcome: str,
    limits: Limits,
    *,
    is_running: bool,
    known_utc_us: int,
    now_utc_us: int,
) -> Wrong | None:
    """What is wrong with one hearing that is planned in this room; ``known_utc_us`` is up to when the room is known."""
    if outcome in _EXCUSED or now_utc_us > hearing.ends_utc_us + SHOWN_US:
        return None
    if outcome == "failed":
        return Wrong("not_recorded", hearing.ends_utc_us, hearing.id)
    counted = [each for each in sessions if not each.is_over or each.began_utc_us >= hearing.starts_utc_us - EARLY_US]
    if counted or is_running or outcome:
        late = [each for each in counted if each.late_s is not None and each.late_s * 1_000_000 > limits.late_after_us]
        runs = is_running or any(not each.is_over for each in counted)
        return Wrong("late", hearing.starts_utc_us, hearing.id) if late and runs and not outcome else None
    if known_utc_us > hearing.ends_utc_us:
        return Wrong("not_recorded", hearing.ends_utc_us, hearing.id)
    if known_utc_us > hearing.starts_utc_us + limits.late_after_us:
        return Wrong("late", hearing.starts_utc_us, hearing.id)
    return None
