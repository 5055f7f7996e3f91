"""How much of a stream is lost, by its receiver's reports (RFC 3550, section 6.4.1). Pure.

A report may speak of three packets: Chromium sends one with each wish for a lost packet, some 30 ms apart where many are lost, and the
fraction in it is that of the moment. So shares are made here of the counts since the beginning, over enough packets to mean something.
"""

LEAST_PACKETS = 30
LEAST_US = 500_000
"""A share is told of no fewer packets, and of no shorter time: by chance a few in a row may be lost of a large picture's many."""


class Losses:
    """Of one stream."""

    def __init__(self) -> None:
        self._highest: int | None = None
        self._lost = 0
        self._since_us = 0

    def begin_anew(self) -> None:
        """Something else is sent from now on: what is lost of it says nothing of what was sent before."""
        self._highest = None

    def take(self, highest: int, lost: int, now_us: int) -> float | None:
        """The share lost since a share was told last, or since it began anew; None where that says nothing yet.

        Args:
            highest: the highest sequence number that was received, counted on.
            lost: how many are missing since the beginning.
            now_us: when it says so.
        """
        if self._highest is None or highest < self._highest:
            self._highest, self._lost, self._since_us = highest, lost, now_us
            return None
        packets, missing = highest - self._highest, lost - self._lost
        if packets < LEAST_PACKETS or now_us - self._since_us < LEAST_US:
            return None
        self._highest, self._lost, self._since_us = highest, lost, now_us
        return min(1.0, max(0.0, missing / packets))
