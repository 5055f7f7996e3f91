"""Which alarms are on. Pure. One is raised once and ended once, however often its cause is seen in between; its words are the newest."""

import msgspec

from recorder.contract.control import Alarm
from recorder.record import entries


class Alarms:
    """The alarms of the room, each known by its code and track (empty: the room's)."""

    def __init__(self) -> None:
        self._on: dict[tuple[str, str], Alarm] = {}

    def set(self, code: str, track: str, *, on: bool, detail: str, now_us: int) -> entries.Alarm | None:
        """Raise or end an alarm; returns the entry where that changed anything."""
        key = (code, track)
        if on == (key in self._on):
            if on:
                self._on[key] = msgspec.structs.replace(self._on[key], detail=detail)
            return None
        if on:
            self._on[key] = Alarm(code=code, track=track, detail=detail, since_us=now_us)
        else:
            del self._on[key]
        return entries.Alarm(code=code, track=track, on=on, detail=detail)

    def forget(self, codes: frozenset[str]) -> None:
        """Forget the alarms of these codes: what they were judged by has ended."""
        for key in [key for key in self._on if key[0] in codes]:
            del self._on[key]

    def all(self) -> list[Alarm]:
        """The alarms that are on, the oldest first."""
        return sorted(self._on.values(), key=lambda alarm: alarm.since_us)
