"""The centre's clock as the last heartbeat told it, against this PC's. Pure; all clocks are passed in."""

from dataclasses import dataclass

OLD_S = 600.0
"""An older word says too little: a clock that nobody disciplines drifts by some 50 ppm, 30 ms in that time."""


@dataclass(frozen=True, slots=True)
class Difference:
    """By how much this PC's UTC is ahead of the centre's, and by how much that may be wrong."""

    ahead_us: int
    error_us: int


@dataclass(slots=True)
class CentreClock:
    """Keeps the last answer."""

    _difference: Difference | None = None
    _at_s: float = 0.0

    def said(self, centre_utc_us: int, half_trip_us: int, *, own_utc_us: int, now_s: float) -> None:
        """The centre answered with its clock; the answer took twice ``half_trip_us`` and arrived at ``own_utc_us``."""
        self._difference = Difference(own_utc_us - half_trip_us - centre_utc_us, half_trip_us)
        self._at_s = now_s

    def difference(self, now_s: float) -> Difference | None:
        """The difference, or None where nothing recent is known."""
        return self._difference if now_s - self._at_s <= OLD_S else None
