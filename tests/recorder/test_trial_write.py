"""A disk that takes nothing is told before a hearing begins, and no longer than it takes nothing."""

import errno
import os
from pathlib import Path

import pytest

from recorder import room_disks
from recorder.trial_write import TRIAL, not_writable, try_write
from tests.lab.waiting import until
from tests.recorder.room_in_process import RoomInProcess, timers


def states(it: RoomInProcess) -> dict[str, str]:
    return {disk.disk: disk.state for disk in it.recorder.status().disks}


async def test_a_disk_that_takes_nothing_is_an_alarm_while_nothing_is_recorded_and_ends_with_its_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_only = {tmp_path / "primary"}

    def refuse(base: Path) -> None:
        if base in read_only:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(base))
        try_write(base)

    monkeypatch.setattr(room_disks, "try_write", refuse)
    monkeypatch.setattr(room_disks, "TRY_AGAIN_US", 100_000)
    it = RoomInProcess(tmp_path)
    await it.without_children()
    async with timers(it.recorder):
        await until(lambda: it.alarms() == ["primary_refuses"], "the alarm")
        assert states(it) == {"primary": "failing", "mirror": "ready"}
        [alarm] = it.recorder.status().alarms
        assert alarm.detail.startswith(f"{it.primary} takes nothing: Read-only file system; mount it for writing")
        read_only.clear()
        await until(lambda: it.alarms() == [], "its end")
        assert states(it) == {"primary": "ready", "mirror": "ready"}
    assert not (it.mirror / TRIAL).exists()


async def test_nothing_is_tried_on_a_disk_that_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[Path] = []
    monkeypatch.setattr(room_disks, "try_write", tried.append)
    monkeypatch.setattr(room_disks, "TRY_AGAIN_US", 0)
    it = RoomInProcess(tmp_path)
    await it.begin()
    await it.store.room_disks.look()
    assert tried == []
    await it.stop()
    await until(lambda: not it.store.room_disks.recording, "the end of what comes behind the seal")
    await it.store.room_disks.look()
    assert sorted(tried) == [it.mirror, it.primary]


@pytest.mark.parametrize(
    ("number", "remedy"),
    [(errno.ENOSPC, "make room there"), (errno.EACCES, "give the recorder's user a right"), (errno.EIO, "check its cable")],
)
def test_the_remedy_is_that_of_the_error(number: int, remedy: str) -> None:
    assert remedy in not_writable(OSError(number, os.strerror(number)), Path("/d"))
