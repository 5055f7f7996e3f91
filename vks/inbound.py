"""Takes encoded media from one peer: packets in order, lost ones asked for again, whole units handed on undecoded.

It stands in ``RTCRtpReceiver``'s place in a transceiver (``connection.py``) and so has that class's names where aiortc calls them. aiortc's
own would decode each track in a thread, wait for packets by count, and keep what nobody takes.

A peer may send anything: what is more than its quota, of another codec or not whole is dropped and counted, and never ends the connection.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from aiortc import rtp
from aiortc.codecs import is_rtx
from aiortc.mediastreams import MediaStreamTrack
from aiortc.rate import RemoteBitrateEstimator
from aiortc.rtcdtlstransport import RTCDtlsTransport
from aiortc.rtcrtpparameters import RTCRtpCodecParameters, RTCRtpReceiveParameters
from aiortc.rtcrtpreceiver import StreamStatistics

from vks import wire
from vks.jitter import JitterBuffer, Lost, Packet, Unit

SOUND_WAIT_US = 120_000
PICTURE_WAIT_US = 250_000
"""So long a missing packet is waited for: it is asked for again several times until then."""
KEYFRAME_AGAIN_US = 500_000
ASK_AGAIN_US = 40_000
MOST_ASKED = 32
SOUND_QUOTA_BPS = 256_000
PICTURE_QUOTA_BPS = 4_000_000
"""More than any browser sends of what is asked for: what is over it is dropped unseen."""
LEAST_BYTES = 60
"""Each packet counts as that many bytes at least: it costs work and a place in the record, however little it carries."""
_RTT_UNKNOWN_DLSR = 0
_MOST_32 = (1 << 32) - 1
"""A report has 32 bits for the jitter, and a sender may make up its timestamps."""


@dataclass(slots=True)
class Counts:
    """What became of packets since the beginning."""

    packets: int = 0
    bytes: int = 0
    lost: int = 0
    again: int = 0
    over_quota: int = 0
    unknown: int = 0


@dataclass(slots=True)
class _Stream:
    """The one source (SSRC) that is listened to, and what is known of it."""

    ssrc: int
    buffer: JitterBuffer
    statistics: StreamStatistics
    sender_report: int = 0
    sender_report_s: float = 0.0
    asked_us: dict[int, int] = field(default_factory=dict)


class Inbound:
    """One stream of one peer.

    Args:
        kind: "audio" or "video".
        transport: aiortc's.
        estimator: of what the link carries, one for all of the peer's pictures: a browser takes what it is told for all that it sends.
    """

    def __init__(self, kind: str, transport: RTCDtlsTransport, estimator: RemoteBitrateEstimator) -> None:
        self.kind = kind
        self.transport = transport
        self.counts = Counts()
        self.on_unit: Callable[[Unit], None] = _drop
        """Takes each whole unit, in order."""
        self.on_lost: Callable[[int], None] = _drop
        """Is told of packets that are given up; a picture's keyframe has been asked for then."""
        self.on_level: Callable[[int], None] = _drop
        """Is told the level beside each packet of sound (RFC 6464; 0 to -127 dB)."""
        self.on_report: Callable[[int, int], None] = _drop
        """Is told when by the sender's clock (microseconds) a timestamp (32 bits) was."""
        self.tells_estimates = True
        """Whether the sender is told what its link is believed to carry."""
        self._track: MediaStreamTrack | None = None
        self._enabled = True
        self._codecs: dict[int, RTCRtpCodecParameters] = {}
        self._again_of: dict[int, int] = {}
        self._rtcp_ssrc = 0
        self._stream: _Stream | None = None
        self._listening = False
        self._estimator = estimator if kind == "video" else None
        self._quota_bps = PICTURE_QUOTA_BPS if kind == "video" else SOUND_QUOTA_BPS
        self._quota_bytes = self._quota_bps / 8
        self._quota_s = 0.0
        self._keyframe_asked_us = -KEYFRAME_AGAIN_US
        self._keyframe_wanted = False

    # what aiortc calls

    @property
    def track(self) -> MediaStreamTrack | None:
        """aiortc's; nothing is read from it."""
        return self._track

    def setTransport(self, transport: RTCDtlsTransport) -> None:  # noqa: N802 - aiortc's name
        """Receive by another transport: that of the bundle."""
        self.transport = transport

    def _set_rtcp_ssrc(self, ssrc: int) -> None:
        self._rtcp_ssrc = ssrc

    async def receive(self, parameters: RTCRtpReceiveParameters) -> None:
        """Begin: the peer and we have agreed."""
        if self._listening:
            return
        self._codecs = {codec.payloadType: codec for codec in parameters.codecs if codec.payloadType is not None}
        self._again_of = {}
        for one in parameters.encodings:
            if one.rtx is not None and one.rtx.ssrc is not None and one.ssrc is not None:
                self._again_of[one.rtx.ssrc] = one.ssrc
        wire.add_receiver(self.transport, self, parameters)
        self._listening = True

    async def stop(self) -> None:
        """Take no more."""
        if self._listening:
            self._listening = False
            wire.remove_receiver(self.transport, self)

    def _handle_disconnect(self) -> None:
        self._listening = False

    async def _handle_rtcp_packet(self, packet: rtp.AnyRtcpPacket) -> None:
        if isinstance(packet, rtp.RtcpSrPacket) and self._stream is not None and packet.ssrc == self._stream.ssrc:
            self._stream.sender_report = packet.sender_info.ntp_timestamp >> 16 & 0xFFFFFFFF
            self._stream.sender_report_s = time.monotonic()
            self.on_report(packet.sender_info.ntp_timestamp * 1_000_000 >> 32, packet.sender_info.rtp_timestamp)

    async def _handle_rtp_packet(self, packet: rtp.RtpPacket, arrival_time_ms: int) -> None:
        now_s = time.monotonic()
        now_us = int(now_s * 1_000_000)
        if not self._listening or not self._within_quota(len(packet.payload) + packet.padding_size, now_s):
            return
        await self._estimate(packet, arrival_time_ms)
        codec = self._codecs.get(packet.payload_type)
        if codec is None:
            self.counts.unknown += 1
            return
        if is_rtx(codec):
            original = self._again_of.get(packet.ssrc)
            kind = codec.parameters.get("apt")
            if original is None or not isinstance(kind, int) or kind not in self._codecs or len(packet.payload) < 2:
                return
            packet = rtp.unwrap_rtx(packet, payload_type=kind, ssrc=original)
            codec = self._codecs[kind]
            self.counts.again += 1
        else:
            stream = self._listen_to(packet.ssrc, codec.clockRate)
            stream.statistics.add(packet)
        if packet.extensions.audio_level is not None:
            self.on_level(-packet.extensions.audio_level[1])
        if self._stream is None or self._stream.ssrc != packet.ssrc or not packet.payload:
            return  # padding that only probes the link, or an old source's packet sent again
        self._stream.buffer.add(Packet(packet.sequence_number, packet.timestamp, bool(packet.marker), packet.payload, now_us))
        await self.tick(now_us)

    # what we call

    async def tick(self, now_us: int) -> None:
        """Hand on what is whole, give up what is late, ask for what is missing. Also called by a clock, some times a ``ASK_AGAIN_US``."""
        stream = self._stream
        if stream is None:
            return
        for one in stream.buffer.take(now_us):
            if isinstance(one, Lost):
                self.counts.lost += one.packets
                if self.kind == "video":
                    self._keyframe_wanted = True
                self.on_lost(one.packets)
            else:
                self.on_unit(one)
        await self._ask(stream, now_us)
        if self._keyframe_wanted:
            await self.request_keyframe(now_us)

    def want_keyframe(self) -> None:
        """Have one asked for at the next tick."""
        self._keyframe_wanted = True

    async def request_keyframe(self, now_us: int) -> None:
        """Ask for a picture that begins anew (RFC 4585, section 6.3.1); not more often than the sender can follow."""
        self._keyframe_wanted = True
        if self._stream is None or now_us - self._keyframe_asked_us < KEYFRAME_AGAIN_US:
            return
        self._keyframe_asked_us, self._keyframe_wanted = now_us, False
        await self._say(rtp.RtcpPsfbPacket(fmt=rtp.RTCP_PSFB_PLI, ssrc=self._rtcp_ssrc, media_ssrc=self._stream.ssrc))

    async def report(self) -> None:
        """Send a receiver report (RFC 3550, section 6.4.2). About once a second."""
        stream = self._stream
        if stream is None or not self._listening:
            return
        since_s = time.monotonic() - stream.sender_report_s
        info = rtp.RtcpReceiverInfo(
            ssrc=stream.ssrc, fraction_lost=stream.statistics.fraction_lost, packets_lost=stream.statistics.packets_lost,
            highest_sequence=stream.statistics.max_seq or 0, jitter=min(stream.statistics.jitter, _MOST_32), lsr=stream.sender_report,
            dlsr=int(since_s * 65_536) if stream.sender_report and since_s < 65_536 else _RTT_UNKNOWN_DLSR,
        )  # fmt: skip
        await self._say(rtp.RtcpRrPacket(ssrc=self._rtcp_ssrc, reports=[info]))

    @property
    def jitter_us(self) -> int:
        """How unevenly packets arrive (RFC 3550, section 6.4.1)."""
        return 0 if self._stream is None else wire.jitter_us(self._stream.statistics)

    def _listen_to(self, ssrc: int, clock_hz: int) -> _Stream:
        """The stream of this source. A source that begins takes the old one's place: a peer has one at a time."""
        if self._stream is None or self._stream.ssrc != ssrc:
            wait_us = PICTURE_WAIT_US if self.kind == "video" else SOUND_WAIT_US
            self._stream = _Stream(ssrc, JitterBuffer(wait_us, whole_timestamps=self.kind == "video"), StreamStatistics(clock_hz))
            self._keyframe_wanted = self.kind == "video"
        return self._stream

    def _within_quota(self, size_bytes: int, now_s: float) -> bool:
        most = self._quota_bps / 8
        self._quota_bytes = min(most, self._quota_bytes + (now_s - self._quota_s) * most)
        self._quota_s = now_s
        taken_bytes = max(size_bytes, LEAST_BYTES)
        if taken_bytes > self._quota_bytes:
            self.counts.over_quota += 1
            return False
        self._quota_bytes -= taken_bytes
        self.counts.packets += 1
        self.counts.bytes += size_bytes
        return True

    async def _ask(self, stream: _Stream, now_us: int) -> None:
        missing = stream.buffer.missing(MOST_ASKED)
        if not missing:
            stream.asked_us.clear()
            return
        due = [number for number in missing if now_us - stream.asked_us.get(number, -ASK_AGAIN_US) >= ASK_AGAIN_US]
        if due:
            stream.asked_us = {number: now_us if number in due else stream.asked_us[number] for number in missing}
            await self._say(rtp.RtcpRtpfbPacket(fmt=rtp.RTCP_RTPFB_NACK, ssrc=self._rtcp_ssrc, media_ssrc=stream.ssrc, lost=sorted(due)))

    async def _estimate(self, packet: rtp.RtpPacket, arrival_ms: int) -> None:
        """Tell the sender what its link carries (REMB)."""
        if self._estimator is None or packet.extensions.abs_send_time is None or not self.tells_estimates:
            return
        found = self._estimator.add(
            abs_send_time=packet.extensions.abs_send_time, arrival_time_ms=arrival_ms,
            payload_size=len(packet.payload) + packet.padding_size, ssrc=packet.ssrc,
        )  # fmt: skip
        self._estimator.ssrcs = {packet.ssrc: arrival_ms}
        if found is not None:
            told = rtp.pack_remb_fci(found[0], [packet.ssrc])
            await self._say(rtp.RtcpPsfbPacket(fmt=rtp.RTCP_PSFB_APP, ssrc=self._rtcp_ssrc, media_ssrc=0, fci=told))

    async def _say(self, packet: rtp.AnyRtcpPacket) -> None:
        await wire.say(self.transport, bytes(packet))


def _drop(*_: object) -> None:
    """Nobody takes it."""
