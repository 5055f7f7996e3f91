"""Where session time lies in UTC, by what a journal's lines claim. Pure."""

from bisect import bisect_right

STEP_US = 200_000
"""By so much the two may drift apart before it counts: a jump of UTC by less the recorder does not tell."""


class UtcMap:
    """Give it each line's times in the journal's order.

    UTC is stepped when a clock is set, and goes on while nobody knows for how long the recorder was down and session time stands.
    """

    def __init__(self) -> None:
        self._from_us: list[int] = []
        self._zero_us: list[int] = []
        """From each on, the UTC of session time 0."""
        self._last_us = 0

    def take(self, t_us: int, utc_us: int) -> None:
        """The next line's; of lines that stand in another order than that of their times the later time counts."""
        if t_us < self._last_us:
            return
        self._last_us = t_us
        if not self._zero_us or abs(utc_us - t_us - self._zero_us[-1]) >= STEP_US:
            self._from_us.append(t_us)
            self._zero_us.append(utc_us - t_us)

    def utc_us(self, t_us: int) -> int:
        """UTC at a moment of session time, microseconds since 1970."""
        return t_us + self._zero_us[max(0, bisect_right(self._from_us, t_us) - 1)]
