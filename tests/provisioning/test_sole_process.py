"""One process for a place, with processes that are real ones."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from provisioning import sole_process
from tests.lab.waiting import until

HOLDS = """
import ctypes, platform, sys, threading, time
from pathlib import Path
from provisioning.sole_process import hold

hold(Path(sys.argv[1]))
print(flush=True)
if sys.argv[2:]:
    threading.Thread(target=time.sleep, args=(99,)).start()
    ctypes.CDLL(None).syscall(93 if platform.machine() == "aarch64" else 60, 0)  # exit(2): of this thread
time.sleep(99)
"""


@contextmanager
def holder(lock: Path, *command: str, hangs: bool = False) -> Iterator[subprocess.Popen[str]]:
    words = [*command, sys.executable, "-c", HOLDS, str(lock), *(["hang"] if hangs else [])]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    return tmp_path / "lock"


def test_a_second_process_is_told_which_one_has_the_place(lock: Path) -> None:
    with holder(lock) as first, pytest.raises(sole_process.HeldError, match=f"^process {first.pid} holds the lock {lock}$"):
        sole_process.hold(lock, wait_s=0.1)


def test_a_killed_process_leaves_nothing_behind_that_keeps_others_out(lock: Path) -> None:
    with holder(lock) as first:
        first.kill()
        first.wait()
        os.close(sole_process.hold(lock, wait_s=0))


def test_a_process_that_is_just_ending_is_waited_for(lock: Path) -> None:
    with holder(lock, "timeout", "-s", "KILL", "1"):
        os.close(sole_process.hold(lock))


async def test_a_process_that_is_dead_but_for_a_thread_in_the_kernel_keeps_nobody_out(lock: Path) -> None:
    """As one that was killed while a thread of it waits for a disk: its files stay open. Here the first thread alone ends."""
    with holder(lock, hangs=True) as first:
        await until(lambda: "State:\tZ" in Path(f"/proc/{first.pid}/status").read_text(), "a zombie")
        os.close(sole_process.hold(lock, wait_s=0))
        descriptor = sole_process.hold(lock, wait_s=0)
        with pytest.raises(sole_process.HeldError):
            sole_process.hold(lock, wait_s=0)
        os.close(descriptor)


def test_a_lock_that_is_a_link_is_refused(lock: Path, tmp_path: Path) -> None:
    lock.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        sole_process.hold(lock, wait_s=0)
    assert not (tmp_path / "elsewhere").exists()
