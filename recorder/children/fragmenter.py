"""Makes a part of a track: packets in, a CMAF header and fragments on the session clock out.

FFmpeg's muxer writes one stream a part, encrypted where the part has a key; it is cut into fragments here. A new segment begins with the
first random access point after ``segment_us``, and there the media's time is set anew to the device's fitted session time: within a segment
samples lie sample on sample, between segments the device's drift shows, and nothing is dropped or stretched.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av

from recorder.children.boxes import Cutter, read_fragment, with_decode_time
from recorder.contract import child

MOVFLAGS = "empty_moov+default_base_moof+skip_trailer+cmaf+frag_discont+frag_keyframe"
KEYS_APART_US = 30_000
"""A keyframe that a camera sends begins a fragment only if the one before it is so long: a fragment is a line of the journal, and a camera
that sends keyframes alone, sixty a second, would write more of them than a child may (``child_limits``)."""
BASE_S = 1
"""The muxer's own clock starts here: a packet before its zero (Opus' pre-skip) would wrap the 64-bit time."""

Emit = Callable[[child.Message, bytes], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartPlan:
    """What a part is: its number, key, and what its header says of the track."""

    track: str
    part: int
    key: child.MediaKey | None
    label: str = ""
    segment_us: int = 60_000_000
    fragment_us: int = 450_000


class _Sink:
    """What the muxer writes to: it can only append."""

    def __init__(self, take: Callable[[bytes], None]) -> None:
        self._take = take

    def write(self, data: bytes) -> int:
        """Take the muxer's bytes."""
        self._take(bytes(data))
        return len(data)


