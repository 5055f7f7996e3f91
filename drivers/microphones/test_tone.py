"""A microphone array without hardware: a tone of its own in each channel, and a beep together with the test picture's flash."""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from drivers.capabilities import AudioFormat, Sound

RATE_HZ = 48_000
BLOCK = 960
AMPLITUDE = 3277
"""-20 dBFS."""
BEEP_HZ = 1_000
BEEP_EVERY_US = 5_000_000
BEEP_US = 40_000
BEEP_AMPLITUDE = 8231
"""-12 dBFS."""


def tone_hz(number: int) -> int:
    """The tone of the channel with this number (from 1)."""
    return 300 + 100 * number


def block(position: int, channels: int, frames: int = BLOCK) -> npt.NDArray[np.int16]:
    """The samples at a position, shape (frames, channels). Position 0 is CLOCK_MONOTONIC 0: the beeps begin at its multiples of 5 s."""
    index = np.arange(position, position + frames, dtype=np.int64)
    phase = 2 * np.pi / RATE_HZ * (index % RATE_HZ)
    tones = np.stack([AMPLITUDE * np.sin(phase * tone_hz(number)) for number in range(1, channels + 1)], axis=1)
    beeping = index % (BEEP_EVERY_US * RATE_HZ // 1_000_000) < BEEP_US * RATE_HZ // 1_000_000
    beep = BEEP_AMPLITUDE * np.sin(phase * BEEP_HZ)
    return np.rint(np.where(beeping[:, None], beep[:, None], tones)).astype(np.int16)


def open(stanza: Mapping[str, Any]) -> "ToneSource":  # noqa: A001 - the drivers' convention
    """Open the test tone with as many channels as the highest ``number`` of the stanza's ``channels`` counts."""
    return ToneSource(max(channel["number"] for channel in stanza["channels"]), stanza.get("serial", ""))


class ToneSource:
    """Paced by CLOCK_MONOTONIC; its positions are samples of that clock."""

    def __init__(self, channels: int, serial: str = "") -> None:
        self.formats = {"audio": AudioFormat(codec="pcm", rate_hz=RATE_HZ, channels=channels)}
        self.address = "test-tone"
        self.serial = serial
        self.exact_clock = True
        self._channels = channels
        self._position = _position_now() // BLOCK * BLOCK

    def read(self) -> Sound:
        """Wait until the next 20 ms are over, and return them."""
        end = self._position + BLOCK
        while (missing := end - _position_now()) > 0:
            time.sleep(missing / RATE_HZ)
        sound = Sound(
            stream="audio",
            samples=block(self._position, self._channels),
            position=self._position,
            arrival_us=time.monotonic_ns() // 1000,
        )
        self._position = end
        return sound

    def close(self) -> None:
        """Nothing to let go of."""


def _position_now() -> int:
    return time.monotonic_ns() * RATE_HZ // 1_000_000_000
