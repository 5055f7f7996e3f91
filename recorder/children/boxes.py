"""Boxes of fragmented MP4 (ISO/IEC 14496-12): cutting a muxer's output into header and fragments, and putting them on the session clock.

Pure. Only box headers and the few numbers of ``moof`` that stay in the clear under encryption are read; media is passed through.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_HEADER_BYTES = 8
_NOT_SYNC = 0x00010000
"""``sample_is_non_sync_sample`` of the sample flags (8.8.3.1)."""


class BoxError(ValueError):
    """The bytes are no boxes."""


@dataclass(frozen=True, slots=True)
class FragmentInfo:
    """What a fragment says of itself: its start and length in the track's timescale, and whether it begins with a random access point."""

    decode_time: int
    duration: int
    key: bool


class Cutter:
    """Cuts a byte stream into the header (``ftyp``, ``moov``) and fragments (``moof``, ``mdat`` and what stands before them)."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._pending = bytearray()

    def feed(self, data: bytes) -> list[tuple[bool, bytes]]:
        """Take bytes; returns what they complete as (is it the header, bytes)."""
        self._buffer += data
        done: list[tuple[bool, bytes]] = []
        while len(self._buffer) >= _HEADER_BYTES:
            size = int.from_bytes(self._buffer[:4], "big")
            kind = bytes(self._buffer[4:8])
            if size < _HEADER_BYTES:
                raise BoxError(f"box {kind!r} of {size} bytes")
            if len(self._buffer) < size:
                break
            self._pending += self._buffer[:size]
            del self._buffer[:size]
            if kind in {b"moov", b"mdat"}:
                done.append((kind == b"moov", bytes(self._pending)))
                self._pending.clear()
        return done


def children(data: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """The boxes in a range: (kind, start of the body, end).

    Raises:
        BoxError: a length that does not fit.
    """
    at, stop = start, len(data) if end is None else end
    while at < stop:
        if at + _HEADER_BYTES > stop:
            raise BoxError("a box's header is cut")
        size = int.from_bytes(data[at : at + 4], "big")
        if size < _HEADER_BYTES or at + size > stop:
            raise BoxError(f"a box of {size} bytes at {at} does not fit")
        yield data[at + 4 : at + 8], at + _HEADER_BYTES, at + size
        at += size


def find(data: bytes, *path: bytes) -> tuple[int, int]:
    """Start and end of the body of the first box with this path.

    Raises:
        BoxError: there is none.
    """
    start, end = 0, len(data)
    for name in path:
        for kind, body, stop in children(data, start, end):
            if kind == name:
                start, end = body, stop
                break
        else:
            raise BoxError(f"no box {name!r}")
    return start, end


def read_fragment(data: bytes) -> FragmentInfo:
    """Read start, length and first sample of a fragment of one track.

    Raises:
        BoxError: it is none.
    """
    start, end = find(data, b"moof", b"traf")
    decode_time, duration, first_flags = 0, 0, None
    default_duration = default_flags = 0
    try:
        for kind, body, _ in children(data, start, end):
            flags = int.from_bytes(data[body + 1 : body + 4], "big")
            if kind == b"tfhd":
                at = body + 8 + (8 if flags & 1 else 0) + (4 if flags & 2 else 0)
                if flags & 0x8:
                    default_duration = _u32(data, at)
                at += (4 if flags & 0x8 else 0) + (4 if flags & 0x10 else 0)
                if flags & 0x20:
                    default_flags = _u32(data, at)
            elif kind == b"tfdt":
                decode_time = struct.unpack_from(">Q" if data[body] == 1 else ">I", data, body + 4)[0]
            elif kind == b"trun":
                length, flags_of_first = _read_run(data, body, flags, default_duration, default_flags)
                duration += length
                first_flags = flags_of_first if first_flags is None else first_flags
    except (struct.error, IndexError) as error:
        raise BoxError("a fragment's boxes are cut") from error
    return FragmentInfo(decode_time, duration, first_flags is not None and not first_flags & _NOT_SYNC)


def with_decode_time(data: bytes, decode_time: int) -> bytes:
    """The fragment with another start; nothing else changes.

    Raises:
        BoxError: it has no 64-bit ``tfdt``.
    """
    body, _ = find(data, b"moof", b"traf", b"tfdt")
    if data[body] != 1:
        raise BoxError("tfdt has 32 bits")
    return data[: body + 4] + struct.pack(">Q", decode_time) + data[body + 12 :]


def _read_run(data: bytes, body: int, flags: int, default_duration: int, default_flags: int) -> tuple[int, int]:
    """Length of a ``trun`` and its first sample's flags (8.8.8)."""
    count = _u32(data, body + 4)
    at = body + 8 + (4 if flags & 0x1 else 0)
    first_flags = default_flags
    if flags & 0x4:
        first_flags = _u32(data, at)
        at += 4
    stride = 4 * sum(1 for bit in (0x100, 0x200, 0x400, 0x800) if flags & bit)
    if count and flags & 0x400 and not flags & 0x4:
        first_flags = _u32(data, at + 4 * sum(1 for bit in (0x100, 0x200) if flags & bit))
    if not flags & 0x100:
        return count * default_duration, first_flags
    return sum(_u32(data, at + sample * stride) for sample in range(count)), first_flags


def _u32(data: bytes, at: int) -> int:
    value: int = struct.unpack_from(">I", data, at)[0]
    return value
