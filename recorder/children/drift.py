"""Fits a device's clock against CLOCK_MONOTONIC. Pure.

What a device delivers arrives late by a varying amount and never early. So in each second the earliest arrival (least arrival minus
device time) is kept, and a line is fitted through those of the last minutes: its slope is the drift, its residual the error. Nothing is
corrected by it but the place of a segment on the session clock.
"""

from collections import deque
from dataclasses import dataclass

from recorder.contract.child import DriftMeasured

REPORT_EVERY_US = 10_000_000
WINDOW_S = 300
_BUCKET_US = 1_000_000
_LEAST_SPAN_US = 20_000_000
"""Before so much time has passed, the fit's slope says less than the assumption of no drift."""
MOST_DRIFT = 0.001
"""A clock that is further off than 1,000 ppm is not a clock; the slope is held there."""


@dataclass(frozen=True, slots=True)
class Fit:
    """Monotonic time = device time + ``offset_us`` + ``slope`` x (device time - ``at_us``).

    ``error_us`` is the residual; before a slope can be told, by how much the arrivals differed.
    """

    at_us: int
    offset_us: float
    slope: float
    error_us: int

    def mono_us(self, device_us: int) -> int:
        """CLOCK_MONOTONIC at a device time."""
        return round(device_us + self.offset_us + self.slope * (device_us - self.at_us))

    def drift_ppb(self) -> int:
        """How much faster than CLOCK_MONOTONIC the device's clock runs."""
        return round(-self.slope * 1e9)

    def measured(self, track: str) -> DriftMeasured:
        """What the core is told of it."""
        return DriftMeasured(
            track=track, media_us=self.at_us, mono_us=self.mono_us(self.at_us), drift_ppb=self.drift_ppb(), error_us=self.error_us
        )


class DriftFit:
    """Keeps the earliest arrival of each second, and fits."""

    def __init__(self) -> None:
        self._points: deque[tuple[int, int]] = deque(maxlen=WINDOW_S)
        self._bucket = -1
        self._best: tuple[int, int] | None = None
        self._fit: Fit | None = None

    def add(self, device_us: int, arrival_us: int) -> None:
        """Note that what the device calls ``device_us`` arrived at ``arrival_us`` of CLOCK_MONOTONIC."""
        point = (device_us, arrival_us - device_us)
        bucket = arrival_us // _BUCKET_US
        if self._best is None:
            self._best = point
        elif bucket > self._bucket:
            self._points.append(self._best)
            self._best = point
            self._fit = None
        elif point[1] < self._best[1]:
            self._best = point
        if self._fit is None or not self._points:
            self._fit = self._solve()
        self._bucket = max(self._bucket, bucket)

    def fit(self) -> Fit | None:
        """The fit now; None before the first arrival."""
        return self._fit

    def _solve(self) -> Fit:
        points = list(self._points)
        if self._best is not None and (not points or points[-1][0] - points[0][0] < _LEAST_SPAN_US):
            points.append(self._best)
        last_us = points[-1][0]
        if last_us - points[0][0] < _LEAST_SPAN_US:
            offsets = [offset for _, offset in points]
            return Fit(last_us, min(offsets), 0.0, max(offsets) - min(offsets))
        # The second under way is left out: its earliest arrival has not come yet, and it would pull hardest.
        count = len(points)
        x_mean = sum(x for x, _ in points) / count
        y_mean = sum(y for _, y in points) / count
        spread = sum((x - x_mean) ** 2 for x, _ in points)
        slope = sum((x - x_mean) * (y - y_mean) for x, y in points) / spread
        slope = max(-MOST_DRIFT, min(MOST_DRIFT, slope))
        offset = y_mean + slope * (last_us - x_mean)
        error = max(abs(y - (y_mean + slope * (x - x_mean))) for x, y in points)
        return Fit(last_us, offset, slope, round(error))
