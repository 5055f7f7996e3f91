"""A microphone channel on the media bus as the contract has it: 48 kHz mono, signed 16 bit, 20 ms a packet, whatever the device gives.

Made only while somebody listens, and apart from what is recorded: the record keeps the device's own samples.
"""

from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt

from drivers.capabilities import Samples
from recorder.children.bus_server import BusServer
from recorder.contract import bus

RATE_HZ = 48_000
BLOCK = 960
BLOCK_US = 20_000
_JUMP_US = 5_000
"""A block whose time differs by more from where the one before it ended does not continue it."""


class PcmStream:
    """``<track>.pcm``; ``rate_hz`` and ``bits`` (16, or 24 in 32) are the device's."""

    def __init__(self, track: str, rate_hz: int, bits: int, server: BusServer) -> None:
        self._rate_hz = rate_hz
        self._bits = bits
        self._stream = server.stream(bus.Hello(stream=f"{track}.pcm", kind="audio", codec="pcm_s16le", rate_hz=RATE_HZ, channels=1))
        self._resampler: av.AudioResampler | None = None
        self._given = 0
        self._begun_us = 0
        self._waiting: npt.NDArray[np.int16] = np.empty(0, np.int16)
        self._waiting_us = 0
        """When the first sample that waits was captured."""

    def add(self, samples: Samples, mono_us: int) -> None:
        """Take samples captured from ``mono_us`` on; whole blocks are published."""
        if not self._stream.watched:
            self.clear()
            return
        short = samples.astype(np.int16, copy=False) if self._bits == 16 else (samples >> 16).astype(np.int16)
        expected_us = self._waiting_us + len(self._waiting) * 1_000_000 // RATE_HZ
        if self._rate_hz == RATE_HZ:
            made = short
            if abs(mono_us - expected_us) > _JUMP_US:
                self._begin(mono_us)
        else:
            if self._resampler is None or abs(mono_us - self._begun_us - self._given * 1_000_000 // self._rate_hz) > _JUMP_US:
                self._begin(mono_us)
            made = self._resampled(short)
        self._waiting = np.concatenate([self._waiting, made])
        while len(self._waiting) >= BLOCK:
            self._stream.publish(self._waiting_us, BLOCK_US, key=True, data=self._waiting[:BLOCK].astype("<i2").tobytes())
            self._waiting, self._waiting_us = self._waiting[BLOCK:], self._waiting_us + BLOCK_US

    def clear(self) -> None:
        """Forget what waits."""
        self._resampler = None
        self._waiting = np.empty(0, np.int16)
        self._waiting_us = 0

    def _begin(self, mono_us: int) -> None:
        self.clear()
        self._waiting_us = self._begun_us = mono_us
        self._given = 0
        if self._rate_hz != RATE_HZ:
            self._resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE_HZ)

    def _resampled(self, samples: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
        assert self._resampler is not None
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples).reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate, frame.time_base, frame.pts = self._rate_hz, Fraction(1, self._rate_hz), self._given
        self._given += len(samples)
        parts = [made.to_ndarray().reshape(-1).astype(np.int16, copy=False) for made in self._resampler.resample(frame)]
        return np.concatenate([np.empty(0, np.int16), *parts])
