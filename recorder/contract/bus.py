"""The media bus: what the children serve to other processes, one Unix stream socket a stream.

Each stream is ``<run>/bus/<stream>.sock``, served by the child that makes it (so that a device's death closes only its own sockets; a
reader reconnects). Streams: ``<track>`` as recorded; ``<track>.low`` and ``<track>.small``, the camera's send rungs; ``<track>.pcm``, a
microphone channel (48 kHz mono, signed 16 bit, 20 ms); ``room-mix`` (Opus) and ``room-mix.pcm``. The first frame (``framing.py``) is
``Hello``, then come ``Packet``s. Queues are bounded: a slow reader loses packets and sees it in ``sequence``; it never delays the writer. A
reader may send ``KeyframeRequest``. Nothing is served while the room is privileged or in deliberation.
"""

from typing import Literal

import msgspec


class Hello(msgspec.Struct, frozen=True, kw_only=True, tag="hello", tag_field="m"):
    """What the stream is. ``extradata`` is the codec's (H.264: avcC or Annex B as the device gave it).

    ``forwardable`` is False for pictures that browsers do not show (another codec than H.264, or B-frames: Chromium showed 30 of 375):
    such a stream is there to be decoded, and viewers get ``<track>.low``.
    """

    stream: str
    kind: Literal["video", "audio"]
    codec: str
    extradata: bytes = b""
    width: int = 0
    height: int = 0
    rate_hz: int = 0
    channels: int = 0
    forwardable: bool = True


class Packet(msgspec.Struct, frozen=True, kw_only=True, tag="packet", tag_field="m"):
    """Head of one encoded frame or block of samples; the body holds its bytes. ``mono_us`` is its capture time (CLOCK_MONOTONIC)."""

    sequence: int
    mono_us: int
    dur_us: int
    key: bool


class KeyframeRequest(msgspec.Struct, frozen=True, tag="keyframe", tag_field="m"):
    """From a reader: begin a new GOP soon."""


FromWriter = Hello | Packet
encoder = msgspec.msgpack.Encoder()
from_writer = msgspec.msgpack.Decoder(FromWriter)
from_reader = msgspec.msgpack.Decoder(KeyframeRequest)


def socket_path(run_dir: str, stream: str) -> str:
    """Where a stream is served."""
    return f"{run_dir}/bus/{stream}.sock"
