"""Everybody's own sound: the room and the others, without himself (mix minus one). Pure.

A *blend* says which sources a listener hears and how loud. A *mix* is what some listeners get alike, and its name says who: all who are
silent share one (of their language channel, or of their private talk), and so one encoder; each who speaks has his own. Blocks are 20 ms at
48 kHz, one channel.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from vks.order import ROOM, Order, hears, is_on_floor, is_reached, listens_to, spoken_channels

RATE_HZ = 48_000
BLOCK = 960
"""Samples in a block of 20 ms."""
Block = npt.NDArray[np.int16]
Blend = tuple[tuple[str, float], ...]
"""Sources with their gains, in the order of their names."""

LIMIT = 0.89 * 32_767
"""No sum is louder (-1 dBFS): a few who speak at once do not clip."""
RELEASE = 0.02
"""By so much of what is missing the gain comes back in a block: in about a second."""
DUCKED = 0.2
"""How much of the floor is heard beneath an interpreter's voice (-14 dB)."""


def blend_of(order: Order, listener: str, speakers: set[str]) -> Blend:
    """What somebody (or the room) hears of those who speak now; the room's own sound is always there."""
    heard = sorted(name for name in {*speakers, ROOM} if hears(order, listener, name))
    interpreted = [name for name in heard if name != ROOM and order.people[name].interprets]
    return tuple((name, DUCKED if interpreted and name not in interpreted else 1.0) for name in heard)


def mix_of(order: Order, listener: str, speakers: set[str]) -> str:
    """The name of the mix that somebody gets; empty where he hears nobody."""
    person = order.people.get(listener)
    if not is_on_floor(order, listener) and not (person is not None and person.consultation and is_reached(order, person)):
        return ""
    if listener in speakers:
        return f"own:{listener}"
    if person is not None and person.consultation:
        return f"talk:{person.consultation}"
    # Any participant may name any language: one that nobody speaks brings no encoder.
    channel = listens_to(order, listener)
    return f"floor:{channel if channel and channel in spoken_channels(order) else ''}"


class Limiter:
    """Keeps one mix below ``LIMIT``: down at once and within the block, back slowly."""

    def __init__(self) -> None:
        self._gain = 1.0

    def limit(self, mixed: npt.NDArray[np.float32]) -> Block:
        """The block as it is played."""
        peak = float(np.max(np.abs(mixed))) if mixed.size else 0.0
        wanted = min(1.0, LIMIT / peak) if peak else 1.0
        if wanted >= self._gain:
            wanted = min(wanted, self._gain + RELEASE * (1.0 - self._gain) + 1e-6)
        before, self._gain = self._gain, wanted
        if before == wanted == 1.0:
            return mixed.astype(np.int16)
        # A loud block is lowered as a whole; a gain that comes back does so sample by sample, so that no step is heard.
        gains = np.linspace(before, wanted, mixed.size, dtype=np.float32) if wanted > before else np.float32(wanted)
        return (mixed * gains).astype(np.int16)


class Mixer:
    """Makes the mixes that are listened to."""

    def __init__(self) -> None:
        self._limiters: dict[str, Limiter] = {}

    def mix(self, blocks: Mapping[str, Block], blends: Mapping[str, Blend]) -> dict[str, Block]:
        """One block of each mix, by its name. A source without a block now is silent."""
        self._limiters = {name: self._limiters.get(name) or Limiter() for name in blends}
        return {name: self._limiters[name].limit(_sum(blocks, blend)) for name, blend in blends.items()}


def _sum(blocks: Mapping[str, Block], blend: Blend) -> npt.NDArray[np.float32]:
    total = np.zeros(BLOCK, dtype=np.float32)
    for name, gain in blend:
        block = blocks.get(name)
        if block is not None:
            total += block if gain == 1.0 else block * np.float32(gain)
    return total
