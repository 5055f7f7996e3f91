"""What many callers may cause is told seldom: the log of a centre is not filled from outside."""


class Seldom:
    """Lets one line through in each period, and counts the others."""

    def __init__(self, period_s: float = 60.0) -> None:
        self._period_s = period_s
        self._last_s: float | None = None
        self._untold = 0

    def untold(self, now_s: float) -> int | None:
        """How many were not told since the last line, where one may be written now; None: not yet. ``now_s`` is of a monotonic clock."""
        if self._last_s is not None and now_s - self._last_s < self._period_s:
            self._untold += 1
            return None
        untold, self._untold, self._last_s = self._untold, 0, now_s
        return untold
