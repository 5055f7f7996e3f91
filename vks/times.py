"""This process's clock: CLOCK_MONOTONIC, on which everything that is captured in the room lies."""

import time


def mono_us() -> int:
    """Now, in microseconds."""
    return time.monotonic_ns() // 1_000
