"""How often something may happen, or how much may come: so much a second, and an amount at once. Pure; the clock is passed in."""


class Bucket:
    """A token bucket that is full at first.

    Args:
        per_s: what comes back each second.
        burst: what it holds.
    """

    def __init__(self, per_s: float, burst: float) -> None:
        self.per_s = per_s
        self._burst = burst
        self._left = burst
        self._at_us = 0

    def take(self, now_us: int, amount: float = 1) -> bool:
        """Whether the amount was there; it is taken."""
        self._left = min(self._burst, self._left + max(0, now_us - self._at_us) * self.per_s / 1e6)
        self._at_us = now_us
        if amount > self._left:
            return False
        self._left -= amount
        return True
