"""Somebody who means harm, in a process of his own: a stranger who tries links, or a participant who sends what no browser would.

``python -m tests.vks.besieger joins ROOT`` tries a thousand tokens a minute from many addresses. ``… garbage|nacks|keyframes|large LINK``
joins by a link, says ``in``, and begins when a line comes on standard input. Each goes on until standard input ends.
"""

import asyncio
import contextlib
import itertools
import os
import random
import re
import secrets
import sys
import traceback
from collections.abc import Callable, Coroutine
from fractions import Fraction
from typing import Any

import aiohttp
import av
import msgspec
import numpy as np
from aiortc import MediaStreamTrack, RTCBundlePolicy, RTCConfiguration, RTCPeerConnection, RTCSessionDescription, rtp
from av.frame import Frame

from tests.vks.browsers import Tone
from vks import signalling
from vks.h264_payloads import nal_units, split

JOINS_S = 1_000 / 60
SOURCES = 250
STEP_S = 0.01
TILES = 2
LARGE = (7_680, 4_320)
_SEQUENCES = 1 << 16
_ALL_LOST = 4_000
"""Sequence numbers that one wish names: with 17 wishes a round every packet that there is."""


class Nothing(MediaStreamTrack):
    """A camera that gives nothing: the besieger writes its packets himself."""

    kind = "video"

    async def recv(self) -> Frame:
        """Never."""
        await asyncio.Event().wait()
        raise AssertionError


class Besieger:
    """One who was let in."""

    def __init__(self) -> None:
        self._peer = RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
        self._theirs: list[int] = []
        self._kind = 0
        self._chance = random.Random(1)

    async def join(self, http: aiohttp.ClientSession, link: str) -> None:
        """By the link, as a page does, but for the lobby's patience."""
        root, token = link.split("/join/#")
        async with http.post(f"{root}/api/join", json={"token": token, "device": "device-1"}) as answer:
            answer.raise_for_status()
            resume = (await answer.json())["resume"]
        self._socket = await http.ws_connect(f"{root}/api/connect")
        await self._say(signalling.Resume(token=resume))
        peer = self._peer
        peer.addTransceiver(Tone(300.0), "sendrecv")
        for _ in range(2):
            peer.addTransceiver(Nothing(), "sendonly")
        for _ in range(TILES):
            peer.addTransceiver("video", "recvonly")
        await peer.setLocalDescription(await peer.createOffer())
        await self._say(signalling.Offer(sdp=peer.localDescription.sdp))
        async for message in self._socket:
            heard = signalling.to_page.decode(message.data)
            if isinstance(heard, signalling.Answer):
                break
        await peer.setRemoteDescription(RTCSessionDescription(heard.sdp, "answer"))
        self._theirs = [int(ssrc) for ssrc in set(re.findall(r"^a=ssrc:(\d+)", heard.sdp, re.MULTILINE))]
        self._kind = int(re.findall(r"^a=rtpmap:(\d+) H264", heard.sdp, re.MULTILINE)[0])
        self._reading = asyncio.create_task(self._read())
        while peer.connectionState != "connected":  # noqa: ASYNC110 - aiortc tells no one event
            await asyncio.sleep(STEP_S)

    async def attack(self, how: str) -> None:
        """Do harm, for ever."""
        rounds: dict[str, Callable[[], list[bytes]]] = {
            "garbage": self._garbage, "nacks": self._nacks, "keyframes": self._keyframe_wishes, "large": self._large_pictures(),
        }  # fmt: skip
        while True:
            for packet in rounds[how]():
                await self._peer.getTransceivers()[0].receiver.transport._send_rtp(packet)
            await asyncio.sleep(STEP_S)

    def _garbage(self) -> list[bytes]:
        chance = self._chance
        packets = [
            rtp.RtpPacket(
                payload_type=chance.choice([self._kind, self._kind + 1, 111]), marker=chance.randrange(2),
                sequence_number=chance.randrange(32_768), timestamp=chance.randrange(2**32), ssrc=chance.randrange(2**32),
                payload=chance.randbytes(chance.randrange(900)),
            ).serialize()
            for _ in range(5)
        ]  # fmt: skip
        return packets + [bytes([0x80 + chance.randrange(32), 200 + chance.randrange(8)]) + chance.randbytes(60) for _ in range(5)]

    def _nacks(self) -> list[bytes]:
        begin = self._chance.randrange(_SEQUENCES - _ALL_LOST)  # aiortc cannot write a wish across the wrap
        lost = [begin + number for number in range(_ALL_LOST)]
        return [bytes(rtp.RtcpRtpfbPacket(fmt=rtp.RTCP_RTPFB_NACK, ssrc=1, media_ssrc=ssrc, lost=lost)) for ssrc in self._theirs]

    def _keyframe_wishes(self) -> list[bytes]:
        kinds = (rtp.RTCP_PSFB_PLI, rtp.RTCP_PSFB_FIR)
        return [bytes(rtp.RtcpPsfbPacket(fmt=kind, ssrc=1, media_ssrc=ssrc)) for ssrc in self._theirs for kind in kinds]

    def _large_pictures(self) -> Callable[[], list[bytes]]:
        payloads, ssrc = split(nal_units(large_picture()), []), self._peer.getTransceivers()[1].sender._ssrc
        numbers, at = itertools.count(), itertools.count(0, 7_200)
        packets = itertools.chain.from_iterable(
            [(payload, time, payload is payloads[-1]) for payload in payloads] for time in at
        )  # fmt: skip

        def some() -> list[bytes]:
            return [
                rtp.RtpPacket(
                    payload_type=self._kind, marker=int(last), sequence_number=next(numbers) % _SEQUENCES, timestamp=time % 2**32,
                    ssrc=ssrc, payload=payload,
                ).serialize()
                for payload, time, last in itertools.islice(packets, 10)
            ]  # fmt: skip

        return some

    async def _read(self) -> None:
        """Whatever comes: the courtroom hangs up on a page that does not answer its pings."""
        async for _ in self._socket:
            pass

    async def _say(self, message: signalling.Message) -> None:
        await self._socket.send_str(msgspec.json.encode(message).decode())


