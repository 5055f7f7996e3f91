"""What the recorder holds of a room's disks, and for how long."""

import os
import threading
from pathlib import Path

import pytest

from provisioning import sole_process
from provisioning.room import Storage
from recorder.room_disks import LOCK, RoomDisks
from tests.lab.forbidden import forbid
from tests.lab.waiting import until
from tests.recorder.committing import trust


def is_held(base: Path) -> bool:
    try:
        os.close(sole_process.hold(base / LOCK, wait_s=0))
    except sole_process.HeldError:
        return True
    return False


@pytest.mark.parametrize(("code", "left", "stays"), [("mirror_left", "mirror", "primary"), ("primary_disk_failed", "primary", "mirror")])
async def test_a_disk_that_left_a_session_is_held_no_more_and_may_be_unmounted(tmp_path: Path, code: str, left: str, stays: str) -> None:
    disks = RoomDisks(Storage(primary=str(tmp_path / "primary"), mirror=str(tmp_path / "mirror")), trust())
    disks.make()
    disks.claim(wait_s=0)
    disks.heard(code, on=False)
    assert is_held(tmp_path / left)
    disks.heard(code, on=True)
    await until(lambda: not is_held(tmp_path / left), "the end of its lock")
    assert is_held(tmp_path / stays)


def test_a_disk_that_hangs_keeps_no_session_waiting_and_is_not_held_when_it_answers_at_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold, answers = sole_process.hold, threading.Event()

    def hanging(lock: Path, *, wait_s: float) -> int:
        if lock.parent.name == "mirror":
            assert answers.wait(20)
        return hold(lock, wait_s=wait_s)

    disks = RoomDisks(Storage(primary=str(tmp_path / "primary"), mirror=str(tmp_path / "mirror")), trust())
    disks.make()
    monkeypatch.setattr(sole_process, "hold", hanging)
    disks.claim(wait_s=20)
    monkeypatch.undo()
    late = next(thread for thread in threading.enumerate() if "mirror" in thread.name and thread.is_alive())
    answers.set()
    late.join(20)
    assert is_held(tmp_path / "primary")
    assert not is_held(tmp_path / "mirror")
    disks.release()


def test_what_a_file_system_keeps_for_root_is_taken_for_no_copy_that_is_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disks = RoomDisks(Storage(primary=str(tmp_path / "primary"), mirror=str(tmp_path / "mirror")), trust())
    disks.make()
    for base in (tmp_path / "primary", tmp_path / "mirror"):
        (base / "lost+found").mkdir()
    forbid(monkeypatch, tmp_path / "primary" / "lost+found", tmp_path / "mirror" / "lost+found")
    disks._behind = False
    assert disks._complete_each() == ""
    assert not disks._behind
    assert disks.unsealed() == []
