"""What RFC 6381 calls the media that a part's header describes. Pure."""

_NAMES = {"flac": "fLaC", "opus": "Opus", "aac": "mp4a.40.2", "mjpeg": "mp4v.6C"}


def codec_name(header: bytes, codec: str) -> str:
    """The name for ``CODECS`` of HLS.

    Args:
        header: the part's, not encrypted.
        codec: what the journal calls it.
    """
    if (at := header.find(b"avcC")) > 0:
        # Profile, constraints and level, RFC 6381, 3.3.
        return f"{_entry(header, at, b'avc3', b'avc1')}.{header[at + 5 : at + 8].hex()}"
    if (at := header.find(b"hvcC")) > 0 and len(header) >= at + 17:
        return f"{_entry(header, at, b'hev1', b'hvc1')}.{_hevc(header[at + 5 : at + 17])}"
    return _NAMES.get(codec, codec)


def _entry(header: bytes, before: int, in_band: bytes, other: bytes) -> str:
    """The sample entry around a box: where parameters may come among the pictures it is called otherwise."""
    return (in_band if header.rfind(in_band, 0, before) >= 0 else other).decode()


def _hevc(profile: bytes) -> str:
    """ISO/IEC 14496-15, annex E.3, from the twelve bytes of ``hvcC`` behind its version (8.3.3.1)."""
    space, tier, number = profile[0] >> 6, profile[0] >> 5 & 1, profile[0] & 0x1F
    compatible = int(f"{int.from_bytes(profile[1:5], 'big'):032b}"[::-1], 2)
    constraints = "".join(f".{byte:X}" for byte in profile[5:11].rstrip(b"\0"))
    return f"{('', 'A', 'B', 'C')[space]}{number}.{compatible:X}.{'LH'[tier]}{profile[11]}{constraints}"
