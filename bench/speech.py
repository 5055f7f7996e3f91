"""Speech that is sent over a link, and how well it would be understood at its other end.

What is heard has been stretched and squeezed by the receiver's own buffer, and has holes; so it is compared in windows, each laid where it
fits best.
"""

from pathlib import Path

import numpy as np

from tests.vks.spoken import Samples, voice
from tests.vks.stoi import stoi
from vks.mixing import BLOCK, RATE_HZ

TEXT = (
    "The court is now in session. Please rise and state your name for the record. The witness was at home on the evening of the fourth of "
    "May and saw nobody. I object, your honour. My client never signed this contract, and the expert has not examined the original of the "
    "document."
)
PERIOD_S = 16
WINDOW_S = 1
"""A receiver that catches up speaks up to a tenth faster: over longer windows nothing fits anywhere, though it is well understood."""
_NO_SIGNAL = 1e-6


def speech(folder: Path) -> Samples:
    """What is said again and again: a period of it."""
    return voice(TEXT, "en-us", PERIOD_S, folder)


def blocks(period: Samples) -> list[bytes]:
    """The period in blocks of 20 ms (int16)."""
    samples = np.clip(period, -32_768, 32_767).astype(np.int16)
    return [samples[at : at + BLOCK].tobytes() for at in range(0, samples.size, BLOCK)]


def understood(period: Samples, heard: Samples) -> float:
    """STOI of what was heard of it, the mean of all windows; a window in which nothing was heard counts as nothing."""
    window = WINDOW_S * RATE_HZ
    found = [_window(period, heard[at : at + window]) for at in range(0, heard.size - window + 1, window)]
    return float(np.mean(found)) if found else 0.0


def _window(period: Samples, heard: Samples) -> float:
    if np.std(heard) < _NO_SIGNAL:
        return 0.0
    # The period goes round: so does this correlation.
    match = np.fft.irfft(np.fft.rfft(heard, period.size).conj() * np.fft.rfft(period))
    said = np.roll(period, -int(np.argmax(match)))[: heard.size]
    return stoi(said, heard, RATE_HZ)
