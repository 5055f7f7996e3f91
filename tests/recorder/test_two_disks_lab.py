"""Two real disks that are pulled, put back, filled and freed under a real recorder, which is killed in the middle of catching up."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from recorder.contract import control
from recorder.record import entries
from recorder.seal import read_journal
from tests.lab.loop_disk import LoopDisk, loop_disk, usable
from tests.lab.room import Room, room
from tests.recorder.test_faults import disk_states, remount

pytestmark = [pytest.mark.root, pytest.mark.timeout(240), pytest.mark.skipif(not usable(), reason="needs root and loop devices")]

RETURN_S = 60.0


def is_on(code: str) -> Callable[[control.Status], bool]:
    return lambda status: any(alarm.code == code for alarm in status.alarms)


def is_off(code: str) -> Callable[[control.Status], bool]:
    return lambda status: not is_on(code)(status)


def stands(disk: str, state: str) -> Callable[[control.Status], bool]:
    return lambda status: any((d.disk, d.state) == (disk, state) for d in status.disks)


def seal_words(record: Path) -> str:
    (words,) = [entry.mirror for _, entry in read_journal(record) if isinstance(entry, entries.Seal)]
    return words


def overflow(record: Path) -> int:
    return sum(1 for _, entry in read_journal(record) if isinstance(entry, entries.Overflow))


def assert_same(one: Path, other: Path) -> None:
    same = subprocess.run(["diff", "-r", str(one), str(other)], capture_output=True, text=True, check=False)
    assert same.returncode == 0, same.stdout


def until(condition: Callable[[], bool], what: str, timeout_s: float = 60.0) -> None:
    end_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end_s, what
        time.sleep(0.1)


def begun(it: Room) -> str:
    """A session with both disks in step; returns its name."""
    it.wait_live("cam", "judge")
    name = it.begin().name
    it.wait(stands("mirror", "in_step"), "the mirror in step")
    it.recorded(1)
    return name


def pull_primary(it: Room, disk: LoopDisk) -> None:
    disk.cut_power()
    it.wait(is_on("primary_disk_failed"), "the alarm")
    it.wait(stands("mirror", "recording"), "the mirror's lead")
    it.recorded(1)


@pytest.mark.long
def test_the_lead_goes_to_the_mirror_and_back_and_nothing_is_lost(tmp_path: Path) -> None:
    with loop_disk(128) as one, loop_disk(128) as two, room(tmp_path, primary=one.path / "records", mirror=two.path / "records") as it:
        name = begun(it)
        pull_primary(it, one)
        remount(one.remount)
        it.wait(is_off("primary_disk_failed"), "the primary in step", RETURN_S)
        it.wait(stands("primary", "in_step"), "the primary's state")
        it.recorded(1)
        two.cut_power()
        it.wait(stands("primary", "recording"), "the primary's lead")
        it.wait(is_on("mirror_left"), "the other alarm")
        it.recorded(1)
        record = it.stop()
        assert record == one.path / "records" / name
        assert (done := it.verify(record)).returncode == 0, done.stdout
        assert overflow(record) == 0
        told = disk_states(record)
        assert told.index(("mirror", "leads")) < told.index(("primary", "in_step")) < told.index(("primary", "leads"))
        assert seal_words(record).startswith("left: ")
        # The copy that is behind is completed when its disk returns.
        remount(two.remount)
        copy = two.path / "records" / name
        until((copy / "SHA256SUMS.p7s").exists, "the copy's seal", 90)
        assert it.verify(copy).returncode == 0
        assert_same(record, copy)


@pytest.mark.long
def test_a_session_begins_on_the_mirror_where_the_primary_does_not_answer(tmp_path: Path) -> None:
    with loop_disk(128) as one, loop_disk(128) as two, room(tmp_path, primary=one.path / "records", mirror=two.path / "records") as it:
        it.wait_live("cam", "judge")
        one.cut_power()
        name = it.begin().name
        it.recorded(1)
        it.wait(is_on("primary_disk_failed"), "the alarm")
        it.kill()
        it.start()
        it.wait_live("cam", "judge")
        it.wait(stands("mirror", "recording"), "the session taken up")
        remount(one.remount)
        (one.path / "records").mkdir(exist_ok=True)  # the power went before even this was durable
        it.wait(stands("primary", "in_step"), "the primary follows", RETURN_S)
        it.recorded(1)
        record = it.stop()
        assert record == two.path / "records" / name
        assert (done := it.verify(record)).returncode == 0, done.stdout
        assert_same(record, one.path / "records" / name)


def test_a_full_primary_returns_when_there_is_room_and_the_mirror_keeps_the_lead(tmp_path: Path) -> None:
    with loop_disk(512) as one, loop_disk(128) as two, room(tmp_path, primary=one.path / "records", mirror=two.path / "records") as it:
        name = begun(it)
        fill = one.fill()
        it.wait(is_on("primary_disk_failed"), "the alarm")
        it.recorded(2)
        fill.unlink()
        it.wait(is_off("primary_disk_failed"), "the end of the alarm", RETURN_S)
        it.wait(stands("mirror", "recording"), "the mirror leads still")
        it.wait(stands("primary", "in_step"), "the primary follows")
        it.recorded(1)
        record = it.stop()
        assert record == two.path / "records" / name
        for path in (record, one.path / "records" / name):
            assert it.verify(path).returncode == 0
        assert_same(record, one.path / "records" / name)
        assert seal_words(record) == "identical"
        assert ("primary", "full") in disk_states(record)


@pytest.mark.parametrize("behind", ["mirror", pytest.param("primary", marks=pytest.mark.long)])
def test_a_kill_while_one_disk_is_caught_up_is_taken_up_on_the_other(tmp_path: Path, behind: str) -> None:
    with loop_disk(128) as one, loop_disk(128) as two, room(tmp_path, primary=one.path / "records", mirror=two.path / "records") as it:
        name = begun(it)
        returning = one if behind == "primary" else two
        if behind == "primary":
            pull_primary(it, one)
        else:
            two.cut_power()
            it.wait(is_on("mirror_left"), "the alarm")
        it.recorded(2)
        remount(returning.remount)
        returning.stall()  # so that the kill comes in the middle of it
        it.wait(lambda status: any(d.disk == behind and d.state != "left" and d.lag_bytes for d in status.disks), "its return")
        assert it.process is not None
        it.process.kill()
        returning.go_on()
        it.process.wait()
        copies = [disk.path / "records" / name for disk in (one, two)]
        lines = [sum(1 for _ in read_journal(path)) for path in copies]
        assert lines[0] != lines[1]
        it.start()
        it.wait_live("cam", "judge")
        it.wait(stands(behind, "in_step"), "both in step", RETURN_S)
        it.recorded(1)
        record = it.stop()
        for path in copies:
            assert it.verify(path).returncode == 0
        assert_same(*copies)
        assert sum(1 for _ in read_journal(record)) > max(lines)
        assert seal_words(record).startswith("identical")


def test_a_crash_while_the_mirror_leads_alone_goes_on_there_and_the_primary_follows(tmp_path: Path) -> None:
    with loop_disk(128) as one, loop_disk(128) as two, room(tmp_path, primary=one.path / "records", mirror=two.path / "records") as it:
        name = begun(it)
        pull_primary(it, one)
        it.recorded(1)
        it.kill()
        remount(one.remount)
        it.start()
        it.wait_live("cam", "judge")
        it.wait(stands("mirror", "recording"), "the longer chain leads")
        it.wait(stands("primary", "in_step"), "the primary follows", RETURN_S)
        it.recorded(1)
        record = it.stop()
        assert record == two.path / "records" / name
        for path in (record, one.path / "records" / name):
            assert it.verify(path).returncode == 0
        assert_same(record, one.path / "records" / name)
