"""A viewer's reports decide about his pictures: what is lost of many packets, and not of a few."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, rtp
from aiortc.rtcdtlstransport import RTCDtlsTransport

from vks.connection import Connection
from vks.ladder import UP_AFTER_US, Ladder
from vks.losses import LEAST_PACKETS
from vks.outbound import Outbound
from vks.peer import FIRST_TILE, Peer
from vks.probe import CALM_US, RISE_US
from vks.sound import BLOCK_US
from vks.times import mono_us

FEW, HOUR_US, MANY_BYTES = 5, 3_600_000_000, 50_000


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    """A page that takes two pictures."""
    theirs, ours = RTCPeerConnection(RTCConfiguration(iceServers=[])), Connection([])
    for kind in ("audio", "video", "video", "video", "video"):
        theirs.addTransceiver(kind)
    await theirs.setLocalDescription(await theirs.createOffer())
    await ours.answer(theirs.localDescription.sdp)
    peer = Peer("party", "phone", lambda _: None)
    peer.take(ours, mono_us(), lambda: None)
    yield peer
    await asyncio.gather(ours.close(), theirs.close())


def picture_of(peer: Peer) -> Outbound:
    assert peer.connection is not None
    return peer.connection.outbound(FIRST_TILE)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports of so many packets count however soon they come."""
    monkeypatch.setattr("vks.losses.LEAST_US", 0)


async def reported(out: Outbound, highest: int, lost: int) -> None:
    """The viewer says what he has of this line by now; of its last few packets all are lost."""
    info = rtp.RtcpReceiverInfo(
        ssrc=out._ssrc, fraction_lost=255, packets_lost=lost, highest_sequence=highest, jitter=0, lsr=0, dlsr=0
    )  # fmt: skip
    await out._handle_rtcp_packet(rtp.RtcpRrPacket(ssrc=1, reports=[info]))


async def test_a_few_packets_lost_in_a_row_take_no_picture_away(peer: Peer) -> None:
    for number in range(20):
        await reported(picture_of(peer), number * FEW, FEW)
    assert peer.tiles_wanted == 1


async def test_where_half_of_many_is_lost_sound_alone_is_sent_and_a_picture_tried_again_later(peer: Peer) -> None:
    for number in range(4):
        await reported(picture_of(peer), number * LEAST_PACKETS, number * LEAST_PACKETS // 2)
    assert peer.tiles_wanted == 0
    peer.wait(mono_us() + UP_AFTER_US // 2)
    assert peer.tiles_wanted == 0
    peer.wait(mono_us() + HOUR_US)
    assert peer.tiles_wanted == 1


async def test_what_was_lost_of_the_large_picture_is_not_held_against_the_small_one(peer: Peer) -> None:
    await asking(peer)
    peer.probe(mono_us())
    assert peer.tiles_wanted > 1
    out, lost = picture_of(peer), 0
    for number in range(2, 40):
        lost += LEAST_PACKETS // 4 if number == 2 else LEAST_PACKETS if number < 5 else 0  # those were still on their way
        await reported(out, number * LEAST_PACKETS, lost)
    assert peer.quality == "small"


async def asking(peer: Peer) -> Ladder:
    """A page whose link may hold more than the small picture that a visit begins with."""
    assert (peer.tiles_wanted, peer.quality) == (1, "good"), "nobody is told of a poor link before that is known"
    for number in range(2):
        await reported(picture_of(peer), number * LEAST_PACKETS, 0)
    ladder = peer.ladder
    assert ladder is not None
    assert ladder.probing
    return ladder


async def ended(peer: Peer, ladder: Ladder) -> int:
    """Probe until it is known what the link holds; returns how long that takes."""
    took_us = 0
    while ladder.probing:
        took_us += BLOCK_US
        peer.probe(took_us)
        await asyncio.sleep(0)
    return took_us


async def test_what_cannot_be_probed_is_tried_at_once(peer: Peer) -> None:
    ladder = await asking(peer)
    peer.probe(mono_us())
    assert peer.tiles_wanted > 1
    assert not ladder.probing


async def test_a_link_that_answers_late_under_a_probe_keeps_the_small_picture(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    padded: list[int] = []

    def pad(_: Outbound, size: int) -> int:
        padded.append(size)
        return size

    async def answers(_: RTCDtlsTransport) -> bool:
        if sum(padded) > MANY_BYTES:
            await asyncio.Event().wait()
        return True

    monkeypatch.setattr(Outbound, "pad", pad)
    monkeypatch.setattr("vks.wire.answers", answers)
    monkeypatch.setattr("vks.peer.mono_us", lambda: 0)
    ladder = await asking(peer)
    assert await ended(peer, ladder) < CALM_US + RISE_US
    assert peer.quality == "small"
    assert MANY_BYTES < sum(padded) < 2 * MANY_BYTES


async def test_a_link_that_answers_in_time_under_a_probe_gets_the_large_picture(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    async def answers(_: RTCDtlsTransport) -> bool:
        return True

    monkeypatch.setattr(Outbound, "pad", lambda _, size: size)
    monkeypatch.setattr("vks.wire.answers", answers)
    monkeypatch.setattr("vks.peer.mono_us", lambda: 0)
    ladder = await asking(peer)
    assert await ended(peer, ladder) >= CALM_US + RISE_US
    assert (peer.tiles_wanted > 1, peer.quality) == (True, "good")
