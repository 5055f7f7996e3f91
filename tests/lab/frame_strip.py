"""A frame number that survives encoding: 40 blocks, black for 0 and white for 1, over the whole width at the top of a picture.

A block is ``width // 40`` wide; the strip is ``max(8, height // 20)`` high. The first 32 blocks are the number, the highest bit first; the
last 8 are its CRC-8 (polynomial 0x07, start 0xFF, over the four bytes in that order). A reader takes the middle of each block.
"""

import numpy as np
import numpy.typing as npt

Luma = npt.NDArray[np.uint8]
BLOCKS = 40
BLACK, WHITE = 16, 235
"""ITU-R BT.601 limited range."""


def strip_height(height: int) -> int:
    """Rows that the strip takes of a picture of ``height`` rows."""
    return max(8, height // 20)


def draw(luma: Luma, number: int) -> None:
    """Write ``number`` (taken modulo 2^32) over the top of a luma plane of shape (height, width)."""
    height, width = luma.shape
    value = ((number % (1 << 32)) << 8) | _crc8(number % (1 << 32))
    block = width // BLOCKS
    rows = strip_height(height)
    luma[:rows] = BLACK
    for position in range(BLOCKS):
        if value >> (BLOCKS - 1 - position) & 1:
            luma[:rows, position * block : (position + 1) * block] = WHITE


def read(luma: Luma) -> int | None:
    """The number in a luma plane of shape (height, width), or None where the checksum says that there is none."""
    height, width = luma.shape
    block = width // BLOCKS
    rows = strip_height(height)
    middle = slice(rows // 4, rows - rows // 4)
    value = 0
    for position in range(BLOCKS):
        start = position * block
        patch = luma[middle, start + block // 4 : start + block - block // 4]
        value = value << 1 | int(patch.mean() > (BLACK + WHITE) / 2)
    number = value >> 8
    return number if _crc8(number) == value & 0xFF else None


def _crc8(number: int) -> int:
    crc = 0xFF
    for byte in number.to_bytes(4, "big"):
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ 0x07) & 0xFF if crc & 0x80 else crc << 1
    return crc
