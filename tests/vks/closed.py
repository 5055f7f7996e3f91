"""A hearing that is not public: pages with aiortc's own peers that do what the real page does, and somebody between a page and the room."""

import asyncio
import re
import secrets
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from aiortc import MediaStreamTrack, RTCBundlePolicy, RTCCertificate, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.contrib.media import MediaRelay

from tests.vks.browsers import Browser, has_tone, listen, until
from vks import signalling
from vks.vouching import Unvouched

_FINGERPRINT = re.compile(r"^a=fingerprint:sha-256 (\S+)", re.MULTILINE)


def fingerprint(sdp: str) -> str:
    """The certificate that a description promises."""
    (value,) = set(_FINGERPRINT.findall(sdp))
    return str(value).replace(":", "").lower()


class Room(Protocol):
    """What a page speaks with."""

    async def say(self, message: signalling.Message) -> None:
        """Send a message."""
        ...

    def all(self, kind: type[signalling.Message]) -> list[Any]:
        """All that came of a kind."""
        ...


class Guest:
    """A page that has come, and its media.

    Args:
        room: what it speaks with.
        person: whose page it is.
        hz: the tone of its microphone.
        certificate: what the browser has kept.
    """

    def __init__(self, room: Room, person: str, hz: float, certificate: RTCCertificate | None = None) -> None:
        self.browser = Browser(hz, 120, certificate=certificate)
        self.seen: Unvouched | None = None
        """What the page knows of the room, when it has been told that nobody has vouched: its code and its text."""
        self.answered = False
        self._room, self._person = room, person
        self._dialling: asyncio.Task[None] | None = None

    def dial(self) -> None:
        """Offer media, and begin when somebody has vouched."""
        self._dialling = asyncio.create_task(self.browser.dial(self._answer))

    async def _answer(self, offer: str) -> str:
        room = self._room
        await room.say(signalling.Offer(sdp=offer))
        await until(lambda: room.all(signalling.Answer) or room.all(signalling.Unvouched), "an answer", timeout_s=20)
        if not room.all(signalling.Answer):
            await self._exchange(offer)
            await until(lambda: room.all(signalling.Vouched), "somebody to vouch")
            await room.say(signalling.Offer(sdp=offer))
            await until(lambda: room.all(signalling.Answer), "the answer")
        self.answered = True
        return str(room.all(signalling.Answer)[-1].sdp)

    async def _exchange(self, offer: str) -> None:
        asked, number = self._room.all(signalling.Unvouched)[-1], secrets.token_hex(32)
        await self._room.say(signalling.Number(number=number))
        await until(lambda: self._room.all(signalling.Shown), "the room's certificate")
        shown = self._room.all(signalling.Shown)[-1]
        seen = Unvouched(
            hearing=asked.hearing, person=self._person, page=fingerprint(offer), room=shown.room, number=shown.number, page_number=number
        )  # fmt: skip
        assert seen.commitment == asked.commitment, "the room's certificate is another than it had fixed"
        self.seen = seen

    async def close(self) -> None:
        """Go."""
        if self._dialling is not None:
            self._dialling.cancel()
        await self.browser.close()


class Middle:
    """A centre between a page and the room, with a connection and a certificate of its own to either.

    Args:
        room: the connection to the room, by the page's own link.
        person: whose page it is.
    """

    def __init__(self, room: Room, person: str) -> None:
        self.own = Guest(room, person, 3_000)
        """Its connection to the room, in the page's place."""
        self.heard: list[npt.NDArray[np.int16]] = []
        """Of the page's microphone."""
        self._person = person
        self._to_page: list[signalling.Message] = []
        self._peer = RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
        self._doubt: Unvouched | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def all(self, kind: type[signalling.Message]) -> list[Any]:
        """All of a kind that it has told the page."""
        return [message for message in self._to_page if isinstance(message, kind)]

    async def say(self, message: signalling.Message) -> None:
        """The page tells it something, which was meant for the room."""
        match message:
            case signalling.Offer():
                self._tasks.append(asyncio.create_task(self._between(message.sdp)))
            case signalling.Number() if self._doubt is not None:
                self._to_page.append(signalling.Shown(room=self._doubt.room, number=self._doubt.number))
            case _:
                raise AssertionError(message)

    def hears_page(self, hz: float) -> bool:
        """Whether the page's tone is in what it heard of it."""
        return has_tone(self.heard, hz)

    async def close(self) -> None:
        """Go."""
        for task in self._tasks:
            task.cancel()
        await self.own.close()
        await self._peer.close()

    async def _between(self, offer: str) -> None:
        relay = MediaRelay()
        await self._peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        voice: MediaStreamTrack = self._peer.getTransceivers()[0].receiver.track
        self._tasks.append(asyncio.create_task(listen(relay.subscribe(voice), self.heard)))
        self.own.browser.microphone = relay.subscribe(voice)  # type: ignore[assignment] # the page's sound goes on to the room
        await self._peer.setLocalDescription(await self._peer.createAnswer())
        answer = self._peer.localDescription.sdp
        self.own.dial()
        await until(lambda: self.own.answered or self.own.seen, "the room's answer")
        if self.own.seen is None:
            self._to_page.append(signalling.Answer(sdp=answer))
            return
        seen, number = self.own.seen, secrets.token_hex(32)
        self._doubt = Unvouched(
            hearing=seen.hearing, person=self._person, page=fingerprint(offer), room=fingerprint(answer), number=number
        )  # fmt: skip
        self._to_page.append(signalling.Unvouched(hearing=seen.hearing, commitment=self._doubt.commitment, sign=True))
