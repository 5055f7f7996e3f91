"""The level of a channel of samples. Pure."""

import numpy as np

from drivers.capabilities import Samples
from recorder.contract import child

METER_FLOOR_DBFS = -120.0


class Meter:
    """Level of a channel since it was last read."""

    def __init__(self, bits: int) -> None:
        self._full = float(2**15 if bits == 16 else 2**31)
        self._clip = self._full * (1 - 2**-15)
        self._squares, self._samples, self._peak, self._clipped = 0.0, 0, 0.0, 0

    def add(self, samples: Samples) -> None:
        """Measure samples."""
        levels = samples.astype(np.float64)
        self._squares += float(levels @ levels)
        self._samples += len(levels)
        absolute = np.abs(levels)
        self._peak = max(self._peak, float(absolute.max(initial=0.0)))
        self._clipped += int(np.count_nonzero(absolute >= self._clip))

    def read(self, track: str) -> child.Level:
        """The level since the last call."""
        rms = (self._squares / self._samples) ** 0.5 if self._samples else 0.0
        level = child.Level(track=track, rms_dbfs=self._dbfs(rms), peak_dbfs=self._dbfs(self._peak), clipped=self._clipped)
        self._squares, self._samples, self._peak, self._clipped = 0.0, 0, 0.0, 0
        return level

    def _dbfs(self, value: float) -> float:
        return METER_FLOOR_DBFS if value <= 0 else max(METER_FLOOR_DBFS, 20 * float(np.log10(value / self._full)))
