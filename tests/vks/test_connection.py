"""A peer connection carries encoded media both ways, against aiortc's own peer: what it decodes and encodes is real."""

import asyncio
import fractions
import re
import socket
from collections.abc import AsyncIterator, Callable
from itertools import pairwise

import av
import numpy as np
import pytest
from aiortc import MediaStreamTrack, RTCConfiguration, RTCIceServer, RTCPeerConnection, RTCSessionDescription
from aiortc.rtp import is_rtcp
from av.frame import Frame

from vks import wire
from vks.connection import GATHER_S, MOST_CANDIDATES, MOST_LINES, Connection, OfferError
from vks.h264_payloads import PAYLOAD_BYTES, annex_b, is_keyframe, join, nal_units, split
from vks.jitter import Unit
from vks.speaking import SPEAKS_DBOV

RATE_HZ, BLOCK = 48_000, 960


class Tone(MediaStreamTrack):
    """1 kHz in blocks of 20 ms, as fast as a microphone gives them."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._at = 0

    async def recv(self) -> Frame:
        await asyncio.sleep(0.02)
        samples = 12_000 * np.sin(2 * np.pi * 1_000 * (np.arange(BLOCK) + self._at) / RATE_HZ)
        frame = av.AudioFrame.from_ndarray(samples.astype(np.int16).reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, self._at, fractions.Fraction(1, RATE_HZ)
        self._at += BLOCK
        return frame


class Picture(MediaStreamTrack):
    """Grey pictures, each of another brightness."""

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        self._at = 0

    async def recv(self) -> Frame:
        await asyncio.sleep(0.04)
        frame = grey(self._at)
        frame.pts, frame.time_base = self._at * 3_600, fractions.Fraction(1, 90_000)
        self._at += 1
        return frame


def grey(number: int) -> av.VideoFrame:
    shade = np.full((240, 320, 3), 20 + number * 2 % 200, np.uint8)
    return av.VideoFrame.from_ndarray(shade, format="rgb24").reformat(format="yuv420p")


class Encoder:
    """One encode for all viewers."""

    def __init__(self) -> None:
        encoder = av.CodecContext.create("libx264", "w")
        assert isinstance(encoder, av.VideoCodecContext)
        encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 320, 240, "yuv420p", fractions.Fraction(1, 25)
        encoder.options = {"preset": "ultrafast", "tune": "zerolatency", "profile": "baseline", "g": "50"}
        self._encoder = encoder
        self._number = 0

    def payloads(self, *, key: bool) -> list[bytes]:
        frame = grey(self._number)
        frame.pts = self._number
        if key:
            frame.pict_type = av.video.frame.PictureType.I
        self._number += 1
        (packet,) = self._encoder.encode(frame)
        return split(nal_units(bytes(packet)), [])


@pytest.fixture
async def peers() -> AsyncIterator[tuple[Connection, RTCPeerConnection]]:
    ours, theirs = Connection([]), RTCPeerConnection(RTCConfiguration(iceServers=[]))
    yield ours, theirs
    await asyncio.gather(ours.close(), theirs.close())


async def joined(ours: Connection, theirs: RTCPeerConnection) -> None:
    await theirs.setLocalDescription(await theirs.createOffer())
    await theirs.setRemoteDescription(RTCSessionDescription(await ours.answer(theirs.localDescription.sdp), "answer"))


async def until(condition: Callable[[], bool], what: str, timeout_s: float = 20.0) -> None:
    end_s = asyncio.get_running_loop().time() + timeout_s
    while not condition():
        assert asyncio.get_running_loop().time() < end_s, what
        await asyncio.sleep(0.02)


async def test_pictures_that_were_encoded_once_are_decoded_by_a_viewer(peers: tuple[Connection, RTCPeerConnection]) -> None:
    ours, theirs = peers
    theirs.addTransceiver("video", "recvonly")
    await joined(ours, theirs)
    encoder, wanted = Encoder(), [True]
    ours.outbound(0).on_keyframe_wanted = lambda: wanted.__setitem__(0, True)
    track = theirs.getReceivers()[0].track
    seen: list[av.VideoFrame] = []

    async def watch() -> None:
        while True:
            frame = await track.recv()
            assert isinstance(frame, av.VideoFrame)
            seen.append(frame)

    watching = asyncio.create_task(watch())
    for number in range(1_000):
        key, wanted[0] = wanted[0], False
        ours.outbound(0).write(encoder.payloads(key=key), number * 40_000)
        await asyncio.sleep(0.02)
        if len(seen) >= 20:
            break
    watching.cancel()
    assert len(seen) >= 20
    shades = [int(frame.to_ndarray(format="gray").mean()) for frame in seen]
    assert shades == sorted(shades)
    assert [(later.pts or 0) - (earlier.pts or 0) for earlier, later in pairwise(seen)].count(3_600) >= len(seen) // 2


async def test_what_is_sent_again_for_a_probe_disturbs_no_picture_and_the_peer_says_that_it_is_there(
    peers: tuple[Connection, RTCPeerConnection],
) -> None:
    ours, theirs = peers
    theirs.addTransceiver("video", "recvonly")
    await joined(ours, theirs)
    out, encoder = ours.outbound(0), Encoder()
    assert out.pad(1_000) is None, "nothing was sent yet"
    await until(lambda: out.write(encoder.payloads(key=True), 0), "the connection")
    assert await wire.answers(out.transport)
    track, pictures = theirs.getReceivers()[0].track, 20
    before = out.sent, out.sent_bytes
    for number in range(1, pictures):
        assert 500 <= (out.pad(500) or 0) < 500 + PAYLOAD_BYTES
        out.write(encoder.payloads(key=False), number * 40_000)
    assert (out.sent, out.sent_bytes) > before
    shades = [int(frame.to_ndarray(format="gray").mean()) for frame in [await track.recv() for _ in range(pictures // 2)]]  # type: ignore[union-attr]
    assert shades == sorted(shades)
    assert await wire.answers(out.transport)


async def test_what_a_peer_sends_arrives_as_it_was_encoded_and_decodes(peers: tuple[Connection, RTCPeerConnection]) -> None:
    ours, theirs = peers
    theirs.addTrack(Tone())
    theirs.addTrack(Picture())
    await joined(ours, theirs)
    sound: list[Unit] = []
    pictures: list[Unit] = []
    levels: list[int] = []
    ours.inbound(0).on_unit, ours.inbound(0).on_level = sound.append, levels.append
    ours.inbound(1).on_unit = pictures.append
    await until(lambda: len(sound) > 50 and len(pictures) > 20, "media arrives")

    decoder = av.CodecContext.create("libopus", "r")
    assert isinstance(decoder, av.AudioCodecContext)
    heard = np.concatenate([
        frame.to_ndarray().reshape(-1)[::2] for unit in sound[10:50] for frame in decoder.decode(av.Packet(unit.payloads[0]))
    ]).astype(np.float64)  # fmt: skip
    spectrum = np.abs(np.fft.rfft(heard))
    assert abs(np.argmax(spectrum) * RATE_HZ / heard.size - 1_000) < 5
    assert max(levels) > SPEAKS_DBOV

    units = [join(unit.payloads) for unit in pictures]
    first = next(n for n, one in enumerate(units) if one is not None and is_keyframe(one))
    video = av.CodecContext.create("h264", "r")
    assert isinstance(video, av.VideoCodecContext)
    video.thread_count = 1
    shown = [frame for one in units[first:] if one is not None for frame in video.decode(av.Packet(annex_b(one)))]
    assert len(shown) >= len(units[first:]) - 1
    times = [unit.timestamp for unit in pictures]
    assert {later - earlier for earlier, later in pairwise(times)} == {3_600}
    assert ours.inbound(1).counts.lost == 0


async def test_sound_that_was_lost_on_the_way_is_asked_for_and_comes(
    peers: tuple[Connection, RTCPeerConnection], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = peers
    theirs.addTrack(Tone())
    await joined(ours, theirs)
    inbound, dropped, got = ours.inbound(0), set[int](), list[Unit]()
    transport = theirs.getTransceivers()[0].sender.transport
    send = transport._send_rtp

    async def lose(packet: bytes) -> None:
        sequence = int.from_bytes(packet[2:4])
        if not is_rtcp(packet) and sequence % 10 == 0 and sequence not in dropped:
            dropped.add(sequence)
        else:
            await send(packet)

    monkeypatch.setattr(transport, "_send_rtp", lose)
    inbound.on_unit = got.append
    await until(lambda: len(got) > 60, "sound arrives")
    assert len(dropped) >= 5
    assert {later.timestamp - earlier.timestamp for earlier, later in pairwise(got)} == {BLOCK}


async def test_a_keyframe_is_asked_for_and_comes(peers: tuple[Connection, RTCPeerConnection]) -> None:
    ours, theirs = peers
    theirs.addTrack(Picture())
    await joined(ours, theirs)
    keys: list[bool] = []

    def take(unit: Unit) -> None:
        parts = join(unit.payloads)
        keys.append(parts is not None and is_keyframe(parts))

    ours.inbound(0).on_unit = take
    await until(lambda: len(keys) > 30, "pictures arrive")
    seen = keys.count(True)
    end_s = asyncio.get_running_loop().time() + 20
    while keys.count(True) == seen and asyncio.get_running_loop().time() < end_s:
        await ours.inbound(0).request_keyframe(int(asyncio.get_running_loop().time() * 1_000_000))
        await asyncio.sleep(0.1)
    assert keys.count(True) > seen


async def test_only_the_codecs_that_everybody_has_are_agreed_on(peers: tuple[Connection, RTCPeerConnection]) -> None:
    ours, theirs = peers
    theirs.addTransceiver("audio")
    theirs.addTransceiver("video")
    await theirs.setLocalDescription(await theirs.createOffer())
    answer = await ours.answer(theirs.localDescription.sdp)
    assert "VP8" not in answer
    assert "PCMU" not in answer
    assert "profile-level-id=42e01f" in answer
    assert "opus/48000" in answer
    wished = [line for line in answer.split("\r\n") if "x-google-start-bitrate" in line]
    assert wished
    assert all(line.startswith("a=fmtp:") and "profile-level-id=42e01f" in line for line in wished)
    assert not re.search(r"\r(?!\n)|(?<!\r)\n", answer), "each line ends as RFC 8866, section 5 has it"


@pytest.mark.parametrize("offer", ["", "v=0", "v=0\r\nm=audio x y", "\x00" * 100, "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n" * 3])
async def test_what_is_no_offer_is_refused(peers: tuple[Connection, RTCPeerConnection], offer: str) -> None:
    with pytest.raises(OfferError):
        await peers[0].answer(offer)


async def test_an_offer_without_h264_and_one_that_is_too_long_are_told_apart(peers: tuple[Connection, RTCPeerConnection]) -> None:
    ours, theirs = peers
    theirs.addTransceiver("video")
    await theirs.setLocalDescription(await theirs.createOffer())
    without = theirs.localDescription.sdp.replace("H264/90000", "AV1/90000")
    with pytest.raises(OfferError) as refused:
        await ours.answer(without)
    assert refused.value.code == "no_h264"
    with pytest.raises(OfferError) as refused:
        await ours.answer(without + "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n" * (MOST_LINES + 1))
    assert refused.value.code == "bad_offer"


HOST = "candidate:888441779 1 udp 2122260223 203.0.113.10 37848 typ host generation 0"
RELAY = "candidate:2027234498 1 udp 58663423 203.0.113.20 51408 typ relay raddr 0.0.0.0 rport 0 generation 0"


def addresses(connection: Connection) -> list[str]:
    """Those of the browser's that are tried."""
    return [one.ip for one in connection.getTransceivers()[0].receiver.transport.transport.getRemoteCandidates()]


