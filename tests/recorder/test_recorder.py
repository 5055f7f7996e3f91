"""The recorder as a whole: real processes, really killed; what was recorded is read back from the disk and compared."""

import os
import random
import signal
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from recorder.contract import control
from recorder.contract.client import ControlError
from recorder.record import entries
from recorder.record.journal import BEFORE_FIRST, read_line
from recorder.seal import read_journal
from tests.lab import readback
from tests.lab.room import Room, room
from tests.recorder.losses import assert_little_lost, assert_unsealed_and_intact, moment

pytestmark = pytest.mark.timeout(180)
FRAME_US = 40_000


def entries_of(record: Path, kind: type) -> list[entries.AnyEntry]:
    return [entry for _, entry in read_journal(record) if isinstance(entry, kind)]


def numbers(it: Room, record: Path) -> list[int]:
    seen = [number for _, number, _ in readback.frame_numbers(record, "cam", it.keys.court_key, it.keys.court)]
    assert None not in seen
    return [number for number in seen if number is not None]


def test_every_frame_and_sample_is_on_the_disk_and_they_are_at_the_same_time(tmp_path: Path) -> None:
    with room(tmp_path) as it:
        it.wait_live("cam", "judge", "witness")
        record = it.begin()
        it.recorded(7)
        it.stop()
        seen = numbers(it, record)
        assert len(seen) > 7 * 25 - 3
        assert it.is_whole(seen)
        keys = (it.keys.court_key, it.keys.court)
        for track, tone_hz in (("judge", 400), ("witness", 500)):
            sound = readback.sounds(record, track, *keys)[0]
            quiet = sound.samples[np.abs(sound.samples) < 0.15][:48_000]
            spectrum = np.abs(np.fft.rfft(quiet[:48_000]))
            assert abs(int(spectrum.argmax()) - tone_hz) <= 20
        flash_us = next(t for t, _, bright in readback.frame_numbers(record, "cam", *keys) if bright > 200)
        sound = readback.sounds(record, "judge", *keys)[0]
        loud = np.flatnonzero(np.abs(sound.samples) > 0.2)
        beeps_us = sound.t_us + loud * 1_000_000 // sound.rate_hz
        assert np.abs(beeps_us - flash_us).min() < FRAME_US


def test_a_killed_core_loses_at_most_a_second_breaks_no_chain_and_goes_on_as_the_same_session(tmp_path: Path) -> None:
    with room(tmp_path) as it:
        it.wait_live("cam", "judge")
        record = it.begin()
        it.recorded(2)
        it.kill()
        it.start()
        status = it.wait_live("cam", "judge")
        assert status.state == "open"
        assert Path(status.record) == record
        it.recorded(1)
        it.stop()
        assert (done := it.verify(record)).returncode == 0, done.stdout
        recovered = entries_of(record, entries.Recovered)
        assert len(recovered) == 1
        opening = {entry.track for entry in entries_of(record, entries.Gap) if isinstance(entry, entries.Gap) and entry.cause == "opening"}
        assert {"cam", "judge", "witness"} <= opening, "until its device is open again each track has its gap"
        assert whole_chain(record)
        assert (record / "SHA256SUMS.p7s").exists()
        seen = numbers(it, record)
        jumps = [after - before - 1 for before, after in pairwise(seen) if after != before + 1]
        assert len(jumps) == 1


def test_a_killed_child_leaves_a_gap_with_its_cause_and_every_other_track_goes_on(tmp_path: Path) -> None:
    with room(tmp_path) as it:
        it.wait_live("cam", "judge")
        record = it.begin()
        it.recorded(1)
        victim = it.holder_of(it.run_dir / "bus" / "judge.pcm.sock")
        os.kill(victim, signal.SIGKILL)
        it.wait(lambda status: any(alarm.track == "judge" for alarm in status.alarms), "the alarm", timeout_s=2)
        it.wait(lambda status: not status.alarms, "the device's return")
        it.recorded(1)
        it.stop()
        gaps = [
            entry for entry in entries_of(record, entries.Gap) if isinstance(entry, entries.Gap) and entry.track in {"judge", "witness"}
        ]
        assert {gap.track for gap in gaps} == {"judge", "witness"}
        assert all("SIGKILL" in gap.detail for gap in gaps)
        seen = numbers(it, record)
        assert it.is_whole(seen)


