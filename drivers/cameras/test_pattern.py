"""A camera without hardware: a moving picture that tells its own time and number, with a flash each 5 s.

Frame ``n`` is captured at ``n`` intervals of CLOCK_MONOTONIC, so that numbers go on over a restart and a lost frame shows. The flash lasts
``FLASH_US`` from each whole multiple of 5 s, together with the test tone's beep.
"""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import av
import cv2
import numpy as np

from drivers.cameras.frame_code import write_frame_number
from drivers.capabilities import Picture, VideoFormat

FLASH_EVERY_US = 5_000_000
FLASH_US = 40_000
_GREY, _FLASH = 96, 235


def open(stanza: Mapping[str, Any]) -> "PatternSource":  # noqa: A001 - the drivers' convention
    """Open the test picture in the stanza's ``width``, ``height`` and ``fps``."""
    return PatternSource(stanza["width"], stanza["height"], stanza["fps"], stanza.get("serial", ""))


class PatternSource:
    """Paced by CLOCK_MONOTONIC."""

    def __init__(self, width: int, height: int, fps: int, serial: str = "") -> None:
        self.formats = {"video": VideoFormat(codec="raw", width=width, height=height, rate=Fraction(fps))}
        self.address = "test-pattern"
        self.serial = serial
        self.exact_clock = True
        self._size = (width, height)
        self._fps = fps
        self._next = time.monotonic_ns() // 1000 * fps // 1_000_000 + 1
        self._background = _background(width, height)

    def read(self) -> Picture:
        """Wait for the next picture's time, and draw it."""
        number = self._next
        due_us = number * 1_000_000 // self._fps
        missing_us = due_us - time.monotonic_ns() // 1000
        if missing_us > 0:
            time.sleep(missing_us / 1e6)
        # A picture that could not be drawn in time is lost, as a camera's is: the number shows it.
        self._next = max(number + 1, (time.monotonic_ns() // 1000 * self._fps) // 1_000_000)
        frame = self._draw(number, due_us)
        return Picture(stream="video", frame=frame, device_us=due_us, arrival_us=time.monotonic_ns() // 1000, sequence=number)

    def close(self) -> None:
        """Nothing to let go of."""

    def _draw(self, number: int, due_us: int) -> av.VideoFrame:
        width, height = self._size
        planes = self._background.copy()
        luma = planes[:height]
        if due_us % FLASH_EVERY_US < FLASH_US:
            luma[:] = _FLASH
        box = max(16, height // 8)
        x = number * 4 % (width - box)
        y = height // 2 + round((height // 4) * np.sin(number / 20)) - box // 2
        luma[y : y + box, x : x + box] = 200
        wall = datetime.now(UTC).strftime("%H:%M:%S.%f")[:-4]
        scale = height / 480
        cv2.putText(luma, f"{wall}Z", (width // 20, height * 3 // 10), cv2.FONT_HERSHEY_SIMPLEX, scale, 16, max(1, round(2 * scale)))
        cv2.putText(luma, f"{number}", (width // 20, height * 9 // 10), cv2.FONT_HERSHEY_SIMPLEX, scale, 16, max(1, round(2 * scale)))
        write_frame_number(luma, number)
        return av.VideoFrame.from_ndarray(planes, format="yuv420p")


def _background(width: int, height: int) -> Any:  # noqa: ANN401 - a plane of yuv420p, shape (height * 3 / 2, width)
    planes = np.full((height * 3 // 2, width), 128, np.uint8)
    planes[:height] = (np.linspace(_GREY - 32, _GREY + 32, width)[None, :] + np.linspace(-16, 16, height)[:, None]).astype(np.uint8)
    return planes
