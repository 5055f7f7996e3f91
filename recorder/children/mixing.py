"""The room mix: sounds laid on one clock, added, and limited so softly that it is not heard and so surely that it never clips. Pure.

The mix lies on a grid of 20 ms of CLOCK_MONOTONIC. A source keeps its samples in a row; where its clock drifts from ours it is stretched
by one sample in a block, and only a real hole is a hole. A slot that no source reached is not made up.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

RATE_HZ = 48_000
BLOCK = 960
BLOCK_US = 20_000
LATE_US = 120_000
"""A slot waits so long for its last source."""
GONE_BLOCKS = 25
"""A source that is so far behind the others is not waited for."""
_STRETCH_AT = 24
_JUMP_AT = 960
_FULL_SCALE = 32768.0
_RELEASE = 1.02
"""The limiter lets go by 0.17 dB a block: a second for a halving."""

Block = npt.NDArray[np.float64]


@dataclass(slots=True)
class _Source:
    gain: float
    next: int | None = None
    joined: bool = False
    """Whether the mix has had anything of it: what a source brings of the time before it joined is not lost."""


@dataclass(slots=True)
class _Slot:
    total: Block = field(default_factory=lambda: np.zeros(BLOCK))


class Mixer:
    """Adds sources.

    Args:
        gains_db: the tracks that are mixed, each with its gain.

    """

    def __init__(self, gains_db: dict[str, float]) -> None:
        self._gains_db = gains_db
        self.late_samples = 0
        """Samples of sources in the mix that came after their slot was mixed."""
        self.clear()

    def clear(self) -> None:
        """Forget all sound."""
        self._sources = {track: _Source(10 ** (gain_db / 20)) for track, gain_db in self._gains_db.items()}
        self._slots: dict[int, _Slot] = {}
        self._done = 0

    def add(self, track: str, mono_us: int, samples: npt.NDArray[np.int16]) -> None:
        """Take samples of a track (48 kHz, one channel) whose first was captured at ``mono_us``."""
        source = self._sources[track]
        wanted = round(mono_us * RATE_HZ / 1_000_000)
        if source.next is None or abs(wanted - source.next) > _JUMP_AT:
            source.next = wanted
        block = samples.astype(np.float64) * source.gain
        if len(block) > 1 and abs(wanted - source.next) >= _STRETCH_AT:
            longer = len(block) + (1 if wanted > source.next else -1)
            block = np.interp(np.linspace(0, len(block) - 1, longer), np.arange(len(block)), block)
        self._lay(source, source.next, block)
        source.next += len(block)

    def take(self, now_us: int) -> list[tuple[int, Block]]:
        """The slots that are complete, or waited long enough, as (time of the first sample, sum in int16's scale), in order."""
        ends = [source.next for source in self._sources.values() if source.next is not None]
        if not ends:
            return []
        # What a source says of the time to come cannot be so: the others are not behind because of it.
        now = now_us * RATE_HZ // 1_000_000
        ends = [min(end, now) for end in ends]
        reached = min(end for end in ends if end > max(ends) - GONE_BLOCKS * BLOCK)
        complete = max(reached // BLOCK, (now_us - LATE_US) // BLOCK_US)
        taken = [(slot * BLOCK_US, self._slots.pop(slot).total) for slot in sorted(self._slots) if slot < complete]
        self._done = max(self._done, complete)
        return taken

    def _lay(self, source: _Source, start: int, block: Block) -> None:
        at = 0
        while at < len(block):
            slot, offset = divmod(start + at, BLOCK)
            count = min(BLOCK - offset, len(block) - at)
            if slot < self._done:
                self.late_samples += count if source.joined else 0
            else:
                source.joined = True
                self._slots.setdefault(slot, _Slot()).total[offset : offset + count] += block[at : at + count]
            at += count


class Limiter:
    """Turns sums into int16 without clipping, looking one block ahead: a block's gain slopes to what its neighbours need."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget the held block."""
        self._held: tuple[int, Block] | None = None
        self._gain = 1.0

    def push(self, mono_us: int, block: Block) -> tuple[int, npt.NDArray[np.int16]] | None:
        """Take a block, return the one before it, limited."""
        held, self._held = self._held, (mono_us, block)
        if held is None:
            return None
        return held[0], self._limit(held[1], _most_gain(block))

    def flush(self) -> tuple[int, npt.NDArray[np.int16]] | None:
        """The last block."""
        held, self._held = self._held, None
        return None if held is None else (held[0], self._limit(held[1], 1.0))

    def _limit(self, block: Block, next_gain: float) -> npt.NDArray[np.int16]:
        own = _most_gain(block)
        start = min(self._gain, own)
        end = min(own, next_gain, start * _RELEASE)
        self._gain = end
        if start < 1.0 or end < 1.0:
            block = block * np.linspace(start, end, len(block))
        return np.clip(np.rint(block), -_FULL_SCALE, _FULL_SCALE - 1).astype(np.int16)


def _most_gain(block: Block) -> float:
    peak = float(np.abs(block).max(initial=0.0))
    return 1.0 if peak <= _FULL_SCALE else (_FULL_SCALE - 1) / peak
