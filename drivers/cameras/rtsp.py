"""Network cameras by RTSP over TCP (RFC 2326, interleaved): pictures as the camera encoded them, and its sound.

Basic and digest authentication are FFmpeg's. A stream that freezes is noticed after ``STALL_S``; a server that is killed ends the stream.
"""

import struct
import time
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import av

from drivers.capabilities import AudioFormat, Encoded, Sound, SourceLostError, VideoFormat
from drivers.microphones.decoded import lost
from drivers.microphones.pcm import interleaved, sample_bits
from drivers.microphones.rtsp_sound import with_password, without_secrets
from drivers.rtsps import refused, tls_options

OPEN_S = 5.0
STALL_S = 1.8
WOBBLE_S = 0.01
"""With two streams FFmpeg lays sound on the camera's wall clock by its sender reports, which rounds: so small a step is no loss."""
_SOUND_IN_MP4 = frozenset({"aac", "opus"})
_SENDER_REPORT = struct.Struct("<IxxxxQIII")
"""``AVRTCPSenderReport`` as the compiler lays it out: ssrc, ntp_timestamp, rtp_timestamp, packets, bytes."""
_NTP_TO_UNIX_S = 2_208_988_800


def open(stanza: Mapping[str, Any]) -> "RtspCameraSource":  # noqa: A001 - the drivers' convention
    """Open the camera at the stanza's ``url``; with ``audio`` its sound too.

    Raises:
        SourceLostError: ``missing`` when nobody answers, ``error`` when password or certificate is refused, ``format`` when it sends no
            picture that can be recorded.
    """
    address = without_secrets(stanza["url"])
    url = with_password(stanza["url"], stanza.get("user", ""), stanza.get("password_file", ""))
    container = open_container(url, address, media="video+audio" if stanza.get("audio") else "video", ca_file=stanza.get("ca_file", ""))
    if not container.streams.video:
        container.close()
        raise SourceLostError("format", f"{address}: sends no picture")
    video = container.streams.video[0]
    if video.codec_context.name not in {"h264", "hevc"} or not video.codec_context.width:
        container.close()
        raise SourceLostError("format", f"{address}: sends {video.codec_context.name}; set the camera to H.264 or H.265")
    audio = container.streams.audio[0] if container.streams.audio and stanza.get("audio") else None
    return RtspCameraSource(container, video, audio, address, stanza.get("serial", ""))


def open_container(url: str, address: str, media: str, ca_file: str) -> av.container.InputContainer:
    """Open an RTSP stream.

    Raises:
        SourceLostError: as ``open``.
    """
    options = {"rtsp_transport": "tcp", "allowed_media_types": media, "fflags": "nobuffer", "analyzeduration": "2000000"}
    try:
        return av.open(url, format="rtsp", options=options | tls_options(url, ca_file), timeout=(OPEN_S, STALL_S))
    except av.FFmpegError as error:
        raise refused(url, address, ca_file, error) from None


class RtspCameraSource:
    """An open camera."""

    def __init__(
        self, container: av.container.InputContainer, video: av.VideoStream, audio: av.AudioStream | None, address: str, serial: str
    ) -> None:
        rate = video.average_rate or video.guessed_rate or Fraction(25)
        self.formats: dict[str, VideoFormat | AudioFormat] = {
            "video": VideoFormat(
                codec=video.codec_context.name,
                width=video.codec_context.width,
                height=video.codec_context.height,
                rate=Fraction(rate),
                template=video,
            )
        }
        self.address = address
        self.serial = serial
        self.exact_clock = False
        self._container = container
        self._video = video
        self._audio = audio
        self._audio_encoded = audio is not None and audio.codec_context.name in _SOUND_IN_MP4
        if audio is not None:
            self.formats["audio"] = AudioFormat(
                codec=audio.codec_context.name if self._audio_encoded else "pcm",
                rate_hz=audio.codec_context.sample_rate,
                channels=audio.codec_context.channels,
                bits=16 if self._audio_encoded else sample_bits(audio.codec_context.name),
                template=audio if self._audio_encoded else None,
            )
        self._packets = container.demux(*([video] if audio is None else [video, audio]))
        self._sounds: list[Sound] = []
        self._position: int | None = None
        self._stalled = False

    def read(self) -> Encoded | Sound:
        """Block for the next packet of either stream."""
        while not self._sounds:
            if self._stalled:
                raise SourceLostError("timeout", f"{self.address}: the camera sent nothing for {STALL_S} s")
            began_s = time.monotonic()
            try:
                packet = next(self._packets, None)
            except av.FFmpegError as error:
                raise lost(self.address, error) from None
            # After the timeout FFmpeg's parser gives up the picture that it still held, and the next read would wait as long again.
            self._stalled = time.monotonic() - began_s >= STALL_S
            if packet is None or packet.size == 0:
                raise SourceLostError("eof", f"{self.address}: the camera ended the stream")
            if packet.pts is None or packet.time_base is None:
                continue
            arrival_us = time.monotonic_ns() // 1000
            if packet.stream is not self._video and not self._audio_encoded:
                self._decode(packet, arrival_us)
                continue
            stream = "video" if packet.stream is self._video else "audio"
            device_us = round(packet.pts * packet.time_base * 1_000_000)
            return Encoded(stream=stream, packet=packet, device_us=device_us, arrival_us=arrival_us, ntp_us=sender_report_us(packet))
        return self._sounds.pop(0)

    def close(self) -> None:
        """Close the connection."""
        self._container.close()

    def _decode(self, packet: "av.Packet[Any]", arrival_us: int) -> None:
        if self._audio is None:
            return
        for frame in self._audio.codec_context.decode(packet):
            if frame.pts is None or frame.time_base is None:
                continue
            samples = interleaved(frame.to_ndarray(), frame.format.name, frame.layout.nb_channels)
            at = round(frame.pts * frame.time_base * frame.sample_rate)
            position = continued(at, self._position, frame.sample_rate)
            self._position = position + len(samples)
            self._sounds.append(Sound(stream="audio", samples=samples, position=position, arrival_us=arrival_us))


def continued(at: int, expected: int | None, rate_hz: int) -> int:
    """Where a block of samples lies that says ``at``, and follows one that ended at ``expected``."""
    return expected if expected is not None and abs(at - expected) <= WOBBLE_S * rate_hz else at


def sender_report_us(packet: "av.Packet[Any]") -> int | None:
    """The camera's own wall clock (microseconds since 1970) in the RTCP sender report that came with a packet (RFC 3550, 6.4.1)."""
    for side in packet.iter_sidedata():
        if side.data_type == "rtcp_sr":
            data = bytes(side)
            if len(data) >= _SENDER_REPORT.size:
                ntp = _SENDER_REPORT.unpack_from(data)[1]
                return int(((ntp >> 32) - _NTP_TO_UNIX_S) * 1_000_000 + ((ntp & 0xFFFFFFFF) * 1_000_000 >> 32))
    return None
