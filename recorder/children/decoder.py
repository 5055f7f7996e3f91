"""The decoder of participants' media: ``python -m recorder.children.decoder``, started by the watch, with its link as descriptor 3.

What the internet sent is decoded by FFmpeg here and nowhere else. Before it reads the first byte of it the process has given up files, new
sockets and processes; it has the key of the stretch that it is given, and no other. What it answers are numbers, and are taken for no more.
"""

import os
import resource
import signal
import socket
from pathlib import Path
from typing import Literal

import av.subtitles.stream  # noqa: F401 - PyAV imports it when it first opens anything: then no file can be read any more
import cv2
import msgspec

from recorder.children.media_values import Measurer, MediaValues
from recorder.children.sandbox import die_with_parent, drop_powers
from recorder.contract import child
from recorder.contract.framing import FrameReader, pack
from recorder.heap import share_heap

FAILURE_CHARS = 200
_MORE_MEMORY_BYTES = 768 * 1024 * 1024
"""Beyond what the libraries take: a picture of the largest size that H.264 knows, its references, and the stretch itself."""
_FILES = 16
_READ_BYTES = 256 * 1024


class Stretch(msgspec.Struct, frozen=True, kw_only=True):
    """Media to be measured; the frame's body is the part's header (``header_bytes`` long) and its fragments."""

    track: str
    part: int
    kind: Literal["video", "audio"]
    key: bytes | None
    header_bytes: int


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """The answer: the values, or in words why there are none."""

    values: MediaValues | None
    failure: str = ""


to_decoder = msgspec.msgpack.Decoder(Stretch)
from_decoder = msgspec.msgpack.Decoder(Measured)
encoder = msgspec.msgpack.Encoder()


def main() -> int:
    """Answer one stretch after the other until the watch ends."""
    die_with_parent()
    share_heap()
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    cv2.setNumThreads(1)  # no thread can be started any more
    link = socket.socket(fileno=child.LINK_FD)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    os.closerange(child.LINK_FD + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    drop_powers(pages * resource.getpagesize() + _MORE_MEMORY_BYTES, _FILES)
    frames, measurer = FrameReader(), Measurer()
    while data := link.recv(_READ_BYTES):
        for head, body in frames.feed(data):
            link.sendall(pack(encoder.encode(_measured(measurer, to_decoder.decode(head), body))))
    return 0


def _measured(measurer: Measurer, asked: Stretch, body: bytes) -> Measured:
    media = body[: asked.header_bytes], body[asked.header_bytes :]
    try:
        return Measured(values=measurer.measure(asked.track, asked.part, asked.kind, media, asked.key))
    except Exception as error:  # noqa: BLE001 - strangers' bytes: whatever goes wrong with them is the answer
        return Measured(values=None, failure=f"{error}"[:FAILURE_CHARS] or type(error).__name__)


if __name__ == "__main__":
    raise SystemExit(main())
