"""The centre's clock as the last heartbeat told it, against this PC's. Pure; all clocks are passed in."""

from dataclasses import dataclass

from agent.upstream.contract import ClockQuality

OLD_S = 600.0
"""An older word says too little: a clock that nobody disciplines drifts by some 50 ppm, 30 ms in that time."""


BELIEVED_S = 60
"""So far may a clock that nobody disciplines be from the centre's and still say what is over."""
_NOBODY = frozenset({"undisciplined", "unknown"})


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


def is_believed(quality: ClockQuality, difference: Difference | None) -> bool:
    """Whether this PC's UTC can be believed. One that nobody disciplines may be years away: only the centre's clock bears it out."""
    if quality.source not in _NOBODY:
        return True
    return difference is not None and abs(difference.ahead_us) <= BELIEVED_S * 1_000_000 + difference.error_us
