"""A hearing that is not public: pages with aiortc's own peers that do what the real page does, and somebody between a page and the room."""

import asyncio
import contextlib
import re
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from aiortc import MediaStreamTrack, RTCBundlePolicy, RTCCertificate, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.contrib.media import MediaRelay
from msgspec.structs import replace

from recorder.contract import conference as contract
from recorder.contract.conference import iin_sha256_of
from recorder.record.trust import load_certificates
from tests.lab.persons import Persons
from tests.vks.browsers import Browser, has_tone, listen, until
from tests.vks.test_service import CLERK, Agent, House, invited, running
from vks import signalling
from vks.vouching import Unvouched

OTHER_HZ = 1_300
"""The tone of whom is on the floor."""
IIN = "123456789011"
"""Of p1."""
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


class Scene:
    """A hearing with p2 on the floor, who is vouched for where that is needed, and the link of p1."""

    def __init__(self, house: House, persons: Persons, agent: Agent, other: Guest, token: str) -> None:
        self.house, self.persons, self.agent, self.other, self.token = house, persons, agent, other, token

    def unvouched(self, person: str) -> bool:
        """As the clerk reads it."""
        people = [] if self.agent.stands is None else self.agent.stands.people
        return any(one.unvouched for one in people if one.person == person)

    async def vouch(self, code: str) -> contract.Answer:
        """The clerk types what p1 has read out."""
        return await self.agent.ask(contract.Vouch(by=CLERK, person="p1", code=code))

    def told(self) -> list[dict[str, str | int]]:
        """Who vouched for p1, by the record."""
        return self.facts("vouched")

    def facts(self, name: str) -> list[dict[str, str | int]]:
        """What stands in the record of p1 by this name."""
        return [fact.data for fact in self.agent.told if fact.name == name and fact.data["person"] == "p1"]


@contextlib.asynccontextmanager
async def held(run_dir: Path, *, closed: bool) -> AsyncIterator[Scene]:
    """A hearing at a running process."""
    persons = Persons(run_dir / "persons")
    async with running(run_dir, load_certificates(persons.roots)) as house:
        (token, invitation), (others_token, others) = invited("p1"), invited("p2")
        agent = await house.agent()
        await agent.hold(replace(invitation, iin_sha256=iin_sha256_of(IIN)), others, closed=closed)
        await until(lambda: agent.stands, "the hearing is held")
        page = await house.come(others_token, "device-2")
        other = Guest(page, "p2", OTHER_HZ)
        try:
            other.dial()
            await until(lambda: other.answered or other.seen, "the other's answer")
            if other.seen is not None:
                answer = await agent.ask(contract.Vouch(by=CLERK, person="p2", code=other.seen.code))
                assert answer.code == "", answer
            assert (await agent.ask(contract.Admit(by=CLERK, person="p2"))).code == ""
            yield Scene(house, persons, agent, other, token)
        finally:
            await other.close()
            await page.close()
