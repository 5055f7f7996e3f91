"""Writes fragmented MP4 for packets that are encoded already: H.264 as ``avc3`` and Opus, in the clear or encrypted. Pure.

After ISO/IEC 14496-12 (boxes), 14496-15 (avc3), 23001-7 (``cenc``: AES-CTR; of H.264 only slices are encrypted) and the Opus in ISOBMFF
encapsulation. The ingest child uses it so that no demuxer touches what participants send; gaps in time are exact, as every fragment says
its own time.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from recorder.contract import h264
from recorder.contract.child import MediaKey

OPUS_HZ = 48_000
VIDEO_HZ = 90_000
_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_KEY_FLAGS, _OTHER_FLAGS = 0x02000000, 0x01010000
_MOST_CLEAR = 0xFFFF
_LENGTH_BYTES = 4
_MOST_PARTS = 40
"""What the encryption's table holds of one sample (ISO/IEC 23001-7: one byte for 8 + 2 + 6 a part)."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One packet. ``units`` are its NAL units for H.264, or the one Opus packet; ``dur`` in the track's timescale."""

    units: Sequence[bytes]
    dur: int
    key: bool


@dataclass(frozen=True, slots=True)
class Opus:
    """A track of Opus packets (timescale 48,000)."""

    channels: int
    timescale: int = OPUS_HZ


@dataclass(frozen=True, slots=True)
class Avc3:
    """A track of H.264 whose parameter sets come in band; the first ones stand in the header too (timescale 90,000)."""

    sps: bytes
    pps: bytes
    timescale: int = VIDEO_HZ


def box(kind: bytes, *parts: bytes) -> bytes:
    """A box."""
    body = b"".join(parts)
    return struct.pack(">I", 8 + len(body)) + kind + body


def full_box(kind: bytes, version: int, flags: int, *parts: bytes) -> bytes:
    """A box with version and flags."""
    return box(kind, struct.pack(">I", version << 24 | flags), *parts)


def header(codec: Opus | Avc3, key: MediaKey | None) -> bytes:
    """The CMAF header (``ftyp`` and ``moov``) of a track."""
    video = isinstance(codec, Avc3)
    size = h264.picture_size(codec.sps) if isinstance(codec, Avc3) else h264.Size(0, 0)
    mvhd = full_box(b"mvhd", 0, 0, struct.pack(">4I", 0, 0, codec.timescale, 0), _header_tail())
    tkhd = full_box(
        b"tkhd", 0, 3, struct.pack(">5I8xHHHH", 0, 0, 1, 0, 0, 0, 0, 0 if video else 0x100, 0),
        _MATRIX, struct.pack(">II", size.width << 16, size.height << 16),
    )  # fmt: skip
    mdhd = full_box(b"mdhd", 0, 0, struct.pack(">4IHH", 0, 0, codec.timescale, 0, 0x55C4, 0))
    handler, name = (b"vide", b"video\0") if video else (b"soun", b"sound\0")
    hdlr = full_box(b"hdlr", 0, 0, b"\0\0\0\0", handler, bytes(12), name)
    media = full_box(b"vmhd", 0, 1, bytes(8)) if video else full_box(b"smhd", 0, 0, bytes(4))
    dinf = box(b"dinf", full_box(b"dref", 0, 0, struct.pack(">I", 1), full_box(b"url ", 0, 1)))
    stbl = box(
        b"stbl",
        full_box(b"stsd", 0, 0, struct.pack(">I", 1), _sample_entry(codec, size, key)),
        full_box(b"stts", 0, 0, bytes(4)),
        full_box(b"stsc", 0, 0, bytes(4)),
        full_box(b"stsz", 0, 0, bytes(8)),
        full_box(b"stco", 0, 0, bytes(4)),
    )
    trak = box(b"trak", tkhd, box(b"mdia", mdhd, hdlr, box(b"minf", media, dinf, stbl)))
    mvex = box(b"mvex", full_box(b"trex", 0, 0, struct.pack(">5I", 1, 1, 0, 0, 0)))
    brands = b"iso6" + b"\0\0\0\0" + b"iso6cmfcmp41"
    return box(b"ftyp", brands) + box(b"moov", mvhd, trak, mvex)


def fragment(codec: Opus | Avc3, samples: Sequence[Sample], t0: int, sequence: int, first_iv: int, key: MediaKey | None) -> bytes:
    """A fragment (``moof`` and ``mdat``).

    Args:
        codec: the track's.
        samples: at least one.
        t0: decode time of the first, in the timescale.
        sequence: the fragment's number.
        first_iv: how many samples were encrypted with this key before: no counter is used twice.
        key: the part's key, or None for the clear.

    """
    video = isinstance(codec, Avc3)
    datas: list[bytes] = []
    infos: list[bytes] = []
    for number, sample in enumerate(samples):
        clear_and_secret = _parts(sample, video=video)
        if key is None:
            datas.append(b"".join(part for pair in clear_and_secret for part in pair))
            continue
        iv = struct.pack(">Q", first_iv + number + 1)
        encryptor = Cipher(algorithms.AES(key.key), modes.CTR(iv + bytes(8))).encryptor()
        datas.append(b"".join(clear + encryptor.update(secret) for clear, secret in clear_and_secret))
        info = iv
        if video:
            info += struct.pack(">H", len(clear_and_secret))
            info += b"".join(struct.pack(">HI", len(clear), len(secret)) for clear, secret in clear_and_secret)
        infos.append(info)
    mfhd = full_box(b"mfhd", 0, 0, struct.pack(">I", sequence))
    tfhd = full_box(b"tfhd", 0, 0x020000, struct.pack(">I", 1))
    tfdt = full_box(b"tfdt", 1, 0, struct.pack(">Q", t0))
    rows = b"".join(
        struct.pack(">III", sample.dur, len(data), _KEY_FLAGS if sample.key else _OTHER_FLAGS)
        for sample, data in zip(samples, datas, strict=True)
    )
    trun_bytes = 8 + 4 + 4 + 4 + len(rows)
    boxes = [mfhd, b""]
    secret_boxes = b""
    if key is not None:
        saiz = full_box(b"saiz", 0, 0, struct.pack(">BI", 0, len(infos)), bytes(map(len, infos)))
        before_senc = 8 + len(mfhd) + 8 + len(tfhd) + len(tfdt) + trun_bytes + len(saiz) + 20
        saio = full_box(b"saio", 0, 0, struct.pack(">II", 1, before_senc + 16))
        senc = full_box(b"senc", 0, 2 if video else 0, struct.pack(">I", len(infos)), b"".join(infos))
        secret_boxes = saiz + saio + senc
    moof_bytes = 8 + len(mfhd) + 8 + len(tfhd) + len(tfdt) + trun_bytes + len(secret_boxes)
    trun = full_box(b"trun", 0, 0x000701, struct.pack(">II", len(samples), moof_bytes + 8), rows)
    boxes[1] = box(b"traf", tfhd, tfdt, trun, secret_boxes)
    return box(b"moof", *boxes) + box(b"mdat", *datas)


def _parts(sample: Sample, *, video: bool) -> list[tuple[bytes, bytes]]:
    """A sample as pairs of (bytes in the clear, bytes to encrypt)."""
    if not video:
        return [(b"", unit) for unit in sample.units]
    pairs: list[tuple[bytes, bytes]] = []
    for unit in sample.units:
        data = struct.pack(">I", len(unit)) + unit
        clear = len(data)
        if h264.kind(unit) in h264.SLICES:
            clear = _LENGTH_BYTES + 1 + (len(unit) - 1) % 16
        while clear > _MOST_CLEAR:
            pairs.append((data[:_MOST_CLEAR], b""))
            data, clear = data[_MOST_CLEAR:], clear - _MOST_CLEAR
        pairs.append((data[:clear], data[clear:]))
    if len(pairs) > _MOST_PARTS:
        # A picture of many slices: the last part takes in all that follow, whose headers are encrypted too then.
        clear_bytes, secret = pairs[_MOST_PARTS - 1]
        rest = b"".join(piece for pair in pairs[_MOST_PARTS:] for piece in pair)
        pairs[_MOST_PARTS - 1 :] = [(clear_bytes, secret + rest)]
    return pairs


def _header_tail() -> bytes:
    return struct.pack(">IHH8x", 0x10000, 0x100, 0) + _MATRIX + bytes(24) + struct.pack(">I", 2)


def _sample_entry(codec: Opus | Avc3, size: h264.Size, key: MediaKey | None) -> bytes:
    if isinstance(codec, Avc3):
        kind, secret_kind = b"avc3", b"encv"
        body = struct.pack(">6xH16xHHIIIH32sHh", 1, size.width, size.height, 0x480000, 0x480000, 0, 1, b"", 24, -1)
        avcc = bytes([1]) + codec.sps[1:4] + b"\xff\xe1" + _sized(codec.sps) + b"\x01" + _sized(codec.pps)
        body += box(b"avcC", avcc)
    else:
        kind, secret_kind = b"Opus", b"enca"
        body = struct.pack(">6xH8xHHHHI", 1, codec.channels, 16, 0, 0, OPUS_HZ << 16)
        body += box(b"dOps", struct.pack(">BBHIhB", 0, codec.channels, 0, OPUS_HZ, 0, 0))
    if key is None:
        return box(kind, body)
    tenc = full_box(b"tenc", 0, 0, b"\0\0\x01\x08", key.kid)
    schm = full_box(b"schm", 0, 0, b"cenc", struct.pack(">I", 0x10000))
    return box(secret_kind, body, box(b"sinf", box(b"frma", kind), schm, box(b"schi", tenc)))


def _sized(unit: bytes) -> bytes:
    return struct.pack(">H", len(unit)) + unit
