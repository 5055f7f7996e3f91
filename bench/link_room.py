"""The room's end of a bad link: its own conference, or stock aiortc with the same camera and the same speech. Run in the room's namespace.

Its door is a socket in a directory that both ends see, so that signalling does not go over the link.
"""

import asyncio
import contextlib
import sys
from collections.abc import Coroutine
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import av
import numpy as np
from aiohttp import web
from aiortc import MediaStreamTrack, RTCBundlePolicy, RTCConfiguration, RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from av.frame import Frame

from recorder.contract import conference as staff
from recorder.contract.bus_client import AsyncBusClient
from vks import acts
from vks.conference import Conference
from vks.connection import Connection
from vks.mixing import BLOCK, RATE_HZ, Block
from vks.peer import FIRST_TILE, SOUND, Peer
from vks.recording import Recording
from vks.room_feed import RoomPicture
from vks.service import ASK_EVERY, REPORT_EVERY
from vks.sound import BLOCK_US
from vks.times import mono_us

CAMERA = "cam"
PERSON = "party"


class _Over(Exception):  # noqa: N818 - no error
    """The measurement is over."""


class End(Protocol):
    """What answers the viewer."""

    heard: list[Block]
    """What came of the viewer's sound, in blocks; silence where nothing came."""

    def works(self) -> list[Coroutine[Any, Any, None]]:
        """What runs while it is there."""
        ...

    async def answer(self, sdp: str) -> str:
        """The answer to the viewer's offer."""
        ...

    async def close(self) -> None:
        """Hang up."""
        ...


class Ours:
    """A conference with one participant, as the service runs it.

    Args:
        run_dir: of the recorder's sockets.
        said: what the room's microphones give, again and again.
    """

    def __init__(self, run_dir: str, said: list[bytes]) -> None:
        self.heard: list[Block] = []
        self._said = [np.frombuffer(each, np.int16) for each in said]
        self._pictures = [RoomPicture(run_dir, f"{CAMERA}.{rung}") for rung in ("low", "small")]
        self._recording = Recording(run_dir, self._keyframe_wanted)
        feeds = [picture.feed for picture in self._pictures]
        self._conference = Conference(self._recording, feeds, self._play, lambda _: None, lambda: None)
        self._conference.act(acts.RoomIs(hearing="h1", state="open"))
        self._connections: list[Connection] = []

    def works(self) -> list[Coroutine[Any, Any, None]]:
        """Its clock, the room's pictures, the record."""
        return [self._clock(), self._recording.run(), *(picture.run() for picture in self._pictures)]

    async def answer(self, sdp: str) -> str:
        """The participant comes and is admitted."""
        self._conference.act(acts.Came(person=PERSON, name=PERSON.title(), role="party", device="phone"))
        connection, peer = Connection([]), Peer(PERSON, "phone", self._told)
        self._connections.append(connection)
        answer = await connection.answer(sdp)
        self._conference.enter(peer)
        self._conference.media(peer, connection)
        self._conference.act(staff.Admit(by="A. Clerk", person=PERSON))
        return answer

    async def close(self) -> None:
        """Hang up."""
        for connection in self._connections:
            await connection.close()

    async def _clock(self) -> None:
        due_us, number = mono_us(), 0
        while True:
            due_us += BLOCK_US
            await asyncio.sleep(max(0, due_us - mono_us()) / 1e6)
            self._conference.sound.room(self._said[number % len(self._said)], mono_us())
            self._conference.tick(mono_us())
            number += 1
            if number % ASK_EVERY == 0:
                await self._conference.ask(mono_us())
            if number % REPORT_EVERY == 0:
                await self._conference.report(mono_us())

    def _play(self, block: Block, _at_us: int) -> None:
        self.heard.append(block)

    def _keyframe_wanted(self, track: str) -> None:
        self._conference.keyframe_wanted(track)

    def _told(self, message: object) -> None:
        print(f"{mono_us() / 1e6:.2f} {message}", file=sys.stderr)


