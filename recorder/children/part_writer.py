"""Opens, fills and ends the parts of one track: what every kind of track does alike."""

import av

from recorder.children.fragmenter import Emit, Fragmenter, PartPlan
from recorder.children.part import Schedule
from recorder.contract import child


class PartWriter:
    """The parts of one track. ``schedule`` says which runs; ``fragmenter`` takes its packets, at session times from ``origin_us``."""

    def __init__(self, track: str, label: str, emit: Emit, segment_us: int, fragment_us: int) -> None:
        self.schedule = Schedule(track)
        self.fragmenter: Fragmenter | None = None
        self.origin_us = 0
        self._track = track
        self._label = label
        self._emit = emit
        self._segment_us = segment_us
        self._fragment_us = fragment_us

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
        if template is not None:
            self.fragmenter = Fragmenter(plan, template, timescale, self._emit)

    def end(self) -> None:
        """Close the running part; its encoder must have been emptied before."""
        running, end_us = self.schedule.running, None
        if running is None:
            return
        if self.fragmenter is not None:
            self.fragmenter.close()
            end_us = self.fragmenter.end_us
        self.fragmenter = None
        self.schedule.ended()
        self._emit(child.PartEnded(track=self._track, part=running.number, end_us=end_us), b"")

    def forget_abandoned(self, mono_us: int) -> None:
        """A part that never began, and will not, is told as ended, empty."""
        while (gone := self.schedule.abandoned(mono_us)) is not None:
            self._emit(child.PartEnded(track=self._track, part=gone.number, end_us=None), b"")
