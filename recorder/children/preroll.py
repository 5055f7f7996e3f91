"""The pre-roll: the last seconds of a track, encrypted in memory with a key that only this process has ever had. Pure but for the key.

It is off until a person arms it, becomes the head of the next part, and is wiped by a pause, by disarming, and by use.
"""

import os
from collections import deque
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM


@dataclass(frozen=True, slots=True)
class _Kept:
    mono_us: int
    key: bool
    nonce: bytes
    sealed: bytes
    meta: Any


@dataclass(frozen=True, slots=True)
class Item:
    """One packet or block of samples as it was put; ``meta`` is whatever the track wants to know of it."""

    mono_us: int
    key: bool
    data: bytes
    meta: Any


class Preroll:
    """A ring of the last ``seconds``."""

    def __init__(self) -> None:
        self._length_us = 0
        self._kept: deque[_Kept] = deque()
        self._cipher = AESGCM(AESGCM.generate_key(128))

    @property
    def armed(self) -> bool:
        """Whether anything is kept."""
        return self._length_us > 0

    def arm(self, seconds: int) -> None:
        """Keep so many seconds from now on; 0 wipes and disarms."""
        self._length_us = seconds * 1_000_000
        if seconds == 0:
            self.wipe()

    def put(self, mono_us: int, *, key: bool, data: bytes, meta: Any) -> None:  # noqa: ANN401
        """Keep an item, and forget those that are too old. What is left of a group whose keyframe is gone is never given out."""
        if not self.armed:
            return
        nonce = os.urandom(12)
        self._kept.append(_Kept(mono_us, key, nonce, self._cipher.encrypt(nonce, data, None), meta))
        oldest_us = mono_us - self._length_us
        while len(self._kept) > 1 and self._kept[0].mono_us < oldest_us:
            self._kept.popleft()

    def take(self, from_us: int) -> list[Item]:
        """The items from the first keyframe at or after ``from_us`` on; all is wiped."""
        items: list[Item] = []
        for kept in self._kept:
            if kept.mono_us < from_us or (not items and not kept.key):
                continue
            items.append(Item(kept.mono_us, kept.key, self._cipher.decrypt(kept.nonce, kept.sealed, None), kept.meta))
        self.wipe()
        self._length_us = 0
        return items

    def wipe(self) -> None:
        """Forget everything, and the key with it."""
        self._kept.clear()
        self._cipher = AESGCM(AESGCM.generate_key(128))
