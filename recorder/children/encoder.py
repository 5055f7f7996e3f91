"""Encoders: H.264 for raw cameras (in hardware where a trial proves it), and FLAC for microphone channels.

An encoder lives in a container of its own that writes nowhere, so that its stream can stand as the template of any number of parts.
"""

import functools
from fractions import Fraction
from typing import Any

import av
import numpy as np

HARDWARE = ("h264_qsv", "h264_nvenc", "h264_v4l2m2m")
VIDEO_HZ = 90_000
FLAC_BLOCK = 2400
"""50 ms at 48 kHz: FLAC's own 4,608 would hold a tenth of a second back; this costs 0.2% in size."""
_TRIAL_FRAMES = 10
_TRIAL_SIZE = (320, 192)
_GLOBAL_HEADER = 0x00400000


Encoded = tuple["av.Packet[Any]", int]
"""A packet, and when its picture was captured (microseconds of CLOCK_MONOTONIC; the packet's own time is the same in 1/90,000 s)."""


LOW, SMALL = (1280, 720), (480, 270)
"""The most that a picture of the low and of the small rung has in width and height."""
SMALL_BPS = 250_000


def low_size(width: int, height: int) -> tuple[int, int]:
    """The low rung's size of a picture: even, of the same shape."""
    return fitted(width, height, LOW)


def fitted(width: int, height: int, most: tuple[int, int]) -> tuple[int, int]:
    """A size of the same shape and even, that is nowhere larger than ``most``."""
    share = min(Fraction(1), Fraction(most[0], width), Fraction(most[1], height))
    return int(width * share) // 2 * 2, int(height * share) // 2 * 2


class _Nowhere:
    def write(self, data: bytes) -> int:
        """Take and forget."""
        return len(data)


class PictureEncoder:
    """H.264, at most one frame inside; a group of pictures begins with an IDR picture, on request at once."""

    def __init__(self, width: int, height: int, rate: Fraction, *, codec: str, options: dict[str, Any], low: bool = False) -> None:
        self.codec = codec
        self._container = av.open(_Nowhere(), "w", format="null")
        settings = _settings(codec, rate, options, low=low)
        stream = self._container.add_stream(codec, rate=rate, options=settings)
        if not isinstance(stream, av.VideoStream):
            raise TypeError(codec)
        self.stream = stream
        context = stream.codec_context
        self._format = _pixel_format(codec)
        context.width, context.height, context.pix_fmt = width, height, self._format
        context.time_base = Fraction(1, VIDEO_HZ)
        context.thread_count = 1
        if low:
            context.bit_rate = options.get("low_bitrate_bps", 1_200_000)
        context.flags |= _GLOBAL_HEADER
        self._container.start_encoding()
        self._key_wanted = True
        self.size = (width, height)
        self._inside: dict[int, int] = {}

    def request_key(self) -> None:
        """Make the next picture an IDR picture."""
        self._key_wanted = True

    def encode(self, frame: av.VideoFrame, mono_us: int) -> list["Encoded"]:
        """Encode a picture captured at ``mono_us``; returns what comes out, packets with their capture times."""
        if (frame.width, frame.height) != self.size or frame.format.name != self._format:
            frame = frame.reformat(*self.size, self._format)
        frame.pts = mono_us * 9 // 100
        self._inside[frame.pts] = mono_us
        frame.time_base = Fraction(1, VIDEO_HZ)
        wanted, self._key_wanted = self._key_wanted, False
        frame.pict_type = av.video.frame.PictureType.I if wanted else av.video.frame.PictureType.NONE
        return self._timed(self.stream.encode(frame))

    def flush(self) -> list["Encoded"]:
        """What is left inside; the encoder is used up."""
        return self._timed(self.stream.encode(None))

    def _timed(self, packets: "list[av.Packet[Any]]") -> list["Encoded"]:
        return [(packet, self._inside.pop(packet.pts)) for packet in packets if packet.pts is not None]


