"""A peer connection in which media stays encoded: aiortc's, with our own ``Outbound`` and ``Inbound`` in its transceivers.

Only H.264 in the profile that every browser and phone has (constrained baseline 3.1, packetization mode 1) and Opus are agreed on.
"""

import re
from collections.abc import Callable, Sequence
from typing import Literal

from aiortc import RTCBundlePolicy, RTCCertificate, RTCConfiguration, RTCIceServer, RTCPeerConnection, RTCSessionDescription
from aiortc.codecs import CODECS, is_rtx
from aiortc.exceptions import InvalidStateError, OperationError
from aiortc.mediastreams import MediaStreamTrack
from aiortc.rate import RemoteBitrateEstimator
from aiortc.rtcrtpparameters import RTCRtpCodecCapability, RTCRtpCodecParameters
from aiortc.rtcrtptransceiver import RTCRtpTransceiver
from aiortc.sdp import candidate_from_sdp

from vks import wire
from vks.inbound import Inbound
from vks.outbound import Outbound

PROFILE = "42e01f"
START_KBPS = 1_000
"""A browser begins to send at this rate instead of a quarter of it (Chromium, measured: 1.0 Mbit/s after 1 s instead of 32 s)."""
MOST_LINES = 20
"""Media lines that an offer may have."""
MOST_SDP_BYTES = 64 * 1024
GATHER_S = 3
"""So long may STUN and TURN servers take: three tries by UDP, or a handshake by TLS from afar. What they have not said then is not used."""
MOST_CANDIDATES = 40
"""Addresses that may follow an offer: each is tried, so that a page could have others sent packets."""
_CANDIDATE = re.compile(r"^a=(candidate:[^\r\n]*)", re.MULTILINE)
"""All lines go one way (max-bundle). Browsers tell its addresses with the first of them; aiortc takes those of the last, and has none."""
_END = re.compile(r"^a=end-of-candidates\r?\n", re.MULTILINE)
"""More may follow an offer."""
_FMTP = re.compile(rf"^(a=fmtp:\d+ [^\r\n]*profile-level-id={PROFILE}[^\r\n]*)", re.MULTILINE)


class OfferError(Exception):
    """A browser's offer cannot be answered, or a server's answer not be used; ``code`` is what its page translates."""

    def __init__(self, code: Literal["no_h264", "bad_offer"], message: str) -> None:
        super().__init__(message)
        self.code = code


class UnvouchedError(Exception):
    """No media goes to whom the offer came from; ``certificate`` is the one that it promises (SHA-256, hexadecimal; empty: none)."""

    def __init__(self, certificate: str) -> None:
        super().__init__(certificate)
        self.certificate = certificate


