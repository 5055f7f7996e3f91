"""Participants of a hearing in one process of their own: each sends a picture and a voice that were encoded once, and counts what it gets.

Obeys lines on standard input, and answers each with a line: ``come LINK`` (the number of the new participant), ``go N``, ``back N`` (by the
resume token, as a page that was loaded again), ``count`` (JSON: for each who is there the packets of sound, and of pictures, so far).
"""

import asyncio
import itertools
import json
import sys
from collections.abc import Callable

import aiohttp
import msgspec
import numpy as np
from aiortc import RTCSessionDescription

from tests.lab.participants import AUDIO_US, VIDEO_US, pictures, sounds
from vks import signalling
from vks.connection import Connection
from vks.forwarding import Feed, Slot
from vks.h264_payloads import nal_units
from vks.mixing import BLOCK
from vks.opus import Encoder
from vks.peer import CAMERA, FIRST_TILE, SOUND
from vks.times import mono_us

TILES = 6
SPEAKERS = 3
"""So many have a voice; the others' microphones give next to nothing, and send it all the same, as a browser's do."""
LOUD_DBOV, QUIET_DBOV = -25, -75
REPORT_S = 1.0


class Participant:
    """One of them."""

    def __init__(self, http: aiohttp.ClientSession, root: str, number: int, picture: Feed, voice: "Voice") -> None:
        self._http, self._root, self._number = http, root, number
        self._picture, self._voice = picture, voice
        self._resume = ""
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._connection: Connection | None = None
        self._listening: asyncio.Task[None] | None = None

    async def come(self, token: str) -> None:
        """Use the link."""
        body = {"token": token, "device": f"device-{self._number}"}
        async with self._http.post(f"{self._root}/api/join", json=body) as answer:
            answer.raise_for_status()
            self._resume = (await answer.json())["resume"]
        await self.back()

    async def back(self) -> None:
        """Connect, and send."""
        self._socket = await self._http.ws_connect(f"{self._root}/api/connect")
        await self._say(signalling.Resume(token=self._resume))
        self._connection = peer = Connection([])
        peer.addTransceiver("audio", "sendrecv")
        for direction in ("sendonly", "sendonly", *["recvonly"] * TILES):
            peer.addTransceiver("video", direction)
        await peer.setLocalDescription(await peer.createOffer())
        await self._say(signalling.Offer(sdp=peer.localDescription.sdp))
        async for message in self._socket:
            heard = signalling.to_page.decode(message.data)
            if isinstance(heard, signalling.Welcome):
                self._resume = heard.resume
            if isinstance(heard, signalling.Answer):
                await peer.setRemoteDescription(RTCSessionDescription(heard.sdp, "answer"))
                break
        camera = peer.outbound(CAMERA)
        slot = Slot(camera)
        camera.on_keyframe_wanted = lambda: slot.want_keyframe(mono_us())
        slot.show(self._picture, mono_us())
        self._voice.send_by(self._number, peer)
        self._listening = asyncio.create_task(self._listen(self._socket))

    async def go(self) -> None:
        """Close the page."""
        if self._listening is None or self._socket is None or self._connection is None:
            raise RuntimeError(f"participant {self._number} is not there")
        self._voice.stop(self._number)
        self._listening.cancel()
        await self._socket.close()
        await self._connection.close()
        self._connection = None

    async def report(self) -> None:
        """What is due each second."""
        if self._connection is not None:
            for line in (SOUND, *range(FIRST_TILE, FIRST_TILE + TILES)):
                await self._connection.inbound(line).report()

    def counts(self) -> tuple[int, int] | None:
        """Packets of sound, and of pictures; None where the participant is not there."""
        if self._connection is None:
            return None
        tiles = sum(self._connection.inbound(FIRST_TILE + tile).counts.packets for tile in range(TILES))
        return self._connection.inbound(SOUND).counts.packets, tiles

    async def _say(self, message: signalling.Message) -> None:
        if self._socket is not None:
            await self._socket.send_str(msgspec.json.encode(message).decode())

    async def _listen(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            heard = signalling.to_page.decode(message.data)
            if isinstance(heard, signalling.Welcome):
                self._resume = heard.resume


class Voice:
    """What all microphones give, at the pace of sound."""

    def __init__(self) -> None:
        self._sounds = itertools.cycle(sounds())
        encoder = Encoder()
        self._quiet = [encoder.encode(np.zeros(BLOCK, np.int16)) for _ in range(3)][-1]
        self._peers: dict[int, Connection] = {}

    def send_by(self, number: int, peer: Connection) -> None:
        """Send a participant's sound by this connection."""
        self._peers[number] = peer

    def stop(self, number: int) -> None:
        """Send no more of a participant's."""
        self._peers.pop(number, None)

    def say(self, at_us: int) -> None:
        """The next block."""
        spoken = next(self._sounds)
        for number, peer in self._peers.items():
            line, speaks = peer.outbound(SOUND), number < SPEAKERS
            line.level_dbov = LOUD_DBOV if speaks else QUIET_DBOV  # as a browser says beside each packet
            line.write([spoken if speaks else self._quiet], at_us)


async def _paced(every_us: int, act: Callable[[int], None]) -> None:
    due_us = mono_us()
    while True:
        due_us += every_us
        await asyncio.sleep(max(0, due_us - mono_us()) / 1e6)
        act(due_us)


async def _reports(people: list[Participant]) -> None:
    while True:
        await asyncio.sleep(REPORT_S)
        for one in people:
            await one.report()


async def serve() -> None:
    """Obey until standard input ends."""
    picture, voice, people = Feed(lambda: None), Voice(), list[Participant]()
    units = itertools.cycle([nal_units(unit) for unit in pictures()])
    works = [
        asyncio.create_task(_paced(VIDEO_US, lambda at_us: picture.take(next(units), at_us, mono_us()))),
        asyncio.create_task(_paced(AUDIO_US, voice.say)),
        asyncio.create_task(_reports(people)),
    ]
    async with aiohttp.ClientSession() as http:
        while line := await asyncio.to_thread(sys.stdin.readline):
            word, _, rest = line.strip().partition(" ")
            if word == "come":
                root, token = rest.split("/join/#")
                people.append(Participant(http, root, len(people), picture, voice))
                await people[-1].come(token)
                said = str(len(people) - 1)
            elif word == "count":
                said = json.dumps([found for one in people if (found := one.counts()) is not None])
            else:
                await (people[int(rest)].go() if word == "go" else people[int(rest)].back())
                said = "done"
            print(said, flush=True)
    for work in works:
        work.cancel()


if __name__ == "__main__":
    asyncio.run(serve())
