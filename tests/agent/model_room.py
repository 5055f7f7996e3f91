"""A room in few words: facts, a schedule, a recorder that does what it is asked, and a clock that is moved by hand."""

from collections.abc import Callable
from uuid import UUID

from agent import missed, told
from agent.actions import BindRecord, Certify, FindMissed, FindOut, Prompt, RunChecks, StartRecording, StopRecording
from agent.decision import decide
from agent.follow_recorder import Seen
from agent.hearing import RUNNING, UNREACHABLE, Facts, HearingFacts, Session, State
from agent.schedule import Schedule, merge_change
from agent.turn import Outcome
from agent.upstream import contract
from provisioning.room import Hearings
from recorder.contract.control import PastRecord
from recorder.contract.control import State as RecorderState
from tests.agent.plans import DAY, ROOM, hearing


class ModelRecorder:
    """The recorder by its contract: one session at a time, which outlives a crash."""

    def __init__(self) -> None:
        self.state: RecorderState = "idle"
        self.hearing, self.record, self.began_us = "", "", 0
        self.sealed: dict[str, int] = {}
        self.unsealed: dict[str, int] = {}
        self.past: list[PastRecord] = []
        self.reachable, self.refuses, self.seals = True, False, True
        self.answers = True  # False: a start is lost on its way
        self.count = 0

    def start(self, hearing: str, now_us: int) -> bool:
        if self.refuses or not self.answers or not self.reachable or self.state != "idle":
            return False
        self.count += 1
        self.record = f"/var/records/2026-01-01_{ROOM}_{UUID(int=self.count)}"
        self.state, self.hearing, self.began_us = "open", hearing, now_us
        return True

    def stop(self, now_us: int) -> None:
        if self.reachable and self.state != "idle":
            (self.sealed if self.seals else self.unsealed)[self.record.rsplit("_", 1)[1]] = now_us - self.began_us
            self.past.append(PastRecord(path=self.record, room=ROOM, hearing=self.hearing, began_utc_us=self.began_us))
            self.state, self.hearing, self.record = "idle", "", ""

    def restart(self) -> None:
        """What lacked its seal gets it when the recorder begins."""
        self.sealed |= self.unsealed
        self.unsealed = {}

    def seen(self, now_us: int) -> Seen | None:
        t_us = now_us - self.began_us if self.record else 0
        return Seen(state=self.state, record=self.record, hearing=self.hearing, t_us=t_us) if self.reachable else None


