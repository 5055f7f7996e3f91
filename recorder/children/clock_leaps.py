"""Finds the leaps of a device's clock, for them to be taken out of the times that it gives its media. Pure.

Many network cameras date what they send by their wall clock, which is set now and then: by NTP, by hand. What follows a leap follows what
was before it all the same; taken for time that passed, a leap would be a picture that lasts an hour, and would hide that for an hour
nothing comes. What is really missing shows by the arrivals.
"""

LEAP_US = 500_000
"""A device's time that runs so far ahead of the arrivals, all at once, is a leap. A smaller one the fit of its clock takes up."""
BACK_US = 1_000_000
"""A time so far before the one that came before it is a leap; less may be a picture that is shown before the one sent before it."""


class ClockLeaps:
    """One stream's leaps.

    Args:
        hz: ticks a second of the times that are given.
    """

    def __init__(self, hz: int) -> None:
        self.hz = hz
        self.shift = 0
        """What is to be added to the device's times, in ticks: all leaps until now are out of them then."""
        self._last = self._last_arrival_us = self._next = 0
        self._begun = False

    def look(self, at: int, span: int, arrival_us: int, ahead_us: int) -> int:
        """Look at the next item; the leap before it in ticks, forward or back, which ``shift`` has taken in already; 0: there was none.

        Args:
            at: the item's time by the device with ``shift`` added, in decoding order.
            span: how long it lasts, in ticks; 0: nobody says.
            arrival_us: when it arrived, CLOCK_MONOTONIC.
            ahead_us: how far before its capture it arrived, if its time and the clock's fit until now were right; negative as a rule.
        """
        leap = self._leap(at, arrival_us, ahead_us) if self._begun else 0
        at -= leap
        self.shift -= leap
        if span == 0:
            span = max(0, at - self._last) if self._begun else 0
        self._last, self._last_arrival_us, self._next, self._begun = at, arrival_us, at + span, True
        return leap

    def _leap(self, at: int, arrival_us: int, ahead_us: int) -> int:
        waited_us = arrival_us - self._last_arrival_us
        step_us = (at - self._last) * 1_000_000 // self.hz
        # A hole behind which what had piled up on the way comes at once is a step without a wait as well; but that comes late, not early.
        is_forward = step_us - waited_us > LEAP_US and ahead_us > LEAP_US
        if not is_forward and step_us >= -BACK_US:
            return 0
        missing = waited_us * self.hz // 1_000_000 if waited_us > LEAP_US else 0
        return at - max(self._next, self._last + missing)
