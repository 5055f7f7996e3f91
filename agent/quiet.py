"""For how long nobody has been heard in the room, by the levels that the recorder tells. Pure; the clock is passed in."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from recorder.contract.control import Status

ABOVE_FLOOR_DB = 10.0
"""Speech lies well above a microphone's noise floor; a fan that starts lies a little above it."""
UNKNOWN_FLOOR_DBFS = -60.0
"""Where no baseline was taken: rather take noise for people than close a hearing."""
DIGITAL_ZERO_DBFS = -120.0
"""What the recorder's meters show where every sample is zero: the chain is dead or muted, and an empty room sounds otherwise."""
OLD_S = 5.0
_NOT_PEOPLE = frozenset({"room-mix", "room-out"})


@dataclass(slots=True)
class Quiet:
    """Fed with each state of the recorder.

    Args:
        floors_dbfs: each microphone's noise floor, where a baseline was taken.
    """

    floors_dbfs: Mapping[str, float] = field(default_factory=dict)
    _heard_s: float | None = None
    _fed_s: float | None = None
    _alive_s: float | None = None
    """When a microphone last gave anything but digital zero."""

    def feed(self, status: Status, now_s: float) -> None:
        """The recorder told its state. Participants (``remote-…``) count as people in the room."""
        if self._heard_s is None or self._fed_s is None or now_s - self._fed_s > OLD_S:
            self._heard_s = now_s  # of the time before nothing is known, so that nobody may say it was quiet
        self._fed_s = now_s
        heard = {
            channel.track: channel.rms_dbfs
            for channel in status.channels
            if channel.rms_dbfs is not None and channel.live and channel.track not in _NOT_PEOPLE
        }
        loud = any(
            level_dbfs > self.floors_dbfs.get(track, UNKNOWN_FLOOR_DBFS - ABOVE_FLOOR_DB) + ABOVE_FLOOR_DB
            for track, level_dbfs in heard.items()
        )
        if self._alive_s is None or any(self._is_alive(track, level_dbfs) for track, level_dbfs in heard.items()):
            self._alive_s = now_s
        are_dead = now_s - self._alive_s > OLD_S  # a single reading of a device that is late is zero, too
        # Without a microphone nothing can be said, and in a privileged state or deliberation levels are dropped at the device.
        if loud or not heard or are_dead or status.state in {"privileged", "deliberation"}:
            self._heard_s = now_s

    def _is_alive(self, track: str, rms_dbfs: float) -> bool:
        """Whether this level says something; digital zero does where the baseline says that the empty room gives it (a noise gate)."""
        return rms_dbfs > DIGITAL_ZERO_DBFS or self.floors_dbfs.get(track, 0.0) <= DIGITAL_ZERO_DBFS

    def quiet_s(self, now_s: float) -> float | None:
        """For how long nobody has been heard; None where nothing recent is known."""
        if self._heard_s is None or self._fed_s is None or now_s - self._fed_s > OLD_S:
            return None
        return now_s - self._heard_s


def read_floors(baseline: str) -> dict[str, float]:
    """The noise floors of a file that ``courtroom baseline`` wrote; none where there is no such file, or it cannot be read."""
    if not baseline:
        return {}
    try:
        tracks = json.loads(Path(baseline).read_text(encoding="utf-8"))["tracks"]
        return {str(name): float(values["floor_dbfs"]) for name, values in tracks.items() if "floor_dbfs" in values}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
