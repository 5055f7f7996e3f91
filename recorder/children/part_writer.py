"""Opens, fills and ends the parts of one track: what every kind of track does alike."""

from dataclasses import dataclass
from typing import Any

import av

from recorder.children.fragmenter import Emit, Fragmenter, PartPlan
from recorder.children.part import Schedule
from recorder.contract import child

AT_ONCE = 2
"""So many packets of a part are written as they come, for its first picture to lie on the disk soon; by chance alone it ends that young."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    packet: "av.Packet[Any]"
    mono_us: int
    reach_us: int


class PartWriter:
    """The parts of one track. ``schedule`` says which runs; ``fragmenter`` takes its packets, at session times from ``origin_us``.

    An order that says "now" takes a while to arrive. So the newest packet waits for the next one, or for ``release``; what turns out to
    have been captured after the part's end is not written.
    """

    def __init__(self, track: str, label: str, emit: Emit, segment_us: int, fragment_us: int) -> None:
        self.schedule = Schedule(track)
        self.fragmenter: Fragmenter | None = None
        self.origin_us = 0
        self._track = track
        self._label = label
        self._emit = emit
        self._segment_us = segment_us
        self._fragment_us = fragment_us
        self._waiting: _Waiting | None = None
        self._taken = 0
        self._is_over = False
        """Something from behind the running part's end was left out of it."""
        self._before = (0, 1, 0)
        """The origin, the timescale and the end of the part before."""

    def begin(self, template: "av.VideoStream | av.AudioStream | None", timescale: int) -> None:
        """The planned part begins, with media as ``template`` describes it."""
        planned = self.schedule.begin()
        self.origin_us = planned.origin_us
        plan = PartPlan(
            track=self._track,
            part=planned.number,
            key=planned.key,
            label=self._label,
            segment_us=self._segment_us,
            fragment_us=self._fragment_us,
        )
        self._taken, self._is_over = 0, False
        if template is not None:
            *clock, end = self._before
            behind = end if clock == [self.origin_us, timescale] else 0
            self.fragmenter = Fragmenter(plan, template, timescale, self._emit, behind=behind)

    def put(self, packet: "av.Packet[Any]", mono_us: int, dur_us: int = 1) -> None:
        """Take the running part's next packet, with what was captured from ``mono_us`` on for so long; it is used up."""
        self.release()
        self._waiting = _Waiting(packet, mono_us, mono_us + dur_us - 1)
        self._taken += 1
        if self._taken <= AT_ONCE:
            self.release()

    def release(self, until_us: int | None = None) -> None:
        """Write the packet that waits (None), or if it was captured until this time."""
        waiting = self._waiting
        if waiting is None or (until_us is not None and waiting.mono_us > until_us):
            return
        self._waiting = None
        if self.schedule.stopped_by(waiting.reach_us):
            self._is_over = True  # a B-frame from before the end is of no use without the picture from behind it
        elif self.fragmenter is not None and not self._is_over:
            self.fragmenter.mux(waiting.packet, waiting.mono_us - self.origin_us)

    def cut(self) -> None:
        """The device lost media behind the newest packet: what follows begins a segment at its own time."""
        self.release()
        if self.fragmenter is not None:
            self.fragmenter.cut()

    def end(self) -> None:
        """Close the running part; its encoder must have been emptied before."""
        running, end_us = self.schedule.running, None
        if running is None:
            return
        self.release()
        if self.fragmenter is not None:
            self.fragmenter.close()
            end_us = self.fragmenter.end_us
            self._before = (self.origin_us, self.fragmenter.timescale, self.fragmenter.end)
        self.fragmenter = None
        self.schedule.ended()
        self._emit(child.PartEnded(track=self._track, part=running.number, end_us=end_us), b"")

    def forget_abandoned(self, mono_us: int) -> None:
        """A part that never began, and will not, is told as ended, empty."""
        while (gone := self.schedule.abandoned(mono_us)) is not None:
            self._emit(child.PartEnded(track=self._track, part=gone.number, end_us=None), b"")
