"""Speech for measurements, by espeak-ng."""

import subprocess
import wave
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vks.mixing import RATE_HZ

Samples = npt.NDArray[np.float64]


def voice(text: str, speaker: str, seconds: int, folder: Path) -> Samples:
    """Somebody who reads this again and again, by espeak-ng."""
    spoken = folder / f"{speaker}.wav"
    subprocess.run(["espeak-ng", "-v", speaker, "-s", "150", "-w", str(spoken), text], check=True)
    with wave.open(str(spoken)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), np.int16).astype(np.float64)
        at = np.arange(int(samples.size * RATE_HZ / file.getframerate())) * file.getframerate() / RATE_HZ
    once = np.interp(at, np.arange(samples.size), samples)
    again: Samples = np.resize(once, seconds * RATE_HZ)
    return 2_000 * again / np.std(again)
