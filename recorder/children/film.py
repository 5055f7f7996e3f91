"""Makes ``hearing.mp4`` of a readable copy: one camera and one sound in a file that any player opens.

``python -m recorder.children.film PLAN OUT``; the plan is JSON: ``video`` and ``audio``, each a list of ``{header, file, t_us}``. Pictures
are passed on as they are, where the parts' parameter sets differ each part's with its own; sound becomes AAC, with silence where nothing
was recorded, so that both stay together.
"""

import io
import json
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from recorder.children.parameter_sets import ParameterSets

IN_BAND = "avc3"
"""The sample entry of a stream whose pictures bring their parameter sets themselves."""
RATE_HZ = 48_000
BIT_RATE = 96_000
_BLOCK = 1024
_MOST_SILENCE_S = 3600
_MOST_OFF = RATE_HZ // 50
"""Samples by which sound may lie beside its time."""


def main(plan_file: Path, target: Path) -> int:
    """Make the film."""
    plan = json.loads(plan_file.read_text(encoding="utf-8"))
    base = plan_file.parent
    with av.open(str(target), "w", format="mp4", options={"movflags": "+faststart"}) as film:
        first_us = min([piece["t_us"] for kind in ("video", "audio") for piece in plan[kind]], default=0)
        video = _video_stream(film, base, plan["video"])
        sound = film.add_stream("aac", rate=RATE_HZ, layout="mono") if plan["audio"] else None
        if isinstance(sound, av.AudioStream):
            sound.codec_context.bit_rate = BIT_RATE
        _mux_video(film, video, base, plan["video"], first_us)
        if isinstance(sound, av.AudioStream):
            _mux_sound(film, sound, base, plan["audio"], first_us)
    return 0


def _open(base: Path, piece: dict[str, Any]) -> av.container.InputContainer:
    data = (base / piece["header"]).read_bytes() + (base / piece["file"]).read_bytes()
    return av.open(io.BytesIO(data), "r", format="mp4")


def _video_stream(film: av.container.OutputContainer, base: Path, pieces: list[dict[str, Any]]) -> Any:  # noqa: ANN401 - a stream or None
    if not pieces:
        return None
    with _open(base, pieces[0]) as container:
        stream = film.add_stream_from_template(container.streams.video[0])
    if _is_changing(base, pieces):
        stream.codec_context.codec_tag = IN_BAND
    return stream


def _is_changing(base: Path, pieces: list[dict[str, Any]]) -> bool:
    """Whether the parts' headers describe pictures of more than one kind: one header for all would show those of the others wrong."""
    found = set()
    for name in {piece["header"] for piece in pieces}:
        with av.open(str(base / name), "r", format="mp4") as header:
            found.add(header.streams.video[0].codec_context.extradata)
    return len(found) > 1


def _mux_video(film: av.container.OutputContainer, stream: Any, base: Path, pieces: list[dict[str, Any]], first_us: int) -> None:  # noqa: ANN401
    last_dts = -1
    in_band = stream is not None and stream.codec_context.codec_tag == IN_BAND
    for piece in pieces:
        with _open(base, piece) as container:
            sets = ParameterSets(container.streams.video[0].codec_context.extradata or b"") if in_band else None
            for packet in container.demux(container.streams.video[0]):
                if packet.dts is None or packet.pts is None or packet.time_base is None:
                    continue
                shift = round(Fraction(first_us, 1_000_000) / packet.time_base)
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                if packet.dts <= last_dts:  # the seam of two segments: the session clock was set anew by a few milliseconds
                    move = last_dts + 1 - packet.dts
                    packet.pts, packet.dts = packet.pts + move, packet.dts + move
                last_dts = packet.dts
                made = packet if sets is None else _with_sets(packet, sets)
                made.stream = stream
                film.mux(made)


def _with_sets(packet: "av.Packet[Any]", sets: ParameterSets) -> "av.Packet[Any]":
    made: av.Packet[Any] = av.Packet(sets.put(bytes(packet), key=packet.is_keyframe))
    made.pts, made.dts, made.time_base, made.duration = packet.pts, packet.dts, packet.time_base, packet.duration
    made.is_keyframe = packet.is_keyframe
    return made


def _mux_sound(film: av.container.OutputContainer, stream: av.AudioStream, base: Path, pieces: list[dict[str, Any]], first_us: int) -> None:
    at = too_many = 0
    held = np.zeros(0, np.float32)

    def write(samples: Any, *, last: bool = False) -> None:  # noqa: ANN401
        nonlocal at, held
        held = np.concatenate([held, samples])
        while len(held) >= _BLOCK or (last and len(held)):
            block, held = held[:_BLOCK], held[_BLOCK:]
            frame = av.AudioFrame.from_ndarray(block.reshape(1, -1), format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, at, Fraction(1, RATE_HZ)
            at += len(block)
            film.mux(stream.encode(frame))

    for piece in pieces:
        with _open(base, piece) as container:
            resampler = av.AudioResampler(format="fltp", layout="mono", rate=RATE_HZ)
            for frame in container.decode(container.streams.audio[0]):
                if frame.pts is not None and frame.time_base is not None:
                    due = round((frame.pts * frame.time_base - Fraction(first_us, 1_000_000)) * RATE_HZ)
                    missing = due - at - len(held)
                    if missing > _MOST_OFF:
                        write(np.zeros(min(missing, _MOST_SILENCE_S * RATE_HZ), np.float32))
                    elif missing < -_MOST_OFF:  # a device whose clock runs fast gives more samples than its time has
                        too_many = -missing
                for out in resampler.resample(frame):
                    samples = out.to_ndarray()[0]
                    dropped, too_many = min(too_many, len(samples)), max(0, too_many - len(samples))
                    write(samples[dropped:])
    write(np.zeros(0, np.float32), last=True)
    film.mux(stream.encode(None))


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]), Path(sys.argv[2])))
