"""AES67 streams: RTP with L16 or L24 samples (RFC 3190), described by an SDP file (RFC 8866), often sent by multicast."""

from collections.abc import Mapping
from typing import Any

import av

from drivers.capabilities import AudioFormat, Sound, SourceLostError
from drivers.microphones.decoded import DecodedSound, lost

OPEN_S = 5.0
STALL_S = 1.0
_BITS = {"pcm_s16be": 16, "pcm_s24be": 24}


def open(stanza: Mapping[str, Any]) -> "Aes67Source":  # noqa: A001 - the drivers' convention
    """Open the stream that the stanza's ``sdp`` file describes.

    Raises:
        SourceLostError: ``missing`` without the file, ``format`` when it describes no L16 or L24 sound with enough channels.

    """
    path = stanza["sdp"]
    try:
        container = av.open(
            path,
            format="sdp",
            options={"protocol_whitelist": "file,udp,rtp", "analyzeduration": "0", "max_delay": "20000"},
            timeout=(OPEN_S, STALL_S),
        )
    except av.FFmpegError as error:
        raise lost(path, error) from error
    streams = container.streams.audio
    if not streams or streams[0].codec_context.name not in _BITS:
        container.close()
        raise SourceLostError("format", f"{path}: describes no L16 or L24 sound")
    wanted = max(channel["number"] for channel in stanza["channels"])
    if streams[0].codec_context.channels < wanted:
        container.close()
        raise SourceLostError("format", f"{path}: has {streams[0].codec_context.channels} channels; channel {wanted} is configured")
    return Aes67Source(container, streams[0], path, stanza.get("serial", ""))


class Aes67Source:
    """An open stream; positions are its RTP timestamps."""

    def __init__(self, container: av.container.InputContainer, stream: av.AudioStream, path: str, serial: str) -> None:
        codec = stream.codec_context
        self.formats = {
            "audio": AudioFormat(codec="pcm", rate_hz=codec.sample_rate, channels=codec.channels, bits=_BITS[codec.name]),
        }
        self.address = path
        self.serial = serial
        self.exact_clock = False
        self._container = container
        self._decoded = DecodedSound(container, stream, path)

    def read(self) -> Sound:
        """Block for the next 20 ms."""
        return self._decoded.read()

    def close(self) -> None:
        """Stop listening."""
        self._container.close()
