"""What a fragment shows without its key: does it begin with a random access point, and when are its samples presented. Pure.

Boxes and fields are those of ISO/IEC 14496-12 (8.8.7 ``tfhd``, 8.8.8 ``trun``); they stay in the clear under encryption.
"""

import struct
from dataclasses import dataclass

from recorder.cenc import CencError, boxes, sample_count

_NOT_SYNC = 0x00010000
"""``sample_is_non_sync_sample`` of the sample flags (8.8.3.1)."""


@dataclass(frozen=True, slots=True)
class Look:
    """Times are in the part's timescale, counted from the fragment's decode time (the journal's ``t0``).

    ``first`` may be negative, and ``end`` lie behind its duration: pictures that refer to later ones are presented out of their order.
    ``last`` is when the last sample begins.
    """

    key: bool
    first: int
    last: int
    end: int


def look(data: bytes) -> Look:
    """Look at a fragment (``moof``, ``mdat``).

    Raises:
        CencError: the boxes do not fit.
    """
    times: list[tuple[int, int]] = []
    first_flags: int | None = None
    at = 0
    try:
        for start, end in _inside(data, 0, len(data), b"moof"):
            for inner, stop in _inside(data, start, end, b"traf"):
                duration, default_flags = 0, 0
                for kind, box, _ in boxes(data, inner, stop):
                    flags = int.from_bytes(data[box + 9 : box + 12], "big")
                    if kind == b"tfhd":
                        duration, default_flags = _defaults(data, box + 8, flags)
                    elif kind == b"trun":
                        at, of_first = _run(data, box + 8, flags, duration, default_flags, at, times)
                        first_flags = of_first if first_flags is None else first_flags
    except (struct.error, IndexError) as error:
        raise CencError("a fragment's boxes are cut") from error
    if not times or first_flags is None:
        raise CencError("a fragment without samples")
    return Look(
        not first_flags & _NOT_SYNC, min(start for start, _ in times), max(start for start, _ in times), max(end for _, end in times)
    )


def _inside(data: bytes, start: int, end: int, wanted: bytes) -> list[tuple[int, int]]:
    return [(at + 8, stop) for kind, at, stop in boxes(data, start, end) if kind == wanted]


def _defaults(data: bytes, body: int, flags: int) -> tuple[int, int]:
    """Default duration and flags of samples."""
    at = body + 8 + (8 if flags & 0x1 else 0) + (4 if flags & 0x2 else 0)
    duration = _u32(data, at) if flags & 0x8 else 0
    at += (4 if flags & 0x8 else 0) + (4 if flags & 0x10 else 0)
    return duration, _u32(data, at) if flags & 0x20 else 0


def _run(
    data: bytes, body: int, flags: int, default_duration: int, default_flags: int, start: int, times: list[tuple[int, int]]
) -> tuple[int, int]:
    """Adds the presentation times of a run's samples that begins at ``start``; returns where it ends and the flags of its first sample."""
    count, at = sample_count(data, body + 4), body + 8
    at += 4 if flags & 0x1 else 0
    first_flags = default_flags
    if flags & 0x4:
        first_flags, at = _u32(data, at), at + 4
    for number in range(count):
        duration, shift = default_duration, 0
        if flags & 0x100:
            duration, at = _u32(data, at), at + 4
        at += 4 if flags & 0x200 else 0
        if flags & 0x400:
            if number == 0 and not flags & 0x4:
                first_flags = _u32(data, at)
            at += 4
        if flags & 0x800:
            # Version 0 has unsigned offsets, version 1 signed ones; no offset of version 0 reaches the sign.
            shift, at = struct.unpack_from(">i", data, at)[0], at + 4
        times.append((start + shift, start + shift + duration))
        start += duration
    return start, first_flags


def _u32(data: bytes, at: int) -> int:
    value: int = struct.unpack_from(">I", data, at)[0]
    return value
