"""A participant's sound on its way into the mix: laid out by its own timestamps, taken in blocks of 20 ms at our clock. Pure.

Two clocks never agree: where the sender's is faster the sound that waits grows, and a block is cut out of a quiet moment; where it is
slower there is none for a moment, and the mix has silence from it. What was lost on the way is bridged by the last block, fading; a longer
hole is silence and not waited for.
"""

import numpy as np
import numpy.typing as npt

from vks.mixing import BLOCK, RATE_HZ, Block

TARGET = 2 * BLOCK
"""So much is gathered before it is played: a packet may be 40 ms late."""
SURPLUS = TARGET + 3 * BLOCK
"""More waiting than this is cut in a quiet moment."""
MOST = RATE_HZ // 2
"""And more than this at once."""
QUIET_PEAK = 600
"""No speech is so faint (-35 dBFS)."""
BRIDGED = 3 * BLOCK
"""A hole up to this length is bridged."""
FADE = 0.5
FAR = 10 * RATE_HZ
"""Timestamps so far apart begin anew."""

_Samples = npt.NDArray[np.int16]


class Playout:
    """For one voice."""

    def __init__(self) -> None:
        self._held: _Samples = np.zeros(0, np.int16)
        self._next: int | None = None
        """The timestamp that follows what is held."""
        self._last: _Samples = np.zeros(BLOCK, np.int16)
        self._gathering = True
        self.bridged_samples = 0
        """How much was made up for what never came."""
        self.cut_samples = 0
        """How much was cut because it waited too long."""

    def push(self, samples: _Samples, timestamp: int) -> None:
        """Take decoded samples (48 kHz, one channel) and the timestamp of the first."""
        hole = 0 if self._next is None else timestamp - self._next
        if self._next is None or abs(hole) > FAR:
            self._next = timestamp
            hole = 0
        if hole < 0:
            samples = samples[-hole:]
            if not samples.size:
                return
        elif hole and not self._gathering:
            self._bridge(min(hole, BRIDGED))
        self._held = np.concatenate((self._held, samples))
        self._last = samples[-BLOCK:]
        self._next = max(self._next + hole, self._next) + samples.size
        if self._held.size > MOST:
            self.cut_samples += self._held.size - TARGET
            self._held = self._held[-TARGET:]

    def pull(self) -> Block | None:
        """The next block; None where there is none now: silence."""
        if self._gathering and self._held.size < TARGET:
            return None
        self._gathering = False
        if self._held.size > SURPLUS and int(np.max(np.abs(self._held[:BLOCK].astype(np.int32)))) < QUIET_PEAK:
            self._held = self._held[BLOCK:]
            self.cut_samples += BLOCK
        if self._held.size < BLOCK:
            self._gathering = True
            rest, self._held = self._held, np.zeros(0, np.int16)
            if not rest.size:
                return None
            faded = rest * np.linspace(1.0, 0.0, rest.size)
            return np.concatenate((faded, np.zeros(BLOCK - rest.size))).astype(np.int16)
        block, self._held = self._held[:BLOCK], self._held[BLOCK:]
        return block

    @property
    def held_us(self) -> int:
        """How long the sound waits that comes now."""
        return int(self._held.size) * 1_000_000 // RATE_HZ

    def clear(self) -> None:
        """Forget all that waits."""
        self._held, self._next, self._gathering = np.zeros(0, np.int16), None, True

    def _bridge(self, length: int) -> None:
        gain = 1.0
        while length > 0:
            gain *= FADE
            part = (self._last[: min(length, self._last.size)] * gain).astype(np.int16)
            if not part.size:
                return
            self._held = np.concatenate((self._held, part))
            self.bridged_samples += part.size
            length -= part.size
