"""When something that came to nothing may be tried again: after a second, then after twice as long each time. Pure.

All clocks are passed in.
"""

from collections.abc import Collection

FIRST_S, LONGEST_S = 1.0, 60.0


class NotBefore:
    """Keeps, for each key whose last try brought nothing, from when on it may be tried."""

    def __init__(self) -> None:
        self._waits: dict[bytes, tuple[float, float]] = {}
        """From when on, and how long the wait was."""

    def may(self, key: bytes, now_s: float) -> bool:
        """Whether it may be tried now."""
        return key not in self._waits or now_s >= self._waits[key][0]

    def came_to_nothing(self, key: bytes, now_s: float) -> None:
        """It was refused, or brought no result."""
        before_s = self._waits[key][1] if key in self._waits else FIRST_S / 2
        wait_s = min(LONGEST_S, before_s * 2)
        self._waits[key] = (now_s + wait_s, wait_s)

    def was_done(self, key: bytes) -> None:
        """It brought something."""
        self._waits.pop(key, None)

    def keep_only(self, keys: Collection[bytes]) -> None:
        """Forget what is not asked for any more: when it is asked for anew, it is tried at once."""
        for key in self._waits.keys() - set(keys):
            del self._waits[key]
