"""H.264 as RTP carries it (RFC 6184, packetization mode 1): access units into payloads, once for all viewers, and back. Pure.

What comes from participants is hostile: whatever is not plain H.264 in this packing gives ``None``, never an error that ends a connection.
"""

import re

from recorder.contract import h264

PAYLOAD_BYTES = 1_180
"""With RTP's header, its extensions, SRTP's tag and TURN's own header a packet stays below 1,280 bytes (IPv6's smallest MTU)."""
IDR, SEI, SPS, PPS, DELIMITER = 5, 6, 7, 8, 9
_STAP_A, _FU_A = 24, 28
_START = b"\x00\x00\x00\x01"
_STARTS = re.compile(rb"\x00\x00\x01")
_TYPE, _NRI = 0x1F, 0x60
_FU_BEGINS, _FU_ENDS = 0x80, 0x40
MOST_UNIT_BYTES = 4 * 1024 * 1024
"""A participant's picture is not larger (ingest takes no larger one either)."""


def nal_units(access_unit: bytes) -> list[bytes]:
    """The NAL units of an access unit in Annex B form, without start codes; none where it is not in that form."""
    starts = [match.end() for match in _STARTS.finditer(access_unit)]
    ends = [start - 3 for start in starts[1:]] + [len(access_unit)]
    return [unit for start, end in zip(starts, ends, strict=False) if (unit := access_unit[start:end].rstrip(b"\x00"))]


def kind(unit: bytes) -> int:
    """A NAL unit's type (ITU-T H.264, table 7-1)."""
    return unit[0] & _TYPE


def split(units: list[bytes], parameter_sets: list[bytes]) -> list[bytes]:
    """The payloads of an access unit, the last of which bears the marker.

    Args:
        units: its NAL units.
        parameter_sets: of the stream; a keyframe that brings none of its own is given these, for a viewer who begins with it.
    """
    kinds = {kind(unit) for unit in units}
    if IDR in kinds and SPS not in kinds:
        units = [*parameter_sets, *units]
    payloads: list[bytes] = []
    together: list[bytes] = []
    for unit in units:
        if kind(unit) == DELIMITER:
            continue
        size = 1 + sum(2 + len(one) for one in together) + 2 + len(unit)
        if together and size > PAYLOAD_BYTES:
            payloads.append(_aggregated(together))
            together = []
        if 3 + len(unit) <= PAYLOAD_BYTES:
            together.append(unit)
        else:
            payloads += [*([_aggregated(together)] if together else []), *_fragmented(unit)]
            together = []
    return [*payloads, *([_aggregated(together)] if together else [])]


def _aggregated(units: list[bytes]) -> bytes:
    """RFC 6184, section 5.7.1: small units that travel together (STAP-A); one alone travels as it is (5.6)."""
    if len(units) == 1:
        return units[0]
    importance = max(unit[0] & _NRI for unit in units)
    return bytes([importance | _STAP_A]) + b"".join(len(unit).to_bytes(2) + unit for unit in units)


def _fragmented(unit: bytes) -> list[bytes]:
    """RFC 6184, section 5.8: a large unit in pieces of about one size (FU-A)."""
    body = memoryview(unit)[1:]
    most = PAYLOAD_BYTES - 2
    count = -(-len(body) // most)
    size = -(-len(body) // count)
    indicator, header = unit[0] & _NRI | _FU_A, unit[0] & _TYPE
    pieces = []
    for number in range(count):
        flags = (_FU_BEGINS if number == 0 else 0) | (_FU_ENDS if number == count - 1 else 0)
        pieces.append(bytes([indicator, flags | header]) + body[number * size : (number + 1) * size])
    return pieces


def join(payloads: tuple[bytes, ...]) -> list[bytes] | None:
    """The NAL units that these payloads of one access unit make; None where they are not whole, or nothing that RFC 6184 knows."""
    units: list[bytes] = []
    open_unit: bytearray | None = None
    total = 0
    for payload in payloads:
        if len(payload) < 2:
            return None
        total += len(payload)
        packing = payload[0] & _TYPE
        if total > MOST_UNIT_BYTES or (open_unit is not None and packing != _FU_A):
            return None
        if 1 <= packing < _STAP_A:
            units.append(payload)
        elif packing == _STAP_A:
            parts = _parts(payload)
            if parts is None:
                return None
            units += parts
        elif packing == _FU_A and len(payload) > 2:
            begins, ends = bool(payload[1] & _FU_BEGINS), bool(payload[1] & _FU_ENDS)
            if begins == (open_unit is not None):
                return None
            if begins:
                open_unit = bytearray([payload[0] & (_NRI | 0x80) | payload[1] & _TYPE])
            if open_unit is not None:
                open_unit += payload[2:]
                if ends:
                    units.append(bytes(open_unit))
                    open_unit = None
        else:
            return None
    if open_unit is not None or len(units) > h264.MAX_NALS or not all(unit.strip(b"\x00") for unit in units):
        return None
    return units or None


def picture(payloads: tuple[bytes, ...]) -> list[bytes] | None:
    """The NAL units of an access unit that the recorder takes too; None where they make none.

    It looks for start codes in the whole: one within a unit, which no encoder writes, would make another picture of it there than here.
    """
    units = join(payloads)
    if units is None or any(not 1 <= kind(unit) < _STAP_A or _STARTS.search(unit) for unit in units):
        return None
    try:
        for unit in units:
            if kind(unit) == SPS:
                h264.picture_size(unit)
    except h264.H264Error:
        return None
    return units


def _parts(payload: bytes) -> list[bytes] | None:
    found, at = [], 1
    while at < len(payload):
        size = int.from_bytes(payload[at : at + 2])
        unit = payload[at + 2 : at + 2 + size]
        if not size or len(unit) != size:
            return None
        found.append(unit)
        at += 2 + size
    return found


def annex_b(units: list[bytes]) -> bytes:
    """The units with start codes."""
    return b"".join(_START + unit for unit in units)


def is_keyframe(units: list[bytes]) -> bool:
    """Whether decoding can begin here."""
    return any(kind(unit) == IDR for unit in units)
