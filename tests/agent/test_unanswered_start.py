"""An automatic start that the recorder did not answer: asked for again soon, and not where it may have begun all the same."""

from agent.upstream import contract
from provisioning.room import Hearings
from tests.agent.model_room import ModelRoom, planned
from tests.agent.plans import MINUTE_US, TEN

SECOND_US = 1_000_000


def with_an_unanswered_start() -> ModelRoom:
    """A room whose recorder shows that it is idle, and did not answer when the hearing was to be begun."""
    room = planned(Hearings(automatic=True))
    room.until(TEN - MINUTE_US)
    room.recorder.answers = False
    room.until(TEN)
    assert room.hearing().start_asked_utc_us == TEN
    return room


def seconds_pass(room: ModelRoom, seconds: int) -> None:
    for _ in range(seconds):
        room.until(room.now_us + SECOND_US)


def test_a_recorder_that_is_idle_after_a_start_that_it_did_not_answer_is_asked_again_after_ten_seconds() -> None:
    room = with_an_unanswered_start()
    room.recorder.answers = True
    seconds_pass(room, 9)
    assert room.recorder.state == "idle"
    seconds_pass(room, 1)
    assert (room.recorder.state, room.recorder.count) == ("open", 1)
    seconds_pass(room, 1)
    assert (room.session.by, room.session.automatic) == ("agent", True)


def test_a_recorder_that_never_answers_is_asked_again_and_again() -> None:
    room = with_an_unanswered_start()
    asked_us = set()
    for _ in range(60):
        seconds_pass(room, 1)
        asked_us.add(room.hearing().start_asked_utc_us)
    assert len(asked_us) > 4


def test_a_recorder_that_hung_and_begins_when_it_is_back_did_so_for_who_asked_and_what_was_lost_is_certified() -> None:
    room = with_an_unanswered_start()
    room.recorder.reachable = False
    seconds_pass(room, 20)
    room.recorder.reachable = True
    seconds_pass(room, 1)  # it tells its state first, and then reads what it was sent
    room.recorder.answers = True
    room.recorder.start("h1", room.now_us)
    room.recorder.refuses = True  # a second one
    seconds_pass(room, 2)
    assert (room.session.by, room.session.automatic, room.recorder.count) == ("agent", True, 1)
    (certificate,) = (event for event in room.events if isinstance(event, contract.FaultCertificate))
    assert (certificate.cause, certificate.from_utc_us, certificate.record) == ("recorder_unreachable", TEN, room.session.session)
    assert certificate.lost_s >= 20


def test_a_start_that_a_clerk_asked_for_and_that_was_not_answered_is_not_taken_over_by_the_agent_at_once() -> None:
    room = planned(Hearings(automatic=True))
    room.until(TEN - MINUTE_US)
    room.recorder.answers = False
    room.clerk_starts("h1")
    room.recorder.answers = True
    room.until(TEN - 10 * SECOND_US)
    room.recorder.start("h1", room.now_us)
    room.until(TEN + 10 * SECOND_US)
    assert (room.session.by, room.recorder.count) == ("clerk", 1)
