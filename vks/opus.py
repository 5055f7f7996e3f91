"""Opus, the sound of browsers (RFC 6716), by FFmpeg's libopus: blocks of 20 ms, 48 kHz, one channel."""

from fractions import Fraction

import av
import numpy as np

from vks.mixing import BLOCK, RATE_HZ, Block

BITRATE_BPS = 32_000
EXPECTED_LOSS_PERCENT = 10
"""How much of the bitrate goes into repeating the block before, for a listener who loses one (in-band FEC)."""

MOST_US = 120_000
"""No packet is longer (RFC 6716, section 3.2.5)."""
_FIRST_HYBRID, _FIRST_CELT = 12, 16
"""Configurations of the first byte (RFC 6716, table 2)."""


class Encoder:
    """One mix."""

    def __init__(self) -> None:
        codec = av.CodecContext.create("libopus", "w")
        if not isinstance(codec, av.AudioCodecContext):
            raise TypeError("libopus")
        codec.sample_rate, codec.layout, codec.format, codec.bit_rate = RATE_HZ, "mono", "s16", BITRATE_BPS
        codec.options = {"application": "voip", "frame_duration": "20", "fec": "1", "packet_loss": str(EXPECTED_LOSS_PERCENT)}
        self._codec = codec
        self._pts = 0

    def encode(self, block: Block) -> bytes:
        """The packet that holds this block (and, by libopus's delay, the end of the one before)."""
        frame = av.AudioFrame.from_ndarray(block.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, self._pts, Fraction(1, RATE_HZ)
        self._pts += BLOCK
        return b"".join(bytes(packet) for packet in self._codec.encode(frame))


class Decoder:
    """One voice."""

    def __init__(self) -> None:
        codec = av.CodecContext.create("libopus", "r")
        if not isinstance(codec, av.AudioCodecContext):
            raise TypeError("libopus")
        codec.sample_rate, codec.layout = RATE_HZ, "mono"
        self._codec = codec

    def decode(self, packet: bytes) -> Block | None:
        """The samples of a packet (2.5 to 120 ms); None where it is no Opus."""
        if not packet:
            return None  # to FFmpeg that is the end of the stream
        try:
            frames = self._codec.decode(av.Packet(packet))
        except av.FFmpegError:
            return None
        if not frames:
            return None
        return np.concatenate([_mono(frame) for frame in frames])


def duration_us(packet: bytes) -> int:
    """How long a packet sounds, by its first bytes (RFC 6716, section 3.1); 0 where it is no Opus."""
    if not packet:
        return 0
    config, frames = packet[0] >> 3, (1, 2, 2, 0)[packet[0] & 3]
    if not frames:  # so many as the next byte says (RFC 6716, section 3.2.5)
        frames = packet[1] & 63 if len(packet) > 1 else 0
    silk_ms, celt_us = (10, 20, 40, 60), (2_500, 5_000, 10_000, 20_000)
    if config < _FIRST_HYBRID:
        frame_us = silk_ms[config & 3] * 1_000
    elif config < _FIRST_CELT:
        frame_us = silk_ms[config & 1] * 1_000
    else:
        frame_us = celt_us[config & 3]
    length_us = frames * frame_us
    return length_us if length_us <= MOST_US else 0


def _mono(frame: av.AudioFrame) -> Block:
    samples = frame.to_ndarray().astype(np.int16).reshape(-1, frame.layout.nb_channels)
    if samples.shape[1] == 1:
        return samples[:, 0]
    # Interleaved: both sides of a browser's stereo are the same voice, or two halves of it.
    both: Block = np.mean(samples, axis=1).astype(np.int16)
    return both