async def test_the_addresses_that_a_browser_tells_with_its_first_line_are_tried_and_those_that_follow(
    peers: tuple[Connection, RTCPeerConnection],
) -> None:
    ours, theirs = peers
    theirs.addTransceiver("audio", "sendrecv")
    theirs.addTransceiver("video", "sendonly")
    await theirs.setLocalDescription(await theirs.createOffer())
    before, first, last = re.sub(r"a=(candidate|end-of-candidates).*\r\n", "", theirs.localDescription.sdp).split("m=")
    await ours.answer(f"{before}m={first}a={HOST}\r\nm={last}a=end-of-candidates\r\n")
    assert addresses(ours) == ["203.0.113.10"]
    await ours.take_candidate(RELAY)
    assert addresses(ours) == ["203.0.113.10", "203.0.113.20"]


@pytest.mark.parametrize("text", ["", "candidate:", "candidate:1 1 udp x 203.0.113.9 9 typ host", f"{HOST} \0", "candidate:" + "1 " * 99])
async def test_what_is_no_address_is_passed_over(peers: tuple[Connection, RTCPeerConnection], text: str) -> None:
    ours, theirs = peers
    theirs.addTransceiver("audio", "sendrecv")
    await joined(ours, theirs)
    await ours.take_candidate(text)
    await ours.take_candidate(RELAY)
    assert "203.0.113.20" in addresses(ours)