class Fragmenter:
    """One part of one track.

    ``template`` is the demuxer's or encoder's stream; its packets go to ``mux`` with the session time of their start. ``behind`` is where
    the track's part before ended, in the timescale: media that begins there but for rounding begins there.
    """

    def __init__(self, plan: PartPlan, template: "av.VideoStream | av.AudioStream", timescale: int, emit: Emit, *, behind: int = 0) -> None:
        self._plan = plan
        self._emit = emit
        self.timescale = timescale
        self._cutter = Cutter()
        self._session_us: list[tuple[int, int]] = []
        """For each random access point muxed and not yet in a finished fragment: its muxer time, and its session time."""
        self._base: int | None = None
        self._delay = 0
        self._shift = 0
        self._segment_start: int | None = None
        self._earliest = 0
        """No fragment begins before the one before it; one after a cut not before that one's end, even if the device dates it so."""
        self.end = behind
        """Where the newest fragment ends, in the timescale."""
        self.end_us: int | None = None
        options = {
            "movflags": MOVFLAGS,
            "frag_duration": str(plan.fragment_us),
            "flush_packets": "1",
            "use_editlist": "0",
            "video_track_timescale": str(timescale),
            "min_frag_duration": str(_shortest_us(plan, template)),
        }
        if plan.key is not None:
            options |= {
                "encryption_scheme": "cenc-aes-ctr",
                "encryption_key": plan.key.key.hex(),
                "encryption_kid": plan.key.kid.hex(),
            }
        self._options = options
        self._template = template
        self._described = _describe(plan, template, timescale)
        self._header: bytes | None = None
        self._open()

    def mux(self, packet: "av.Packet[Any]", session_us: int) -> None:
        """Add a packet; ``session_us`` is the session time of its presentation. The packet is used up."""
        packet.time_base = packet.time_base or Fraction(1, self.timescale)
        pts = _rescaled(packet.pts, packet.time_base, self.timescale)
        dts = _rescaled(packet.dts if packet.dts is not None else packet.pts, packet.time_base, self.timescale)
        if self._base is None:
            self._base, self._delay = BASE_S * self.timescale - dts, pts - dts
        duration = _rescaled(packet.duration or 0, packet.time_base, self.timescale)
        packet.time_base = Fraction(1, self.timescale)
        packet.pts, packet.dts, packet.duration = pts + self._base, dts + self._base, duration
        if packet.is_keyframe:
            # CMAF's negative composition offsets: the muxer adds the first picture's reordering delay to all decode times.
            ahead = pts - dts - self._delay
            self._session_us.append((packet.dts + self._delay, session_us - ahead * 1_000_000 // self.timescale))
        packet.stream = self._stream
        self._container.mux(packet)

    def cut(self) -> None:
        """The device lost media here: what came before is written, and the next packet begins a new segment at its own session time."""
        self._container.close()
        self._earliest = self.end
        self._base, self._shift, self._segment_start = None, 0, None
        self._session_us.clear()
        self._open()

    def _open(self) -> None:
        self._container = av.open(_Sink(self._written), "w", format="mp4", options=self._options)
        self._stream: Any = self._container.add_stream_from_template(self._template)
        self._stream.time_base = Fraction(1, self.timescale)
        self._container.start_encoding()

    def close(self) -> None:
        """Write what is left."""
        self._container.close()

    def _written(self, data: bytes) -> None:
        for is_header, piece in self._cutter.feed(data):
            if is_header:
                if self._header is None:
                    self._header = piece
                    self._emit(self._described, piece)
            else:
                self._fragment(piece)

    def _fragment(self, piece: bytes) -> None:
        info = read_fragment(piece)
        fitted_us = self._fitted(info.decode_time)
        new_segment = self._segment_start is None
        if info.key and fitted_us is not None and self._segment_start is not None:
            long_us = (info.decode_time - self._segment_start) * 1_000_000 // self.timescale
            new_segment = long_us >= self._plan.segment_us
        if new_segment:
            self._segment_start = info.decode_time
            if fitted_us is not None:
                self._shift = max(self._earliest, self._begin(fitted_us)) - info.decode_time
        start = max(self._earliest, info.decode_time + self._shift)
        self._earliest, self.end = start, start + info.duration
        self.end_us = self.end * 1_000_000 // self.timescale
        self._emit(
            child.Fragment(
                track=self._plan.track,
                part=self._plan.part,
                t0=start,
                dur=info.duration,
                timescale=self.timescale,
                key=info.key,
                new_segment=new_segment,
            ),
            with_decode_time(piece, start),
        )

    def _begin(self, session_us: int) -> int:
        """Where media of this session time begins: microseconds fall between ticks, and media that follows on may miss by one."""
        wanted = session_us * self.timescale // 1_000_000
        return self.end if abs(wanted - self.end) <= 1 else wanted

    def _fitted(self, decode_time: int) -> int | None:
        """Session time of the random access point that a fragment begins with; forgets those before it."""
        found = None
        while self._session_us and self._session_us[0][0] <= decode_time:
            at, session_us = self._session_us.pop(0)
            if at == decode_time:
                found = session_us
        return found


def _shortest_us(plan: PartPlan, template: "av.VideoStream | av.AudioStream") -> int:
    """How long a fragment is before a keyframe ends it.

    Of motion JPEG each picture is one, so that any fragment begins with one. What is encoded here has keyframes where they were asked for.
    """
    if not isinstance(template, av.VideoStream):
        return 0
    if template.codec_context.codec.intra_only:
        return plan.fragment_us
    return 0 if template.codec_context.is_encoder else KEYS_APART_US


def _describe(plan: PartPlan, template: "av.VideoStream | av.AudioStream", timescale: int) -> child.Init:
    codec = template.codec_context.name
    codec = {"libx264": "h264", "libopus": "opus"}.get(codec, codec.removeprefix("h264_") if codec.startswith("h264_") else codec)
    if isinstance(template, av.VideoStream):
        return child.Init(
            track=plan.track,
            part=plan.part,
            kind="video",
            codec="h264" if template.codec_context.codec.name.startswith("h264_") else codec,
            timescale=timescale,
            width=template.codec_context.width,
            height=template.codec_context.height,
            label=plan.label,
        )
    return child.Init(
        track=plan.track,
        part=plan.part,
        kind="audio",
        codec=codec,
        timescale=timescale,
        rate_hz=template.codec_context.sample_rate,
        channels=template.codec_context.channels,
        label=plan.label,
    )


def _rescaled(value: int | None, time_base: Fraction, timescale: int) -> int:
    return 0 if value is None else round(value * time_base * timescale)
