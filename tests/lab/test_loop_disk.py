"""The lab's disks fail as told; else a test that survives them proves nothing."""

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.loop_disk import MIB, LoopDisk, loop_disk, usable

pytestmark = [pytest.mark.root, pytest.mark.skipif(not usable(), reason="needs root and loop devices")]


@pytest.fixture
def disk() -> Iterator[LoopDisk]:
    with loop_disk(32) as disk:
        yield disk


def test_after_a_power_cut_only_what_was_synced_is_there(disk: LoopDisk) -> None:
    for name, is_synced in (("synced", True), ("lost", False)):
        with (disk.path / name).open("wb") as file:
            file.write(b"x" * 4096)
            file.flush()
            if is_synced:
                os.fsync(file.fileno())
                directory = os.open(disk.path, os.O_RDONLY)
                os.fsync(directory)
                os.close(directory)
    disk.cut_power()
    with pytest.raises(OSError, match="Input/output error"):
        (disk.path / "more").write_bytes(b"x")
    disk.remount()
    assert (disk.path / "synced").read_bytes() == b"x" * 4096
    assert not (disk.path / "lost").exists() or (disk.path / "lost").stat().st_size == 0
    (disk.path / "more").write_bytes(b"x")


def test_a_stalled_disk_blocks_writers_until_it_goes_on(disk: LoopDisk) -> None:
    done = threading.Event()

    def write() -> None:
        (disk.path / "file").write_bytes(b"x")
        done.set()

    disk.stall()
    writer = threading.Thread(target=write)
    writer.start()
    assert not done.wait(0.3)
    disk.go_on()
    assert done.wait(5)
    writer.join()


def test_a_full_disk_says_so_until_room_is_made(disk: LoopDisk) -> None:
    ballast = disk.fill(leave_bytes=MIB)
    with pytest.raises(OSError, match="No space left") as caught:
        (disk.path / "file").write_bytes(b"x" * 4 * MIB)
    assert caught.value.errno == errno.ENOSPC
    ballast.unlink()
    (disk.path / "file").write_bytes(b"x" * 4 * MIB)


def test_nothing_stays_mounted_even_when_a_file_is_still_open() -> None:
    with loop_disk(32) as disk:
        held = (disk.path / "held").open("wb")
        path = disk.path
    held.close()
    assert str(path) not in Path("/proc/self/mounts").read_text()
