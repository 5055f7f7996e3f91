"""Runs the checks side by side. One that fails or hangs stops no other; all are stopped when a hearing begins."""

import asyncio
import time
from collections.abc import Callable, Sequence

import structlog

from agent.diagnostics.check import Check, Context, Found, Outcome
from agent.diagnostics.report import Done, Report
from recorder.contract.control import Status

log = structlog.get_logger()

LOOK_S = 0.1
END_S = 2.0
"""A check that was cancelled has so long to end; it is left behind then."""


class HearingRunsError(Exception):
    """Checks are not run while a hearing is recorded: they would write to its disks."""

    def __init__(self, words: str = "a hearing is being recorded, and checks would disturb it; run them when it is closed") -> None:
        super().__init__(words)


def is_recording(status: Status | None) -> bool:
    """Whether a session runs, in whatever state."""
    return status is not None and status.state != "idle"


async def run_checks(checks: Sequence[Check], context: Context, utc_us: Callable[[], int] = lambda: time.time_ns() // 1000) -> Report:
    """Run all checks at once; the report is complete whatever happens to any of them.

    Raises:
        HearingRunsError: a hearing is being recorded.
    """
    if is_recording(context.status()):
        raise HearingRunsError
    began_us = utc_us()
    running = {asyncio.create_task(_run(check, context), name=f"check {check.name}"): check for check in checks}
    waiting = set(running)
    try:
        while waiting and not is_recording(context.status()):
            _, waiting = await asyncio.wait(waiting, timeout=LOOK_S)
    finally:
        for task in waiting:
            task.cancel()
    if waiting:
        log.warning("a hearing began: checks are stopped", checks=[running[task].name for task in waiting])
        await asyncio.wait(waiting, timeout=END_S)
    done = [
        Done(check.name, check.version, Outcome([Found("unknown", "check_stopped")])) if task in waiting else task.result()
        for task, check in running.items()
    ]
    return Report(room=context.config.room.id, utc_us=began_us, done=done)


async def _run(check: Check, context: Context) -> Done:
    task = asyncio.create_task(check.run(context))
    try:
        ended, _ = await asyncio.wait([task], timeout=check.deadline_s)
        if not ended:
            outcome = Outcome([Found("bad", "check_hangs", {"seconds": f"{check.deadline_s:g}"})])
        elif error := task.exception():
            log.error("a check failed itself", check=check.name, error=repr(error))
            outcome = Outcome([Found("unknown", "check_failed", {"error": str(error) or type(error).__name__})])
        else:
            outcome = task.result()
    finally:
        task.cancel()  # one that does not let itself be cancelled is left behind
    return Done(check.name, check.version, outcome)
