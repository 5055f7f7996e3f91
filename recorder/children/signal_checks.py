"""What a decoded second of sound or a picture says of itself. Pure; numpy and OpenCV only."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

FLOOR_DBFS = -120.0
CLIP_LEVEL = 0.9995
_WIDTH = 480
"""Pictures are judged at this width: sharp enough for every check, and cheap."""


@dataclass(frozen=True, slots=True)
class SoundValues:
    """Level and peak in dBFS, share of clipped samples, whether all samples are the same (as of a dead channel; a quiet room is not)."""

    rms_dbfs: float
    peak_dbfs: float
    clipped_share: float
    dead: bool


@dataclass(frozen=True, slots=True)
class PictureValues:
    """Mean brightness and its spread (0 to 255), sharpness (variance of the Laplacian), and the mean difference to the picture before."""

    brightness: float
    spread: float
    sharpness: float
    difference: float | None


def measure_sound(samples: npt.NDArray[np.float32]) -> SoundValues:
    """Measure samples between -1 and 1, shape (samples,)."""
    if not len(samples):
        return SoundValues(FLOOR_DBFS, FLOOR_DBFS, 0.0, dead=True)
    absolute = np.abs(samples)
    rms = float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
    return SoundValues(
        rms_dbfs=_dbfs(rms),
        peak_dbfs=_dbfs(float(absolute.max())),
        clipped_share=float(np.count_nonzero(absolute >= CLIP_LEVEL)) / len(samples),
        dead=bool(np.ptp(samples) == 0),
    )


def small(luma: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The picture at the size at which it is judged."""
    height, width = luma.shape
    if width <= _WIDTH:
        return luma
    return np.asarray(cv2.resize(luma, (_WIDTH, height * _WIDTH // width), interpolation=cv2.INTER_AREA), np.uint8)


def measure_picture(luma: npt.NDArray[np.uint8], before: npt.NDArray[np.uint8] | None) -> PictureValues:
    """Measure a picture against the one before; both as ``small`` gives them."""
    difference = None
    if before is not None and before.shape == luma.shape:
        difference = float(np.mean(cv2.absdiff(luma, before)))
    return PictureValues(
        brightness=float(luma.mean()),
        spread=float(luma.std()),
        sharpness=float(cv2.Laplacian(luma, cv2.CV_64F).var()),
        difference=difference,
    )


def _dbfs(value: float) -> float:
    return FLOOR_DBFS if value <= 0 else max(FLOOR_DBFS, 20 * float(np.log10(value)))