async def test_one_offer_has_only_so_many_addresses_tried(peers: tuple[Connection, RTCPeerConnection]) -> None:
    ours, theirs = peers
    theirs.addTransceiver("audio", "sendrecv")
    await joined(ours, theirs)
    for number in range(2 * MOST_CANDIDATES):
        await ours.take_candidate(RELAY.replace("51408", str(2_000 + number)))
    assert addresses(ours).count("203.0.113.20") <= MOST_CANDIDATES


async def test_an_address_before_any_offer_is_passed_over(peers: tuple[Connection, RTCPeerConnection]) -> None:
    ours, theirs = peers
    await ours.take_candidate(RELAY)
    theirs.addTransceiver("audio", "sendrecv")
    await joined(ours, theirs)
    assert "203.0.113.20" not in addresses(ours)
    await ours.take_candidate(RELAY)
    assert "203.0.113.20" in addresses(ours)


async def test_a_server_that_is_away_delays_an_answer_by_seconds_and_does_not_prevent_it() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        ours = Connection([RTCIceServer(urls=[f"stun:127.0.0.1:{silent.getsockname()[1]}"])])
        theirs = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        theirs.addTransceiver("audio", "sendrecv")
        began_s = asyncio.get_running_loop().time()
        await joined(ours, theirs)
        assert asyncio.get_running_loop().time() - began_s < GATHER_S + 1
        await until(lambda: ours.connectionState == "connected", "the connection")
        await asyncio.gather(ours.close(), theirs.close())


