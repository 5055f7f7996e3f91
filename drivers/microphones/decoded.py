"""Sound that arrives by RTP, decoded to blocks of samples whose positions are its RTP timestamps."""

import time
from collections.abc import Iterator
from typing import Any

import av
import numpy as np

from drivers.capabilities import LossCause, Samples, Sound, SourceLostError
from drivers.microphones.pcm import interleaved

BLOCK_S = 0.02
JUMP_MOST_S = 10
"""Timestamps that leap further, or back, are another sender's: the stream is opened anew."""


def lost(address: str, error: av.FFmpegError) -> SourceLostError:
    """What FFmpeg's error means for a source. Its text names the URL with the password in it, so only the reason is passed on."""
    cause: LossCause = "error"
    if isinstance(error, av.error.EOFError):
        cause = "eof"
    elif isinstance(error, av.error.ExitError | av.error.TimeoutError):
        cause = "timeout"
    elif isinstance(error, av.error.FileNotFoundError | av.error.HTTPNotFoundError | av.error.ConnectionRefusedError):
        cause = "missing"
    return SourceLostError(cause, f"{address}: {error.strerror}")


class DecodedSound:
    """Reads one audio stream of an open container as blocks of at least ``BLOCK_S`` (less before a loss)."""

    def __init__(self, container: av.container.InputContainer, stream: av.AudioStream, address: str) -> None:
        self._address = address
        self._packets: Iterator[av.Packet[Any]] = container.demux(stream)
        self._stream = stream
        self._parts: list[Samples] = []
        self._held = 0
        self._start = 0
        self._next: int | None = None
        self._ready: list[Sound] = []
        self._begun = False

    def read(self) -> Sound:
        """Block for the next samples.

        Raises:
            SourceLostError: the stream ended, stalled or changed.

        """
        while not self._ready:
            try:
                packet = next(self._packets, None)
                if packet is None or packet.size == 0:
                    raise SourceLostError("eof", f"{self._address}: the sender ended the stream")
                for frame in self._stream.codec_context.decode(packet):
                    self._add(frame)
            except av.FFmpegError as error:
                raise lost(self._address, error) from error
        return self._ready.pop(0)

    def _add(self, frame: av.AudioFrame) -> None:
        rate_hz = frame.sample_rate
        expected = self._next
        at = expected or 0
        if frame.pts is not None and frame.time_base is not None:
            at = round(frame.pts * frame.time_base * rate_hz)
        if expected is not None and at < expected and not self._begun:
            # FFmpeg may give its first two packets the same time, before it knows where the stream begins.
            self._parts, self._held, expected = [], 0, None
        if expected is not None and at != expected:
            if not expected < at < expected + JUMP_MOST_S * rate_hz:
                raise SourceLostError("format", f"{self._address}: the sender's timestamps leapt; it was restarted")
            self._flush()
        if not self._parts:
            self._start = at
        samples = interleaved(frame.to_ndarray(), frame.format.name, frame.layout.nb_channels)
        self._parts.append(samples)
        self._held += len(samples)
        self._next = at + len(samples)
        if self._held >= rate_hz * BLOCK_S:
            self._flush()

    def _flush(self) -> None:
        if self._parts:
            samples: Samples = np.concatenate(self._parts)  # type: ignore[assignment]  # all of one kind: the stream has one format
            self._begun = True
            self._ready.append(Sound(stream="audio", samples=samples, position=self._start, arrival_us=time.monotonic_ns() // 1000))
        self._parts, self._held = [], 0
