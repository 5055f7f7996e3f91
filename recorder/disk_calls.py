"""Calls to the room's disks, all at once and each in a thread of its own: a disk that hangs in the kernel holds up nobody but itself."""

import errno
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from recorder.disk import DiskName
from recorder.threads import begin

T = TypeVar("T")
ANSWER_S = 2.0
"""A disk that takes longer is not waited for: it may do it later, or never."""


@dataclass(frozen=True, slots=True)
class _Begun:
    at_s: float
    done: "Future[Any]"


class DiskCalls:
    """What the disks were asked. Of each kind of call (``what``) at most one hangs in a disk; while it does the disk is not asked again."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, DiskName], _Begun] = {}

    def each(self, what: str, calls: Mapping[DiskName, Callable[[], T]], timeout_s: float = ANSWER_S) -> dict[DiskName, T | OSError]:
        """Call every disk; what it answered, or the error where it failed or did not answer in time. Blocks for ``timeout_s`` at most."""
        end_s = time.monotonic() + timeout_s
        begun = {name: self._begin(what, name, call, timeout_s) for name, call in calls.items()}
        found: dict[DiskName, T | OSError] = {}
        for name, done in begun.items():
            try:
                found[name] = _hangs() if done is None else done.result(max(0.0, end_s - time.monotonic()))
            except TimeoutError:
                found[name] = _hangs()
            except OSError as error:
                found[name] = error
        return found

    def _begin(self, what: str, name: DiskName, call: Callable[[], T], timeout_s: float) -> "Future[T] | None":
        last = self._last.get((what, name))
        if last is not None and not last.done.done():
            # One that another thread began just now is no sign of a disk that hangs.
            left_s = last.at_s + timeout_s - time.monotonic()
            try:
                last.done.exception(max(0.0, left_s))
            except TimeoutError:
                return None
        done = begin(call, f"{what}, {name} disk")
        self._last[what, name] = _Begun(time.monotonic(), done)
        return done


def _hangs() -> OSError:
    return OSError(errno.ETIMEDOUT, f"it does not answer ({os.strerror(errno.ETIMEDOUT)})")
