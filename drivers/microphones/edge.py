"""Losses that a device does not tell of, found by its own timing. Pure."""

SLIP_US = 100_000
"""So much more time than sound, all at once, is a loss; less is jitter."""
_FOLLOW_PER_SECOND_US = 2_000
"""The clocks of a device and of the PC differ by far less than 0.2%, and a loss by far more."""


class EdgeModel:
    """Follows the capture time of the last sample received, and tells when it ran ahead of the samples.

    Args:
        rate_hz: samples a second.
        start_us: when the device was started (any monotonic clock, the same in ``lost``).

    """

    def __init__(self, rate_hz: int, start_us: int) -> None:
        self._rate_hz = rate_hz
        self._edge_us = float(start_us)

    def lost(self, samples: int, edge_us: int) -> int:
        """Count samples whose last was captured at ``edge_us``; how many the device lost before them (mostly 0)."""
        span_us = samples * 1e6 / self._rate_hz
        self._edge_us += span_us
        ahead_us = edge_us - self._edge_us
        if ahead_us > SLIP_US:
            self._edge_us = edge_us
            return round(ahead_us * self._rate_hz / 1e6)
        step_us = _FOLLOW_PER_SECOND_US * span_us / 1e6
        self._edge_us += min(max(ahead_us, -step_us), step_us)
        return 0
