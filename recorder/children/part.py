"""When a track records. Pure: what the core asked for, against the capture times of what the device gives."""

from dataclasses import dataclass

from recorder.contract.child import MediaKey, StartPart


@dataclass(frozen=True, slots=True)
class Planned:
    """A part to be recorded from ``from_us`` (CLOCK_MONOTONIC) on."""

    number: int
    from_us: int
    origin_us: int
    key: MediaKey | None


class Schedule:
    """The part that runs, the one that follows, and where the running one ends."""

    def __init__(self, track: str) -> None:
        self._track = track
        self.running: Planned | None = None
        self.next: Planned | None = None
        self.stop_us: int | None = None

    def start(self, message: StartPart) -> Planned | None:
        """Take a ``StartPart``; returns the part that it plans, or None where the track is not meant."""
        number = message.tracks.get(self._track)
        if number is None:
            return None
        self.next = Planned(number, message.from_mono_us, message.origin_mono_us, message.keys.get(self._track))
        return self.next

    def stop(self, at_us: int) -> None:
        """Take a ``StopPart``: the running part ends, and one that was planned to begin earlier than that begins and ends."""
        self.stop_us = at_us
        if self.running is None and self.next is None:
            self.stop_us = None

    def ends_before(self, mono_us: int, *, can_begin: bool = True) -> bool:
        """Whether the running part ends before what was captured at ``mono_us``."""
        if self.running is None:
            return False
        if self.stop_us is not None and mono_us >= self.stop_us:
            return True
        return self.next is not None and mono_us >= self.next.from_us and can_begin

    def ended(self) -> None:
        """The running part was closed."""
        self.running = None
        if self.next is None or (self.stop_us is not None and self.next.from_us >= self.stop_us):
            self.stop_us = None

    def begins_with(self, mono_us: int, *, can_begin: bool = True) -> bool:
        """Whether the planned part begins with what was captured at ``mono_us``."""
        if self.running is not None or self.next is None or not can_begin or mono_us < self.next.from_us:
            return False
        return self.stop_us is None or mono_us < self.stop_us

    def begin(self) -> Planned:
        """The planned part runs now."""
        assert self.next is not None
        self.running, self.next = self.next, None
        return self.running

    def abandoned(self, mono_us: int) -> Planned | None:
        """A planned part whose end was passed before it could begin (no keyframe came in time); it is forgotten."""
        if self.running is None and self.next is not None and self.stop_us is not None and mono_us >= self.stop_us:
            gone, self.next, self.stop_us = self.next, None, None
            return gone
        return None
