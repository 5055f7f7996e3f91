"""When a track records. Pure: what the core asked for, against the capture times of what the device gives."""

from dataclasses import dataclass

from recorder.contract.child import MediaKey, StartPart


@dataclass(slots=True)
class Planned:
    """A part to be recorded from ``from_us`` (CLOCK_MONOTONIC) until ``stop_us``, where that is known."""

    number: int
    from_us: int
    origin_us: int
    key: MediaKey | None
    stop_us: int | None = None


class Schedule:
    """The part that runs, and the one that follows it."""

    def __init__(self, track: str) -> None:
        self._track = track
        self.running: Planned | None = None
        self.next: Planned | None = None
        self._replaced: list[Planned] = []

    @property
    def wanted(self) -> bool:
        """Whether a part runs, or is to begin."""
        return self.running is not None or self.next is not None

    def start(self, message: StartPart) -> Planned | None:
        """Take a ``StartPart``; returns the part that it plans, or None where the track is not meant."""
        number = message.tracks.get(self._track)
        if number is None:
            return None
        if self.next is not None and self.next.number != number:
            self._replaced.append(self.next)
        self.next = Planned(number, message.from_mono_us, message.origin_mono_us, message.keys.get(self._track))
        return self.next

    def stop(self, at_us: int) -> None:
        """Take a ``StopPart``: it ends the part that was asked for last, and one that still runs because that could not begin yet.

        Any thread may say so at any time: ``begin`` lets the next part run before it forgets it as the next, and an end comes but once.
        """
        for part in (self.next, self.running):
            if part is not None:
                part.stop_us = at_us if part.stop_us is None else min(part.stop_us, at_us)

    def stopped_by(self, mono_us: int) -> bool:
        """Whether what was captured at ``mono_us`` lies behind the running part's end."""
        return self.running is not None and self.running.stop_us is not None and mono_us >= self.running.stop_us

    def ends_before(self, mono_us: int, *, can_begin: bool = True) -> bool:
        """Whether the running part ends before what was captured at ``mono_us``; ``can_begin``: that could be the next part's first."""
        if self.running is None:
            return False
        return self.stopped_by(mono_us) or (self.next is not None and mono_us >= self.next.from_us and can_begin)

    def ended(self) -> None:
        """The running part was closed."""
        self.running = None

    def begins_with(self, mono_us: int, *, can_begin: bool = True) -> bool:
        """Whether the planned part begins with what was captured at ``mono_us``."""
        if self.running is not None or self.next is None or not can_begin or mono_us < self.next.from_us:
            return False
        return self.next.stop_us is None or mono_us < self.next.stop_us

    def begin(self) -> Planned:
        """The planned part runs now."""
        assert self.next is not None
        self.running, self.next = self.next, None
        return self.running

    def abandoned(self, mono_us: int) -> Planned | None:
        """A planned part that never began: its end was passed, or another was asked for, before a keyframe came; it is forgotten."""
        if self._replaced:
            return self._replaced.pop(0)
        if self.running is None and self.next is not None and self.next.stop_us is not None and mono_us >= self.next.stop_us:
            gone, self.next = self.next, None
            return gone
        return None

    def samples_to_edge(self, mono_us: int, count: int, rate_hz: int) -> int:
        """How many of so many samples, captured from ``mono_us`` on, lie before the next beginning or end (all: none is among them)."""
        within = [
            -(-(edge_us - mono_us) * rate_hz // 1_000_000)
            for edge_us in self._edges_us()
            if mono_us < edge_us < mono_us + count * 1_000_000 // rate_hz
        ]
        return max(1, min([count, *within]))

    def _edges_us(self) -> list[int]:
        """The times at which parts begin or end."""
        edges: list[int] = []
        if self.running is not None and self.running.stop_us is not None:
            edges.append(self.running.stop_us)
        if self.next is not None:
            edges.append(self.next.from_us)
            if self.next.stop_us is not None:
                edges.append(self.next.stop_us)
        return edges
