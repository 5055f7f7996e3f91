"""What the core knows of each track while a session runs: its part, where its media ends, and whether it is missing. Pure.

A *gap* begins where a track's media ended although it should go on, and ends with the first media after it. Both are entries of the
journal; between two fragments that do not meet there is a gap as well, even where the device never said so.
"""

from dataclasses import dataclass, field
from typing import Literal

from recorder.record.entries import Entry, Gap, GapEnd, Level

SEAM_US = 150_000
"""How far two fragments may lie apart before that is a gap: three FLAC blocks, or four frames at 25 fps, plus the clock's re-basing."""

ON_THE_WAY_US = 2_000_000
"""Media may be so long on its way; a track that gave none for longer gave none at all."""
STALLED_US = 4_000_000
"""A device that gave media and gives none for so long is started again (its child's own rules are quicker where they see it)."""
FIRST_MEDIA_US = 15_000_000
"""A camera may have its next keyframe only so late."""
NOT_GIVEN = "the camera gives no sound: switch it on there, or take `audio = true` out of room.toml"
"""Of a track that an open device does not give."""


@dataclass(slots=True)
class Track:
    """One track of the running session. Times are session time."""

    name: str
    kind: Literal["video", "audio"]
    device: str
    continuous: bool
    least: Level = "open"
    """No part of it is of a lower level, whatever the session's is."""
    part: int = -1
    next_part: int = 0
    first_part: int = 0
    """Lower numbers belong to earlier sessions."""
    awaiting_from_us: int | None = None
    """Since when media is due (the part's start), while none has come: of the first part, where a device is asked again."""
    asked_us: int = 0
    """When the device was last asked for media."""
    begins_us: dict[int, int] = field(default_factory=dict)
    """Of each part without media yet, from when on it is due. A part's last media may come when the next ones have been asked for."""
    preroll_until_us: int = 0
    """Before this, the moment at which the session was asked for, there is no media but what the pre-roll held."""
    end_us: int | None = None
    """Where the media that has come ends."""
    gap_from_us: int | None = None
    gap_cause: str = ""
    running: bool = False
    gone: bool = False
    """A participant's track that has ended: nothing is due until it opens again."""
    lacking: bool = False
    """Its device is open and does not give it: it is missing whenever the others record."""
    bytes: int = 0
    total_us: int = 0

    def start(self, from_us: int) -> int:
        """A new part begins at ``from_us``; returns its number."""
        self.part = self.next_part
        self.next_part += 1
        self.running = True
        self.asked_us = from_us
        if self.awaiting_from_us is None:
            self.awaiting_from_us = from_us
        self.begins_us[self.part] = self.awaiting_from_us
        return self.part

    def lost(self, cause: str, detail: str, now_us: int) -> list[Entry]:
        """The device is gone while media was due; a gap opens where its media ended (once, whatever causes follow)."""
        was_running, self.running = self.running, False
        if not self.continuous or not was_running or self.gap_from_us is not None:
            return []
        from_us = self._due_us(now_us)
        self.gap_from_us, self.gap_cause = from_us, cause
        return [Gap(track=self.name, cause=cause, detail=detail, from_us=from_us)]

    def missing(self, cause: str, detail: str, from_us: int) -> list[Entry]:
        """The track is due from ``from_us`` on and its device is not there."""
        self.running = False
        if not self.continuous or self.gap_from_us is not None:
            return []
        self.gap_from_us, self.gap_cause = from_us, cause
        return [Gap(track=self.name, cause=cause, detail=detail, from_us=from_us)]

    def fragment(self, part: int, start_us: int, end_us: int, size_bytes: int) -> list[Entry]:
        """Media of a part from ``start_us`` to ``end_us`` has come; returns the gap entries that it closes or shows."""
        entries: list[Entry] = []
        begins_us = self.begins_us.get(part)
        self.begins_us = {number: from_us for number, from_us in self.begins_us.items() if number > part}
        if self.gap_from_us is not None:
            entries.append(GapEnd(track=self.name, from_us=self.gap_from_us, to_us=max(start_us, self.gap_from_us)))
            self.gap_from_us = None
        elif self.continuous:
            due_us = max(begins_us or 0, self.end_us or 0)
            if start_us - due_us > SEAM_US:
                entries += self._without(due_us, start_us, first=begins_us is not None)
        self.end_us = max(end_us, self.end_us or 0)
        if part == self.part:
            self.awaiting_from_us = None
        elif self.awaiting_from_us is not None:  # an older part goes on until the new one begins, with its keyframe
            self.awaiting_from_us = max(self.awaiting_from_us, self.end_us)
        self.bytes += size_bytes
        self.total_us += end_us - start_us
        return entries

    def is_stalled(self, now_us: int) -> bool:
        """Whether media is due for so long that something is wrong, though nobody said so."""
        if not self.continuous or not self.running or self.gap_from_us is not None:
            return False
        if self.awaiting_from_us is not None:
            # While an older part goes on until the next keyframe, its media shows that the device is well: a restart would only cost some.
            return now_us - max(self.asked_us, self.awaiting_from_us) > FIRST_MEDIA_US
        return self.end_us is not None and now_us - self.end_us > STALLED_US

    def stall_words(self) -> str:
        """What is said of a stalled track: the core cannot tell a camera that hangs from one whose keyframes are too rare."""
        if self.kind == "video" and self.awaiting_from_us is not None:
            return f"its child lives, but no keyframe came for {FIRST_MEDIA_US // 1_000_000} s; set the camera's keyframe interval to 1-4 s"
        return "its child lives and hands nothing over"

    def late(
        self, stop_us: int, cause: str = "late", detail: str = "its child did not hand everything over before the session was sealed"
    ) -> list[Entry]:
        """The track was to stop at ``stop_us``, and not all of its media came: the rest is a gap."""
        from_us = max(self.begins_us.get(self.part, 0), self.end_us or 0)
        if not self.continuous or stop_us - from_us <= SEAM_US:
            return []
        return self._gap(cause, detail, from_us, stop_us)

    def paused(self, at_us: int) -> list[Entry]:
        """The session stops recording at ``at_us``: a gap that is open ends there, for from there on nothing is due."""
        waited_from_us = self.awaiting_from_us
        self.running = False
        self.awaiting_from_us = None
        if self.gap_from_us is None:
            if not self.continuous or waited_from_us is None or at_us - waited_from_us <= ON_THE_WAY_US:
                return []
            self.begins_us[self.part] = at_us  # what was due before is told by this
            detail = "the device gave nothing in all this time"
            return [
                Gap(track=self.name, cause="no_media", detail=detail, from_us=waited_from_us),
                GapEnd(track=self.name, from_us=waited_from_us, to_us=at_us),
            ]
        entry = GapEnd(track=self.name, from_us=self.gap_from_us, to_us=max(at_us, self.gap_from_us))
        self.gap_from_us = None
        return [entry]

    def _without(self, from_us: int, to_us: int, *, first: bool) -> list[Entry]:
        """The device gave nothing in this time, and never said so."""
        if not first:
            return self._gap("device_lost_media", "by the device's own timestamps", from_us, to_us)
        kept_us = min(max(self.preroll_until_us, from_us), to_us)
        entries: list[Entry] = []
        if kept_us > from_us:
            detail = "the session begins with the pre-roll, which held nothing of this track so early"
            entries += self._gap("not_in_preroll", detail, from_us, kept_us)
        if to_us - kept_us > SEAM_US:
            entries += self._gap("awaiting_keyframe", "until the device's first media, which begins with a keyframe", kept_us, to_us)
        return entries

    def _gap(self, cause: str, detail: str, from_us: int, to_us: int) -> list[Entry]:
        return [Gap(track=self.name, cause=cause, detail=detail, from_us=from_us), GapEnd(track=self.name, from_us=from_us, to_us=to_us)]

    def _due_us(self, otherwise_us: int) -> int:
        if self.awaiting_from_us is not None:
            return self.awaiting_from_us
        return self.end_us if self.end_us is not None else otherwise_us


@dataclass(slots=True)
class PausedTime:
    """How long the session was in each paused state."""

    sums_us: dict[str, int] = field(default_factory=dict)

    def add(self, state: str, from_us: int, to_us: int) -> None:
        """Add an interval."""
        self.sums_us[state] = self.sums_us.get(state, 0) + max(0, to_us - from_us)
