"""What a capture driver gives, whatever the device behind it.

A driver's ``open`` returns a ``Source``. Its ``read`` blocks until the device gives something, and raises ``SourceLostError`` when it will
give no more. A driver never reconnects, encodes, resamples or waits out a fault: the process around it is restarted instead.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, Protocol

import av
import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.int16] | npt.NDArray[np.int32]
LossCause = Literal["unplugged", "eof", "timeout", "error", "format", "missing"]


class SourceLostError(Exception):
    """The device is gone or cannot be opened. ``cause`` is a code for the journal, ``detail`` says what a technician can do."""

    def __init__(self, cause: LossCause, detail: str) -> None:
        super().__init__(f"{cause}: {detail}")
        self.cause: LossCause = cause
        self.detail = detail


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoFormat:
    """A picture stream. ``codec`` is ``raw`` for pictures, else FFmpeg's name; ``template`` is then the demuxer's stream."""

    codec: str
    width: int
    height: int
    rate: Fraction
    template: av.VideoStream | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioFormat:
    """A sound stream. ``codec`` is ``pcm`` for samples, else FFmpeg's name. ``bits`` is 16, or 24 (in the high bits of int32)."""

    codec: str
    rate_hz: int
    channels: int
    bits: int = 16
    template: av.AudioStream | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One raw picture. ``device_us`` is the device's own clock, ``arrival_us`` CLOCK_MONOTONIC when it was read."""

    stream: str
    frame: av.VideoFrame
    device_us: int
    arrival_us: int
    sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """One packet as the device encoded it (its pts and dts in ``packet.time_base``); ``device_us`` is its pts in microseconds."""

    stream: str
    packet: "av.Packet[Any]"
    device_us: int
    arrival_us: int
    ntp_us: int | None = None
    """Capture time by the device's own wall clock, from its RTCP sender reports, where it sends them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound:
    """A block of samples, shape (samples, channels). ``position`` counts samples by the device's clock: a jump is a loss at the device."""

    stream: str
    samples: Samples
    position: int
    arrival_us: int


Captured = Picture | Encoded | Sound


class Source(Protocol):
    """An open device: a camera, a microphone array, or a camera with sound."""

    formats: dict[str, VideoFormat | AudioFormat]
    """The device's streams by name: ``video``, ``audio``."""
    address: str
    """Where the device is, without secrets."""
    serial: str
    exact_clock: bool
    """Whether ``device_us`` is CLOCK_MONOTONIC itself (V4L2), so that no fit is needed."""

    def read(self) -> Captured:
        """Block for the next picture, packet or block.

        Raises:
            SourceLostError: the device gives no more.

        """
        ...

    def close(self) -> None:
        """Let go of the device."""
        ...