def test_a_child_that_hangs_is_killed_and_the_alarm_comes_within_two_seconds(tmp_path: Path) -> None:
    with room(tmp_path) as it:
        it.wait_live("cam", "judge")
        record = it.begin()
        it.recorded(1)
        os.kill(it.holder_of(it.run_dir / "bus" / "cam.sock"), signal.SIGSTOP)
        it.wait(lambda status: any(alarm.track == "cam" for alarm in status.alarms), "the alarm", timeout_s=2.5)
        it.wait(lambda status: not status.alarms, "the camera's return")
        it.stop()
        causes = [entry.cause for entry in entries_of(record, entries.Gap) if isinstance(entry, entries.Gap) and entry.track == "cam"]
        assert causes[0] == "frozen"


def test_what_is_said_in_privilege_and_deliberation_is_nowhere_while_the_same_search_finds_it_elsewhere(tmp_path: Path) -> None:
    with room(tmp_path) as it:
        it.wait_live("cam", "judge")
        record = it.begin()
        it.recorded(1)
        for state in ("privileged", "deliberation"):
            before = numbers_now()
            it.do(control.PauseRequest(state=state, actor="Judge B."))
            it.wait(lambda status: status.state != "open", "the pause")
            silent = it.wait(lambda _, at=before: numbers_now() > at + 30, "a second of privilege")  # type: ignore[misc]
            assert silent.state == state
            it.do(control.ResumeRequest(actor="Judge B."))
            it.recorded(1)
        it.stop()
        pauses = [(e.from_us, e.to_us) for e in entries_of(record, entries.Resume) if isinstance(e, entries.Resume)]
        assert len(pauses) == 2
        times = [t for t, _, _ in readback.frame_numbers(record, "cam", it.keys.court_key, it.keys.court)]
        for from_us, to_us in pauses:
            assert not [t for t in times if from_us + 1 < t < to_us - 1]
            assert [t for t in times if t <= from_us]
            assert [t for t in times if t >= to_us]
        for track in ("judge", "witness", "room-mix"):
            for sound in readback.sounds(record, track, it.keys.court_key, it.keys.court):
                end_us = sound.t_us + len(sound.samples) * 1_000_000 // sound.rate_hz
                for from_us, to_us in pauses:
                    assert end_us <= from_us + 25_000 or sound.t_us >= to_us - 25_000


def test_off_the_record_nothing_reaches_the_disk_and_a_nameless_person_cannot_resume(tmp_path: Path) -> None:
    with room(tmp_path) as it:
        it.wait_live("cam", "judge")
        record = it.begin()
        it.recorded(1)
        it.do(control.PauseRequest(state="off_record", actor="Judge B."))
        with pytest.raises(ControlError, match="name the person"):
            it.do(control.ResumeRequest(actor=" "))
        size = it.wait(lambda status: status.t_us > 0, "status")
        written = {channel.track: channel.bytes_written for channel in size.channels}
        later = it.wait(lambda status, at=size.t_us: status.t_us > at + 1_500_000, "a while")  # type: ignore[misc]
        after_last = {channel.track: channel.bytes_written - written[channel.track] for channel in later.channels}
        again = it.wait(lambda status, at=later.t_us: status.t_us > at + 1_000_000, "a while more")  # type: ignore[misc]
        assert [channel.bytes_written - written[channel.track] - after_last[channel.track] for channel in again.channels] == [0] * len(
            again.channels
        )
        it.stop()
        assert whole_chain(record)


