"""Who speaks: told by the level that senders put beside each packet of sound, without decoding any. Pure; the clock is passed in.

A browser sends the level of each packet as dB below the loudest (RFC 6464, section 3: 0 is the loudest, 127 silence). A voice is above
``SPEAKS_DBOV`` for a part of the time only; who has spoken stays a speaker through the pauses between words.
"""

from collections.abc import Iterable

SPEAKS_DBOV = -45
"""Speech at a laptop is at about -30; a quiet room at about -60."""
BEGIN_US = 60_000
"""So much loud sound in a row begins a turn: a click does not."""
PAUSE_US = 800_000
"""A turn ends after so long a silence."""
_GAP_US = 200_000
"""Packets further apart than this are not in a row."""


class Speaking:
    """The turns of everybody who sends sound."""

    def __init__(self) -> None:
        self._since_us: dict[str, int] = {}
        self._loud_us: dict[str, int] = {}
        self._began_us: dict[str, int] = {}

    def hear(self, name: str, level_dbov: int, now_us: int) -> None:
        """Take the level of a packet (0 to -127)."""
        if level_dbov < SPEAKS_DBOV:
            if name not in self._began_us:
                self._since_us.pop(name, None)
            return
        if now_us - self._loud_us.get(name, -_GAP_US) > _GAP_US and name not in self._began_us:
            self._since_us[name] = now_us
        since_us = self._since_us.setdefault(name, now_us)
        self._loud_us[name] = now_us
        if now_us - since_us >= BEGIN_US:
            self._began_us.setdefault(name, now_us)

    def audible(self, now_us: int) -> set[str]:
        """Whose sound is more than a quiet room's, or was a moment ago: nobody else need be mixed."""
        return {name for name, loud_us in self._loud_us.items() if now_us - loud_us <= PAUSE_US}

    def turns(self, now_us: int) -> list[tuple[str, int]]:
        """Who speaks now and since when, the newest turn first."""
        for name in [name for name in self._began_us if now_us - self._loud_us[name] > PAUSE_US]:
            self.forget(name)
        return sorted(self._began_us.items(), key=lambda turn: (-turn[1], turn[0]))

    def forget(self, name: str) -> None:
        """This person's turn is over, or he has gone."""
        for known in (self._since_us, self._loud_us, self._began_us):
            known.pop(name, None)


class Stage:
    """Whom a viewer sees where there are fewer tiles than people: whoever spoke last; nobody moves without need."""

    def __init__(self) -> None:
        self._spoke_us: dict[str, int] = {}

    def spoke(self, turns: Iterable[tuple[str, int]], now_us: int) -> None:
        """Note who speaks now."""
        for name, _ in turns:
            self._spoke_us[name] = now_us

    def fill(self, tiles: list[str], wanted: list[str], pinned: str = "") -> list[str]:
        """The tiles after this moment: as long as ``tiles``; "" is an empty one.

        Args:
            tiles: who is in them now.
            wanted: whom the viewer may see, those first who come first where nobody has spoken.
            pinned: what is shown whoever speaks, if it is wanted.
        """
        rank = {name: (name != pinned, -self._spoke_us.get(name, 0), place) for place, name in enumerate(wanted)}
        chosen = set(sorted(wanted, key=lambda name: rank[name])[: len(tiles)])
        kept = [name if name in chosen else "" for name in tiles]
        new = iter(sorted(chosen - set(kept), key=lambda name: rank[name]))
        return [name or next(new, "") for name in kept]

    def forget(self, name: str) -> None:
        """Somebody has gone."""
        self._spoke_us.pop(name, None)
