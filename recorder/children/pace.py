"""Counts the pictures that are missing in a stream, by the stream's own times. Pure.

The interval between pictures is what they show, not what the camera declares: many declare 25 a second and deliver 12.5 in dim light.
"""

from collections import deque
from statistics import median

_REMEMBERED = 25
_KNOWN_AFTER = 8


class Pace:
    """One stream's pictures; ``nominal_us`` is the interval to go by until enough of them were seen, where the device can be believed."""

    def __init__(self, nominal_us: int | None) -> None:
        self._nominal_us = nominal_us
        self._intervals_us: deque[int] = deque(maxlen=_REMEMBERED)
        self._last_us: int | None = None

    def missing(self, at_us: int) -> int:
        """How many pictures are missing before the one with this time."""
        last_us, self._last_us = self._last_us, at_us
        if last_us is None or at_us <= last_us:
            return 0
        interval_us = at_us - last_us
        usual_us = median(self._intervals_us) if len(self._intervals_us) >= _KNOWN_AFTER else self._nominal_us
        self._intervals_us.append(interval_us)
        if usual_us is None or interval_us < 1.5 * usual_us:
            return 0
        return round(interval_us / usual_us) - 1

    def restart(self) -> None:
        """What comes next does not follow what came before."""
        self._last_us = None
