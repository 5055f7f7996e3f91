"""A track of sound that this child encodes to Opus: recorded from and up to the very sample that the core says.

The encoder lives only while a part runs and begins anew with each, and after each gap, so that no sound of before is in a packet of after.
"""

import av
import numpy as np
import numpy.typing as npt

from recorder.children.packet_track import Out, PacketTrack
from recorder.children.part import Schedule
from recorder.contract.child import Message, PartEnded, StartPart, StopPart

RATE_HZ = 48_000
BLOCK = 960
LOOKAHEAD = 312
"""libopus' delay: what a packet decodes to lies so many samples before what went in with it."""
LATE_US = 400_000
"""After ``StopPart``, sound from before its time is still taken for so long."""
GAP_US = 40_000


class OpusEncoder:
    """libopus at 48 kHz, one channel, 20 ms a packet."""

    def __init__(self, bitrate_bps: int) -> None:
        codec = av.CodecContext.create("libopus", "w")
        assert isinstance(codec, av.AudioCodecContext)
        codec.sample_rate, codec.layout, codec.format, codec.bit_rate = RATE_HZ, "mono", "s16", bitrate_bps
        self._codec = codec
        self._fed = 0

    def encode(self, block: npt.NDArray[np.int16]) -> list[bytes]:
        """Encode ``BLOCK`` samples to a packet."""
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block).reshape(1, -1), "s16", "mono")
        frame.sample_rate, frame.pts = RATE_HZ, self._fed
        self._fed += len(block)
        return [bytes(packet) for packet in self._codec.encode(frame)]


class OpusTrack:
    """Records blocks of samples as one track.

    Args:
        track: its name.
        label: for the header's message.
        bitrate_bps: Opus' target.
        fragment_us: how long fragments are.
        segment_us: how long segments are, at least.

    """

    def __init__(self, track: str, label: str, bitrate_bps: int, fragment_us: int, segment_us: int) -> None:
        self._schedule = Schedule(track)
        self._recorded = PacketTrack(track, label=label, channels=1, fragment_us=fragment_us, segment_us=segment_us)
        self._bitrate_bps = bitrate_bps
        self._encoder: OpusEncoder | None = None
        self._pending: npt.NDArray[np.int16] = np.zeros(0, np.int16)
        self._pending_us = 0

    def obey(self, message: Message) -> None:
        """Take a message of the core: a part is to begin (one that still runs ends there), or to end."""
        match message:
            case StartPart():
                self._schedule.start(message)
            case StopPart():
                self._schedule.stop(message.at_mono_us)
            case _:
                pass  # there is no picture and no pre-roll here

    def add(self, samples: npt.NDArray[np.int16], mono_us: int) -> list[Out]:
        """Take samples whose first was captured (or played) at ``mono_us``."""
        out: list[Out] = []
        while len(samples):
            out += self._end_what_ended(mono_us)
            if self._schedule.begins_with(mono_us):
                part = self._schedule.begin()
                self._recorded.start(part.number, part.from_us - LOOKAHEAD * 1_000_000 // RATE_HZ, part.origin_us, part.key)
            cut = self._schedule.samples_to_edge(mono_us, len(samples), RATE_HZ)
            if self._recorded.recording:
                out += self._take(samples[:cut], mono_us)
            samples = samples[cut:]
            mono_us += -(-cut * 1_000_000 // RATE_HZ)
        return out + self._end_what_ended(mono_us)

    def tick(self, now_us: int) -> list[Out]:
        """End what was to end, and send what waits."""
        return self._end_what_ended(now_us - LATE_US) + self._recorded.tick(now_us)

    def mute(self) -> list[Out]:
        """Drop all sound at once. A part that was to end already ends with what it has."""
        running = self._schedule.running
        if running is not None and running.stop_us is None:
            self._encoder, self._pending = None, self._pending[:0]
            self._schedule.ended()
            return self._recorded.wipe()
        return self.finish()

    def finish(self) -> list[Out]:
        """End the part that runs with what there is."""
        if self._schedule.running is None:
            return []
        self._schedule.ended()
        return self._drain() + self._recorded.stop()

    def _end_what_ended(self, mono_us: int) -> list[Out]:
        """End the part that ends before what is captured at this time; name those that never began."""
        out = self.finish() if self._schedule.ends_before(mono_us) else []
        while (gone := self._schedule.abandoned(mono_us)) is not None:
            out.append((PartEnded(track=self._recorded.track, part=gone.number, end_us=None), b""))
        return out

    def _take(self, samples: npt.NDArray[np.int16], mono_us: int) -> list[Out]:
        out = []
        expected_us = self._pending_us + len(self._pending) * 1_000_000 // RATE_HZ
        if self._encoder is None or abs(mono_us - expected_us) > GAP_US:
            out += self._drain()
            self._encoder = OpusEncoder(self._bitrate_bps)
        self._pending_us = mono_us - len(self._pending) * 1_000_000 // RATE_HZ
        self._pending = np.concatenate([self._pending, samples])
        while len(self._pending) >= BLOCK:
            out += self._encode(self._encoder, self._pending[:BLOCK], BLOCK)
            self._pending = self._pending[BLOCK:]
        return out

    def _encode(self, encoder: OpusEncoder, block: npt.NDArray[np.int16], count: int) -> list[Out]:
        out = []
        for packet in encoder.encode(block):
            out += self._recorded.add_sound(packet, self._pending_us - LOOKAHEAD * 1_000_000 // RATE_HZ, count)
            self._pending_us += BLOCK * 1_000_000 // RATE_HZ
        return out

    def _drain(self) -> list[Out]:
        """Bring what the encoder still holds into packets: the rest of the samples and its own delay, filled up with silence."""
        encoder, self._encoder = self._encoder, None
        rest, self._pending = self._pending, self._pending[:0]
        if encoder is None:
            return []
        left = len(rest) + LOOKAHEAD
        padded = np.concatenate([rest, np.zeros(2 * BLOCK, np.int16)])
        out = []
        for start in range(0, left, BLOCK):
            out += self._encode(encoder, padded[start : start + BLOCK], min(BLOCK, left - start))
        return out
