"""The queue before the loudspeakers: never longer than 200 ms, whatever comes in. Pure."""

from collections import deque

import numpy as np
import numpy.typing as npt

RATE_HZ = 48_000
BLOCK = 960
MOST_SAMPLES = RATE_HZ // 5


class Playout:
    """First in, first out, in blocks of 20 ms; the oldest is dropped when it grows too long."""

    def __init__(self) -> None:
        self._parts: deque[npt.NDArray[np.int16]] = deque()
        self._held = 0
        self.dropped_samples = 0

    def push(self, samples: npt.NDArray[np.int16]) -> None:
        """Take samples to be played."""
        self._parts.append(samples)
        self._held += len(samples)
        while self._held > MOST_SAMPLES:
            oldest = self._parts.popleft()
            surplus = min(self._held - MOST_SAMPLES, len(oldest))
            self._held -= surplus
            self.dropped_samples += surplus
            if surplus < len(oldest):
                self._parts.appendleft(oldest[surplus:])

    def pull(self) -> npt.NDArray[np.int16] | None:
        """The next block, or None where less than a block is there."""
        if self._held < BLOCK:
            return None
        parts: list[npt.NDArray[np.int16]] = []
        missing = BLOCK
        while missing:
            part = self._parts.popleft()
            if len(part) > missing:
                self._parts.appendleft(part[missing:])
                part = part[:missing]
            parts.append(part)
            missing -= len(part)
        self._held -= BLOCK
        return np.concatenate(parts)

    def clear(self) -> None:
        """Forget all."""
        self._parts.clear()
        self._held = 0
