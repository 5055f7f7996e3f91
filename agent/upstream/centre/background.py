"""What a centre does beside answering, for as long as it runs: whatever ends such a piece of work is told, and it begins again."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

import structlog

from agent.upstream.backoff import Backoff

log = structlog.get_logger()

LONGEST_S = 60.0


async def keep_on(what: str, work: Callable[[], Awaitable[None]], backoff: Backoff | None = None) -> None:
    """Run ``work``, which is meant to run for ever, until it is cancelled; after an error that nobody expected it is run again.

    Args:
        what: its name in the log.
        work: runs for ever, and can be begun anew.
        backoff: the waits between an end and a new begin.
    """
    backoff = backoff or Backoff(longest_s=LONGEST_S)
    while True:
        began_s = time.monotonic()
        try:
            await work()
        except Exception:  # an end that nobody notices is worse than any error
            with contextlib.suppress(OSError):  # a log that takes nothing (its disk is full) is no reason to end either
                log.exception("a part of the centre failed; it begins again", part=what)
        else:
            return
        if time.monotonic() - began_s > backoff.longest_s:
            backoff.succeeded()
        await asyncio.sleep(backoff.failed())
