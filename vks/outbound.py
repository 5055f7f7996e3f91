"""Sends encoded media to one peer: where aiortc has a sender that encodes for each peer, this one sends payloads that all share.

It stands in ``RTCRtpSender``'s place in a transceiver (``connection.py``) and so has that class's names where aiortc calls them. A payload
is given a header, encrypted and handed to the socket, without a task, a queue or a copy of its own; what the socket does not take is
dropped here, and the stream goes on with its next keyframe.

Times on the wire are those of CLOCK_MONOTONIC, whatever the source: a stream may change its source and its times go on.
"""

import itertools
import random
import struct
import time
from collections import deque
from collections.abc import Callable

from aiortc import clock, rtp
from aiortc.codecs import is_rtx
from aiortc.mediastreams import MediaStreamTrack
from aiortc.rtcdtlstransport import RTCDtlsTransport
from aiortc.rtcrtpparameters import RTCRtpSendParameters

from vks import wire
from vks.losses import Losses

HISTORY = 512
"""Packets that can be sent again: some seconds of a small picture, half a second of a large one."""
AGAIN_SHARE = 0.3
AGAIN_MOST = 150
"""So many packets are sent again at most: this share of what is sent, saved up to so many. A link that is too slow is not helped by more,
and sound has to pass it too (measured: 66,545 in one test)."""
PAD_PACKETS = 16
"""A probe sends the last few again."""
MOST_WAITING_BYTES = 256 * 1024
"""What may wait in the socket's queue."""
REMB_LONGEST_BPS = 2**40
MOST_TOLD = 16
"""So many sender reports are known again in a receiver's: a link may hold a report back for as many seconds."""
_SEND_TIME = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
_LEVEL = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
_PLAIN = struct.Struct(">BBHII")
_EXTENDED = struct.Struct(">BBHIIHHI")
_ONE_BYTE_EXTENSIONS = 0xBEDE
_FIRST, _FIRST_EXTENDED = 0x80, 0x90
_MARKER = 0x80
_SEQUENCES, _TIMESTAMPS = 1 << 16, 1 << 32


