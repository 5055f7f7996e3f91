"""A part's header and fragments for tests whose media need be no sound and no picture: real boxes around any bytes."""

from recorder.children.fmp4 import Opus, box, full_box, header

FRAGMENT_HEAD_BYTES = 104
"""What stands in a fragment besides the bytes that were given."""


def boxed_header(timescale: int, about: str = "") -> bytes:
    """A header; what it is about makes it differ from others."""
    return header(Opus(1, timescale), None) + box(b"free", about.encode())


def boxed(start: int, duration: int, body: bytes) -> bytes:
    """A fragment of one sample, which begins and lasts so many ticks."""
    u32 = (1).to_bytes(4, "big")
    tfhd = full_box(b"tfhd", 0, 0x020000, u32)
    tfdt = full_box(b"tfdt", 1, 0, start.to_bytes(8, "big"))
    rows = duration.to_bytes(4, "big") + len(body).to_bytes(4, "big")
    trun = full_box(b"trun", 0, 0x301, u32, FRAGMENT_HEAD_BYTES.to_bytes(4, "big"), rows)
    moof = box(b"moof", full_box(b"mfhd", 0, 0, u32), box(b"traf", tfhd, tfdt, trun))
    return moof + box(b"mdat", body)
