"""Just enough of H.264 to record access units as they came: NAL units of Annex B, and the picture size (ITU-T H.264, 7.3.2.1.1). Pure.

The bytes come from participants, so every read is bounded and whatever is not plain H.264 raises ``H264Error``.
"""

import itertools
import re
from dataclasses import dataclass

SLICES = range(1, 6)
IDR, SPS, PPS = 5, 7, 8
MAX_NALS = 600
"""More than a picture of the largest size has slices. Where there are more, no more are looked for."""
_MAX_SIDE = 16_384
_START = re.compile(rb"\x00\x00\x01")
_HIGH_PROFILES = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})


class H264Error(ValueError):
    """Not H.264 as it may be recorded."""


def nal_units(annex_b: bytes) -> list[bytes]:
    """The NAL units of an access unit in Annex B form, without start codes.

    Raises:
        H264Error: there is none, or there are more than ``MAX_NALS``.

    """
    starts = [match.end() for match in itertools.islice(_START.finditer(annex_b), MAX_NALS + 1)]
    if not starts or annex_b[: starts[0] - 3].strip(b"\x00"):
        raise H264Error("does not begin with a start code")
    if len(starts) > MAX_NALS:
        raise H264Error(f"more than {MAX_NALS} NAL units in an access unit")
    ends = [start - 3 for start in starts[1:]] + [len(annex_b)]
    units = [unit for start, end in zip(starts, ends, strict=True) if (unit := annex_b[start:end].rstrip(b"\x00"))]
    if not units:
        raise H264Error("an empty access unit")
    return units


def kind(unit: bytes) -> int:
    """A NAL unit's type."""
    return unit[0] & 0x1F


@dataclass(frozen=True, slots=True)
class Size:
    """Width and height in pixels."""

    width: int
    height: int


class _Bits:
    """Reads the bits of a raw byte sequence payload."""

    def __init__(self, unit: bytes) -> None:
        payload = unit[1:].replace(b"\x00\x00\x03", b"\x00\x00")
        self._value = int.from_bytes(payload)
        self._left = 8 * len(payload)

    def take(self, count: int) -> int:
        """The next bits as a number."""
        if count > self._left:
            raise H264Error("the parameter set is cut short")
        self._left -= count
        return self._value >> self._left & (1 << count) - 1

    def golomb(self) -> int:
        """An unsigned Exp-Golomb number."""
        zeros = 0
        while not self.take(1):
            zeros += 1
            if zeros > 31:
                raise H264Error("a number of the parameter set is too long")
        return (1 << zeros) - 1 + self.take(zeros)

    def signed_golomb(self) -> int:
        """A signed Exp-Golomb number."""
        value = self.golomb()
        return (value + 1) // 2 if value & 1 else -(value // 2)


def picture_size(sps: bytes) -> Size:
    """The size that a sequence parameter set gives, after cropping.

    Raises:
        H264Error: it is damaged, or gives no picture of a sane size.

    """
    if len(sps) < 4 or len(sps) > 1024:
        raise H264Error("no sequence parameter set")
    bits = _Bits(sps)
    profile = bits.take(8)
    bits.take(16)
    bits.golomb()
    chroma = 1
    if profile in _HIGH_PROFILES:
        chroma = bits.golomb()
        if chroma == 3:
            bits.take(1)
        bits.golomb()
        bits.golomb()
        bits.take(1)
        if bits.take(1):
            _skip_scaling(bits, 12 if chroma == 3 else 8)
    bits.golomb()
    order = bits.golomb()
    if order == 0:
        bits.golomb()
    elif order == 1:
        bits.take(1)
        bits.signed_golomb()
        bits.signed_golomb()
        for _ in range(min(bits.golomb(), 256)):
            bits.signed_golomb()
    bits.golomb()
    bits.take(1)
    width, height = 16 * (bits.golomb() + 1), 16 * (bits.golomb() + 1)
    frames_only = bits.take(1)
    if not frames_only:
        height *= 2
        bits.take(1)
    bits.take(1)
    if bits.take(1):
        left, right, top, bottom = (bits.golomb() for _ in range(4))
        unit_x = 2 if chroma in {1, 2} else 1
        unit_y = (2 if chroma == 1 else 1) * (2 - frames_only)
        width -= unit_x * (left + right)
        height -= unit_y * (top + bottom)
    if not (0 < width <= _MAX_SIDE and 0 < height <= _MAX_SIDE):
        raise H264Error(f"a picture of {width}x{height}")
    return Size(width, height)


def _skip_scaling(bits: _Bits, lists: int) -> None:
    for index in range(lists):
        if bits.take(1):
            last = step = 8
            for _ in range(16 if index < 6 else 64):
                if step:
                    step = (last + bits.signed_golomb()) % 256
                last = step or last