class SoundEncoder:
    """FLAC, one channel, 16 or 24 bits. Blocks go in at any length; packets come out for each 2,400 samples, the last one shorter."""

    def __init__(self, rate_hz: int, bits: int) -> None:
        self._rate_hz = rate_hz
        self._container = av.open(_Nowhere(), "w", format="null")
        stream = self._container.add_stream("flac", rate=rate_hz, layout="mono", options={"frame_size": str(FLAC_BLOCK)})
        if not isinstance(stream, av.AudioStream):
            raise TypeError("flac")
        self.stream = stream
        self._format = "s16" if bits == 16 else "s32"
        context = stream.codec_context
        context.format = self._format
        context.flags |= _GLOBAL_HEADER
        self._container.start_encoding()
        self._held: list[Any] = []
        self._held_samples = 0
        self._pts = 0

    def encode(self, samples: Any) -> list["av.Packet[Any]"]:  # noqa: ANN401 - int16 or int32, one dimension
        """Add samples; returns the packets that are complete, their times in samples from the first."""
        self._held.append(samples)
        self._held_samples += len(samples)
        packets: list[av.Packet[Any]] = []
        if self._held_samples < FLAC_BLOCK:
            return packets
        joined = np.concatenate(self._held)
        while len(joined) >= FLAC_BLOCK:
            packets += self._encode(joined[:FLAC_BLOCK])
            joined = joined[FLAC_BLOCK:]
        self._held, self._held_samples = ([joined] if len(joined) else []), len(joined)
        return packets

    def flush(self) -> list["av.Packet[Any]"]:
        """The rest, to the last sample; the encoder is used up."""
        packets = self._encode(np.concatenate(self._held)) if self._held_samples else []
        self._held, self._held_samples = [], 0
        return [*packets, *self.stream.encode(None)]

    def _encode(self, samples: Any) -> list["av.Packet[Any]"]:  # noqa: ANN401
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples).reshape(1, -1), format=self._format, layout="mono")
        frame.sample_rate = self._rate_hz
        frame.pts = self._pts
        frame.time_base = Fraction(1, self._rate_hz)
        self._pts += len(samples)
        return list(self.stream.encode(frame))


@functools.cache
def choose_h264(wanted: str) -> tuple[str, str]:
    """The H.264 encoder to use, and in words why: a hardware encoder only where a trial of ten frames decoded right."""
    if wanted == "libx264":
        return wanted, "libx264, as configured"
    problems = []
    for name in HARDWARE if wanted == "auto" else [wanted]:
        problem = _trial(name)
        if problem is None:
            return name, f"{name}: a trial encode decoded right"
        problems.append(f"{name}: {problem}")
    return "libx264", f"libx264: no hardware encoder works here ({'; '.join(problems)})"


def _trial(name: str) -> str | None:
    """Encode ten pictures, decode them, and compare; returns what is wrong, in FFmpeg's own words where it has any."""
    av.logging.set_level(av.logging.ERROR)
    try:
        with av.logging.Capture(local=False) as told:
            problem = _compare(name)
    finally:
        av.logging.set_level(None)
    words = next((text.strip() for level, _, text in told if level <= av.logging.ERROR and text.strip()), None)
    return problem and (words or problem)


def _compare(name: str) -> str | None:
    width, height = _TRIAL_SIZE
    try:
        encoder = PictureEncoder(width, height, Fraction(25), codec=name, options={})
        decoder = av.CodecContext.create("h264", "r")
        if encoder.stream.codec_context.extradata:
            decoder.extradata = encoder.stream.codec_context.extradata
        sent, got = [], []
        packets = []
        for index in range(_TRIAL_FRAMES):
            luma = np.full((height, width), 40 + 15 * index, np.uint8)
            picture = np.concatenate([luma, np.full((height // 2, width), 128, np.uint8)])
            sent.append(int(luma[0, 0]))
            packets += encoder.encode(av.VideoFrame.from_ndarray(picture, format="yuv420p"), index * 40_000)
        packets += encoder.flush()
        for packet in [*(packet for packet, _ in packets), None]:
            got += [int(frame.to_ndarray(format="gray").mean()) for frame in decoder.decode(packet)]
    except (av.FFmpegError, OSError, ValueError) as error:
        return str(error)
    if len(got) != len(sent) or any(abs(a - b) > 6 for a, b in zip(sent, got, strict=True)):
        return "the trial did not decode to what was encoded"
    return None


def _pixel_format(codec: str) -> str:
    """``yuv420p``, or what the encoder takes in its place (QSV: ``nv12``)."""
    taken = [form.name for form in av.Codec(codec, "w").video_formats or []]
    return "yuv420p" if not taken or "yuv420p" in taken else "nv12"


def _settings(codec: str, rate: Fraction, options: dict[str, Any], *, low: bool) -> dict[str, str]:
    gop = str(max(1, round(float(options.get("gop_s", 4.0)) * rate)))
    if codec != "libx264":
        return {"g": gop, "bf": "0", "forced_idr": "1", "forced-idr": "1"}
    settings = {"preset": "superfast", "tune": "zerolatency", "g": gop, "bf": "0", "forced-idr": "1", "x264-params": "scenecut=0"}
    if low:
        return settings | {"profile": "baseline"}
    return settings | {"preset": str(options.get("preset", "superfast")), "crf": str(options.get("crf", 23)), "profile": "high"}


def main() -> int:
    """``python -m recorder.children.encoder``: say which H.264 encoder this PC gets, and why."""
    print(choose_h264("auto")[1])  # noqa: T201 - a tool's answer
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
