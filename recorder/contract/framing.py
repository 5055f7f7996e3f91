"""Length-prefixed frames of the recorder's local sockets.

A frame is two big-endian 32-bit lengths, then a head and a body of those lengths. The head is a msgpack message, the body raw bytes
(a fragment, a packet, samples). One framing serves the children's links, the media bus, ingest and room-out.
"""

import struct

LENGTHS = struct.Struct(">II")
MAX_HEAD_BYTES = 64 * 1024
MAX_BODY_BYTES = 32 * 1024 * 1024


class FrameError(ValueError):
    """The peer sent lengths that no frame has; the connection cannot go on."""


def pack(head: bytes, body: bytes | bytearray | memoryview = b"") -> bytes:
    """Join a head and a body into one frame."""
    return b"".join((LENGTHS.pack(len(head), len(body)), head, body))


class FrameReader:
    """Cuts a byte stream into frames, whatever pieces it arrives in. Pure: ``feed`` takes bytes, and returns the frames that are whole."""

    def __init__(self, max_body_bytes: int = MAX_BODY_BYTES) -> None:
        self._buffer = bytearray()
        self._max_body_bytes = max_body_bytes

    def feed(self, data: bytes | memoryview) -> list[tuple[bytes, bytes]]:
        """Take bytes, return the (head, body) pairs that they complete.

        Raises:
            FrameError: a length is over the limit.

        """
        self._buffer += data
        frames: list[tuple[bytes, bytes]] = []
        start = 0
        while len(self._buffer) - start >= LENGTHS.size:
            head_bytes, body_bytes = LENGTHS.unpack_from(self._buffer, start)
            if head_bytes > MAX_HEAD_BYTES or body_bytes > self._max_body_bytes:
                raise FrameError(f"frame of {head_bytes} + {body_bytes} bytes is over the limit")
            head_at = start + LENGTHS.size
            end = head_at + head_bytes + body_bytes
            if len(self._buffer) < end:
                break
            body_at = head_at + head_bytes
            frames.append((bytes(self._buffer[head_at:body_at]), bytes(self._buffer[body_at:end])))
            start = end
        del self._buffer[:start]
        return frames
