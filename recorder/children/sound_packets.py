"""Sound that a device delivers encoded (Opus, AAC): recorded untouched, packet by packet."""

from typing import Any

import av

from drivers.capabilities import AudioFormat, Encoded
from recorder.children.bus_server import BusServer
from recorder.children.fragmenter import Emit
from recorder.children.part_writer import PartWriter
from recorder.children.preroll import Preroll
from recorder.contract import bus, child

_LOST_US = 60_000
"""A hole between two packets' times beyond a packet's own length and jitter is a loss."""
_BACK_US = 5_000
"""A packet that lies so far before the end of the one before it was dated anew: FFmpeg lays both streams of a camera on its wall clock
when the first sender report has come."""


class SoundPacketTrack:
    """One encoded sound stream; parts begin and end at packets."""

    def __init__(self, name: str, label: str, form: AudioFormat, server: BusServer, emit: Emit, segment_us: int, fragment_us: int) -> None:
        self.name = name
        self.units = 0
        self.dropped = 0
        self.last_us = 0
        self.preroll = Preroll()
        self._form = form
        self._parts = PartWriter(name, label, emit, segment_us, fragment_us)
        self.schedule = self._parts.schedule
        self._end_device_us: int | None = None
        self._stream = server.stream(bus.Hello(stream=name, kind="audio", codec=form.codec, rate_hz=form.rate_hz, channels=form.channels))

    def start(self, message: child.StartPart) -> None:
        """Plan a part; what the pre-roll holds of it is recorded at once."""
        planned = self.schedule.start(message)
        if planned is None or self.schedule.running is not None:
            return
        for item in self.preroll.take(planned.from_us):
            packet: av.Packet[Any] = av.Packet(item.data)
            packet.pts, packet.dts, packet.time_base, packet.duration = item.meta[:4]
            self._record(packet, item.mono_us, item.meta[4])

    def add_encoded(self, encoded: Encoded, mono_us: int) -> None:
        """Take a packet."""
        packet = encoded.packet
        dur_us = round((packet.duration or 0) * packet.time_base * 1_000_000) if packet.time_base else 0
        self.units += dur_us * self._form.rate_hz // 1_000_000
        leap_us = 0 if self._end_device_us is None else encoded.device_us - self._end_device_us
        if not -_BACK_US <= leap_us <= _LOST_US:
            self.dropped += max(0, leap_us) * self._form.rate_hz // 1_000_000
            self._parts.cut()
        self._end_device_us = encoded.device_us + dur_us
        self.last_us = mono_us + dur_us
        if self._stream.watched:
            self._stream.publish(mono_us, dur_us, key=True, data=bytes(packet))
        if self.preroll.armed and self.schedule.running is None:
            meta = (packet.pts, packet.dts, packet.time_base, packet.duration, dur_us)
            self.preroll.put(mono_us, key=True, data=bytes(packet), meta=meta)
        self._record(packet, mono_us, dur_us)

    def expire(self, mono_us: int) -> None:
        """Close what should have ended before now."""
        if self.schedule.ends_before(mono_us):
            self.finish()
        self._parts.forget_abandoned(mono_us)

    def release(self, until_us: int) -> None:
        """Record the packet that waits for the next one, if it was captured until this time."""
        self._parts.release(until_us)

    def wipe(self) -> None:
        """Forget all that is held back; what was recorded until now is closed."""
        self.preroll.arm(0)
        self._end_device_us = None
        self.finish()

    def _record(self, packet: Any, mono_us: int, dur_us: int) -> None:  # noqa: ANN401 - av.Packet
        # A packet that reaches behind the end holds sound from after it: it is not recorded.
        if self.schedule.stopped_by(mono_us + dur_us - 1):
            self.finish()
        self.expire(mono_us)
        if self.schedule.begins_with(mono_us):
            self._parts.begin(self._form.template, self._form.rate_hz)
        if self._parts.fragmenter is not None and packet.pts is not None:
            packet.is_keyframe = True
            self._parts.put(packet, mono_us, dur_us)

    def finish(self) -> None:
        """Close the running part with what was captured for it."""
        self._parts.end()
