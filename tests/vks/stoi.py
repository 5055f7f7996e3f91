"""Short-time objective intelligibility: how well speech would be understood, from 0 to 1.

C. H. Taal, R. C. Hendriks, R. Heusdens, J. Jensen: "An Algorithm for Intelligibility Prediction of Time-Frequency Weighted Noisy Speech",
IEEE Transactions on Audio, Speech, and Language Processing 19 (7), 2011; the numbers below are those of its section II.
"""

from fractions import Fraction

import numpy as np
import numpy.typing as npt

RATE_HZ = 10_000
FRAME, HOP, FFT = 256, 128, 512
BANDS, LOWEST_HZ = 15, 150.0
SEGMENT = 30
"""Frames that are compared together: 384 ms."""
QUIET_DB = 40.0
"""Frames further below the loudest are left out: nobody speaks in them."""
CLIP = 10 ** (15 / 20)
Samples = npt.NDArray[np.float64]


def stoi(clean: Samples, heard: Samples, rate_hz: int) -> float:
    """The measure; both are of one length and aligned."""
    clean, heard = _resampled(clean, rate_hz), _resampled(heard, rate_hz)
    window = np.hanning(FRAME + 2)[1:-1]
    frames = [slice(at, at + FRAME) for at in range(0, min(clean.size, heard.size) - FRAME, HOP)]
    said = np.array([clean[each] * window for each in frames])
    got = np.array([heard[each] * window for each in frames])
    level_db = 20 * np.log10(np.linalg.norm(said, axis=1) + 1e-12)
    spoken = level_db > level_db.max() - QUIET_DB
    first, second = _bands(said[spoken]), _bands(got[spoken])
    scores = []
    for at in range(first.shape[0] - SEGMENT + 1):
        x, y = first[at : at + SEGMENT], second[at : at + SEGMENT]
        scale = np.linalg.norm(x, axis=0) / (np.linalg.norm(y, axis=0) + 1e-12)
        y = np.minimum(y * scale, x * (1 + CLIP))
        x, y = x - x.mean(axis=0), y - y.mean(axis=0)
        scores.append(np.mean(np.sum(x * y, axis=0) / (np.linalg.norm(x, axis=0) * np.linalg.norm(y, axis=0) + 1e-12)))
    return float(np.mean(scores))


def _bands(frames: Samples) -> Samples:
    """Third-octave magnitudes of each frame, shape (frames, BANDS)."""
    power = np.abs(np.fft.rfft(frames, FFT, axis=1)) ** 2
    hz = np.fft.rfftfreq(FFT, 1 / RATE_HZ)
    centres = LOWEST_HZ * 2 ** (np.arange(BANDS) / 3)
    within = [(hz >= centre * 2 ** (-1 / 6)) & (hz < centre * 2 ** (1 / 6)) for centre in centres]
    bands: Samples = np.sqrt(np.stack([power[:, each].sum(axis=1) for each in within], axis=1))
    return bands


def _resampled(samples: Samples, rate_hz: int) -> Samples:
    """At 10 kHz, with nothing above 5 kHz."""
    ratio = Fraction(RATE_HZ, rate_hz)
    spectrum = np.fft.rfft(samples)
    count = int(samples.size * ratio)
    fewer: Samples = np.fft.irfft(spectrum[: count // 2 + 1], count) * float(ratio)
    return fewer
