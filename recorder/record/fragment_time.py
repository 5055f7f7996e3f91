"""When a fragment's media begin and how long they last, by the boxes of the media themselves. Pure.

Boxes and fields are those of ISO/IEC 14496-12; they stay in the clear under encryption. What a recorder does not write is refused rather
than understood: whoever needs no key for it may write anything.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

BOX_HEAD_BYTES = 8
MOST_MOOF_BYTES = 1024 * 1024
"""A second's samples of a camera need some KiB."""


class BoxError(ValueError):
    """The bytes are not what a recorder writes."""


@dataclass(frozen=True, slots=True)
class FragmentTime:
    """In the part's timescale."""

    start: int
    duration: int


def moof_bytes(head: bytes, length: int) -> int:
    """The length of the ``moof`` that a fragment of so many bytes begins with, by its first bytes.

    Raises:
        BoxError: it begins with something else.
    """
    size = int.from_bytes(head[:4], "big")
    if head[4:8] != b"moof" or not BOX_HEAD_BYTES <= size <= min(MOST_MOOF_BYTES, length - BOX_HEAD_BYTES):
        raise BoxError("does not begin with a moof")
    return size


def fragment_time(data: bytes, length: int) -> FragmentTime:
    """Read the time of a fragment of ``length`` bytes from its ``moof`` and the first bytes of its ``mdat``.

    Raises:
        BoxError: it is not one ``moof`` of one track and one ``mdat`` that fill it, or a sample does not say how long it lasts.
    """
    moof_end = moof_bytes(data, length)
    mdat = data[moof_end : moof_end + BOX_HEAD_BYTES]
    if mdat[4:] != b"mdat" or int.from_bytes(mdat[:4], "big") != length - moof_end:
        raise BoxError("its mdat does not fill it")
    try:
        start, end = _only(data, BOX_HEAD_BYTES, moof_end, b"traf")
        head, _ = _only(data, start, end, b"tfhd")
        time, _ = _only(data, start, end, b"tfdt")
        begins: int = struct.unpack_from(">Q" if data[time] == 1 else ">I", data, time + 4)[0]
        default = _default_duration(data, head)
        runs = (_run(data, body, stop, default) for kind, body, stop in _boxes(data, start, end) if kind == b"trun")
        return FragmentTime(begins, sum(runs))
    except (struct.error, IndexError) as error:
        raise BoxError("its boxes are cut") from error


def header_timescale(data: bytes) -> int:
    """The timescale that a part's header gives its one track.

    Raises:
        BoxError: it gives none, or has several tracks.
    """
    start, end = 0, len(data)
    for kind in (b"moov", b"trak", b"mdia", b"mdhd"):
        start, end = _only(data, start, end, kind)
    try:
        timescale: int = struct.unpack_from(">I", data, start + (20 if data[start] == 1 else 12))[0]
    except (struct.error, IndexError) as error:
        raise BoxError("its boxes are cut") from error
    if timescale < 1:
        raise BoxError("a timescale of 0")
    return timescale


def _default_duration(data: bytes, body: int) -> int | None:
    """A sample's duration by ``tfhd`` (8.8.7)."""
    flags = _flags(data, body)
    if not flags & 0x8:
        return None
    return _u32(data, body + 8 + (8 if flags & 0x1 else 0) + (4 if flags & 0x2 else 0))


def _run(data: bytes, body: int, end: int, default: int | None) -> int:
    """How long the samples of a ``trun`` last together (8.8.8)."""
    flags, count = _flags(data, body), _u32(data, body + 4)
    at = body + 8 + (4 if flags & 0x1 else 0) + (4 if flags & 0x4 else 0)
    stride = 4 * sum(1 for bit in (0x100, 0x200, 0x400, 0x800) if flags & bit)
    if at + count * stride > end:
        raise BoxError("a run of more samples than it has rows")
    if flags & 0x100:
        return sum(_u32(data, at + number * stride) for number in range(count))
    if default is None:
        raise BoxError("a sample does not say how long it lasts")
    return count * default


def _only(data: bytes, start: int, end: int, wanted: bytes) -> tuple[int, int]:
    found = [(body, stop) for kind, body, stop in _boxes(data, start, end) if kind == wanted]
    if len(found) != 1:
        raise BoxError(f"{len(found)} boxes {wanted.decode()}")
    return found[0]


def _boxes(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start of the body, and end of the boxes in a range."""
    while at < end:
        size = int.from_bytes(data[at : at + 4], "big")
        if size < BOX_HEAD_BYTES or at + size > end:
            raise BoxError(f"a box of {size} bytes does not fit")
        yield data[at + 4 : at + 8], at + BOX_HEAD_BYTES, at + size
        at += size


def _flags(data: bytes, body: int) -> int:
    return int.from_bytes(data[body + 1 : body + 4], "big")


def _u32(data: bytes, at: int) -> int:
    value: int = struct.unpack_from(">I", data, at)[0]
    return value
