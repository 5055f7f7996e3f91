"""Participants' media in the record of a real recorder."""

import itertools
import os
import signal
from pathlib import Path

import pytest

from recorder.child_process import LimitError
from recorder.contract import child
from recorder.participants import MOST_NAMES, MOST_OPEN, MOST_PARTS, Participants
from recorder.record import entries
from recorder.record.journal import MAX_LINE_BYTES
from recorder.room_view import RoomView
from recorder.seal import read_journal
from tests.lab import readback
from tests.lab.participants import FPS, participants
from tests.lab.room import Room, room
from tests.recorder.committing import judged
from tests.recorder.running_session import Session

pytestmark = pytest.mark.timeout(120)
INGEST = "[ingest]\nenabled = true\n"


def recorded_s(it: Room, record: Path, track: str) -> float:
    return sum(len(part.samples) / part.rate_hz for part in readback.sounds(record, track, it.keys.court_key, it.keys.court))


@pytest.mark.lab
def test_who_was_there_before_the_session_is_in_the_record_from_its_start(tmp_path: Path) -> None:
    with room(tmp_path, extra=INGEST) as it:
        it.wait_live("cam", "judge")
        with participants(it.run_dir / "ingest.sock", 2) as tracks:
            it.wait(lambda status: {channel.track for channel in status.channels} >= set(tracks), "the participants")
            record = it.begin()
            it.wait(lambda status: all(c.written_us > 3_000_000 for c in status.channels if c.track in tracks), "their media on the disk")
            it.stop()
        assert (done := it.verify(record)).returncode == 0, done.stdout
        pictures = readback.frame_numbers(record, "remote-p1-video", it.keys.court_key, it.keys.court)
        times_us = [at_us for at_us, _, _ in pictures]
        steps = {later - earlier for earlier, later in itertools.pairwise(times_us)}
        assert len(pictures) > 2 * FPS
        assert max(steps) < 2_000_000 / FPS, "no picture is missing"
        assert recorded_s(it, record, "remote-p0-audio") > 2.5
        opened = [entry for _, entry in read_journal(record) if isinstance(entry, entries.Event) and entry.name == "track_opened"]
        assert sorted(entry.track for entry in opened) == sorted(tracks)


@pytest.mark.lab
def test_when_the_ingest_child_dies_the_room_goes_on_and_participants_can_come_back(tmp_path: Path) -> None:
    with room(tmp_path, extra=INGEST) as it:
        it.wait_live("cam", "judge")
        record = it.begin()
        with participants(it.run_dir / "ingest.sock", 1) as tracks:
            it.wait(lambda status: sum(bool(c.written_us) for c in status.channels if c.track in tracks) == 2, "their media on the disk")
            os.kill(it.holder_of(it.run_dir / "ingest.sock"), signal.SIGKILL)
            it.wait(lambda status: not any(c.track in tracks for c in status.channels), "the connection's end")
        it.wait(lambda status: not status.alarms, "the child's return")
        with participants(it.run_dir / "ingest.sock", 1) as tracks:
            it.wait(lambda status: sum(bool(c.written_us) for c in status.channels if c.track in tracks) == 2, "their media again")
        it.stop()
        assert (done := it.verify(record)).returncode == 0, done.stdout
        assert len(readback.parts(record, "remote-p0-audio", it.keys.court_key, it.keys.court)) == 2
        numbers = [number for _, number, _ in readback.frame_numbers(record, "cam", it.keys.court_key, it.keys.court)]
        assert it.is_whole([number for number in numbers if number is not None])


def opened(number: int) -> child.TrackOpened:
    return child.TrackOpened(track=f"remote-{number:032d}", kind="audio", label="")


def test_a_session_ends_its_list_of_participants_before_the_seal_is_too_long(tmp_path: Path) -> None:
    session = Session(tmp_path)
    participants, recorded = Participants(RoomView(), lambda: 1), 0
    session.writer.record(2)
    for number in range(MOST_NAMES + 50):
        message = opened(number)
        if participants.opened(message, "ingest", session.running):
            recorded += 1
            init = child.Init(track=message.track, part=0, kind="audio", codec="opus", timescale=48_000)
            session.running.take_init(init, b"header")
            media = child.Fragment(track=message.track, part=0, t0=0, dur=48_000, timescale=48_000, key=True, new_segment=True)
            assert session.running.take_fragment(media, b"media")
        participants.closed(child.TrackClosed(track=message.track, cause="left", detail=""), session.running)
    assert recorded == MOST_NAMES
    assert not participants.opened(opened(MOST_NAMES), "ingest", session.running)
    session.writer.seal()
    verdict = judged(session.writer.root)
    assert verdict.level == "sealed", verdict.findings
    lines = (session.writer.root / "journal.jsonl").read_bytes().splitlines()
    assert max(map(len, lines)) < MAX_LINE_BYTES // 4
    told = [entry for _, entry in read_journal(session.writer.root) if isinstance(entry, entries.Event) and entry.name == "refused"]
    assert [entry.track for entry in told] == [opened(n).track for n in [*range(MOST_NAMES, MOST_NAMES + 50), MOST_NAMES]]


def test_one_name_that_comes_again_and_again_is_not_recorded_for_ever(tmp_path: Path) -> None:
    session = Session(tmp_path)
    participants = Participants(RoomView(), lambda: 1)
    assert participants.opened(opened(1), "ingest", session.running)
    session.running.tracks[opened(1).track].next_part = MOST_PARTS
    assert not participants.opened(opened(1), "ingest", session.running)
    assert not participants.opened(opened(2), "ingest", session.running)


def test_ingest_cannot_say_that_more_are_there_than_there_can_be() -> None:
    participants = Participants(RoomView(), lambda: 1)
    for number in range(MOST_OPEN):
        assert participants.opened(opened(number), "ingest", None)
    assert participants.opened(opened(0), "ingest", None)
    with pytest.raises(LimitError):
        participants.opened(opened(MOST_OPEN), "ingest", None)
