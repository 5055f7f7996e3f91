"""One channel of samples: its meter, its stream on the bus, its pre-roll, and its parts as FLAC, cut to the sample."""

from collections import deque
from typing import Any

import numpy as np

from drivers.capabilities import Samples
from recorder.children.bus_server import BusServer
from recorder.children.encoder import SoundEncoder
from recorder.children.fragmenter import Emit
from recorder.children.meter import Meter
from recorder.children.part_writer import PartWriter
from recorder.children.pcm_stream import PcmStream
from recorder.children.preroll import Preroll
from recorder.contract import child

HELD_US = 50_000
"""Samples wait so long before they are recorded: an order that says "now" takes a while to arrive, and is kept to the sample."""


class AudioTrack:
    """One channel."""

    def __init__(
        self, name: str, label: str, rate_hz: int, bits: int, server: BusServer, emit: Emit, segment_us: int, fragment_us: int
    ) -> None:
        self.name = name
        self.meter = Meter(bits)
        self.units = 0
        self.dropped = 0
        self.last_us = 0
        self.preroll = Preroll()
        self._rate_hz = rate_hz
        self._bits = bits
        self._parts = PartWriter(name, label, emit, segment_us, fragment_us)
        self.schedule = self._parts.schedule
        self._held: deque[tuple[Samples, int, int]] = deque()
        """Blocks that wait: samples, capture time of the first, and how many were lost before it."""
        self._encoder: SoundEncoder | None = None
        self._stamps: list[tuple[int, int]] = []
        """For samples given to the encoder: their number in the encoder's count, and their session time."""
        self._given = 0
        self._pcm = PcmStream(name, rate_hz, bits, server)

    def start(self, message: child.StartPart) -> None:
        """Plan a part; what the pre-roll holds of it is recorded at once."""
        planned = self.schedule.start(message)
        if planned is None or self.schedule.running is not None:
            return
        for item in self.preroll.take(planned.from_us):
            held: Samples = np.frombuffer(item.data, np.int16) if self._bits == 16 else np.frombuffer(item.data, np.int32)
            self._record(held, item.mono_us)

    def add(self, samples: Samples, mono_us: int, lost: int) -> None:
        """Take the samples captured from ``mono_us`` on; ``lost`` samples before them were lost at the device."""
        self.units += len(samples)
        self.dropped += lost
        self.last_us = mono_us + len(samples) * 1_000_000 // self._rate_hz
        self.meter.add(samples)
        self._pcm.add(samples, mono_us)
        self._held.append((samples, mono_us, lost))
        self.release(self.last_us - HELD_US)

    def expire(self, mono_us: int) -> None:
        """Close what should have ended before now although the device gave nothing."""
        if self.schedule.ends_before(mono_us):
            self.release(None)
            if self.schedule.ends_before(mono_us):
                self._finish()
        self._parts.forget_abandoned(mono_us)

    def wipe(self) -> None:
        """Forget all that is held back; what was recorded until now is closed."""
        self.finish()
        self.preroll.arm(0)
        self._held.clear()
        self._pcm.clear()

    def finish(self) -> None:
        """Close the running part with what was captured for it."""
        if self.schedule.running is not None:
            self.release(None)
        self._finish()

    def release(self, until_us: int | None) -> None:
        """Record the blocks that were captured until this time (all of them: None)."""
        while self._held:
            samples, mono_us, lost = self._held[0]
            if until_us is not None and mono_us + len(samples) * 1_000_000 // self._rate_hz > until_us:
                return
            self._held.popleft()
            if self.preroll.armed and self.schedule.running is None:
                self.preroll.put(mono_us, key=True, data=np.ascontiguousarray(samples).tobytes(), meta=None)
            if lost and self._parts.fragmenter is not None:
                self._restart()
            self._record(samples, mono_us)

    def _record(self, samples: Samples, mono_us: int) -> None:
        """Give samples to the running part; parts begin and end at the sample."""
        while len(samples):
            if self.schedule.ends_before(mono_us):
                self._finish()
            self._parts.forget_abandoned(mono_us)
            if self.schedule.begins_with(mono_us):
                self._begin()
            cut = self.schedule.samples_to_edge(mono_us, len(samples), self._rate_hz)
            if self.schedule.running is not None:
                self._encode(samples[:cut], mono_us)
            samples = samples[cut:]
            mono_us += -(-cut * 1_000_000 // self._rate_hz)

    def _begin(self) -> None:
        self._encoder = SoundEncoder(self._rate_hz, self._bits)
        self._parts.begin(self._encoder.stream, self._rate_hz)
        self._stamps, self._given = [], 0

    def _encode(self, samples: Samples, mono_us: int) -> None:
        if self._encoder is None:
            return
        self._stamps.append((self._given, mono_us - self._parts.origin_us))
        self._given += len(samples)
        self._mux(self._encoder.encode(samples))

    def _mux(self, packets: list[Any]) -> None:
        if self._parts.fragmenter is None:
            return
        for packet in packets:
            if packet.pts is None or not packet.size:
                continue
            while len(self._stamps) > 1 and self._stamps[1][0] <= packet.pts:
                self._stamps.pop(0)
            at, session_us = self._stamps[0]
            packet.is_keyframe = True
            self._parts.fragmenter.mux(packet, session_us + (packet.pts - at) * 1_000_000 // self._rate_hz)

    def _restart(self) -> None:
        """The device lost samples: what came before is closed, and a new segment begins at its own time."""
        if self._encoder is None or self._parts.fragmenter is None:
            return
        self._mux(self._encoder.flush())
        self._parts.cut()
        self._encoder = SoundEncoder(self._rate_hz, self._bits)
        self._stamps, self._given = [], 0

    def _finish(self) -> None:
        if self._encoder is not None:
            self._mux(self._encoder.flush())
        self._encoder = None
        self._parts.end()
