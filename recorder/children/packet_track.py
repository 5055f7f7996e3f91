"""A track of packets that are encoded already, cut into the recorder's fragments. Pure: packets and times in, messages out.

Time is what the packets say: a gap is a gap (the next fragment's time leaps), never filler. Sound inside a segment lies sample on
sample, so that jitter of its times is not heard; each segment begins at its true time again. Where packets hold more sound than their times
leave room for, by a fast sound card or because their sender says what is not so, their times count. A picture lasts until the next one.
"""

from dataclasses import dataclass, field, replace

from recorder.children.fmp4 import Avc3, Opus, Sample, fragment, header
from recorder.contract import h264
from recorder.contract.child import Fragment, Init, MediaKey, Message, PartEnded

SOUND_GAP_US = 40_000
"""Sound whose time lies so far behind the end of the sound before it is not its continuation; so far before that end, it is too long."""
MOST_LEAD_US = 400_000
"""Sound is ahead of its times by no more than that and one packet, however long its packets claim to be."""
KEY_FRAGMENT_US = 100_000
"""A keyframe begins no fragment sooner than so long after the one before it: each fragment is a line of the journal."""
PICTURE_GAP_US = 2_000_000
"""A picture lasts until the next, but no longer than this: then there was a gap."""
_OPUS_FRAME_US = (10_000, 20_000, 40_000, 60_000) * 3 + (10_000, 20_000) * 2 + (2_500, 5_000, 10_000, 20_000) * 4
"""RFC 6716, table 2, by the five configuration bits."""

Out = tuple[Message, bytes]


def opus_dur_us(packet: bytes) -> int:
    """How long an Opus packet lasts (RFC 6716, 3.1 and 3.2).

    Raises:
        ValueError: it is no Opus packet.

    """
    if not packet:
        raise ValueError("an empty Opus packet")
    code = packet[0] & 3
    frames = (1, 2, 2, 0)[code]
    if code == 3:
        if len(packet) < 2:
            raise ValueError("an Opus packet cut short")
        frames = packet[1] & 0x3F
    dur_us = frames * _OPUS_FRAME_US[packet[0] >> 3]
    if not 0 < dur_us <= 120_000:
        raise ValueError(f"an Opus packet of {dur_us} us")
    return dur_us


def can_begin(units: list[bytes]) -> bool:
    """Whether a part can begin with an access unit of these NAL units: a keyframe that brings its parameter sets."""
    return {h264.IDR, h264.SPS, h264.PPS} <= {h264.kind(unit) for unit in units}


@dataclass(slots=True)
class _Part:
    number: int
    from_us: int
    origin_us: int
    key: MediaKey | None
    codec: Opus | Avc3 | None = None
    samples: list[Sample] = field(default_factory=list)
    reach_us: list[int] = field(default_factory=list)
    """For each of the samples the last microsecond at which was captured what it holds."""
    t0: int = 0
    next_t: int = 0
    begun_us: int = 0
    held: tuple[list[bytes], int, int, bool] | None = None
    sequence: int = 0
    ivs: int = 0
    segment_us: int | None = None
    end_us: int | None = None


