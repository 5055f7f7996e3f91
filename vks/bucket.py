"""How often something may happen: so often a second, and a number of times at once. Pure; the clock is passed in."""


class Bucket:
    """A token bucket that is full at first.

    Args:
        per_s: what comes back each second.
        burst: what it holds.
    """

    def __init__(self, per_s: float, burst: float) -> None:
        self._per_us = per_s / 1e6
        self._burst = burst
        self._left = burst
        self._at_us = 0

    def take(self, now_us: int) -> bool:
        """Whether one was there; it is taken."""
        self._left = min(self._burst, self._left + max(0, now_us - self._at_us) * self._per_us)
        self._at_us = now_us
        if self._left < 1:
            return False
        self._left -= 1
        return True
