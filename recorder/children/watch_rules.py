"""When what was read back from the disk is an alarm. Pure; times are session time of the media itself.

A condition that holds for ``hold_us`` raises its alarm; one second without it ends the alarm. A single channel's silence is judged against
the room's baseline, for a quiet room is not a dead microphone: without a baseline only a channel that gives one and the same sample counts.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from recorder.children.signal_checks import PictureValues, SoundValues

END_US = 1_000_000
CLIPPED_SHARE = 0.005
BELOW_FLOOR_DB = 12.0
"""So far below its own noise floor a living microphone never is."""
SILENT_ROOM_DBFS = -75.0
BLACK_BRIGHTNESS, BLACK_SPREAD = 24.0, 4.0
FROZEN_DIFFERENCE = 0.02
"""Mean difference of two keyframes; a living camera's noise gives about 0.5, a repeated picture exactly 0."""
LATE_US = 6_000_000
LEAP_US = 2_000_000
"""Where nothing lies on the disk for so long before the next media of any track, there was a pause, or the watch has just begun."""


@dataclass(frozen=True, slots=True)
class Change:
    """An alarm began or ended."""

    track: str
    code: str
    on: bool
    at_us: int
    detail: str


@dataclass(slots=True)
class Condition:
    """One alarm of one track: how long it has held, how long it has not."""

    hold_us: int
    since_us: int | None = None
    clear_us: int | None = None
    on: bool = False

    def feed(self, at_us: int, *, holds: bool) -> bool | None:
        """Tell whether it holds up to ``at_us``; returns the alarm's new state where that changed."""
        if holds:
            self.clear_us = None
            self.since_us = at_us if self.since_us is None else self.since_us
            if not self.on and at_us - self.since_us >= self.hold_us:
                self.on = True
                return True
            return None
        self.since_us = None
        self.clear_us = at_us if self.clear_us is None else self.clear_us
        if self.on and at_us - self.clear_us >= END_US:
            self.on = False
            return False
        return None


@dataclass(slots=True)
class Rules:
    """All conditions of all tracks. ``floors_dbfs`` is the baseline's noise floor of each sound track."""

    hold_us: int
    floors_dbfs: Mapping[str, float] = field(default_factory=dict)
    muted: frozenset[str] = frozenset()
    _conditions: dict[tuple[str, str], Condition] = field(default_factory=dict)
    _levels: dict[str, float] = field(default_factory=dict)
    _newest_us: int = 0
    _due_us: int = 0
    """Before this nobody is late."""

    def sound(self, track: str, at_us: int, values: SoundValues) -> list[Change]:
        """Judge a stretch of sound that ends at ``at_us``."""
        self._levels[track] = values.rms_dbfs
        floor = self.floors_dbfs.get(track)
        silent = values.dead or (floor is not None and values.rms_dbfs < floor - BELOW_FLOOR_DB)
        changes = self._feed(
            track, "silent", at_us, holds=silent and track not in self.muted, detail=f"{values.rms_dbfs:.0f} dBFS on the disk"
        )
        clipped = values.clipped_share > CLIPPED_SHARE
        changes += self._feed(track, "clipped", at_us, holds=clipped, detail=f"{values.clipped_share:.1%} of the samples at full scale")
        microphones = {name: level for name, level in self._levels.items() if not name.startswith(("room-", "remote-"))}
        if microphones and track in microphones:
            quiet = all(level < self._silent_below(name) for name, level in microphones.items())
            changes += self._feed("", "room_silent", at_us, holds=quiet, detail="no microphone of the room gives any sound")
        return changes

    def picture(self, track: str, at_us: int, values: PictureValues) -> list[Change]:
        """Judge a keyframe."""
        black = values.brightness <= BLACK_BRIGHTNESS and values.spread <= BLACK_SPREAD
        changes = self._feed(track, "black", at_us, holds=black, detail="the picture on the disk is black", hold_us=0)
        if values.difference is not None:
            frozen = values.difference < FROZEN_DIFFERENCE and not black
            changes += self._feed(track, "frozen", at_us, holds=frozen, detail="the picture on the disk stands still", hold_us=0)
        return changes

    def unreadable(self, track: str, at_us: int, detail: str) -> list[Change]:
        """What lies on the disk cannot be decoded."""
        return self._feed(track, "unreadable", at_us, holds=True, detail=detail, hold_us=0)

    def readable(self, track: str, at_us: int) -> list[Change]:
        """What lies on the disk can be decoded."""
        return self._feed(track, "unreadable", at_us, holds=False, detail="")

    def recorded(self, start_us: int, end_us: int) -> None:
        """Media of a track of the room lies on the disk."""
        if start_us - self._newest_us > LEAP_US:
            self._due_us = start_us
        self._newest_us = max(self._newest_us, end_us)

    def late(self, ends_us: Mapping[str, int], tracks: Iterable[str]) -> list[Change]:
        """Judge which of ``tracks`` fall behind the others; ``ends_us`` is where each track's media on the disk ends."""
        newest_us = max(ends_us.values(), default=0)
        changes: list[Change] = []
        for track in tracks:
            behind_us = newest_us - max(self._due_us, ends_us.get(track, newest_us))
            holds = behind_us > LATE_US
            changes += self._feed(
                track, "late", newest_us, holds=holds, detail=f"nothing new on the disk for {behind_us / 1e6:.0f} s", hold_us=0
            )
        return changes

    def _silent_below(self, track: str) -> float:
        floor = self.floors_dbfs.get(track)
        return SILENT_ROOM_DBFS if floor is None else floor - BELOW_FLOOR_DB

    def _feed(self, track: str, code: str, at_us: int, *, holds: bool, detail: str, hold_us: int | None = None) -> list[Change]:
        condition = self._conditions.setdefault((track, code), Condition(self.hold_us if hold_us is None else hold_us))
        changed = condition.feed(at_us, holds=holds)
        return [] if changed is None else [Change(track, code, changed, at_us, detail if changed else "")]
