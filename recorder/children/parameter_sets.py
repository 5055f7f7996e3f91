"""H.264 parameter sets in the pictures' own packets: for a stream in which they change, as when a camera was set to another size. Pure.

A sample entry ``avc1`` names the sets once for all pictures; with ``avc3`` they may stand in the pictures' own packets (ISO/IEC 14496-15,
5.3.1).
"""

import struct
from collections.abc import Iterator

_ACCESS_UNIT_DELIMITER = 9
_PREFIX_BYTES = 4
"""Of the length before each unit, in what is made here."""


class ParameterSets:
    """The sets of one ``avcC`` (ISO/IEC 14496-15, 5.3.3.1), and how long the lengths before its stream's units are.

    Raises:
        ValueError: it is none.
    """

    def __init__(self, avcc: bytes) -> None:
        try:
            self._prefix_bytes = (avcc[4] & 3) + 1
            at, self._sets = 5, b""
            for mask in (0x1F, 0xFF):
                count, at = avcc[at] & mask, at + 1
                for _ in range(count):
                    (size,) = struct.unpack_from(">H", avcc, at)
                    self._sets += _unit(avcc[at + 2 : at + 2 + size])
                    at += 2 + size
        except (IndexError, struct.error) as error:
            raise ValueError("the parameter sets are cut") from error
        if avcc[0] != 1 or at > len(avcc):
            raise ValueError("the parameter sets are cut, or of an unknown form")

    def put(self, data: bytes, *, key: bool) -> bytes:
        """An access unit with lengths of four bytes; the sets go into one that begins a decoding (``key``), behind its delimiter."""
        units = list(self._units(data))
        delimited = bool(units) and units[0][:1] != b"" and units[0][0] & 0x1F == _ACCESS_UNIT_DELIMITER
        first = int(delimited)
        return b"".join([*map(_unit, units[:first]), self._sets if key else b"", *map(_unit, units[first:])])

    def _units(self, data: bytes) -> Iterator[bytes]:
        at = 0
        while at < len(data):
            begin = at + self._prefix_bytes
            at = begin + int.from_bytes(data[at:begin], "big")
            if at > len(data):
                raise ValueError("a picture is cut")
            yield data[begin:at]


def _unit(data: bytes) -> bytes:
    return len(data).to_bytes(_PREFIX_BYTES, "big") + data