class ModelRoom:
    """What ``main.py`` does with decisions, without processes. ``keep`` gets each outcome, as the store would."""

    def __init__(self, rules: Hearings | None = None, keep: Callable[[Outcome], None] = lambda _: None) -> None:
        self.facts, self.schedule = Facts(), Schedule()
        self.rules = rules or Hearings()
        self.recorder = ModelRecorder()
        self.now_us, self.quiet_s, self.is_time_known = DAY, 0.0, True
        self.knows_records = True
        self.events: list[contract.AnyData] = []
        self.prompts: list[Prompt] = []
        self.stops: list[StopRecording] = []
        self.stopped_at: list[tuple[int, float]] = []
        self.offset = 0
        self._keep = keep

    # the agent

    def starts_anew(self) -> None:
        """The agent was away; what the recorder did meanwhile it has not seen."""
        self.knows_records = False
        self.look()
        self.look()

    # the centre

    def plan(self, hearing: contract.Hearing) -> None:
        self.offset += 1
        self.schedule = merge_change(self.schedule, contract.Change(offset=self.offset, hearing=hearing))

    # time

    def until(self, now_us: int, *, quiet: bool = False) -> None:
        """Let time pass up to then, in steps in which a clerk would see a prompt."""
        while self.now_us < now_us:
            step_us = min(20_000_000, now_us - self.now_us)
            self.now_us += step_us
            self.quiet_s = self.quiet_s + step_us / 1_000_000 if quiet else 0.0
            self.look()

    def look(self) -> None:
        """One decision, and all that it asks for."""
        seen = self.recorder.seen(self.now_us)
        outcome = decide(
            self.facts, self.schedule, seen, self.rules, room=ROOM, quiet_s=self.quiet_s, now_utc_us=self.now_us,
            is_time_known=self.is_time_known, knows_records=self.knows_records,
        )  # fmt: skip
        self.prompts = list(outcome.prompts)
        self.take(outcome)

    def take(self, outcome: Outcome) -> None:
        self.facts = outcome.facts
        self.events += outcome.events
        self._keep(outcome)
        for action in outcome.actions:
            self._carry_out(action)

    def _carry_out(self, action: object) -> None:
        if isinstance(action, StartRecording):
            if not self.recorder.start(action.hearing, self.now_us):
                cause = "refused" if self.recorder.answers else UNREACHABLE
                by, now_us = action.actor, self.now_us
                self._told(told.start_failed, hearing=action.hearing, by=by, cause=cause, detail="no disk", now_utc_us=now_us)
        elif isinstance(action, StopRecording):
            self.stops.append(action)
            self.stopped_at.append((self.now_us, self.quiet_s))
            self.recorder.stop(self.now_us)
        elif isinstance(action, FindOut):
            length_us = self.recorder.sealed.get(action.session)
            if length_us is not None:
                self._told(told.sealed, session=action.session, duration_us=length_us, head=None, now_utc_us=self.now_us)
        elif isinstance(action, FindMissed):
            self.knows_records = True
            self._told(missed.take_in, past=self.recorder.past, room=ROOM, now_utc_us=self.now_us, is_time_known=self.is_time_known)
        elif isinstance(action, BindRecord):
            if not action.sealed:
                self.recorder.hearing = action.hearing
            self._told(told.bound, action=action)
        elif isinstance(action, RunChecks):
            check = contract.CheckResult(check="disk", version=1, result="good", detail="")
            self._told(told.checked, hearing=action.hearing, reason="before_hearing", checks=[check])
        else:
            assert isinstance(action, Certify)
            self._certified(action)

    def _certified(self, action: Certify) -> None:
        certificate = contract.FaultCertificate(
            hearing=action.hearing, record=action.record, cause=action.cause, detail=action.detail, channels=list(action.channels),
            from_utc_us=action.from_utc_us, lost_s=action.lost_s, key_id="k", sig="s",
        )  # fmt: skip
        self._told(told.certified, action=action, certificate=certificate)

    def _told(self, function: Callable[..., Outcome], **news: object) -> None:
        self.take(function(self.facts, self.schedule, **news))

    # people

    def clerk_starts(self, hearing: str = "") -> None:
        self._told(told.start, hearing=hearing, by="clerk", now_utc_us=self.now_us)
        self.look()

    def clerk_stops(self) -> None:
        running = next(session.session for session in self.facts.sessions.values() if session.state in RUNNING)
        self._told(told.stop, session=running, by="clerk", reason="ended", now_utc_us=self.now_us)
        self.look()

    def clerk_binds(self, session: str, hearing: str) -> None:
        self._told(told.bind, session=session, hearing=hearing, case="", by="clerk", reason="found out")
        self.look()
        self.look()

    def archive_acknowledges(self, record: str, sums_sha256: str = "0" * 64) -> None:
        self._told(told.delivered, record=record, sums_sha256=sums_sha256, by="centre")

    # what came of it

    @property
    def session(self) -> Session:
        return max(self.facts.sessions.values(), key=lambda session: session.began_utc_us)

    def hearing(self, id_: str = "h1") -> HearingFacts:
        return self.facts.hearings[id_]

    def state(self, id_: str = "h1") -> State:
        return self.facts.hearings[id_].state

    def codes(self) -> set[str]:
        return {prompt.code for prompt in self.prompts}

    def told_of(self, kind: type[contract.EventData]) -> list[contract.AnyData]:
        return [event for event in self.events if isinstance(event, kind)]

    def outcomes(self, id_: str = "h1") -> list[str]:
        return [event.outcome for event in self.events if isinstance(event, contract.Reconciled) and event.hearing == id_]


def planned(rules: Hearings | None = None) -> ModelRoom:
    """A room that knows of one hearing."""
    room = ModelRoom(rules)
    room.plan(hearing())
    return room
