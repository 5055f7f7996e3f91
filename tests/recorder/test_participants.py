"""Participants' media in the record of a real recorder."""

import itertools
import os
import signal
from pathlib import Path

import pytest

from recorder.record import entries
from recorder.seal import read_journal
from tests.lab import readback
from tests.lab.participants import FPS, participants
from tests.lab.room import Room, room

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120)]
INGEST = "[ingest]\nenabled = true\n"


def recorded_s(it: Room, record: Path, track: str) -> float:
    return sum(len(part.samples) / part.rate_hz for part in readback.sounds(record, track, it.keys.court_key, it.keys.court))


def test_who_was_there_before_the_session_is_in_the_record_from_its_start(tmp_path: Path) -> None:
    with room(tmp_path, extra=INGEST) as it:
        it.wait_live("cam", "judge")
        with participants(it.run_dir / "ingest.sock", 2) as tracks:
            it.wait(lambda status: {channel.track for channel in status.channels} >= set(tracks), "the participants")
            record = it.begin()
            it.wait(lambda status: all(c.written_us > 3_000_000 for c in status.channels if c.track in tracks), "their media on the disk")
            it.stop()
        assert it.verify(record).returncode == 0
        pictures = readback.frame_numbers(record, "remote-p1-video", it.keys.court_key, it.keys.court)
        times_us = [at_us for at_us, _, _ in pictures]
        steps = {later - earlier for earlier, later in itertools.pairwise(times_us)}
        assert len(pictures) > 2 * FPS
        assert max(steps) < 2_000_000 / FPS, "no picture is missing"
        assert recorded_s(it, record, "remote-p0-audio") > 2.5
        opened = [entry for _, entry in read_journal(record) if isinstance(entry, entries.Event) and entry.name == "track_opened"]
        assert sorted(entry.track for entry in opened) == sorted(tracks)


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
        assert it.verify(record).returncode == 0
        assert len(readback.parts(record, "remote-p0-audio", it.keys.court_key, it.keys.court)) == 2
        numbers = [number for _, number, _ in readback.frame_numbers(record, "cam", it.keys.court_key, it.keys.court)]
        assert it.is_whole([number for number in numbers if number is not None])