async def test_what_we_offer_to_send_is_taken_by_a_peer_and_no_other_answer_is() -> None:
    ours, theirs = Connection([]), Connection([])
    offer = await ours.offer([("audio", "sendonly"), ("video", "sendonly")])
    answer = await theirs.answer(offer)
    with pytest.raises(OfferError, match="too long"):
        await ours.accept(answer + "a=x\r\n" * 20_000)
    with pytest.raises(OfferError, match="not an answer"):
        await ours.accept("v=0\r\n")
    await ours.accept(answer)
    async with asyncio.timeout(10):
        while ours.connectionState != "connected":  # noqa: ASYNC110 - aiortc tells no one event
            await asyncio.sleep(0.02)
    await asyncio.gather(ours.close(), theirs.close())


async def test_a_server_that_takes_the_sound_alone_is_not_sent_to() -> None:
    ours, theirs = Connection([]), Connection([])
    answer = await theirs.answer(await ours.offer([("audio", "sendonly"), ("video", "sendonly")]))
    without_picture = re.sub(r"^a=(recvonly|sendrecv)\r\n", "a=inactive\r\n", answer.partition("\nm=video")[2], flags=re.MULTILINE)
    with pytest.raises(OfferError, match="does not take all"):
        await ours.accept(answer.partition("\nm=video")[0] + "\nm=video" + without_picture)
    await asyncio.gather(ours.close(), theirs.close())


async def test_of_who_is_silent_nothing_is_agreed_on_that_he_would_send_and_he_is_sent_to_all_the_same() -> None:
    ours, theirs = Connection([], receives=False), Connection([])
    answer = await ours.answer(await theirs.offer([("audio", "sendrecv"), ("video", "sendonly"), ("video", "recvonly")]))
    assert re.findall(r"^a=(sendrecv|sendonly|recvonly|inactive)", answer, re.MULTILINE) == ["sendonly", "inactive", "sendonly"]
    await theirs.accept(answer, sends=False)
    await until(lambda: theirs.connectionState == "connected", "the connection")
    await asyncio.gather(ours.close(), theirs.close())
