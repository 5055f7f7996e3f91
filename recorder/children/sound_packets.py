"""Sound that a device delivers encoded (Opus, AAC): recorded untouched, packet by packet."""

from typing import Any

from drivers.capabilities import AudioFormat, Encoded
from recorder.children.bus_server import BusServer
from recorder.children.fragmenter import Emit, Fragmenter, PartPlan
from recorder.children.part import Schedule
from recorder.children.preroll import Preroll
from recorder.contract import bus, child

_LOST_US = 60_000
"""A hole between two packets' times beyond a packet's own length and jitter is a loss."""


class SoundPacketTrack:
    """One encoded sound stream; parts begin and end at packets."""

    def __init__(self, name: str, label: str, form: AudioFormat, server: BusServer, emit: Emit, segment_us: int, fragment_us: int) -> None:
        self.name = name
        self.units = 0
        self.dropped = 0
        self.last_us = 0
        self.schedule = Schedule(name)
        self.preroll = Preroll()
        self._label = label
        self._form = form
        self._emit = emit
        self._segment_us = segment_us
        self._fragment_us = fragment_us
        self._fragmenter: Fragmenter | None = None
        self._origin_us = 0
        self._end_device_us: int | None = None
        self._stream = server.stream(bus.Hello(stream=name, kind="audio", codec=form.codec, rate_hz=form.rate_hz, channels=form.channels))

    def start(self, message: child.StartPart) -> None:
        """Plan a part. Encoded sound has no pre-roll of its own."""
        self.schedule.start(message)

    def add_encoded(self, encoded: Encoded, mono_us: int) -> None:
        """Take a packet."""
        packet = encoded.packet
        dur_us = round((packet.duration or 0) * packet.time_base * 1_000_000) if packet.time_base else 0
        self.units += dur_us * self._form.rate_hz // 1_000_000
        if self._end_device_us is not None and encoded.device_us - self._end_device_us > _LOST_US:
            self.dropped += (encoded.device_us - self._end_device_us) * self._form.rate_hz // 1_000_000
            if self._fragmenter is not None:
                self._fragmenter.cut()
        self._end_device_us = encoded.device_us + dur_us
        self.last_us = mono_us + dur_us
        if self._stream.watched:
            self._stream.publish(mono_us, dur_us, key=True, data=bytes(packet))
        self._record(packet, mono_us, dur_us)

    def expire(self, mono_us: int) -> None:
        """Close what should have ended before now."""
        if self.schedule.ends_before(mono_us):
            self.finish()
        gone = self.schedule.abandoned(mono_us)
        if gone is not None:
            self._emit(child.PartEnded(track=self.name, part=gone.number, end_us=None), b"")

    def wipe(self) -> None:
        """Nothing is held back here; what was recorded until now is closed."""
        self._end_device_us = None
        self.finish()

    def _record(self, packet: Any, mono_us: int, dur_us: int) -> None:  # noqa: ANN401 - av.Packet
        # A packet that reaches behind the end holds sound from after it: it is not recorded.
        if self.schedule.stopped_by(mono_us + dur_us - 1):
            self.finish()
        self.expire(mono_us)
        if self.schedule.begins_with(mono_us):
            planned = self.schedule.begin()
            self._origin_us = planned.origin_us
            plan = PartPlan(
                track=self.name,
                part=planned.number,
                key=planned.key,
                label=self._label,
                segment_us=self._segment_us,
                fragment_us=self._fragment_us,
            )
            if self._form.template is not None:
                self._fragmenter = Fragmenter(plan, self._form.template, self._form.rate_hz, self._emit)
        if self._fragmenter is not None and packet.pts is not None:
            packet.is_keyframe = True
            self._fragmenter.mux(packet, mono_us - self._origin_us)

    def finish(self) -> None:
        """Close the running part with what was captured for it."""
        running, end_us = self.schedule.running, None
        if running is None:
            return
        if self._fragmenter is not None:
            self._fragmenter.close()
            end_us = self._fragmenter.end_us
        self._fragmenter = None
        self.schedule.ended()
        self._emit(child.PartEnded(track=self.name, part=running.number, end_us=end_us), b"")
