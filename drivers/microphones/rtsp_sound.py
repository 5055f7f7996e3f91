"""Sound of an RTSP stream: as the device encoded it where MP4 holds the codec, else decoded to samples."""

import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, quote, urlsplit, urlunsplit

import av

from drivers.capabilities import AudioFormat, Encoded, Sound, SourceLostError
from drivers.microphones.decoded import DecodedSound, lost
from drivers.microphones.pcm import sample_bits
from drivers.rtsps import refused, tls_options

OPEN_S = 5.0
STALL_S = 2.0
LONGEST_ACCESS_BYTES = 127
"""Of ``user:password`` as it stands in an address: FFmpeg cuts what is longer (libavformat/rtsp.c, ``auth[128]``), and says nothing."""
_IN_MP4 = frozenset({"aac", "opus", "mp3", "ac3", "eac3"})
_SECRET_IN_PATH = re.compile(r"[^/]*(user|usr|pass|pwd)[^/=]*=.*", re.IGNORECASE | re.DOTALL)


def without_secrets(url: str) -> str:
    """The URL as it may be told in records and logs: without user and password, and without its query, in which cameras take them too.

    Some take them in the path, as in ``/user=admin_password=…_channel=1.sdp``: it is cut off there.
    """
    parts = _without_user(urlsplit(url))
    return urlunsplit(parts._replace(path=_SECRET_IN_PATH.sub("", parts.path), query="", fragment=""))


def with_password(url: str, user: str, password_file: str) -> str:
    """The URL with the user and the password that the file holds.

    Raises:
        SourceLostError: ``missing``: the file cannot be read; ``error``: it is no UTF-8, or user and password are too long for FFmpeg.

    """
    if not user:
        return url
    password = ""
    if password_file:
        try:
            # What Windows calls UTF-8 begins with a mark that is no part of the password (U+FEFF).
            password = Path(password_file).read_text(encoding="utf-8-sig").rstrip("\r\n")
        except OSError as error:
            raise SourceLostError("missing", f"password file {password_file}: {error.strerror}") from error
        except UnicodeDecodeError:
            raise SourceLostError("error", f"password file {password_file}: is no UTF-8; save it as UTF-8") from None
    access = f"{quote(user, safe='')}:{quote(password, safe='')}"
    if len(access) > LONGEST_ACCESS_BYTES:
        long = f"user and password take {len(access)} bytes in an address, and {LONGEST_ACCESS_BYTES} are the most"
        raise SourceLostError("error", f"password file {password_file}: {long}; `courtroom check-config` says what to do")
    parts = _without_user(urlsplit(url))
    return urlunsplit(parts._replace(netloc=f"{access}@{parts.netloc}"))


def _without_user(parts: SplitResult) -> SplitResult:
    return parts._replace(netloc=parts.netloc.rpartition("@")[2])


def open(stanza: Mapping[str, Any]) -> "RtspSoundSource":  # noqa: A001 - the drivers' convention
    """Open the sound of the stanza's ``url`` by TCP, with ``user`` and ``password_file`` where given.

    Raises:
        SourceLostError: ``missing`` when nobody answers, ``error`` when password or certificate is refused, ``format`` without sound.

    """
    address = without_secrets(stanza["url"])
    url = with_password(stanza["url"], stanza.get("user", ""), stanza.get("password_file", ""))
    ca_file = stanza.get("ca_file", "")
    try:
        container = av.open(
            url,
            format="rtsp",
            options={"rtsp_transport": "tcp", "allowed_media_types": "audio"} | tls_options(url, ca_file),
            timeout=(OPEN_S, STALL_S),
        )
    except av.FFmpegError as error:
        raise refused(url, address, ca_file, error) from None
    if not container.streams.audio:
        container.close()
        raise SourceLostError("format", f"{address}: has no sound")
    return RtspSoundSource(container, container.streams.audio[0], address, stanza.get("serial", ""))


class RtspSoundSource:
    """An open stream: gives ``Encoded`` packets, or ``Sound`` where its codec cannot be in MP4 (G.711, L16)."""

    def __init__(self, container: av.container.InputContainer, stream: av.AudioStream, address: str, serial: str) -> None:
        codec = stream.codec_context
        self._encoded = codec.name in _IN_MP4
        self.formats = {
            "audio": AudioFormat(
                codec=codec.name if self._encoded else "pcm",
                rate_hz=codec.sample_rate,
                channels=codec.channels,
                bits=16 if self._encoded else sample_bits(codec.name),
                template=stream if self._encoded else None,
            )
        }
        self.address = address
        self.serial = serial
        self.exact_clock = False
        self._container = container
        self._packets = container.demux(stream)
        self._decoded = None if self._encoded else DecodedSound(container, stream, address)

    def read(self) -> Encoded | Sound:
        """Block for the next packet or block."""
        if self._decoded is not None:
            return self._decoded.read()
        try:
            packet = next(self._packets, None)
        except av.FFmpegError as error:
            raise lost(self.address, error) from None
        if packet is None or packet.size == 0 or packet.pts is None or packet.time_base is None:
            raise SourceLostError("eof", f"{self.address}: the sender ended the stream")
        device_us = round(packet.pts * packet.time_base * 1_000_000)
        return Encoded(stream="audio", packet=packet, device_us=device_us, arrival_us=time.monotonic_ns() // 1000)

    def close(self) -> None:
        """Close the connection."""
        self._container.close()
