"""Decrypts a record's media where it lies: Common Encryption, scheme ``cenc`` (ISO/IEC 23001-7, AES-128 in counter mode). Pure.

Only the protected bytes change: every box keeps its place and every sample its bytes, so a readable copy holds exactly what the camera and
the microphones gave. The boxes that told how to decrypt (``senc``, ``saiz``, ``saio``) become ``free``; the header's sample entry gets the
format's own name back.
"""

import struct

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

_IV_BYTES = 8
_SUBSAMPLES = 0x2
_ENTRY_FIELDS = {b"encv": 78, b"enca": 28}
"""Bytes of a sample entry before its child boxes (ISO/IEC 14496-12, 12.1.3 and 12.2.3)."""
_CONTAINERS = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")


class CencError(ValueError):
    """The bytes are not what this recorder writes."""


def clear_header(data: bytes) -> bytes:
    """A part's header without its encryption: ``encv`` and ``enca`` become what they were, ``sinf`` goes.

    Raises:
        CencError: the boxes do not fit.
    """
    try:
        return b"".join(_clear_box(kind, data[start:end]) for kind, start, end in boxes(data, 0, len(data)))
    except (struct.error, RecursionError) as error:
        raise CencError("a header's boxes are cut, or nested without end") from error


def clear_fragment(data: bytes, key: bytes) -> bytes:
    """A fragment (``moof``, ``mdat``) decrypted.

    Raises:
        CencError: the boxes do not fit.
    """
    out = bytearray(data)
    try:
        for kind, start, end in boxes(data, 0, len(data)):
            if kind == b"moof":
                for inner, at, stop in boxes(data, start + 8, end):
                    if inner == b"traf":
                        _clear_run(out, data, key, start, at + 8, stop)
    except CencError:
        raise
    except (struct.error, IndexError, ValueError) as error:
        raise CencError("a fragment's boxes are cut") from error
    return bytes(out)


def _clear_run(out: bytearray, data: bytes, key: bytes, moof: int, start: int, end: int) -> None:
    sizes: list[int] = []
    ivs: list[tuple[bytes, list[tuple[int, int]]]] = []
    default_size, first = 0, None
    for kind, at, stop in boxes(data, start, end):
        body, flags = at + 8, int.from_bytes(data[at + 9 : at + 12], "big")
        if kind == b"tfhd":
            skip = 8 + (8 if flags & 1 else 0) + (4 if flags & 2 else 0) + (4 if flags & 8 else 0)
            default_size = _u32(data, body + skip) if flags & 0x10 else 0
        elif kind == b"trun":
            sizes, first = _sizes(data, body, flags, default_size, moof)
        elif kind == b"senc":
            ivs = _initialisation_vectors(data, body, flags)
        if kind in {b"senc", b"saiz", b"saio"}:
            out[at + 4 : at + 8] = b"free"
        if stop > len(data):
            raise CencError("a box reaches behind the fragment")
    if first is None or len(ivs) != len(sizes):
        raise CencError("samples and their initialisation vectors do not agree")
    position = first
    for size, (iv, parts) in zip(sizes, ivs, strict=True):
        cipher = Cipher(algorithms.AES(key), modes.CTR(iv + bytes(_IV_BYTES))).decryptor()
        at = position
        for clear, protected in parts or [(0, size)]:
            at += clear
            out[at : at + protected] = cipher.update(data[at : at + protected])
            at += protected
        position += size
    if position > len(data):
        raise CencError("samples reach behind the fragment")


def _sizes(data: bytes, body: int, flags: int, default_size: int, moof: int) -> tuple[list[int], int]:
    """Sizes of a run's samples, and where the first one begins (``default-base-is-moof``)."""
    count = sample_count(data, body + 4)
    at = body + 8
    offset = struct.unpack_from(">i", data, at)[0] if flags & 0x1 else 0
    at += (4 if flags & 0x1 else 0) + (4 if flags & 0x4 else 0)
    stride = 4 * sum(1 for bit in (0x100, 0x200, 0x400, 0x800) if flags & bit)
    if not flags & 0x200:
        return [default_size] * count, moof + offset
    shift = 4 if flags & 0x100 else 0
    return [_u32(data, at + sample * stride + shift) for sample in range(count)], moof + offset


def _initialisation_vectors(data: bytes, body: int, flags: int) -> list[tuple[bytes, list[tuple[int, int]]]]:
    """For each sample its IV, and its runs of clear and protected bytes (empty: all is protected)."""
    count, at = sample_count(data, body + 4), body + 8
    found = []
    for _ in range(count):
        iv, at = data[at : at + _IV_BYTES], at + _IV_BYTES
        parts: list[tuple[int, int]] = []
        if flags & _SUBSAMPLES:
            runs, at = struct.unpack_from(">H", data, at)[0], at + 2
            for _ in range(runs):
                parts.append(struct.unpack_from(">HI", data, at))
                at += 6
        found.append((iv, parts))
    return found


def _clear_box(kind: bytes, box: bytes) -> bytes:
    if kind in _CONTAINERS:
        fields = 16 if kind == b"stsd" else 8
        inner = b"".join(_clear_box(name, box[at:end]) for name, at, end in boxes(box, fields, len(box)))
        return struct.pack(">I", fields + len(inner)) + box[4:fields] + inner
    if kind not in _ENTRY_FIELDS:
        return box
    fields = 8 + _ENTRY_FIELDS[kind]
    original, inner = kind, b""
    for name, at, end in boxes(box, fields, len(box)):
        if name != b"sinf":
            inner += box[at:end]
            continue
        for part, start, _ in boxes(box, at + 8, end):
            if part == b"frma":
                original = box[start + 8 : start + 12]
    return struct.pack(">I", fields + len(inner)) + original + box[8:fields] + inner


def boxes(data: bytes, start: int, end: int) -> list[tuple[bytes, int, int]]:
    """(kind, start, end) of the boxes in a range."""
    found, at = [], start
    while at < end:
        size = int.from_bytes(data[at : at + 4], "big")
        if size < 8 or at + size > end:
            raise CencError(f"a box of {size} bytes does not fit")
        found.append((data[at + 4 : at + 8], at, at + size))
        at += size
    return found


def sample_count(data: bytes, at: int) -> int:
    """How many samples a box says that there are.

    Raises:
        CencError: more than bytes.
    """
    count = _u32(data, at)
    if count > len(data):
        raise CencError(f"a run of {count} samples in {len(data)} bytes")
    return count


def _u32(data: bytes, at: int) -> int:
    value: int = struct.unpack_from(">I", data, at)[0]
    return value
