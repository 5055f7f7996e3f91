"""Calls to the room's disks, all at once and each in a thread of its own: a disk that hangs in the kernel holds up nobody but itself."""

import errno
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
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
        """Call every disk; what it answered, or the error where it failed or gave none in time. Blocks for twice ``timeout_s`` at most."""
        free = {name: call for name, call in calls.items() if not self._is_busy(what, name)}
        begun = {name: self._begin(what, name, call) for name, call in free.items()}
        for name, call in calls.items():
            # One that another thread began just now is no sign of a disk that hangs.
            if name not in begun and self._ended(what, name, timeout_s):
                begun[name] = self._begin(what, name, call)
        return {name: self._answer(begun[name], timeout_s) if name in begun else _hangs() for name in calls}

    def _is_busy(self, what: str, name: DiskName) -> bool:
        last = self._last.get((what, name))
        return last is not None and not last.done.done()

    def _begin(self, what: str, name: DiskName, call: Callable[[], T]) -> _Begun:
        begun = _Begun(time.monotonic(), begin(call, f"{what}, {name} disk"))
        self._last[what, name] = begun
        return begun

    def _ended(self, what: str, name: DiskName, timeout_s: float) -> bool:
        """Whether the call before ends, in the time that it had itself."""
        last = self._last[what, name]
        return bool(wait({last.done}, max(0.0, last.at_s + timeout_s - time.monotonic())).done)

    def _answer(self, begun: _Begun, timeout_s: float) -> Any:  # noqa: ANN401 - what the call gives
        try:
            return begun.done.result(max(0.0, begun.at_s + timeout_s - time.monotonic()))
        except TimeoutError:
            return _hangs()
        except OSError as error:
            return error


def _hangs() -> OSError:
    return OSError(errno.ETIMEDOUT, f"it does not answer ({os.strerror(errno.ETIMEDOUT)})")
