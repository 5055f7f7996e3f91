"""Decodes stretches of a part: its header and some of its fragments, as they lie on the disk."""

import io
from collections.abc import Iterator

import av
import numpy as np
import numpy.typing as npt

from recorder.cenc import clear_fragment, clear_header


def join(header: bytes, fragments: bytes, key: bytes | None) -> bytes:
    """Header and fragments as one stream in the clear.

    Raises:
        CencError: they are not what this recorder writes.
    """
    if key is None:
        return header + fragments
    parts, at = [clear_header(header)], 0
    while at < len(fragments):
        head = int.from_bytes(fragments[at : at + 4], "big")
        size = head + int.from_bytes(fragments[at + head : at + head + 4], "big")
        parts.append(clear_fragment(fragments[at : at + size], key))
        at += max(8, size)
    return b"".join(parts)


def sound_of(stream: bytes) -> npt.NDArray[np.float32]:
    """All samples of the first sound stream as mono between -1 and 1."""
    blocks: list[npt.NDArray[np.float32]] = []
    with av.open(io.BytesIO(stream), "r", format="mp4") as container:
        resampler = av.AudioResampler(format="fltp", layout="mono")
        for frame in container.decode(container.streams.audio[0]):
            blocks += [out.to_ndarray()[0].astype(np.float32) for out in resampler.resample(frame)]
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)


def keyframes_of(stream: bytes) -> Iterator[tuple[int, npt.NDArray[np.uint8]]]:
    """Session time (us) and luma plane of every keyframe."""
    with av.open(io.BytesIO(stream), "r", format="mp4") as container:
        video = container.streams.video[0]
        video.codec_context.skip_frame = "NONKEY"
        video.codec_context.thread_count = 1
        for frame in container.decode(video):
            if frame.pts is None or frame.time_base is None:
                continue
            plane = frame.planes[0]
            lines = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
            yield round(frame.pts * frame.time_base * 1_000_000), lines[: frame.height, : frame.width]
