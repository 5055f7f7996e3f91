"""How long it takes to a viewer and back, by what his reports say of ours (RFC 3550, section 6.4.1)."""

import pytest
from aiortc import rtp
from aiortc.rtcdtlstransport import RTCDtlsTransport

from tests.vks.test_peer import peer as peer  # noqa: PLC0414 - a fixture is used by its name
from tests.vks.test_peer import picture_of
from vks import wire
from vks.outbound import Outbound
from vks.peer import Peer
from vks.times import mono_us

HELD_BACK = 65_536 // 2
"""Half a second, in the reports' unit."""


async def answered(out: Outbound, last_report: int, delay: int = 0) -> None:
    """The viewer's report, which names one of ours."""
    info = rtp.RtcpReceiverInfo(
        ssrc=out._ssrc, fraction_lost=0, packets_lost=0, highest_sequence=0, jitter=0, lsr=last_report, dlsr=delay
    )  # fmt: skip
    await out._handle_rtcp_packet(rtp.RtcpRrPacket(ssrc=1, reports=[info]))


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What our reports are known again by."""
    reports: list[int] = []

    async def say(_: RTCDtlsTransport, data: bytes) -> None:
        (report, _description) = rtp.RtcpPacket.parse(data)
        assert isinstance(report, rtp.RtcpSrPacket)
        reports.append(report.sender_info.ntp_timestamp >> 16 & 0xFFFFFFFF)

    monkeypatch.setattr(wire, "say", say)
    return reports


async def test_a_link_on_which_reports_take_longer_than_a_second_is_measured_too(peer: Peer, said: list[int]) -> None:
    out, began_us = picture_of(peer), mono_us()
    out._payload_type, out.sent = 96, 1
    for _ in range(4):
        await out.report(mono_us())
    await answered(out, said[0])
    assert out.round_trip_us is not None
    assert 0 <= out.round_trip_us <= mono_us() - began_us
    await answered(out, said[-1], HELD_BACK)
    assert out.round_trip_us == 0, "what the viewer kept it is no part of the way, however much he says"


async def test_a_report_that_names_none_of_ours_measures_nothing(peer: Peer, said: list[int]) -> None:
    out = picture_of(peer)
    await answered(out, 0)
    out._payload_type, out.sent = 96, 1
    await out.report(mono_us())
    await answered(out, said[0] ^ 1)
    assert out.round_trip_us is None
