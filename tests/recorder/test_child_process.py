"""A child is started again for as long as it takes, whatever the system refuses."""

import asyncio
import contextlib
import errno
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from recorder.child_process import ChildPlan, ChildProcess
from recorder.children_plan import INGEST
from recorder.contract import child


class Owner:
    """Hears what becomes of a child."""

    def __init__(self) -> None:
        self.opened = 0
        self.ended: list[tuple[str, str]] = []

    def on_message(self, _process: ChildProcess, message: child.Message, _body: bytes) -> None:
        self.opened += isinstance(message, child.Opened)

    def on_started(self, process: ChildProcess) -> None:
        pass

    def on_ended(self, _process: ChildProcess, cause: str, detail: str) -> None:
        self.ended.append((cause, detail))


async def until(condition: Callable[[], bool], what: str, timeout_s: float = 30.0) -> None:
    end_s = asyncio.get_running_loop().time() + timeout_s
    while not condition():
        assert asyncio.get_running_loop().time() < end_s, what
        await asyncio.sleep(0.01)


def descriptors(others: Path) -> set[tuple[str, str]]:
    """Each open descriptor with what it leads to: an inode's number tells a new one from one that took a closed one's place.

    Files below ``others`` are passed over: a thread of an earlier test may still open one.
    """
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the listing's own
            target = str(entry.readlink())
            if not target.startswith(f"{others}/"):
                found.add((entry.name, target))
    return found


def refusing(real: Callable[..., Any], number: int, times: int) -> Callable[..., Any]:
    """The system's call, which refuses so often first."""
    left = [times]

    def call(*arguments: Any, **more: Any) -> Any:
        if left[0]:
            left[0] -= 1
            raise OSError(number, os.strerror(number))
        return real(*arguments, **more)

    return call


@pytest.mark.parametrize(
    ("call", "number"),
    [("posix_spawn", errno.EAGAIN), ("posix_spawn", errno.ENOMEM), ("posix_spawn", errno.ENOENT), ("pidfd_open", errno.EMFILE)],
)
def test_a_child_that_could_not_be_started_is_told_and_started_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    owner = Owner()
    process = ChildProcess(
        ChildPlan(name="ingest", module=INGEST, device={"max_tracks": 1, "track_bytes_per_s": 1_000}), str(tmp_path), owner
    )

    async def life() -> None:
        before, real = descriptors(tmp_path.parent), getattr(os, call)
        monkeypatch.setattr(os, call, refusing(real, number, 2))
        process.start()
        await until(lambda: owner.opened == 1, "the first start")
        assert owner.ended == [("not_started", f"{os.strerror(number)}; it is tried again")] * 2
        monkeypatch.setattr(os, call, refusing(real, number, 1))
        os.kill(process.pid or 0, signal.SIGKILL)
        await until(lambda: owner.opened == 2, "the start after its death")
        assert [cause for cause, _ in owner.ended[2:]] == ["died", "not_started"]
        await process.close()
        assert process.pid is None
        assert descriptors(tmp_path.parent) <= before  # fewer where what an earlier test left was collected meanwhile

    asyncio.run(life())
