"""aiortc's own peers as participants' browsers: what they send and decode is real."""

import asyncio
import fractions
from collections.abc import Awaitable, Callable

import av
import numpy as np
import numpy.typing as npt
from aiortc import MediaStreamTrack, RTCBundlePolicy, RTCCertificate, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from av.frame import Frame

from tests.lab import frame_strip
from vks import wire
from vks.connection import Connection
from vks.h264_payloads import nal_units

RATE_HZ, BLOCK = 48_000, 960
NEAR = 20
"""Brightnesses that differ by less are the same picture, coded."""
SIZE = (320, 240)


async def until(condition: Callable[[], object], what: str, timeout_s: float = 60.0) -> None:
    """Wait until the condition holds."""
    end_s = asyncio.get_running_loop().time() + timeout_s
    while not condition():
        assert asyncio.get_running_loop().time() < end_s, what
        await asyncio.sleep(0.02)


class Tone(MediaStreamTrack):
    """A tone in blocks of 20 ms, as fast as a microphone gives them."""

    kind = "audio"

    def __init__(self, hz: float = 1_000.0, amplitude: float = 12_000.0) -> None:
        super().__init__()
        self.gives = asyncio.Event()
        """Cleared, it gives nothing, and its timestamps stand still."""
        self.gives.set()
        self.hz, self.amplitude = hz, amplitude
        self._at = 0
        self._due_s: float | None = None

    async def recv(self) -> Frame:
        loop = asyncio.get_running_loop()
        if not self.gives.is_set():
            await self.gives.wait()
            self._due_s = None
        self._due_s = (self._due_s or loop.time()) + 0.02
        await asyncio.sleep(max(0.0, self._due_s - loop.time()))
        samples = self.amplitude * np.sin(2 * np.pi * self.hz * (np.arange(BLOCK) + self._at) / RATE_HZ)
        frame = av.AudioFrame.from_ndarray(samples.astype(np.int16).reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, self._at, fractions.Fraction(1, RATE_HZ)
        self._at += BLOCK
        return frame


class Shades(MediaStreamTrack):
    """Pictures of one brightness, 12.5 a second."""

    kind = "video"

    def __init__(self, shade: int | None = None) -> None:
        super().__init__()
        self.shade = shade
        self._at = 0

    @property
    def sent(self) -> int:
        """How many pictures have been sent."""
        return self._at

    async def recv(self) -> Frame:
        await asyncio.sleep(0.08)
        frame = grey(20 + self._at * 2 % 200 if self.shade is None else self.shade)
        frame.pts, frame.time_base = self._at * 7_200, fractions.Fraction(1, 90_000)
        self._at += 1
        return frame


def grey(shade: int) -> av.VideoFrame:
    """A picture of one brightness."""
    picture = np.full((SIZE[1], SIZE[0], 3), shade, np.uint8)
    return av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")


class PictureEncoder:
    """H.264 as a camera's rung has it."""

    def __init__(self) -> None:
        encoder = av.CodecContext.create("libx264", "w")
        assert isinstance(encoder, av.VideoCodecContext)
        encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = *SIZE, "yuv420p", fractions.Fraction(1, 25)
        encoder.options = {"preset": "ultrafast", "tune": "zerolatency", "profile": "baseline", "g": "50"}
        self._encoder = encoder
        self._number = 0

    def units(self, shade: int, *, key: bool) -> list[bytes]:
        """The next picture's NAL units."""
        frame = grey(shade)
        frame.pts = self._number
        if key:
            frame.pict_type = av.video.frame.PictureType.I
        self._number += 1
        (packet,) = self._encoder.encode(frame)
        return nal_units(bytes(packet))


class Watcher:
    """A screen of the courtroom, or a page that looks in: takes pictures, and sends nothing.

    Args:
        tiles: how many pictures it takes.
        sound: whether it takes sound too.
    """

    def __init__(self, tiles: int = 6, *, sound: bool = False) -> None:
        self.heard: list[npt.NDArray[np.int16]] = []
        self._sound = sound
        self.shades: list[list[int]] = [[] for _ in range(tiles)]
        self._peer = RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
        self._tasks: list[asyncio.Task[None]] = []

    async def dial(self, answer: Callable[[str], Awaitable[str]]) -> None:
        """Offer, and begin when the answer is there."""
        if self._sound:
            self._peer.addTransceiver("audio", "recvonly")
        for _ in self.shades:
            self._peer.addTransceiver("video", "recvonly")
        await self._peer.setLocalDescription(await self._peer.createOffer())
        await self._peer.setRemoteDescription(RTCSessionDescription(await answer(self._peer.localDescription.sdp), "answer"))
        tracks = [transceiver.receiver.track for transceiver in self._peer.getTransceivers()]
        if self._sound:
            self._tasks.append(asyncio.create_task(listen(tracks.pop(0), self.heard)))
        self._tasks += [asyncio.create_task(watch(track, shades)) for track, shades in zip(tracks, self.shades, strict=True)]

    async def close(self) -> None:
        """Hang up."""
        for task in self._tasks:
            task.cancel()
        await self._peer.close()

    @property
    def over(self) -> bool:
        """Whether the other side has closed the connection: every line has ended, and all that had come of it was taken."""
        return all(task.done() for task in self._tasks)

    def sees(self, shade: int, pictures: int = 1) -> bool:
        """Whether so many pictures of this brightness have come."""
        return sum(abs(one - shade) < NEAR for shades in self.shades for one in shades) >= pictures

    def hears(self, hz: float) -> bool:
        """Whether a tone is in what was heard last."""
        return has_tone(self.heard, hz)

    def forget(self) -> None:
        """Note anew."""
        self.heard.clear()
        for shades in self.shades:
            shades.clear()


class Browser:
    """A participant's page: sends a tone and a shade, and notes what it hears and sees.

    Args:
        hz: the tone of its microphone.
        shade: the brightness of its camera's pictures.
        tiles: how many pictures it takes.
        certificate: by what its media is encrypted; one of its own where there is none.
    """

    def __init__(self, hz: float, shade: int, tiles: int = 2, certificate: RTCCertificate | None = None) -> None:
        self.microphone, self.camera = Tone(hz), Shades(shade)
        self.heard: list[npt.NDArray[np.int16]] = []
        self.shades: list[list[int]] = [[] for _ in range(tiles)]
        self.numbers: dict[int, list[int]] = {}
        """The numbers in test patterns, by the pictures' width."""
        self._peer = RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
        if certificate is not None:
            wire.use_certificate(self._peer, certificate)
        self._tasks: list[asyncio.Task[None]] = []
        self._tiles = tiles

    async def call(self, connection: Connection) -> None:
        """Connect to it."""
        await self.dial(connection.answer)

    async def dial(self, answer: Callable[[str], Awaitable[str]]) -> None:
        """Offer, and begin when the answer is there."""
        self._peer.addTransceiver(self.microphone, "sendrecv")
        self._peer.addTransceiver(self.camera, "sendonly")
        self._peer.addTransceiver(Shades(30), "sendonly")
        for _ in range(self._tiles):
            self._peer.addTransceiver("video", "recvonly")
        await self._peer.setLocalDescription(await self._peer.createOffer())
        await self._peer.setRemoteDescription(RTCSessionDescription(await answer(self._peer.localDescription.sdp), "answer"))
        sound, _, _, *pictures = [transceiver.receiver.track for transceiver in self._peer.getTransceivers()]
        self._tasks.append(asyncio.create_task(listen(sound, self.heard)))
        watched = zip(pictures, self.shades, strict=True)
        self._tasks += [asyncio.create_task(watch(track, shades, self.numbers)) for track, shades in watched]

    async def close(self) -> None:
        """Hang up."""
        for task in self._tasks:
            task.cancel()
        await self._peer.close()

    def hears(self, hz: float, blocks: int = 15) -> bool:
        """Whether a tone is in what was heard last."""
        return has_tone(self.heard, hz, blocks)

    def sees(self, shade: int) -> bool:
        """Whether pictures of this brightness came last in any tile."""
        return any(shades and abs(shades[-1] - shade) < NEAR for shades in self.shades)

    def forget(self) -> None:
        """Note anew."""
        self.heard.clear()
        for shades in self.shades:
            shades.clear()


def has_tone(heard: list[npt.NDArray[np.int16]], hz: float, blocks: int = 15) -> bool:
    """Whether a tone is in the last blocks of what was heard."""
    samples = np.concatenate(heard[-blocks:]) if heard else np.zeros(1)
    return bool(abs(np.exp(-2j * np.pi * hz * np.arange(samples.size) / RATE_HZ) @ samples) * 2 / samples.size > 1_000)


async def listen(track: MediaStreamTrack, heard: list[npt.NDArray[np.int16]]) -> None:
    """Note every block of sound."""
    while True:
        try:
            frame = await track.recv()
        except MediaStreamError:
            return
        assert isinstance(frame, av.AudioFrame)
        heard.append(frame.to_ndarray().reshape(-1)[::2].astype(np.int16))


async def watch(track: MediaStreamTrack, shades: list[int], numbers: dict[int, list[int]] | None = None) -> None:
    """Note the brightness of every picture, and the number that a test pattern has."""
    while True:
        try:
            frame = await track.recv()
        except MediaStreamError:
            return
        assert isinstance(frame, av.VideoFrame)
        luma = frame.to_ndarray(format="gray").astype(np.uint8, copy=False)
        shades.append(int(luma.mean()))
        if numbers is not None and (number := frame_strip.read(luma)) is not None:
            numbers.setdefault(frame.width, []).append(number)