class Outbound:
    """One stream to one peer.

    Args:
        kind: "audio" or "video".
        transport: aiortc's.
    """

    track = None
    """aiortc asks for one; there is none."""

    def __init__(self, kind: str, transport: RTCDtlsTransport) -> None:
        self.kind = kind
        self.transport = transport
        self.on_keyframe_wanted: Callable[[], None] = _nothing
        self.on_estimate: Callable[[int], None] = _nothing
        """Is told what the receiver believes that the link carries (REMB, bits per second)."""
        self.on_loss: Callable[[float], None] = _nothing
        """Is told the share that was lost lately."""
        self.sent = 0
        self.reports = 0
        """How often the receiver said anything of it."""
        self.level_dbov: int | None = None
        """How loud what is written now is (0 to -127 dB), where the peer is to know; None of a mix, which nobody mixes again."""
        self.round_trip_us: int | None = None
        """There and back, by the receiver's last report; None while none has told."""
        self.measured_us = 0
        """When that was (CLOCK_MONOTONIC): of a line that carries nothing more receivers say nothing."""
        self._told: deque[tuple[int, int]] = deque(maxlen=MOST_TOLD)
        """Of the last sender reports the middle of each one's NTP time, and when it was sent."""
        self._losses = Losses()
        self.sent_bytes = 0
        self.dropped = 0
        """Units that the socket did not take."""
        self._ssrc = random.getrandbits(32)
        self._rtx_ssrc = random.getrandbits(32)
        self._stream_id = ""
        self._track_id = f"{kind}-{self._ssrc:08x}"
        self._enabled = True
        self._clock_hz = 90_000 if kind == "video" else 48_000
        self._payload_type: int | None = None
        self._again_type: int | None = None
        self._send_time_id = 0
        self._level_id = 0
        self._cname = ""
        self._sequence = random.getrandbits(15)
        self._again_sequence = random.getrandbits(15)
        self._origin = random.getrandbits(32)
        self._history: list[tuple[int, int, bool, bytes] | None] = [None] * HISTORY
        self._again_left = 0.0

    # what aiortc calls

    def replaceTrack(self, track: MediaStreamTrack | None) -> None:  # noqa: N802 - aiortc's name
        """Nothing: media comes by ``write``."""

    def setTransport(self, transport: RTCDtlsTransport) -> None:  # noqa: N802 - aiortc's name
        """Send by another transport: that of the bundle."""
        self.transport = transport

    async def send(self, parameters: RTCRtpSendParameters) -> None:
        """Begin: the peer and we have agreed."""
        if self._payload_type is not None:
            return
        codec = parameters.codecs[0]
        for other in parameters.codecs:
            if is_rtx(other) and other.parameters.get("apt") == codec.payloadType:
                self._again_type = other.payloadType
        for extension in parameters.headerExtensions:
            if extension.uri == _SEND_TIME:
                self._send_time_id = extension.id
            elif extension.uri == _LEVEL:
                self._level_id = extension.id
        self._cname = parameters.rtcp.cname or ""
        wire.add_sender(self.transport, self, parameters)
        self._payload_type = codec.payloadType

    async def stop(self) -> None:
        """Send no more."""
        if self._payload_type is not None:
            self._payload_type = None
            wire.remove_sender(self.transport, self)

    async def _handle_rtcp_packet(self, packet: rtp.AnyRtcpPacket) -> None:
        self.reports += 1
        match packet:
            case rtp.RtcpRrPacket() | rtp.RtcpSrPacket():
                for report in packet.reports:
                    if report.ssrc == self._ssrc:
                        self._measure_round_trip(report.lsr, report.dlsr)
                        share = self._losses.take(report.highest_sequence, report.packets_lost, time.monotonic_ns() // 1_000)
                        if share is not None:
                            self.on_loss(share)
            case rtp.RtcpRtpfbPacket(fmt=rtp.RTCP_RTPFB_NACK):
                self._send_again(packet.lost)
            case rtp.RtcpPsfbPacket(fmt=rtp.RTCP_PSFB_PLI | rtp.RTCP_PSFB_FIR):
                self.on_keyframe_wanted()
            case rtp.RtcpPsfbPacket(fmt=rtp.RTCP_PSFB_APP):
                self._estimate(packet.fci)

    # what we call

    def write(self, payloads: list[bytes], mono_us: int) -> bool:
        """Send one unit: an access unit's payloads, or one packet of sound; ``mono_us`` is its capture time.

        Returns:
            False where it was dropped: nobody is there, or the socket takes no more.
        """
        if self._payload_type is None:
            return False
        line = wire.line(self.transport)
        if line is None:
            return False
        if line.waiting_bytes > MOST_WAITING_BYTES:
            self.dropped += 1
            return False
        timestamp = self.timestamp(mono_us)
        last = len(payloads) - 1
        for number, payload in enumerate(payloads):
            marker = number == last and self.kind == "video"
            self._history[self._sequence % HISTORY] = (self._sequence, timestamp, marker, payload)
            line.send(self._packet(self._payload_type, self._ssrc, self._sequence, timestamp, marker=marker) + payload)
            self._sequence = (self._sequence + 1) % _SEQUENCES
            self.sent_bytes += len(payload)
        self.sent += len(payloads)
        self._again_left = min(AGAIN_MOST, self._again_left + AGAIN_SHARE * len(payloads))
        return True

    def pad(self, size: int) -> int | None:
        """Send again what was sent last, though nobody lacks it, at least so many bytes: to find out what the link carries.

        Returns:
            What was sent so; None where nothing can be sent again.
        """
        line = wire.line(self.transport)
        known = [one for one in (self._history[(self._sequence - 1 - back) % HISTORY] for back in range(PAD_PACKETS)) if one is not None]
        if self._payload_type is None or self._again_type is None or line is None or not known:
            return None
        padded = 0
        for one in itertools.cycle(known):
            if padded >= size or line.waiting_bytes > MOST_WAITING_BYTES:
                return padded
            self._again(line, self._again_type, one)
            padded += len(one[3])
        return padded

    def begin_anew(self) -> None:
        """Something else is sent from now on: of what was sent before nothing is sent again, and no loss is counted."""
        self._losses.begin_anew()
        self._history = [None] * HISTORY

    def timestamp(self, mono_us: int) -> int:
        """A time of CLOCK_MONOTONIC as this stream's RTP timestamp."""
        return (self._origin + mono_us * self._clock_hz // 1_000_000) % _TIMESTAMPS

    async def report(self, mono_us: int) -> None:
        """Send a sender report (RFC 3550, section 6.4.1): with it the peer lays sound and pictures on one clock. About once a second."""
        if self._payload_type is None or not self.sent:
            return
        ntp = clock.current_ntp_time()
        self._told.append((ntp >> 16 & 0xFFFFFFFF, time.monotonic_ns() // 1_000))
        info = rtp.RtcpSenderInfo(
            ntp_timestamp=ntp, rtp_timestamp=self.timestamp(mono_us),
            packet_count=self.sent % _TIMESTAMPS, octet_count=self.sent_bytes % _TIMESTAMPS,
        )  # fmt: skip
        name = rtp.RtcpSourceInfo(ssrc=self._ssrc, items=[(1, self._cname.encode())])
        said = bytes(rtp.RtcpSrPacket(ssrc=self._ssrc, sender_info=info)) + bytes(rtp.RtcpSdesPacket(chunks=[name]))
        await wire.say(self.transport, said)

    def _measure_round_trip(self, last_report: int, delay: int) -> None:
        """RFC 3550, section 6.4.1: ``delay`` since the report came, in 1/65536 s. By a clock of our own, which nobody sets."""
        for told, at_us in self._told:
            if last_report == told:
                self.measured_us = time.monotonic_ns() // 1_000
                self.round_trip_us = max(0, self.measured_us - at_us - delay * 1_000_000 // 65_536)

    def _packet(self, payload_type: int, ssrc: int, sequence: int, timestamp: int, *, marker: bool) -> bytes:
        """The header, with the extension that the peer wants of this kind of stream."""
        second = payload_type | (_MARKER if marker else 0)
        extension = self._extension()
        if not extension:
            return _PLAIN.pack(_FIRST, second, sequence, timestamp, ssrc)
        return _EXTENDED.pack(_FIRST_EXTENDED, second, sequence, timestamp, ssrc, _ONE_BYTE_EXTENSIONS, 1, extension)

    def _extension(self) -> int:
        """Of pictures the time of sending, from which the peer estimates the link; of a voice its level (RFC 6464). 0: none."""
        if self._send_time_id:
            return (self._send_time_id << 4 | 2) << 24 | int(time.time() * (1 << 18)) & 0xFFFFFF
        if self._level_id and self.level_dbov is not None:
            return self._level_id << 28 | -self.level_dbov << 16
        return 0

    def _send_again(self, lost: list[int]) -> None:
        line = wire.line(self.transport)
        if self._payload_type is None or self._again_type is None or line is None:
            return
        for sequence in lost:
            known = self._history[sequence % HISTORY]
            if known is None or known[0] != sequence:
                continue
            if self._again_left < 1 or line.waiting_bytes > MOST_WAITING_BYTES:
                return
            self._again_left -= 1
            self._again(line, self._again_type, known)

    def _again(self, line: wire.Line, payload_type: int, known: tuple[int, int, bool, bytes]) -> None:
        """Send one packet again (RFC 4588, section 4)."""
        sequence, timestamp, marker, payload = known
        header = self._packet(payload_type, self._rtx_ssrc, self._again_sequence, timestamp, marker=marker)
        self._again_sequence = (self._again_sequence + 1) % _SEQUENCES
        line.send(header + sequence.to_bytes(2) + payload)

    def _estimate(self, fci: bytes) -> None:
        try:
            bps, ssrcs = rtp.unpack_remb_fci(fci)
        except (ValueError, struct.error, IndexError):
            return  # not a REMB message, or a broken one
        if self._ssrc in ssrcs:
            self.on_estimate(min(bps, REMB_LONGEST_BPS))


def _nothing(*_: object) -> None:
    """Nobody wants to know."""
