"""Reads a record's media back with a recipient's key: every frame and sample with its session time. Independent of ``courtroom copy``."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import av
import numpy as np
import numpy.typing as npt
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from recorder import media_keys
from recorder.record import entries, layout
from recorder.seal import read_journal
from tests.lab import frame_strip


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a track as bytes that FFmpeg reads: header and fragments, and the key."""

    init: entries.Init
    data: bytes
    key: str | None


@dataclass(frozen=True, slots=True)
class Sound:
    """Decoded sound of one part: session time of its first sample, shape (samples,)."""

    t_us: int
    rate_hz: int
    samples: npt.NDArray[np.float64]


def parts(record: Path, track: str, key: Path, certificate: Path) -> list[Part]:
    """The parts of a track: all its fragments in order, wherever they lie."""
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    assert isinstance(private, rsa.RSAPrivateKey)
    recipient = x509.load_pem_x509_certificate(certificate.read_bytes())
    inits: dict[int, entries.Init] = {}
    pieces: dict[int, bytearray] = {}
    for _, entry in read_journal(record):
        if isinstance(entry, entries.Init) and entry.track == track:
            inits[entry.part] = entry
        elif isinstance(entry, entries.Frag) and entry.track == track:
            path = record / layout.segment_file(track, entry.seg)
            with path.open("rb") as file:
                file.seek(entry.off)
                pieces.setdefault(entry.part, bytearray()).extend(file.read(entry.len))
    made = []
    for part, data in sorted(pieces.items()):
        init = inits[part]
        content = None
        if init.key is not None:
            content = media_keys.unwrap((record / init.key).read_bytes(), recipient, private).key
        made.append(Part(init, (record / init.file).read_bytes() + bytes(data), content))
    return made


def frame_numbers(record: Path, track: str, key: Path, certificate: Path) -> list[tuple[int, int | None, float]]:
    """For every picture: session time (us), the number that is written in it, and its mean brightness."""
    found = []
    for part in parts(record, track, key, certificate):
        options = {"decryption_key": part.key} if part.key else {}
        with av.open(io.BytesIO(part.data), "r", format="mp4", options=options) as container:
            stream = container.streams.video[0]
            for frame in container.decode(stream):
                luma = cast("npt.NDArray[np.uint8]", frame.to_ndarray(format="gray"))
                assert frame.pts is not None
                assert frame.time_base is not None
                found.append(
                    (round(frame.pts * frame.time_base * 1_000_000), frame_strip.read(luma), float(luma[luma.shape[0] // 2 :].mean()))
                )
    return found


def sounds(record: Path, track: str, key: Path, certificate: Path) -> list[Sound]:
    """The decoded sound of every part."""
    found = []
    for part in parts(record, track, key, certificate):
        options = {"decryption_key": part.key} if part.key else {}
        with av.open(io.BytesIO(part.data), "r", format="mp4", options=options) as container:
            stream = container.streams.audio[0]
            blocks, first_us = [], None
            for frame in container.decode(stream):
                if first_us is None and frame.pts is not None and frame.time_base is not None:
                    first_us = round(frame.pts * frame.time_base * 1_000_000)
                block = frame.to_ndarray()
                mono = block[0] if frame.format.is_planar else block.reshape(-1, frame.layout.nb_channels)[:, 0]
                scale = {"s16": 2**15, "s32": 2**31}.get(frame.format.name.rstrip("p"), 1)
                blocks.append(mono.astype(np.float64) / scale)
            if blocks and first_us is not None:
                found.append(Sound(first_us, stream.codec_context.sample_rate, np.concatenate(blocks)))
    return found


def loudness_of(sound: Sound, pattern: npt.NDArray[np.float64]) -> float:
    """Highest normalised correlation of a known sound anywhere in a recorded one (1 is the sound itself)."""
    if len(sound.samples) < len(pattern):
        return 0.0
    size = 1 << (len(sound.samples) + len(pattern)).bit_length()
    spectrum = np.fft.rfft(sound.samples, size) * np.conj(np.fft.rfft(pattern, size))
    correlation = np.abs(np.fft.irfft(spectrum, size)[: len(sound.samples) - len(pattern) + 1])
    energy = np.concatenate([[0.0], np.cumsum(sound.samples**2)])
    local = np.sqrt(np.maximum(energy[len(pattern) :] - energy[: -len(pattern)], 1e-12)) * np.linalg.norm(pattern)
    return float((correlation[: len(local)] / local[: len(correlation)]).max())