class Connection(RTCPeerConnection):
    """One peer.

    Args:
        ice_servers: STUN and TURN; none in the court's own network.
        takes_media: whether it may send anything; an offer that would is refused otherwise.
        receives: whether what it offers to send is agreed on; otherwise it is answered by lines that only send.
        certificate: what this side shows; one of its own is made where there is none.
        admits: whether a peer that promises this certificate is answered.
    """

    def __init__(
        self,
        ice_servers: list[RTCIceServer],
        *,
        takes_media: bool = True,
        receives: bool = True,
        certificate: RTCCertificate | None = None,
        admits: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self._takes_media = takes_media
        self._receives = takes_media and receives
        self._ends: list[tuple[Outbound, Inbound]] = []
        self._estimator = RemoteBitrateEstimator()
        self._candidates = 0
        self._admits = admits
        self.peer_certificate = ""
        """The SHA-256 of the one that the peer promised, and had to show before any media went (``wire.py``)."""
        super().__init__(RTCConfiguration(iceServers=ice_servers, bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
        if certificate is not None:
            wire.use_certificate(self, certificate)

    def _RTCPeerConnection__createTransceiver(  # noqa: N802 - aiortc's own name for it: called for each media line of an offer
        self, direction: str, kind: str, sender_track: MediaStreamTrack | None = None
    ) -> RTCRtpTransceiver:
        made: RTCRtpTransceiver = super()._RTCPeerConnection__createTransceiver(direction, kind, sender_track)  # type: ignore[misc]
        wire.gather_within(made.receiver.transport, GATHER_S)
        sender, receiver = Outbound(kind, made.receiver.transport), Inbound(kind, made.receiver.transport, self._estimator)
        sender._stream_id = made.sender._stream_id  # noqa: SLF001 - aiortc's attribute; one stream, so that sound and pictures are shown together
        receiver._set_rtcp_ssrc(sender._ssrc)  # noqa: SLF001 - as aiortc does with its own
        wire.take_the_place(made, sender, receiver, codecs(kind))
        self._ends.append((sender, receiver))
        return made

    async def _RTCPeerConnection__connect(self) -> None:  # noqa: N802 - aiortc's own name for it: a task that nobody waits for
        try:
            await super()._RTCPeerConnection__connect()  # type: ignore[misc]
        except InvalidStateError:  # aiortc goes on with the next line of one that was closed meanwhile
            if self.connectionState != "closed":
                raise

    async def answer(self, offer: str) -> str:
        """Answer a browser's offer, when the addresses of this side are known.

        Raises:
            OfferError: it offers something else than one can agree on.
            UnvouchedError: no media goes to whom it came from.
        """
        if len(offer) > MOST_SDP_BYTES or not 1 <= offer.count("\nm=") <= MOST_LINES:
            raise OfferError("bad_offer", "the offer is longer than any browser's, or offers nothing")
        try:
            await self.setRemoteDescription(RTCSessionDescription(_END.sub("", offer), "offer"))
            self._refuse_data()
            if not self._takes_media and any(_sends(one) for one in self.getTransceivers()):
                raise OfferError("bad_offer", "it offers to send something, and may only receive")
            self.peer_certificate = wire.offered_certificate(self)
            if not self._admits(self.peer_certificate):
                raise UnvouchedError(self.peer_certificate)
            for candidate in _CANDIDATE.findall(offer.split("\nm=")[1]):
                await self.take_candidate(candidate)
            for transceiver in self.getTransceivers():
                transceiver.direction = "sendrecv" if self._receives else "sendonly"
            await self.setLocalDescription(await self.createAnswer())
        except OperationError as error:
            raise OfferError("no_h264", str(error)) from error
        except (ValueError, KeyError, IndexError, AssertionError, AttributeError) as error:  # aiortc's parser on what is no SDP
            raise OfferError("bad_offer", f"not an offer: {error!r}") from error
        return _FMTP.sub(rf"\1;x-google-start-bitrate={START_KBPS}", self.localDescription.sdp)

    def _refuse_data(self) -> None:
        """Nobody here takes data, and aiortc would keep without bound what a peer sends of it."""
        if self.sctp is not None:
            raise OfferError("bad_offer", "it has a channel for data, which nobody here takes")

    async def offer(self, lines: Sequence[tuple[str, str]]) -> str:
        """Offer these lines, each a kind and a direction, when the addresses of this side are known; ``accept`` takes the answer.

        Raises:
            OfferError: the STUN and TURN servers are none.
        """
        try:
            for kind, direction in lines:
                self.addTransceiver(kind, direction)
            await self.setLocalDescription(await self.createOffer())
        except ValueError as error:
            raise OfferError("bad_offer", f"no offer can be made: {error}") from error
        return self.localDescription.sdp

    async def accept(self, answer: str, *, sends: bool = True) -> None:
        """Take the answer to our offer; ``sends``: whether it has to take what was offered to be sent.

        Raises:
            OfferError: it is none, or leaves a line out.
            UnvouchedError: no media goes to whom it came from.
        """
        if len(answer) > MOST_SDP_BYTES:
            raise OfferError("bad_offer", "the answer is too long")
        try:
            await self.setRemoteDescription(RTCSessionDescription(_END.sub("", answer), "answer"))
            self._refuse_data()
            self.peer_certificate = wire.offered_certificate(self)
            if not self._admits(self.peer_certificate):
                raise UnvouchedError(self.peer_certificate)
            for candidate in _CANDIDATE.findall(answer.split("\nm=")[1]):
                await self.take_candidate(candidate)
        except OperationError as error:
            raise OfferError("no_h264", str(error)) from error
        except (ValueError, KeyError, IndexError, AssertionError, AttributeError, InvalidStateError) as error:  # no SDP, or not now
            raise OfferError("bad_offer", f"not an answer: {error!r}") from error
        if any(
            one.currentDirection != one.direction and (sends or _receives(one.direction) != _receives(one.currentDirection))
            for one in self.getTransceivers()
        ):
            raise OfferError("no_h264", "it does not take all that was offered")

    async def take_candidate(self, text: str) -> None:
        """Try an address that the browser found after its offer; what is none, and what is too much, is passed over."""
        self._candidates += 1
        if self._candidates > MOST_CANDIDATES:
            return
        try:
            candidate = candidate_from_sdp(text.removeprefix("candidate:"))
            candidate.sdpMLineIndex = 0
            await self.addIceCandidate(candidate)
        except (ValueError, IndexError, AssertionError, InvalidStateError):  # aiortc's parser on what is no candidate, or too late
            return

    def outbound(self, line: int) -> Outbound:
        """The sender of a media line, counted in the offer's order."""
        return self._ends[line][0]

    def inbound(self, line: int) -> Inbound:
        """The receiver of a media line."""
        return self._ends[line][1]

    @property
    def lines(self) -> int:
        """How many media lines there are."""
        return len(self._ends)


def codecs(kind: str) -> list[RTCRtpCodecCapability]:
    """What we agree on: Opus, or H.264 with its retransmissions."""
    chosen = [codec for codec in CODECS[kind] if _is_ours(codec)]
    return [
        RTCRtpCodecCapability(mimeType=codec.mimeType, clockRate=codec.clockRate, channels=codec.channels, parameters=codec.parameters)
        for codec in chosen
    ]


def _sends(line: RTCRtpTransceiver) -> bool:
    """Whether the peer's offer has this line carry anything to us."""
    offered = line._offerDirection  # noqa: SLF001 - aiortc's attribute: the offer's direction, from our side
    return offered not in {"sendonly", "inactive"}


def _receives(direction: str | None) -> bool:
    return direction in {"sendrecv", "recvonly"}


def _is_ours(codec: RTCRtpCodecParameters) -> bool:
    name = codec.mimeType.lower()
    if name == "video/h264":
        return codec.parameters.get("profile-level-id") == PROFILE and codec.parameters.get("packetization-mode") == "1"
    return name == "audio/opus" or is_rtx(codec)
