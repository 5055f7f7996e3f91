"""What the archive says of a record is told once, however early it comes, and whatever became of the session."""

import pytest

from agent import told
from agent.hearing import Fault
from agent.upstream import contract
from tests.agent.model_room import ModelRoom
from tests.agent.plans import MINUTE_US, TEN, hearing


def recording() -> ModelRoom:
    room = ModelRoom()
    room.plan(hearing())
    room.until(TEN)
    room.clerk_starts("h1")
    room.until(TEN + 30 * MINUTE_US)
    return room


def deliveries(room: ModelRoom) -> list[tuple[str, str, str]]:
    return [(event.record, event.sums_sha256, event.by) for event in room.events if isinstance(event, contract.RecordDelivered)]


def lose(room: ModelRoom) -> None:
    room.recorder.state, room.recorder.record, room.recorder.hearing = "idle", "", ""
    fault = Fault(cause="disk_lost", detail="", from_utc_us=TEN, until_utc_us=room.now_us, lost_s=1800)
    room._told(told.record_lost, session=room.session.session, fault=fault)


@pytest.mark.parametrize("times", [1, 2])
def test_a_delivery_that_is_told_before_the_seal_is_kept_and_told_behind_it(times: int) -> None:
    room = recording()
    session = room.session.session
    for _ in range(times):
        room.archive_acknowledges(session)
    assert deliveries(room) == []
    room.clerk_stops()
    room.look()
    assert deliveries(room) == [(session, "0" * 64, "centre")]
    assert (room.state(), room.session.state) == ("delivered", "delivered")
    assert room.outcomes() == ["sealed", "delivered"]
    room.archive_acknowledges(session)
    assert len(deliveries(room)) == 1


@pytest.mark.parametrize("early", [True, False])
def test_a_record_that_the_two_disks_sealed_otherwise_is_told_by_each_of_its_seals_once(*, early: bool) -> None:
    room = recording()
    session = room.session.session
    seals = ["0" * 64, "1" * 64]
    if not early:
        room.clerk_stops()
    for seal in (*seals, *seals):
        room.archive_acknowledges(session, seal)
    if early:
        room.clerk_stops()
        room.look()
    assert deliveries(room) == [(session, seal, "centre") for seal in seals]
    for seal in seals:
        room.archive_acknowledges(session, seal)
    assert len(deliveries(room)) == 2
    assert room.outcomes() == ["sealed", "delivered"]


def test_a_record_that_was_away_for_a_while_is_told_when_the_session_is_recovered_and_sealed() -> None:
    room = recording()
    session = room.session.session
    room.recorder.reachable = False
    room.look()
    assert room.session.state == "unsealed"
    room.archive_acknowledges(session)
    assert deliveries(room) == []
    room.recorder.reachable = True
    room.look()
    room.clerk_stops()
    room.look()
    assert len(deliveries(room)) == 1
    assert room.state() == "delivered"


@pytest.mark.parametrize("early", [True, False])
def test_a_record_that_was_believed_lost_and_is_in_the_archive_is_told_and_its_hearing_is_delivered(*, early: bool) -> None:
    room = recording()
    session = room.session.session
    if early:
        room.archive_acknowledges(session)
    lose(room)
    if not early:
        assert room.state() == "failed"
        room.archive_acknowledges(session)
    assert deliveries(room) == [(session, "0" * 64, "centre")]
    assert room.outcomes() == ["failed", "delivered"]
    room.archive_acknowledges(session)
    assert len(deliveries(room)) == 1


def test_a_hearing_of_two_records_one_of_which_was_believed_lost_is_delivered_when_both_are() -> None:
    room = recording()
    first = room.session.session
    room.clerk_stops()
    room.look()
    room.clerk_starts("h1")
    room.until(TEN + 40 * MINUTE_US)
    second = room.session.session
    lose(room)
    room.archive_acknowledges(second)
    assert room.state() == "failed"
    room.archive_acknowledges(first)
    assert room.state() == "delivered"
    assert len(deliveries(room)) == 2
