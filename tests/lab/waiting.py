"""Waiting for a condition with a deadline, in place of waiting for a time."""

import asyncio
import time
from collections.abc import Callable

POLL_S = 0.02


async def until(condition: Callable[[], bool], what: str, timeout_s: float = 20.0) -> None:
    """Wait until the condition holds; a failure says what was waited for."""
    end_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end_s, f"waited {timeout_s:g} s in vain for {what}"
        await asyncio.sleep(POLL_S)
