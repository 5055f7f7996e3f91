"""When what a peer sent was captured, on our clock: RTP timestamps laid on CLOCK_MONOTONIC. Pure.

A timestamp says how much later than another one a unit was captured, by the peer's clock; its arrival says when that was by ours, plus a
delay that changes with every packet. The least delay is taken for none: a unit is never placed after its arrival. Where the peer's clock is
slower than ours that least delay is never seen again, so it is let grow by ``SLEW_PPM``; no two clocks are further apart.

Where a peer counts samples, and its microphone gives none for a while, its timestamps stand still: what follows looks like something that
the network holds back from then on. A peer's reports say by its own clock when a timestamp was (RFC 3550, section 6.4.1), and tell the two
apart.
"""

SLEW_PPM = 500
"""How fast a clock may run against another one (a bad crystal: 100)."""
JUMP_US = 2_000_000
"""A unit that would lie so far from its arrival begins a new count: the peer paused, or began its timestamps anew."""
STOOD_STILL_US = 200_000
"""Timestamps that have fallen so far behind the peer's own clock stood still; less is how unevenly a busy peer counts."""
_TIMESTAMPS = 1 << 32


class MediaTime:
    """For one stream.

    Args:
        clock_hz: of its timestamps.
    """

    def __init__(self, clock_hz: int) -> None:
        self._clock_hz = clock_hz
        self._offset_us: int | None = None
        self._seen_us = 0
        self._last_us = -1
        self._report: tuple[int, int] | None = None
        self._behind_us = 0
        """By so much the timestamps have fallen behind the peer's clock, and more than a slow one does."""

    def report(self, peer_us: int, timestamp: int) -> None:
        """The peer says what a timestamp (32 bits) was at which time of its own clock."""
        if self._report is not None:
            before_us, before = self._report
            ahead = (timestamp - before + _TIMESTAMPS // 2) % _TIMESTAMPS - _TIMESTAMPS // 2
            passed_us = peer_us - before_us
            behind_us = passed_us - ahead * 1_000_000 // self._clock_hz
            self._behind_us = max(0, self._behind_us + behind_us - max(0, passed_us) * SLEW_PPM // 1_000_000)
            if self._behind_us >= STOOD_STILL_US:
                self._offset_us, self._behind_us = None, 0
        self._report = (peer_us, timestamp)

    def place(self, timestamp: int, arrival_us: int) -> int:
        """The capture time of a unit that arrived at ``arrival_us``: never after it but by 1 us a unit, and always after the one before."""
        media_us = timestamp * 1_000_000 // self._clock_hz
        offset_us = arrival_us - media_us
        if self._offset_us is None or abs(offset_us - self._offset_us) > JUMP_US:
            self._offset_us = offset_us
        else:
            grown_us = self._offset_us + max(0, arrival_us - self._seen_us) * SLEW_PPM // 1_000_000
            self._offset_us = min(offset_us, grown_us)
        self._seen_us = max(self._seen_us, arrival_us)
        self._last_us = max(media_us + self._offset_us, self._last_us + 1)
        return self._last_us
