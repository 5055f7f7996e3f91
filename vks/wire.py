"""aiortc from within: the only place that touches what aiortc keeps for itself (1.16). All else uses it by these names.

aiortc gives each packet that is sent a coroutine through three objects; here a packet is encrypted and handed to the socket at once. Its
receivers and senders are reached through its router, by the methods that ``Receiver`` and ``Sender`` name.
"""

import asyncio
import functools
from typing import Protocol

from aioice import stun
from aiortc import RTCPeerConnection, rtp
from aiortc.rtcdtlstransport import RTCCertificate, RTCDtlsParameters, RTCDtlsTransport, State
from aiortc.rtcrtpparameters import RTCRtpCodecCapability, RTCRtpReceiveParameters, RTCRtpSendParameters
from aiortc.rtcrtpreceiver import StreamStatistics
from aiortc.rtcrtptransceiver import RTCRtpTransceiver

Remote = tuple[str, int]


class Sender(Protocol):
    """What aiortc's router calls with a peer's reports on a stream of ours."""

    _ssrc: int

    async def _handle_rtcp_packet(self, packet: rtp.AnyRtcpPacket) -> None: ...


class Receiver(Protocol):
    """What aiortc's router calls with a peer's packets."""

    def _handle_disconnect(self) -> None: ...
    async def _handle_rtcp_packet(self, packet: rtp.AnyRtcpPacket) -> None: ...
    async def _handle_rtp_packet(self, packet: rtp.RtpPacket, arrival_time_ms: int) -> None: ...


class Datagrams(Protocol):
    """Where packets go: asyncio's datagram transport, or aioice's that relays by TURN."""

    def sendto(self, data: bytes, addr: Remote) -> None:
        """Send one packet."""
        ...


class Line:
    """The way to a peer that is up: encrypts packets and sends them."""

    def __init__(self, transport: RTCDtlsTransport, out: Datagrams, remote: Remote) -> None:
        self._protect = transport._tx_srtp.protect
        self._out = out
        self._remote = remote

    def send(self, packet: bytes) -> None:
        """Encrypt one packet of media and give it to the socket."""
        self._out.sendto(self._protect(packet), self._remote)

    @property
    def waiting_bytes(self) -> int:
        """What lies in the queue because the socket is full; of a relay, the socket to it."""
        relay = getattr(self._out, "_TurnTransport__inner_protocol", None)
        out: asyncio.WriteTransport = self._out if relay is None else relay.transport  # type: ignore[assignment] # a datagram's has it too
        return out.get_write_buffer_size()


def line(transport: RTCDtlsTransport) -> Line | None:
    """The way to the peer as it is now; None where there is none (yet, or any more)."""
    if transport._state is not State.CONNECTED:
        return None
    pair = transport.transport._connection._nominated.get(1)
    return None if pair is None else Line(transport, pair.protocol.transport, pair.remote_addr)


async def say(transport: RTCDtlsTransport, packet: bytes) -> bool:
    """Send RTCP; False where the peer has gone."""
    try:
        await transport._send_rtp(packet)
    except ConnectionError:
        return False
    return True


async def answers(transport: RTCDtlsTransport) -> bool:
    """Ask the peer whether it is there (a binding request, as RFC 7675 sends them), and wait for its answer, for half a second at most."""
    ice = transport.transport._connection
    pair = ice._nominated.get(1)
    if pair is None or ice.remote_password is None:
        return False
    request, key = ice.build_request(pair, nominate=False), ice.remote_password.encode()
    try:
        await pair.protocol.request(request, pair.remote_addr, integrity_key=key, retransmissions=0)
    except (stun.TransactionError, ConnectionError):
        return False
    return True


def add_sender(transport: RTCDtlsTransport, sender: Sender, parameters: RTCRtpSendParameters) -> None:
    """Have a peer's reports on this stream handed to it."""
    transport._register_rtp_sender(sender, parameters)


def remove_sender(transport: RTCDtlsTransport, sender: Sender) -> None:
    """No more."""
    transport._unregister_rtp_sender(sender)


def add_receiver(transport: RTCDtlsTransport, receiver: Receiver, parameters: RTCRtpReceiveParameters) -> None:
    """Have a peer's packets handed to it."""
    transport._register_rtp_receiver(receiver, parameters)


def remove_receiver(transport: RTCDtlsTransport, receiver: Receiver) -> None:
    """No more."""
    transport._unregister_rtp_receiver(receiver)


def take_the_place(transceiver: RTCRtpTransceiver, sender: object, receiver: object, codecs: list[RTCRtpCodecCapability]) -> None:
    """Put our sender and receiver into a transceiver that was just made, and let it agree on these codecs only."""
    vars(transceiver)["_RTCRtpTransceiver__sender"] = sender
    vars(transceiver)["_RTCRtpTransceiver__receiver"] = receiver
    transceiver._preferred_codecs = codecs


def gather_within(transport: RTCDtlsTransport, most_s: int) -> None:
    """Wait no longer for what a STUN or TURN server says (aioice waits 5 s): the answer to a page waits for it, too."""
    ice = transport.transport._connection
    vars(ice)["get_component_candidates"] = functools.partial(ice.get_component_candidates, timeout=most_s)


def use_certificate(connection: RTCPeerConnection, certificate: RTCCertificate) -> None:
    """Have a connection that was just made show this certificate; aiortc makes one for each by itself."""
    vars(connection)["_RTCPeerConnection__certificates"] = [certificate]


def offered_certificate(connection: RTCPeerConnection) -> str:
    """The SHA-256 of the certificate that all lines of the peer's offer promise (hexadecimal); empty: they do not promise one.

    aiortc holds the peer to it before any media goes either way: it compares the certificate of the handshake with every fingerprint of the
    offer (aiortc 1.16, rtcdtlstransport.py:433-451), and makes keys for media only where all fit (:536-541). By then OpenSSL has seen that
    the peer has the certificate's key.
    """
    lines: list[RTCDtlsParameters] = list(vars(connection)["_RTCPeerConnection__remoteDtls"].values())
    promised = [{one.value.replace(":", "").lower() for one in line.fingerprints if one.algorithm.lower() == "sha-256"} for line in lines]
    values = set[str]().union(*promised)
    return values.pop() if len(values) == 1 and all(promised) else ""


def jitter_us(statistics: StreamStatistics) -> int:
    """How unevenly packets arrive (RFC 3550, section 6.4.1)."""
    return int(statistics.jitter) * 1_000_000 // int(statistics._clockrate)
