"""Opus, the sound of browsers (RFC 6716), by FFmpeg's libopus: blocks of 20 ms, 48 kHz, one channel."""

from fractions import Fraction

import av
import numpy as np

from vks.mixing import BLOCK, RATE_HZ, Block

BITRATE_BPS = 32_000
EXPECTED_LOSS_PERCENT = 10
"""How much of the bitrate goes into repeating the block before, for a listener who loses one (in-band FEC)."""


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


def _mono(frame: av.AudioFrame) -> Block:
    samples = frame.to_ndarray().astype(np.int16).reshape(-1, frame.layout.nb_channels)
    if samples.shape[1] == 1:
        return samples[:, 0]
    # Interleaved: both sides of a browser's stereo are the same voice, or two halves of it.
    both: Block = np.mean(samples, axis=1).astype(np.int16)
    return both