class PacketTrack:
    """One track.

    Args:
        track: its name.
        label: for the header's message.
        channels: of an Opus track; 0 for H.264.
        fragment_us: how long fragments are.
        segment_us: how long segments are, at least.
        at_once: no picture waits for the next: each is out as a fragment of its own, and lasts as long as it said.

    """

    def __init__(
        self, track: str, *, label: str = "", channels: int = 0, fragment_us: int = 450_000, segment_us: int = 60_000_000,
        at_once: bool = False,
    ) -> None:  # fmt: skip
        self.track = track
        self._label = label
        self._channels = channels
        self._fragment_us = fragment_us
        self._segment_us = segment_us
        self._at_once = at_once
        self._part: _Part | None = None

    @property
    def recording(self) -> bool:
        """Whether a part is running."""
        return self._part is not None

    def start(self, part: int, from_mono_us: int, origin_mono_us: int, key: MediaKey | None) -> None:
        """Record packets from this time on; pictures from the next keyframe."""
        self._part = _Part(part, from_mono_us, origin_mono_us, key)

    def add_sound(self, packet: bytes, mono_us: int, samples: int | None = None) -> list[Out]:
        """Take an Opus packet whose first sample was captured at ``mono_us``; of the last one of a part only ``samples`` may count.

        Raises:
            ValueError: it is no Opus packet.

        """
        dur = held = opus_dur_us(packet) * 48 // 1000 if samples is None else samples
        part = self._part
        if part is None or mono_us < part.from_us:
            return []
        out = []
        if part.codec is None:
            out += self._begin(part, Opus(self._channels))
        wanted = round((mono_us - part.origin_us) * 48 / 1000)
        if not part.samples and part.segment_us is None:
            part.next_t = max(0, wanted)
        elif wanted - part.next_t > SOUND_GAP_US * 48 // 1000:
            out += self._flush(part)
            part.next_t = wanted
        if part.next_t - part.t0 >= self._fragment_us * 48 // 1000:
            out += self._flush(part)
        if not part.samples and self._segment_is_over(part, mono_us):
            part.next_t = max(wanted, part.next_t)
        lead = part.next_t - wanted
        if lead > MOST_LEAD_US * 48 // 1000:
            dur = 1
        elif lead > SOUND_GAP_US * 48 // 1000:
            dur -= dur // 4  # little by little: each packet still has its place
        self._append(part, Sample([packet], dur, key=True), mono_us, mono_us + held * 1000 // 48 - 1)
        return out

    def add_picture(self, units: list[bytes], mono_us: int, dur_us: int) -> list[Out]:
        """Take an access unit's NAL units.

        Raises:
            H264Error: its parameter set is damaged.

        """
        part = self._part
        if part is None or mono_us < part.from_us:
            return []
        key = any(h264.kind(unit) == h264.IDR for unit in units)
        out = []
        if part.codec is None:
            if not can_begin(units):
                return []
            sps = next(unit for unit in units if h264.kind(unit) == h264.SPS)
            pps = next(unit for unit in units if h264.kind(unit) == h264.PPS)
            h264.picture_size(sps)
            out += self._begin(part, Avc3(sps, pps))
        out += self._release(part, mono_us)
        if part.samples and mono_us - part.begun_us >= (KEY_FRAGMENT_US if key else self._fragment_us):
            out += self._flush(part)
        part.held = (units, mono_us, dur_us, key)
        return out + self._release(part, None) if self._at_once else out

    def tick(self, now_mono_us: int) -> list[Out]:
        """Send what waits when nothing more comes."""
        part = self._part
        if part is None:
            return []
        out = []
        if part.held is not None and now_mono_us - part.held[1] > PICTURE_GAP_US:
            out += self._release(part, None)
        if part.samples and now_mono_us - part.begun_us > 2 * self._fragment_us:
            out += self._flush(part)
        return out

    def stop(self, at_mono_us: int | None = None, *, closed_us: int | None = None) -> list[Out]:
        """End the part (at this capture time, at which its last picture ends). Nothing captured from ``closed_us`` on is recorded.

        What was captured then may have been added before anybody knew that the part would end: the newest packet has never been sent yet.
        """
        part = self._part
        if part is None:
            return []
        if closed_us is not None:
            self._leave_out(part, closed_us)
        out = self._release(part, at_mono_us) + self._flush(part)
        self._part = None
        return [*out, (PartEnded(track=self.track, part=part.number, end_us=part.end_us), b"")]

    def wipe(self) -> list[Out]:
        """End the part without what has not been sent yet."""
        if self._part is not None:
            self._part.samples, self._part.reach_us, self._part.held = [], [], None
        return self.stop()

    def _begin(self, part: _Part, codec: Opus | Avc3) -> list[Out]:
        part.codec = codec
        if isinstance(codec, Avc3):
            size = h264.picture_size(codec.sps)
            init = Init(
                track=self.track, part=part.number, kind="video", codec="avc3", timescale=codec.timescale, width=size.width,
                height=size.height, label=self._label,
            )  # fmt: skip
        else:
            init = Init(
                track=self.track, part=part.number, kind="audio", codec="opus", timescale=codec.timescale, rate_hz=codec.timescale,
                channels=codec.channels, label=self._label,
            )  # fmt: skip
        return [(init, header(codec, part.key))]

    def _release(self, part: _Part, next_us: int | None) -> list[Out]:
        """Give the held picture its duration, now that the next one's time is known."""
        if part.held is None or part.codec is None:
            return []
        units, mono_us, dur_us, key = part.held
        part.held = None
        gap = next_us is None or next_us - mono_us > PICTURE_GAP_US
        end_us = mono_us + max(dur_us, 1_000) if gap or next_us is None else next_us
        start, end = (round((at_us - part.origin_us) * 9 / 100) for at_us in (mono_us, end_us))
        start = max(start, part.next_t)
        if not part.samples:
            part.next_t = start
        self._append(part, Sample(units, max(1, end - part.next_t), key=key), mono_us, mono_us)
        return self._flush(part) if gap else []

    def _append(self, part: _Part, sample: Sample, mono_us: int, reach_us: int) -> None:
        if not part.samples:
            part.t0, part.begun_us = part.next_t, mono_us
        part.samples.append(sample)
        part.reach_us.append(reach_us)
        part.next_t += sample.dur

    def _leave_out(self, part: _Part, closed_us: int) -> None:
        if part.held is not None and part.held[1] >= closed_us:
            part.held = None
        while part.samples and part.reach_us[-1] >= closed_us:
            part.reach_us.pop()
            part.next_t -= part.samples.pop().dur
        if part.samples and isinstance(part.codec, Avc3):  # its last picture was given the time until one that is left out now
            last = part.samples[-1]
            shorter = min(last.dur - 1, max(0, part.next_t - round((closed_us - part.origin_us) * 9 / 100)))
            part.samples[-1] = replace(last, dur=last.dur - shorter)
            part.next_t -= shorter

    def _segment_is_over(self, part: _Part, mono_us: int) -> bool:
        return part.segment_us is None or mono_us - part.segment_us >= self._segment_us

    def _flush(self, part: _Part) -> list[Out]:
        if not part.samples or part.codec is None:
            return []
        timescale = part.codec.timescale
        key = part.samples[0].key
        new_segment = key and self._segment_is_over(part, part.begun_us)
        if new_segment:
            part.segment_us = part.begun_us
        part.sequence += 1
        body = fragment(part.codec, part.samples, part.t0, part.sequence, part.ivs, part.key)
        message = Fragment(
            track=self.track, part=part.number, t0=part.t0, dur=part.next_t - part.t0, timescale=timescale, key=key,
            new_segment=new_segment,
        )  # fmt: skip
        part.ivs += len(part.samples)
        part.samples, part.reach_us = [], []
        part.end_us = part.next_t * 1_000_000 // timescale
        return [(message, body)]
