"""What a sender is told of its link holds for all that it sends by it: a browser takes the newest word as the whole link's."""

import pytest
from aiortc import rtp
from aiortc.rtcdtlstransport import RTCDtlsTransport

from vks.connection import Connection

LASTS_MS, EVERY_MS, PACKET_BYTES = 8_000, 10, 500
PICTURES_BPS = PACKET_BYTES * 8 * 1_000 // EVERY_MS


async def told_of(lines: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What a peer is told that sends so many pictures at once, by a link that carries them all."""
    told: list[int] = []

    async def say(_: RTCDtlsTransport, said: bytes) -> None:
        told.extend(
            rtp.unpack_remb_fci(one.fci)[0] for one in rtp.RtcpPacket.parse(said) if isinstance(one, rtp.RtcpPsfbPacket) and one.fci
        )

    monkeypatch.setattr("vks.wire.say", say)
    peer = Connection([])
    for line in range(lines):
        peer.addTransceiver("video", "recvonly")
        peer.inbound(line)._listening = True
    for at_ms in range(0, LASTS_MS, EVERY_MS):
        for line in range(lines):
            packet = rtp.RtpPacket(payload_type=96, ssrc=line + 1, sequence_number=at_ms // EVERY_MS, payload=bytes(PACKET_BYTES))
            packet.extensions.abs_send_time = at_ms * 2**18 // 1_000 % 2**24
            await peer.inbound(line)._handle_rtp_packet(packet, at_ms)
    await peer.close()
    return told


async def test_camera_and_screen_are_told_one_estimate_that_is_enough_for_both(monkeypatch: pytest.MonkeyPatch) -> None:
    one, both = await told_of(1, monkeypatch), await told_of(2, monkeypatch)
    assert one[-1] > PICTURES_BPS
    assert both[-1] > 2 * PICTURES_BPS
