"""Whatever centre, clerk, recorder and time do, in whatever order: no change ends a recording, and every hearing ends reconciled."""

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from agent.hearing import LIVE, RECONCILED, RUNNING, is_local
from agent.schedule import Schedule, merge_snapshot
from agent.told import ToldError
from agent.upstream import contract
from provisioning.room import Hearings
from recorder.record.entries import PausedState
from tests.agent.model_room import ModelRoom
from tests.agent.plans import HOUR_US, MINUTE_US, ROOM, TEN, hearing

hearings = st.builds(
    hearing,
    id_=st.sampled_from(["h1", "h2", "h3"]),
    starts_us=st.integers(-6, 12).map(lambda half: TEN + half * HOUR_US // 2),
    length_us=st.sampled_from([HOUR_US // 2, HOUR_US]),
    room=st.sampled_from([ROOM, ROOM, ROOM, "almaty-2"]),
    state=st.sampled_from(["planned", "planned", "cancelled"]),
    automatic=st.sampled_from([None, True]),
)

QUICK = [Phase.explicit, Phase.reuse, Phase.generate]
"""Without shrinking, which takes minutes here; a failure prints its course."""


class AnyCourse(RuleBasedStateMachine):
    """A day in a room."""

    def __init__(self) -> None:
        super().__init__()
        self.room = ModelRoom(Hearings())
        self.room.now_us = TEN - 3 * HOUR_US
        self.first_end_us: dict[str, int | None] = {}
        self.room.starts_anew()

    @rule(change=hearings)
    def centre_changes(self, change: contract.Hearing) -> None:
        self.room.plan(change)
        self.room.look()

    @rule(of_now=st.lists(hearings, max_size=3))
    def centre_snapshots(self, of_now: list[contract.Hearing]) -> None:
        self.room.offset += 1
        self.room.schedule = merge_snapshot(self.room.schedule, contract.Snapshot(as_of=self.room.offset, hearings=of_now))
        self.room.look()

    @rule(minutes=st.sampled_from([1, 5, 20, 61]), quiet=st.booleans())
    def time_passes(self, minutes: int, quiet: bool) -> None:
        self.room.until(self.room.now_us + minutes * MINUTE_US, quiet=quiet)

    @rule(id_=st.sampled_from(["", "h1", "h2", "unheard-of"]))
    def clerk_starts(self, id_: str) -> None:
        try:
            self.room.clerk_starts(id_)
        except ToldError:
            assert self.is_recording()

    def is_recording(self) -> bool:
        return any(session.state in LIVE | {"closing"} for session in self.room.facts.sessions.values())

    @precondition(is_recording)
    @rule()
    def clerk_stops(self) -> None:
        self.room.clerk_stops()

    @precondition(is_recording)
    @rule(state=st.sampled_from(["open", "off_record", "deliberation"]))
    def clerk_pauses(self, state: PausedState) -> None:
        if self.room.recorder.state != "idle":
            self.room.recorder.state = state
            self.room.look()

    @precondition(lambda self: self.room.facts.sessions)
    @rule(id_=st.sampled_from(["h1", "h2", "h3"]), data=st.data())
    def clerk_binds(self, id_: str, data: st.DataObject) -> None:
        self.room.clerk_binds(data.draw(st.sampled_from(sorted(self.room.facts.sessions))), id_)

    @rule(reachable=st.booleans(), refuses=st.booleans(), answers=st.booleans(), seals=st.booleans())
    def recorder_falters(self, reachable: bool, refuses: bool, answers: bool, seals: bool) -> None:
        recorder = self.room.recorder
        recorder.reachable, recorder.refuses, recorder.answers, recorder.seals = reachable, refuses, answers, seals
        self.room.look()

    @rule(id_=st.sampled_from(["", "h1", "h2", "h3"]), minutes=st.sampled_from([1, 61]))
    def the_agent_is_away_while_somebody_records(self, id_: str, minutes: int) -> None:
        began = self.room.recorder.start(id_, self.room.now_us)
        self.room.now_us += minutes * MINUTE_US
        if began:
            self.room.recorder.stop(self.room.now_us)
        self.room.starts_anew()

    @precondition(lambda self: self.room.facts.sessions)
    @rule(data=st.data())
    def archive_acknowledges(self, data: st.DataObject) -> None:
        self.room.archive_acknowledges(data.draw(st.sampled_from(sorted(self.room.facts.sessions))))

    @invariant()
    def only_an_empty_room_after_the_first_known_end_ends_a_recording(self) -> None:
        for session in self.room.facts.sessions.values():
            self.first_end_us.setdefault(session.session, session.ends_utc_us)
        for stop, (now_us, quiet_s) in zip(self.room.stops, self.room.stopped_at, strict=True):
            if stop.actor != "clerk":
                first_us = self.first_end_us[stop.session]
                assert first_us is None or now_us > first_us
                assert quiet_s >= 660

    @invariant()
    def a_hearing_follows_its_newest_session(self) -> None:
        for facts in self.room.facts.hearings.values():
            assert (facts.state in RUNNING) <= bool(facts.session)
            if facts.session and facts.state != "planned":
                session = self.room.facts.sessions[facts.session]
                assert session.hearing == facts.hearing
                assert facts.state == session.state or (facts.state, session.state) == ("sealed", "delivered")

    @invariant()
    def each_session_began_and_ended_once_for_the_centre(self) -> None:
        for kind in (contract.SessionStarted, contract.SessionEnded):
            told = [event.session for event in self.room.events if isinstance(event, kind)]
            assert len(told) == len(set(told))

    def teardown(self) -> None:
        """In the end, when nothing is planned any more and everything works, all is reconciled and told so."""
        room = self.room
        room.recorder.reachable, room.recorder.refuses, room.recorder.answers, room.recorder.seals = True, False, True, True
        room.recorder.restart()
        room.recorder.state = "open" if room.recorder.record else "idle"
        room.until(TEN + 16 * HOUR_US, quiet=True)
        room.starts_anew()
        assert room.facts.sessions.keys() == room.recorder.sealed.keys()
        for facts in room.facts.hearings.values():
            assert facts.state in RECONCILED, facts
            assert room.outcomes(facts.hearing)[-1] == facts.state
        assert all(session.state in {"sealed", "delivered"} for session in room.facts.sessions.values())
        assert all(is_local(session.hearing) or session.hearing in room.facts.hearings for session in room.facts.sessions.values())


def test_any_course_of_a_day_ends_reconciled() -> None:
    run_state_machine_as_test(AnyCourse, settings=settings(max_examples=50, stateful_step_count=25, phases=QUICK))


@pytest.mark.long
def test_very_many_courses_of_a_day_end_reconciled() -> None:
    run_state_machine_as_test(AnyCourse, settings=settings(max_examples=1_000, stateful_step_count=40, phases=QUICK))


def test_a_schedule_of_nothing_asks_for_nothing() -> None:
    room = ModelRoom()
    room.schedule = Schedule()
    room.until(TEN)
    assert (room.events, room.prompts) == ([], [])