def large_picture() -> bytes:
    """A keyframe of 8K (33 million pixels) in H.264."""
    encoder = av.CodecContext.create("libx264", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = *LARGE, "yuv420p", Fraction(1, 25)
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency", "profile": "baseline", "qp": "40"}
    rough = np.random.default_rng(1).integers(0, 256, (LARGE[1] // 120, LARGE[0] // 120)).astype(np.uint8)
    grey = np.kron(rough, np.ones((120, 120), np.uint8))
    frame = av.VideoFrame.from_ndarray(np.repeat(grey[:, :, None], 3, axis=2), format="rgb24").reformat(format="yuv420p")
    return b"".join(bytes(packet) for packet in encoder.encode(frame))


async def try_links(root: str) -> None:
    """A thousand attempts a minute, each with a token of its own, from many addresses of this PC."""
    refused = {403, 429}
    for number in itertools.count():
        source = f"127.0.{1 + number % SOURCES}.{1 + number // SOURCES % 250}" if number % 2 else "127.0.0.9"
        connector = aiohttp.TCPConnector(local_addr=(source, 0))
        async with (
            aiohttp.ClientSession(connector=connector) as http,
            http.post(f"{root}/api/join", json={"token": secrets.token_urlsafe(32), "device": "device-1"}) as answer,
        ):
            if answer.status not in refused:
                raise RuntimeError(f"a token that nobody made was answered by {answer.status}")
        await asyncio.sleep(1 / JOINS_S)


async def standard_input() -> asyncio.StreamReader:
    """Read without a thread, which would keep a process alive whose attack has failed."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


async def until_input_ends(attack: Coroutine[Any, Any, None], told: asyncio.StreamReader) -> None:
    """Go on until whoever started this closes its standard input; what fails before ends this process with an error."""
    works, ended = asyncio.create_task(attack), asyncio.create_task(told.read())
    await asyncio.wait([works, ended], return_when=asyncio.FIRST_COMPLETED)
    if works.done():
        works.result()
    works.cancel()


async def main(how: str, where: str) -> None:
    """One of the two."""
    told = await standard_input()
    if how == "joins":
        await until_input_ends(try_links(where), told)
        return
    async with aiohttp.ClientSession() as http:
        besieger = Besieger()
        await besieger.join(http, where)
        sys.stdout.write("in\n")
        sys.stdout.flush()
        await told.readline()
        await until_input_ends(again_and_again(http, where, besieger, how), told)


async def again_and_again(http: aiohttp.ClientSession, where: str, besieger: Besieger, how: str) -> None:
    """Who drowned his own connection comes by his link again."""
    while True:
        with contextlib.suppress(ConnectionError):
            await besieger.attack(how)
        besieger = Besieger()
        await besieger.join(http, where)


if __name__ == "__main__":
    status = 1
    try:
        asyncio.run(main(*sys.argv[1:]))
        status = 0
    except Exception:  # noqa: BLE001 - told, and the process ends by it
        traceback.print_exc()
    finally:
        os._exit(status)  # the threads in which aiortc decodes would outlive it