def test_the_preroll_becomes_the_head_of_the_record_only_when_it_was_armed(tmp_path: Path) -> None:
    with room(tmp_path) as it:
        it.wait_live("cam", "judge")
        it.do(control.ArmRequest(on=True, actor="Clerk"))
        armed_units = {channel.track: channel.units for channel in it.wait(lambda status: status.preroll_armed, "armed").channels}
        it.wait(
            lambda status: _units(status, "cam") > armed_units["cam"] + 150,
            "6 s of pre-roll",
        )
        started = numbers_now()
        record = it.begin()
        it.recorded(1)
        it.stop()
        seen = numbers(it, record)
        assert seen[0] < started - 25
        gaps = [entry for _, entry in read_journal(record) if isinstance(entry, entries.Gap | entries.GapEnd)]
        early = [gap for gap in gaps if isinstance(gap, entries.Gap) and gap.from_us < 4_000_000]
        told = {gap.cause for gap in early}
        assert ("not_in_preroll" in told, "awaiting_keyframe" in told) == (True, False), (
            "nobody waited for a keyframe before the session began"
        )
        not_held = {gap.from_us for gap in early if (gap.track, gap.cause) == ("judge", "not_in_preroll")}
        ends_us = [gap.to_us for gap in gaps if isinstance(gap, entries.GapEnd) and gap.track == "judge" and gap.from_us in not_held]
        assert [end_us < 2_000_000 for end_us in ends_us] in ([], [True]), gaps
        second = it.begin()
        began = numbers_now()
        it.recorded(1)
        it.stop()
        assert numbers(it, second)[0] >= began - 25


def test_without_the_recipients_key_no_track_decodes(tmp_path: Path) -> None:
    with room(tmp_path) as it:
        it.wait_live("cam", "judge")
        record = it.begin()
        it.recorded(1)
        it.stop()
        for part in readback.parts(record, "cam", it.keys.court_key, it.keys.court):
            assert part.key is not None
            assert b"\x65" * 8 not in part.data
        with pytest.raises(Exception, match=r"Invalid data|no frame"):
            undecryptable(record)


def undecryptable(record: Path) -> None:
    import av

    data = (record / "tracks/cam/init-00.mp4").read_bytes() + (record / "tracks/cam/seg-000000.m4s").read_bytes()
    import io

    with av.open(io.BytesIO(data), "r", format="mp4") as container:
        if not list(container.decode(video=0)):
            raise ValueError("no frame")


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_hundred_kills_lose_at_most_a_second_each(tmp_path: Path) -> None:
    kills(tmp_path, 100)


def test_some_kills_lose_at_most_a_second_each(tmp_path: Path) -> None:
    kills(tmp_path, 4)


def kills(base: Path, count: int) -> None:
    """Kill core and children at random moments, the core first; of each track at most a second before the kill is missing on the disk."""
    chance = random.Random(count)
    with room(base) as it:
        it.wait_live()
        record = it.begin()
        killed_at = []
        for number in range(count):
            it.recorded(0.5 + chance.random())
            victim = chance.choice([*it.children(), None]) if number else None
            killed_at.append(moment(it))
            if victim is None:
                it.kill()
                it.start()
            else:
                os.kill(victim, signal.SIGKILL)
            it.wait_live("cam", "judge")
            if number % 20 == 0:
                assert_unsealed_and_intact(it, record)
        it.recorded(1)
        it.stop()
        assert (done := it.verify(record)).returncode == 0, done.stdout
        assert whole_chain(record)
        assert_little_lost(it, record, killed_at)


def numbers_now() -> int:
    """The number that the test picture has at this moment."""
    import time

    return time.monotonic_ns() // 1000 * 25 // 1_000_000


def whole_chain(record: Path) -> bool:
    """Whether every line but torn ones follows the one before it, up to the last byte."""
    head = BEFORE_FIRST
    lines = (record / "journal.jsonl").read_bytes().splitlines()
    torn = sum(
        1
        for entry in entries_of(record, entries.Recovered)
        if isinstance(entry, entries.Recovered)
        for one in entry.torn
        if one.file.startswith("journal")
    )
    bad = 0
    for raw in lines:
        try:
            _, _, head = read_line(raw, head)
        except ValueError:
            bad += 1
    return bad <= torn and head.at + 1 == len(lines) - bad


def _units(status: control.Status, track: str) -> int:
    return next(channel.units for channel in status.channels if channel.track == track)
