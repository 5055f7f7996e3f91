"""Disks that fill up, stall, fail, leave and lose their power under a recorder that records: what is lost, and what the journal says."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from recorder.record import entries
from recorder.seal import read_journal
from tests.lab import readback
from tests.lab.loop_disk import loop_disk, usable
from tests.lab.room import Room, room
from tests.recorder.losses import assert_little_lost, assert_unsealed_and_intact, moment

pytestmark = [pytest.mark.root, pytest.mark.timeout(180), pytest.mark.skipif(not usable(), reason="needs root and loop devices")]


def numbers(it: Room, record: Path) -> list[int]:
    return [n for _, n, _ in readback.frame_numbers(record, "cam", it.keys.court_key, it.keys.court) if n is not None]


def disk_states(record: Path) -> list[tuple[str, str]]:
    return [(entry.disk, entry.state) for _, entry in read_journal(record) if isinstance(entry, entries.DiskState)]


def test_a_disk_that_stalls_for_three_seconds_loses_nothing(tmp_path: Path) -> None:
    with loop_disk(64) as disk, room(tmp_path, primary=disk.path / "records") as it:
        it.wait_live("cam", "judge")
        record = it.begin()
        it.recorded(1)
        began = it.wait(lambda _: True, "status")
        disk.stall()
        it.wait(lambda status: status.t_us > began.t_us + 3_000_000, "3 s of stall")
        disk.go_on()
        it.recorded(2)
        it.stop()
        assert (done := it.verify(record)).returncode == 0, done.stdout
        assert it.is_whole(numbers(it, record))


def test_a_full_disk_without_a_mirror_raises_an_alarm_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    with loop_disk(64) as disk, room(tmp_path, primary=disk.path / "records") as it:
        it.wait_live("cam", "judge")
        record = it.begin()
        it.recorded(1)
        fill = disk.fill()
        it.wait(lambda status: any(alarm.code == "storage_failed" for alarm in status.alarms), "the alarm")
        fill.unlink()
        it.wait(lambda status: not any(alarm.code == "storage_failed" for alarm in status.alarms), "the end of the alarm")
        it.recorded(2)
        it.stop()
        assert (done := it.verify(record)).returncode == 0, done.stdout
        assert it.is_whole(numbers(it, record))
        assert ("primary", "full") in disk_states(record)


def test_a_full_primary_hands_the_lead_to_the_mirror(tmp_path: Path) -> None:
    with loop_disk(64) as disk, room(tmp_path, primary=disk.path / "records", mirror=tmp_path / "mirror") as it:
        it.wait_live("cam", "judge")
        record = it.begin()
        it.wait(lambda status: any(d.disk == "mirror" and d.state == "in_step" for d in status.disks), "mirror in step")
        it.recorded(1)
        disk.fill()
        it.wait(lambda status: any(alarm.code == "primary_disk_failed" for alarm in status.alarms), "the alarm")
        it.recorded(2)
        it.stop()
        assert it.verify(tmp_path / "mirror" / record.name).returncode == 0
        copy = tmp_path / "mirror" / record.name
        assert it.is_whole(numbers(it, copy))
        assert ("mirror", "leads") in disk_states(copy)
        assert (copy / "SHA256SUMS.p7s").exists()


def test_a_mirror_that_is_pulled_and_put_back_is_caught_up(tmp_path: Path) -> None:
    with loop_disk(64) as disk, room(tmp_path, mirror=disk.path / "mirror") as it:
        it.wait_live("cam", "judge")
        record = it.begin()
        it.wait(lambda status: any(d.disk == "mirror" and d.state == "in_step" for d in status.disks), "mirror in step")
        it.recorded(1)
        disk.cut_power()
        it.wait(lambda status: any(alarm.code == "mirror_left" for alarm in status.alarms), "the alarm")
        remount(disk.remount)
        it.wait(lambda status: not any(alarm.code == "mirror_left" for alarm in status.alarms), "the mirror's return")
        it.recorded(1)
        it.stop()
        assert (done := it.verify(record)).returncode == 0, done.stdout
        assert it.is_whole(numbers(it, record))
        assert ("mirror", "left") in disk_states(record)
        same = subprocess.run(
            ["diff", "-r", str(record), str(disk.path / "mirror" / record.name)], capture_output=True, text=True, check=False
        )
        assert same.returncode == 0, same.stdout


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is missing")
def test_a_failed_sync_is_never_trusted_and_the_round_is_written_again(tmp_path: Path) -> None:
    with room(tmp_path) as it:
        it.wait_live("cam", "judge")
        record = it.begin()
        it.recorded(1)
        assert it.process is not None
        # The fourth sync from now fails as a disk's write error does.
        tracer = subprocess.Popen(
            [
                "strace",
                "-f",
                "-qq",
                "-o",
                os.devnull,
                "-e",
                "trace=fdatasync",
                "-e",
                "inject=fdatasync:error=EIO:when=4",
                "-p",
                str(it.process.pid),
            ]
        )
        try:
            it.wait(
                lambda status: any("disk" in alarm.code or "storage" in alarm.code for alarm in status.alarms) or _failed(record),
                "the failure",
            )
        finally:
            tracer.terminate()
            tracer.wait()
        it.recorded(2)
        it.stop()
        assert (done := it.verify(record)).returncode == 0, done.stdout
        assert it.is_whole(numbers(it, record))
        assert ("primary", "failed") in disk_states(record)


def test_a_power_cut_loses_at_most_a_second_and_the_session_goes_on(tmp_path: Path) -> None:
    power_cuts(tmp_path, 2)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_twenty_power_cuts_lose_at_most_a_second_each(tmp_path: Path) -> None:
    power_cuts(tmp_path, 20)


def power_cuts(base: Path, count: int) -> None:
    """Cut the disk's power while recording; what is there afterwards of each track ends at most a second before the cut."""
    with loop_disk(256) as disk, room(base, primary=disk.path / "records") as it:
        it.wait_live()
        record = it.begin()
        cut_at = []
        for number in range(count):
            it.recorded(2)
            cut_at.append(moment(it))
            disk.cut_power()
            it.kill()
            remount(disk.remount)
            it.start()
            it.wait_live("cam", "judge")
            if number % 10 == 0:
                assert_unsealed_and_intact(it, record)
        it.recorded(1)
        it.stop()
        assert (done := it.verify(record)).returncode == 0, done.stdout
        assert_little_lost(it, record, cut_at)
        recovered = [entry for _, entry in read_journal(record) if isinstance(entry, entries.Recovered)]
        assert len(recovered) == count
        assert not [damaged for entry in recovered for damaged in entry.damaged]


def remount(again: object, timeout_s: float = 10.0) -> None:
    """Put a disk back as soon as the recorder has let go of it."""
    end_s = time.monotonic() + timeout_s
    while True:
        try:
            again()  # type: ignore[operator]
            return
        except OSError:
            if time.monotonic() > end_s:
                raise
            time.sleep(0.1)


def _failed(record: Path) -> bool:
    return ("primary", "failed") in disk_states(record)
