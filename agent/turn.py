"""One turn of the room's facts: hearings and sessions moved by the table, and the events that tell of it. Pure.

``decision.py`` and ``told.py`` make a ``Turn`` of the facts as they are, move it, and hand back its ``outcome``. Facts and events of an
outcome are stored in one transaction, and only then the actions are carried out.
"""

from dataclasses import dataclass, field
from typing import Literal

import msgspec

from agent.actions import AnyAction, Prompt, StartRecording, StopRecording
from agent.hearing import PATH_TO, RECONCILED, RUNNING, TABLE, Asked, Cause, Facts, HearingFacts, Session, State, follow, is_local
from agent.schedule import Schedule
from agent.upstream import contract
from recorder.contract.control import words

change = msgspec.structs.replace


@dataclass(frozen=True, slots=True)
class Outcome:
    """New facts, the events that tell of them, what is to be done, and what the clerk should see (of ``decide`` alone)."""

    facts: Facts
    events: tuple[contract.AnyData, ...] = ()
    actions: tuple[AnyAction, ...] = ()
    prompts: tuple[Prompt, ...] = ()


@dataclass(slots=True)
class Turn:
    """Facts in motion."""

    before: Facts
    schedule: Schedule
    hearings: dict[str, HearingFacts] = field(init=False)
    sessions: dict[str, Session] = field(init=False)
    asked: Asked | None = field(init=False)
    known_from_utc_us: int | None = field(init=False)
    events: list[contract.AnyData] = field(default_factory=list)
    actions: list[AnyAction] = field(default_factory=list)
    prompts: list[Prompt] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.hearings = dict(self.before.hearings)
        self.sessions = dict(self.before.sessions)
        self.asked = self.before.asked
        self.known_from_utc_us = self.before.known_from_utc_us

    def outcome(self) -> Outcome:
        """What became of it."""
        facts = change(
            self.before, hearings=self.hearings, sessions=self.sessions, asked=self.asked, known_from_utc_us=self.known_from_utc_us
        )
        return Outcome(facts, tuple(self.events), tuple(self.actions), tuple(self.prompts))

    def move_hearing(self, hearing: str, cause: Cause, reason: str = "") -> None:
        """Move a hearing; one that is thereby reconciled is told to the centre."""
        facts = self.hearings[hearing]
        self.hearings[hearing] = change(facts, state=follow(facts.state, cause), reason=reason)
        self._tell_reconciled(hearing)

    def move_session(self, session: str, cause: Cause, reason: str = "") -> None:
        """Move a session, and the hearing that follows it."""
        facts = self.sessions[session]
        self.sessions[session] = change(facts, state=follow(facts.state, cause))
        hearing = self.hearings.get(facts.hearing)
        if hearing is None:
            return
        if cause == "delivered":
            all_delivered = all(other.state == "delivered" for other in self.sessions_of(facts.hearing))
            if hearing.state == "sealed" and all_delivered:
                self.move_hearing(facts.hearing, "delivered")
        elif hearing.session == session:
            self.move_hearing(facts.hearing, cause, reason)

    def sessions_of(self, hearing: str) -> list[Session]:
        """The sessions of a hearing in which something was recorded: those that run last, and the newest last of all."""
        found = (session for session in self.sessions.values() if session.hearing == hearing and not session.not_begun)
        return sorted(found, key=lambda session: (session.state in RUNNING, session.number, session.began_utc_us))

    def ask_start(self, hearing: str, *, by: str, now_utc_us: int, automatic: bool = False, case: str = "") -> None:
        """Ask the recorder to begin, in the name of ``by``."""
        known, planned = self.hearings.get(hearing), self.schedule.changes.get(hearing)
        plan = known.plan if known is not None else planned.hearing if planned is not None else None
        if known is not None:
            self.hearings[hearing] = change(known, start_asked_utc_us=now_utc_us)
        case = plan.case if plan is not None and plan.case else case
        self.asked = Asked(to="open", by=by, hearing=hearing, case=case, automatic=automatic, utc_us=now_utc_us)
        # The centre's texts may be longer, and of several lines: none of that may stand in the way of a recording.
        self.actions.append(
            StartRecording(
                hearing=hearing, case=words(case), title=words(plan.title) if plan else "",
                start_token=words(plan.start_token) if plan else "", level=plan.level if plan else "open", actor=by,
            )
        )  # fmt: skip

    def ask_stop(self, session: str, *, by: str, reason: str, now_utc_us: int) -> None:
        """Ask the recorder to end, in the name of ``by``."""
        known = self.sessions[session]
        self.sessions[session] = change(known, stop_by=by, stop_reason=reason, stop_asked_utc_us=now_utc_us)
        self.actions.append(StopRecording(session=session, actor=by, reason=reason))

    def attach(self, session: str) -> None:
        """Let the hearing of a session follow it; a hearing that only the schedule knows, or nobody, comes to be known."""
        facts = self.sessions[session]
        if is_local(facts.hearing) or facts.not_begun:
            return
        hearing = self.hearings.get(facts.hearing)
        if hearing is None:
            planned = self.schedule.changes.get(facts.hearing)
            hearing = HearingFacts(
                hearing=facts.hearing, plan=planned.hearing if planned else None, offset=planned.offset if planned else 0
            )  # fmt: skip
        if hearing.plan is not None:
            ends_us = max(facts.ends_utc_us or 0, hearing.plan.ends_utc_us)
            self.sessions[session] = change(facts, ends_utc_us=ends_us, case=hearing.plan.case or facts.case)
        if self.sessions_of(facts.hearing)[-1].session != session and hearing.session:
            return
        state: State = hearing.state if "started" in TABLE[hearing.state] else follow(hearing.state, "unbound")
        for cause in PATH_TO[facts.state]:
            state = follow(state, cause)
        if state == "delivered" and any(other.state != "delivered" for other in self.sessions_of(facts.hearing)):
            state = "sealed"
        self.hearings[facts.hearing] = change(hearing, state=state, session=session, reason="")
        self._tell_reconciled(facts.hearing)

    def release(self, session: str) -> None:
        """A session could not begin: its hearing follows another one of its own, or waits to be started as before."""
        facts = self.sessions[session] = change(self.sessions[session], not_begun=True)
        left = self.hearings.get(facts.hearing)
        if left is not None and left.session == session:
            # What was lost until it began is not over.
            self._detach(change(left, fault=None if left.fault is None else change(left.fault, lost_s=None)))

    def bind(self, session: str, hearing: str, case: str, by: str, reason: str) -> None:
        """A session belongs to this hearing; the one it belonged to follows another session of its own, or is planned as before.

        An order to bind it to another one, given meanwhile, still stands.
        """
        facts = self.sessions[session]
        wanted = facts.wanted if facts.wanted is not None and facts.wanted.hearing != hearing else None
        self.sessions[session] = change(facts, hearing=hearing, case=case, wanted=wanted)
        if facts.hearing != hearing:
            left = self.hearings.get(facts.hearing)
            if left is not None and left.session == session:
                self._detach(left)
            self.attach(session)
        record, case = facts.session, self.sessions[session].case
        self.events.append(contract.SessionBound(session=session, record=record, hearing=hearing, case=case, by=by, reason=reason))

    def _detach(self, left: HearingFacts) -> None:
        remaining = self.sessions_of(left.hearing)
        if not remaining and left.plan is None:
            del self.hearings[left.hearing]
            return
        state = follow(left.state, "unbound")
        self.hearings[left.hearing] = change(left, state=state, session="", reason="", conflict="", recorded_for_utc_us=None)
        if remaining:
            self.attach(remaining[-1].session)

    def _tell_reconciled(self, hearing: str) -> None:
        facts = self.hearings[hearing]
        if facts.state not in RECONCILED:
            return
        outcome: Literal["sealed", "delivered", "not_held", "cancelled", "moved", "failed"] = facts.state  # type: ignore[assignment]
        session = facts.session if facts.state in {"sealed", "delivered", "failed"} else ""
        self.events.append(
            contract.Reconciled(
                hearing=hearing, outcome=outcome, reason=facts.reason, session=session, revision=self.schedule.applied_offset
            )
        )  # fmt: skip
