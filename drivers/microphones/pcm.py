"""Arithmetic of sample blocks. Pure."""

import numpy as np
import numpy.typing as npt

from drivers.capabilities import Samples

_LOW_BYTE_OFF = np.int32(-256)


def from_24_in_3(data: bytes, channels: int) -> npt.NDArray[np.int32]:
    """Packed little-endian 24-bit samples as int32, in its high bits; shape (samples, channels)."""
    raw = np.frombuffer(data, np.uint8).reshape(-1, 3)
    wide = np.zeros((len(raw), 4), np.uint8)
    wide[:, 1:] = raw
    return wide.view("<i4").astype(np.int32, copy=False).reshape(-1, channels)


def from_32(data: bytes, channels: int) -> npt.NDArray[np.int32]:
    """Little-endian 32-bit samples, cut to the 24 bits that converters have and FLAC keeps; shape (samples, channels)."""
    return (np.frombuffer(data, "<i4").astype(np.int32, copy=False) & _LOW_BYTE_OFF).reshape(-1, channels)


def from_16(data: bytes, channels: int) -> npt.NDArray[np.int16]:
    """Little-endian 16-bit samples, shape (samples, channels)."""
    return np.frombuffer(data, "<i2").astype(np.int16, copy=False).reshape(-1, channels)


def sample_bits(codec: str) -> int:
    """How many bits ``interleaved`` keeps of what FFmpeg's decoder of this name gives: 24, or 16."""
    return 24 if codec.startswith(("pcm_s24", "pcm_s32")) else 16


def interleaved(planes: npt.NDArray[np.generic], sample_format: str, channels: int) -> Samples:
    """FFmpeg's decoded samples as a block of (samples, channels).

    Args:
        planes: what ``av.AudioFrame.to_ndarray`` gives: (channels, samples) where planar, else (1, samples * channels).
        sample_format: FFmpeg's name of the format.
        channels: how many.

    Raises:
        ValueError: a format that holds no whole-numbered samples and that no microphone sends.

    """
    block = planes.T if sample_format.endswith("p") else planes.reshape(-1, channels)
    match sample_format.removesuffix("p"):
        case "s16":
            return np.ascontiguousarray(block, np.int16)
        case "s32":
            return np.ascontiguousarray(block, np.int32) & _LOW_BYTE_OFF
        case "flt" | "dbl":
            return np.clip(np.rint(block.astype(np.float64) * 32768.0), -32768, 32767).astype(np.int16)
        case _:
            raise ValueError(f"samples of format {sample_format}")
