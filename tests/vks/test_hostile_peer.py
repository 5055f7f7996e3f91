"""A peer that has been let in and does harm by its packets: it gets its measure and no more, and its connection is all that it can end."""

import asyncio
import random
import time
from collections.abc import AsyncIterator

import pytest
from aiortc import RTCBundlePolicy, RTCConfiguration, RTCPeerConnection, RTCSessionDescription, rtp

from tests.vks.browsers import PictureEncoder, Shades, until
from vks.connection import Connection, OfferError
from vks.forwarding import KEYFRAME_AGAIN_US, Feed, Slot
from vks.h264_payloads import split
from vks.inbound import LEAST_BYTES, PICTURE_QUOTA_BPS
from vks.jitter import Unit
from vks.outbound import AGAIN_MOST
from vks.times import mono_us


class Pair:
    """Our end, and a peer's that can send what it likes."""

    def __init__(self, ours: Connection, theirs: RTCPeerConnection) -> None:
        self.ours, self.theirs = ours, theirs

    async def send(self, *packets: bytes) -> None:
        transport = self.theirs.getTransceivers()[0].receiver.transport
        for packet in packets:
            await transport._send_rtp(packet)

    @property
    def open(self) -> bool:
        return self.ours.connectionState == "connected"


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    """Line 0: pictures of theirs; line 1: pictures of ours."""
    ours = Connection([])
    theirs = RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
    theirs.addTransceiver(Shades(100), "sendonly")
    theirs.addTransceiver("video", "recvonly")
    await theirs.setLocalDescription(await theirs.createOffer())
    await theirs.setRemoteDescription(RTCSessionDescription(await ours.answer(theirs.localDescription.sdp), "answer"))
    await until(lambda: ours.connectionState == theirs.connectionState == "connected", "the connection")
    yield Pair(ours, theirs)
    await asyncio.gather(ours.close(), theirs.close())


def nack(ours: int, theirs: int, lost: list[int]) -> bytes:
    return bytes(rtp.RtcpRtpfbPacket(fmt=rtp.RTCP_RTPFB_NACK, ssrc=theirs, media_ssrc=ours, lost=lost))


async def test_endless_wishes_to_send_again_are_met_at_a_measure(pair: Pair) -> None:
    out, encoder = pair.ours.outbound(1), PictureEncoder()
    await until(lambda: out.write(split(encoder.units(100, key=True), []), mono_us()), "the way to the peer")
    for _ in range(200):
        out.write([b"\x41" + bytes(900)], mono_us())
    newest, first_again = out._sequence, out._again_sequence
    for _ in range(400):
        await pair.send(nack(out._ssrc, 1, [(newest - 100 + n) % 65_536 for n in range(100)]))
    await asyncio.sleep(0.3)
    again = (out._again_sequence - first_again) % 65_536
    assert 0 < again <= AGAIN_MOST
    assert pair.open


async def test_nothing_of_a_picture_that_is_shown_no_more_is_sent_again(pair: Pair) -> None:
    out, encoder, again = pair.ours.outbound(1), PictureEncoder(), list[int]()
    await until(lambda: out.write(split(encoder.units(100, key=True), []), mono_us()), "the way to the peer")
    for _ in range(20):
        out.write([b"\x41" + bytes(900)], mono_us())
    for begins_anew in (False, True):
        if begins_anew:
            out.begin_anew()
        first_again = out._again_sequence
        await out._handle_rtcp_packet(rtp.RtcpRtpfbPacket(fmt=rtp.RTCP_RTPFB_NACK, ssrc=1, media_ssrc=out._ssrc, lost=[out._sequence - 1]))
        again.append(out._again_sequence - first_again)
    assert again == [1, 0]


async def test_a_storm_of_wishes_for_keyframes_reaches_the_camera_as_one(pair: Pair) -> None:
    asked: list[int] = []
    feed = Feed(lambda: asked.append(mono_us()))
    slot = Slot(pair.ours.outbound(1))
    slot.show(feed, mono_us())
    out = pair.ours.outbound(1)
    out.on_keyframe_wanted = lambda: slot.want_keyframe(mono_us())
    began_us = mono_us()
    await until(lambda: out._payload_type is not None, "the line")
    for _ in range(1_000):
        await pair.send(bytes(rtp.RtcpPsfbPacket(fmt=rtp.RTCP_PSFB_PLI, ssrc=1, media_ssrc=out._ssrc)))
    await asyncio.sleep(0.3)
    assert len(asked) <= (mono_us() - began_us) // KEYFRAME_AGAIN_US + 1
    assert pair.open


