"""A frame number that survives encoding: 40 blocks, black for 0 and white for 1, over the whole width at the top of a picture.

A block is ``width // 40`` wide; the strip is ``max(8, height // 20)`` high. The first 32 blocks are the number, the highest bit first; the
last 8 are its CRC-8 (polynomial 0x07, start 0xFF, over the four bytes in that order). A reader takes the middle of each block. Pure.
"""

import numpy as np
import numpy.typing as npt

Luma = npt.NDArray[np.uint8]
NUMBER_BITS = 32
BLOCKS = 40
BLACK, WHITE = 16, 235
_POLYNOMIAL = 0x07


def rows_of(height: int) -> int:
    """How many rows the strip takes of a picture."""
    return max(8, height // 20)


def write_frame_number(luma: Luma, number: int) -> None:
    """Draw ``number`` modulo 2^32 over the top of a luma plane of shape (height, width)."""
    height, width = luma.shape
    number %= 1 << NUMBER_BITS
    value = number << 8 | _checksum(number)
    bits = np.array([value >> (BLOCKS - 1 - place) & 1 for place in range(BLOCKS)], np.uint8)
    line = np.full(width, BLACK, np.uint8)
    block = width // BLOCKS
    line[: block * BLOCKS] = np.repeat(np.where(bits, WHITE, BLACK).astype(np.uint8), block)
    luma[: rows_of(height)] = line


def read_frame_number(luma: Luma) -> int | None:
    """The number in a luma plane of shape (height, width); None where its checksum is wrong."""
    height, width = luma.shape
    block, rows = width // BLOCKS, rows_of(height)
    strip = luma[rows // 4 : rows - rows // 4, : block * BLOCKS].reshape(-1, BLOCKS, block)
    inner = strip[:, :, block // 4 : max(block // 4 + 1, block - block // 4)]
    value = 0
    for bit in inner.mean(axis=(0, 2)) > (BLACK + WHITE) / 2:
        value = value << 1 | int(bit)
    number = value >> 8
    return number if _checksum(number) == value & 0xFF else None


def _checksum(number: int) -> int:
    crc = 0xFF
    for byte in number.to_bytes(NUMBER_BITS // 8, "big"):
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ _POLYNOMIAL) & 0xFF if crc & 0x80 else crc << 1
    return crc
