"""Runs in the virtual machine, by Debian's own Python: feeds a v4l2loopback device with encoded pictures, again and again at their pace.

``vm_feeder.py DEVICE FOURCC WIDTH HEIGHT FPS FILE``; FILE holds the pictures, each after its length (4 bytes, big-endian).
"""

import fcntl
import os
import struct
import sys
import time
from pathlib import Path

# linux/videodev2.h
VIDIOC_S_FMT = 0xC0D05605
_OUTPUT, _FIELD_NONE = 2, 1
_FORMAT = struct.Struct("<I4x4I184x")
"""struct v4l2_format on 64 bits: type, then of struct v4l2_pix_format width, height, pixelformat, field; the driver fills in the rest."""


def main(device: str, fourcc: str, width: int, height: int, fps: int, file: Path) -> None:
    """Feed for ever."""
    data = file.read_bytes()
    pictures = []
    while data:
        length = int.from_bytes(data[:4], "big")
        pictures.append(data[4 : 4 + length])
        data = data[4 + length :]
    handle = os.open(device, os.O_RDWR)
    fcntl.ioctl(handle, VIDIOC_S_FMT, _FORMAT.pack(_OUTPUT, width, height, int.from_bytes(fourcc.encode(), "little"), _FIELD_NONE))
    due_s = time.monotonic()
    while True:
        for picture in pictures:
            time.sleep(max(0.0, due_s - time.monotonic()))  # the camera's pace
            os.write(handle, picture)
            due_s += 1 / fps


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]), Path(sys.argv[6]))