class Stock:
    """One peer of aiortc as it comes: its own encoders, its own receivers.

    Args:
        run_dir: of the recorder's sockets.
        said: what its microphone gives, again and again.
    """

    def __init__(self, run_dir: str, said: list[bytes]) -> None:
        self.heard: list[Block] = []
        self._run_dir, self._said = run_dir, said
        self._peer: RTCPeerConnection | None = None
        self._listens: asyncio.Task[None] | None = None

    def works(self) -> list[Coroutine[Any, Any, None]]:
        """Nothing: aiortc's own tasks do all."""
        return []

    async def answer(self, sdp: str) -> str:
        """Send sound on the first line, and the camera on the first that takes pictures."""
        self._peer = peer = RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
        await peer.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
        lines = peer.getTransceivers()
        lines[SOUND].sender.replaceTrack(Microphone(self._said))
        lines[SOUND].direction = "sendrecv"
        lines[FIRST_TILE].sender.replaceTrack(await Camera.open(self._run_dir))
        lines[FIRST_TILE].direction = "sendonly"
        codecs = [codec for codec in RTCRtpSender.getCapabilities("video").codecs if codec.mimeType in {"video/H264", "video/rtx"}]
        for line in lines[SOUND + 1 :]:
            line.setCodecPreferences(codecs)
        await peer.setLocalDescription(await peer.createAnswer())
        self._listens = asyncio.create_task(self._listen(lines[SOUND].receiver.track))
        return str(peer.localDescription.sdp)

    async def close(self) -> None:
        """Hang up."""
        if self._peer is not None:
            await self._peer.close()

    async def _listen(self, track: MediaStreamTrack) -> None:
        at: int | None = None
        with contextlib.suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                if not isinstance(frame, av.AudioFrame) or frame.pts is None:
                    continue
                missing = 0 if at is None else max(0, frame.pts - at) // BLOCK
                self.heard += [np.zeros(BLOCK, np.int16)] * missing
                self.heard.append(frame.to_ndarray().reshape(-1)[:: frame.layout.nb_channels].astype(np.int16))
                at = frame.pts + frame.samples


class Microphone(MediaStreamTrack):
    """The speech for aiortc's own sender."""

    kind = "audio"

    def __init__(self, said: list[bytes]) -> None:
        super().__init__()
        self._said, self._number = said, 0
        self._due_s = asyncio.get_running_loop().time()

    async def recv(self) -> Frame:
        """The next block, when it is due."""
        self._due_s += BLOCK / RATE_HZ
        await asyncio.sleep(max(0.0, self._due_s - asyncio.get_running_loop().time()))
        block = np.frombuffer(self._said[self._number % len(self._said)], np.int16)
        frame = av.AudioFrame.from_ndarray(block.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, self._number * BLOCK, Fraction(1, RATE_HZ)
        self._number += 1
        return frame


class Camera(MediaStreamTrack):
    """The room's large picture, decoded, for aiortc's own sender to encode."""

    kind = "video"

    def __init__(self, client: AsyncBusClient) -> None:
        super().__init__()
        self._client = client
        decoder = av.CodecContext.create("h264", "r")
        if not isinstance(decoder, av.VideoCodecContext):
            raise TypeError("h264")
        self._decoder = decoder
        self._decoder.extradata = client.hello.extradata or None

    @classmethod
    async def open(cls, run_dir: str) -> "Camera":
        """The same stream that viewers of the conference get on a good link."""
        client = await AsyncBusClient.connect(run_dir, f"{CAMERA}.low")
        client.request_keyframe()
        return cls(client)

    async def recv(self) -> Frame:
        """The next picture, when it comes."""
        while True:
            head, body = await self._client.read()
            for frame in self._decoder.decode(av.Packet(body)):
                frame.pts, frame.time_base = head.mono_us * 9 // 100, Fraction(1, 90_000)
                return frame


async def serve(end: End, door: str, heard: Path) -> None:
    """Answer at this door until standard input ends; what was heard meanwhile is kept in a file then (int16)."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=await end.answer(await request.text()))

    application = web.Application()
    application.add_routes([web.post("/", answer)])
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.UnixSite(runner, door).start()
    try:
        async with asyncio.TaskGroup() as group:
            for work in end.works():
                group.create_task(work)
            print("ready", flush=True)
            await asyncio.to_thread(sys.stdin.read)  # until the measurement closes it
            raise _Over
    finally:
        await end.close()
        heard.write_bytes(b"".join(block.tobytes() for block in end.heard))  # noqa: ASYNC240 - nothing else runs any more


def main(words: list[str]) -> None:
    """The process: whose end, the recorder's sockets, the speech (int16), the door, and where to keep what was heard."""
    who, run_dir, speech, door, heard = words
    samples = Path(speech).read_bytes()
    said = [samples[at : at + 2 * BLOCK] for at in range(0, len(samples), 2 * BLOCK)]

    async def run() -> None:
        end: End = Ours(run_dir, said) if who == "ours" else Stock(run_dir, said)
        await serve(end, door, Path(heard))

    try:
        asyncio.run(run())
    except* _Over:
        pass


if __name__ == "__main__":
    main(sys.argv[1:])
