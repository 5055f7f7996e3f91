"""Participants in the lab: encoded once, sent to the recorder's ingest socket in real time by a thread of this process."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from recorder.contract import ingest
from recorder.contract.framing import pack

FPS = 25
LOOP_S = 4
SIZE = (640, 360)
BITRATE_BPS = 500_000
AUDIO_US = 20_000
VIDEO_US = 1_000_000 // FPS


def pictures() -> list[bytes]:
    """Some seconds of H.264 access units (Annex B), the first of them a keyframe: a moving gradient with a little noise."""
    codec = av.CodecContext.create("libx264", "w")
    assert isinstance(codec, av.VideoCodecContext)
    codec.width, codec.height = SIZE
    codec.pix_fmt, codec.time_base, codec.framerate = "yuv420p", Fraction(1, FPS), Fraction(FPS)
    codec.bit_rate = BITRATE_BPS
    codec.options = {"tune": "zerolatency", "profile": "baseline", "preset": "veryfast", "g": str(FPS * LOOP_S)}
    rng = np.random.default_rng(0)
    ramp = np.add.outer(np.arange(SIZE[1]), np.arange(SIZE[0]))
    units = []
    for n in range(FPS * LOOP_S):
        luma = (ramp + 3 * n + rng.integers(0, 12, ramp.shape)).astype(np.uint8)
        frame = av.VideoFrame.from_ndarray(np.repeat(luma[:, :, None], 3, axis=2), "rgb24")
        frame.pts = n
        units += [bytes(packet) for packet in codec.encode(frame)]
    return units


def sounds() -> list[bytes]:
    """Some seconds of Opus packets of 20 ms."""
    codec = av.CodecContext.create("libopus", "w")
    assert isinstance(codec, av.AudioCodecContext)
    codec.sample_rate, codec.layout, codec.format = 48_000, "stereo", "s16"
    rng = np.random.default_rng(0)
    packets = []
    for n in range(LOOP_S * 50):
        frame = av.AudioFrame.from_ndarray(rng.integers(-3000, 3000, (1, 1920)).astype(np.int16), "s16", "stereo")
        frame.sample_rate, frame.pts = 48_000, n * 960
        packets += [bytes(packet) for packet in codec.encode(frame)]
    return packets


@contextmanager
def participants(socket_path: Path, count: int) -> Iterator[list[str]]:
    """So many participants with picture and sound while the block runs; yields the names of their tracks in the record."""
    ended = threading.Event()
    names = [f"p{number}-{kind}" for number in range(count) for kind in ("video", "audio")]
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.connect(str(socket_path))
        for name in names:
            is_video = name.endswith("video")
            start = ingest.TrackStart(track=name, kind="video" if is_video else "audio", codec="h264" if is_video else "opus", label=name)
            sock.sendall(pack(ingest.encoder.encode(start)))
        sender = threading.Thread(target=_send_until, args=(sock, names, ended), daemon=True)
        sender.start()
        try:
            yield [f"remote-{name}" for name in names]
        finally:
            ended.set()
            sender.join()


def _send_until(sock: socket.socket, names: list[str], ended: threading.Event) -> None:
    with contextlib.suppress(ConnectionError):  # the recorder's side has gone; what then is to be seen, the caller looks at
        _send(sock, names, ended)


def _send(sock: socket.socket, names: list[str], ended: threading.Event) -> None:
    video, audio = pictures(), sounds()
    began_us = time.monotonic_ns() // 1000
    for tick in range(1 << 40):
        at_us = began_us + tick * AUDIO_US
        wait_s = at_us / 1e6 - time.monotonic()
        if ended.wait(max(0.0, wait_s)):
            return
        for name in names:
            if name.endswith("audio"):
                _say(sock, name, at_us, AUDIO_US, audio[tick % len(audio)], key=True)
            elif tick % 2 == 0:
                picture = tick // 2
                _say(sock, name, at_us, VIDEO_US, video[picture % len(video)], key=picture % len(video) == 0)


def _say(sock: socket.socket, name: str, at_us: int, dur_us: int, data: bytes, *, key: bool) -> None:
    head = ingest.MediaPacket(track=name, mono_us=at_us, dur_us=dur_us, key=key)
    sock.sendall(pack(ingest.encoder.encode(head), data))
