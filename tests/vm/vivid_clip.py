"""Reads back what vivid's camera showed: its picture carries a line ``HH:MM:SS:mmm N``, N counting its pictures (vivid-kthread-cap.c)."""

import io
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from tests.lab import readback

_LEFT = _TOP = 16
_CELL_WIDTH, _CELL_HEIGHT = 8, 16
"""The kernel's font VGA8x16; the line begins with a space at (16, 16)."""
_BEFORE_THE_NUMBER = 14
_INK = 100
"""Text is light grey (180) on black."""
_SAME_PIXELS = 5
"""Two pictures of one digit differ by what the encoder smears; two digits differ by eleven at least."""

Luma = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Shown:
    """One recorded picture: session time, and its luma."""

    t_us: int
    luma: Luma


def clips(record: Path, track: str, keys: tuple[Path, Path]) -> list[list[Shown]]:
    """The pictures of each part of a track."""
    found = []
    for part in readback.parts(record, track, *keys):
        options = {"decryption_key": part.key} if part.key else {}
        with av.open(io.BytesIO(part.data), "r", format="mp4", options=options) as container:
            pictures = []
            for frame in container.decode(container.streams.video[0]):
                assert frame.pts is not None
                assert frame.time_base is not None
                luma = np.asarray(frame.to_ndarray(format="gray"), np.uint8)
                pictures.append(Shown(round(frame.pts * frame.time_base * 1_000_000), luma))
        found.append(pictures)
    return found


def steps(pictures: list[Shown], digits: int) -> list[int]:
    """By how much N (of so many digits) grows from each picture to the next, modulo 10: 1 where none is missing, 0 for a repeated one.

    The digits' shapes are learned from the clip: what most often follows a shape is the next digit.
    """
    column = _LEFT + (_BEFORE_THE_NUMBER + digits - 1) * _CELL_WIDTH
    shapes: list[npt.NDArray[np.bool_]] = []
    seen = []
    for shown in pictures:
        cell = shown.luma[_TOP : _TOP + _CELL_HEIGHT, column : column + _CELL_WIDTH] > _INK
        alike = [index for index, shape in enumerate(shapes) if int((shape != cell).sum()) <= _SAME_PIXELS]
        if not alike:
            shapes.append(cell)
        seen.append(alike[0] if alike else len(shapes) - 1)
    follows = {shape: Counter(b for a, b in pairwise(seen) if a == shape and b != shape).most_common(1)[0][0] for shape in set(seen)}
    order = [0]
    while follows[order[-1]] not in order:
        order.append(follows[order[-1]])
    assert len(order) == len(shapes) == 10, f"{len(shapes)} shapes, {len(order)} of them in a ring; not the ten digits"
    place = {shape: index for index, shape in enumerate(order)}
    return [(place[b] - place[a]) % 10 for a, b in pairwise(seen)]