async def test_packets_that_are_no_pictures_give_none_and_end_nothing(pair: Pair) -> None:
    units: list[Unit] = []
    inbound = pair.ours.inbound(0)
    inbound.on_unit = units.append
    await until(lambda: len(units) > 3, "pictures arrive")
    rng = random.Random(1)
    kind = next(iter(inbound._codecs))
    for _ in range(1_000):
        packet = rtp.RtpPacket(
            payload_type=rng.choice([kind, kind + 1, 111]), marker=rng.randrange(2), sequence_number=rng.randrange(32_768),
            timestamp=rng.randrange(2**32), ssrc=rng.randrange(2**32), payload=rng.randbytes(rng.randrange(40)),
        )  # fmt: skip
        await pair.send(packet.serialize())
        await pair.theirs.getTransceivers()[0].receiver.transport.transport._send(rng.randbytes(rng.randrange(1, 60)))
    await asyncio.sleep(0.2)
    assert pair.open
    before = len(units)
    await until(lambda: len(units) > before + 5, "pictures still arrive")


async def test_a_picture_larger_than_the_quota_is_cut_down_to_it(pair: Pair) -> None:
    taken: list[int] = []
    inbound = pair.ours.inbound(0)
    inbound.on_unit = lambda unit: taken.append(sum(map(len, unit.payloads)))
    await until(lambda: taken, "pictures arrive")
    ssrc, kind = 12_345, next(iter(inbound._codecs))
    taken.clear()
    began_s = time.monotonic()
    for number in range(3_000):
        packet = rtp.RtpPacket(payload_type=kind, marker=1, sequence_number=number, timestamp=number * 300, ssrc=ssrc, payload=bytes(1_100))
        await pair.send(packet.serialize())
        if number % 20 == 0:
            await asyncio.sleep(0.001)  # what the socket's buffer does not hold is lost before it can be refused
    await asyncio.sleep(0.2)
    took_s = time.monotonic() - began_s
    assert sum(taken) <= PICTURE_QUOTA_BPS / 8 * (took_s + 1)
    assert inbound.counts.over_quota > 0
    assert pair.open


async def test_a_flood_of_tiny_packets_is_cut_down_though_it_carries_next_to_nothing(pair: Pair) -> None:
    inbound = pair.ours.inbound(0)
    await until(lambda: inbound.counts.packets, "pictures arrive")
    ssrc, kind = 12_345, next(iter(inbound._codecs))
    inbound._quota_bps, before, began_s = 80_000, inbound.counts.packets, time.monotonic()
    for number in range(2_000):
        packet = rtp.RtpPacket(payload_type=kind, marker=1, sequence_number=number, timestamp=number * 300, ssrc=ssrc, payload=b"\x65\x88")
        await pair.send(packet.serialize())
        if number % 20 == 0:
            await asyncio.sleep(0.001)
    await asyncio.sleep(0.2)
    assert inbound.counts.over_quota > 1_000
    assert inbound.counts.packets - before <= 80_000 / 8 / LEAST_BYTES * (time.monotonic() - began_s + 1)


async def test_made_up_timestamps_do_not_end_the_reports(pair: Pair) -> None:
    inbound = pair.ours.inbound(0)
    await until(lambda: inbound._stream is not None, "pictures arrive")
    assert inbound._stream is not None
    inbound._stream.statistics._jitter_q4 = 1 << 40  # as two timestamps in turn, half a range apart, make it within seconds
    await inbound.report()
    assert pair.open


async def test_a_channel_for_data_is_refused() -> None:
    ours, theirs = Connection([]), RTCPeerConnection()
    theirs.addTransceiver("audio", "sendrecv")
    theirs.createDataChannel("words")
    await theirs.setLocalDescription(await theirs.createOffer())
    with pytest.raises(OfferError, match="a channel for data"):
        await ours.answer(theirs.localDescription.sdp)
    await asyncio.gather(ours.close(), theirs.close())
