"""A hearing that is handed to a large audience by a real Janus, and somebody who watches it there."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import numpy as np
import numpy.typing as npt
from aiohttp import web
from aiortc import RTCBundlePolicy, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.sdp import candidate_from_sdp

from recorder.contract import conference as contract
from tests.lab.janus import Janus
from tests.lab.whip_to_janus import SDP, WhipToJanus
from tests.vks.browsers import NEAR, has_tone, listen, until, watch
from tests.vks.hearing import free_port
from tests.vks.test_display import Held, held
from tests.vks.test_service import CLERK, House

TOKEN = "a-publishers-token"


class Watching:
    """A viewer of the audience: aiortc's own peer, which decodes what Janus forwards."""

    def __init__(self) -> None:
        self.heard: list[npt.NDArray[np.int16]] = []
        self.shades: list[int] = []
        self._peer = RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
        self._tasks: list[asyncio.Task[None]] = []

    async def dial(self, http: aiohttp.ClientSession, url: str) -> None:
        """Take Janus' offer, and answer it."""
        async with http.post(f"{url}/watch") as response:
            assert response.status == 201, await response.text()
            offer, resource = await response.text(), response.headers["Location"]
        await self._peer.setRemoteDescription(RTCSessionDescription(offer.replace("a=end-of-candidates\r\n", ""), "offer"))
        for text in re.findall(r"^a=candidate:([^\r\n]*)", offer.split("\nm=")[1], re.MULTILINE):
            candidate = candidate_from_sdp(text)
            candidate.sdpMLineIndex = 0
            await self._peer.addIceCandidate(candidate)
        await self._peer.setLocalDescription(await self._peer.createAnswer())
        for one in self._peer.getTransceivers():
            working = listen(one.receiver.track, self.heard) if one.kind == "audio" else watch(one.receiver.track, self.shades)
            self._tasks.append(asyncio.create_task(working))
        async with http.put(f"{url}/{resource}", data=self._peer.localDescription.sdp, headers={"Content-Type": SDP}) as response:
            assert response.status == 204

    async def close(self) -> None:
        """Hang up."""
        for task in self._tasks:
            task.cancel()
        await self._peer.close()

    def hears(self, hz: float) -> bool:
        """Whether a tone is in what was heard last."""
        return has_tone(self.heard, hz)

    def heard_ever(self, hz: float) -> bool:
        """Whether a tone is anywhere in what was heard."""
        return any(has_tone(self.heard[at : at + 5], hz) for at in range(len(self.heard)))

    def sees(self, shade: int) -> bool:
        """Whether the newest picture has this brightness."""
        return bool(self.shades) and abs(self.shades[-1] - shade) < NEAR

    def forget(self) -> None:
        """Note anew."""
        self.heard.clear()
        self.shades.clear()


class Scene:
    """A hearing with a party and counsel in the lobby, and the audience's server."""

    def __init__(self, hearing: Held, shim: WhipToJanus, janus: Janus, url: str) -> None:
        self.hearing, self.shim, self.janus, self.url = hearing, shim, janus, url
        self.server: contract.AudienceServer | None = contract.AudienceServer(whip=f"{url}/whip", token=TOKEN)
        self._watching: list[Watching] = []

    async def room(self, state: str) -> None:
        """The recorder's state."""
        await self.hearing.agent.hold(*self.hearing.invitations, state=state, audience=self.server)
        await until(lambda: self._state() == state, f"the room to be {state}")

    async def switch(self, *, on: bool) -> contract.Answer:
        """As staff do."""
        return await self.hearing.agent.ask(contract.ToAudience(by=CLERK, on=on))

    async def stands(self, audience: contract.Audience, timeout_s: float = 60.0) -> None:
        """Wait until this is how the clerk sees it."""
        await until(lambda: self.audience == audience, f"the audience to be {audience}", timeout_s)

    async def on_air(self) -> None:
        """Switch it on, and wait until it arrives at the server."""
        assert (await self.switch(on=True)).code == ""
        await self.stands("on_air")

    async def watch(self) -> Watching:
        """Somebody watches."""
        one = Watching()
        self._watching.append(one)
        async with aiohttp.ClientSession() as http:
            await one.dial(http, self.url)
        return one

    @property
    def audience(self) -> str:
        """How it stands."""
        return "" if self.hearing.agent.stands is None else self.hearing.agent.stands.audience

    @property
    def told(self) -> list[str]:
        """What the record has of it."""
        return [fact.name for fact in self.hearing.agent.told if fact.name.startswith("audience")]

    async def close(self) -> None:
        """All hang up."""
        for one in self._watching:
            await one.close()

    def _state(self) -> str:
        conference = self.hearing.house.service.hall.conference
        return "" if conference is None else conference.order.room


@asynccontextmanager
async def media_server(base: Path, port: int = 0) -> AsyncIterator[tuple[Janus, WhipToJanus, str]]:
    """Janus with its WHIP endpoint, and that one's address."""
    janus = Janus(base / "janus", free_port())
    await janus.start()
    shim = WhipToJanus(janus.url, TOKEN)
    runner = web.AppRunner(shim.application())
    try:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield janus, shim, f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
        janus.kill()


@asynccontextmanager
async def audience_scene(base: Path, house: House) -> AsyncIterator[Scene]:
    """All of it, the party admitted."""
    async with media_server(base) as (janus, shim, url), held(house) as (hearing, _):
        scene = Scene(hearing, shim, janus, url)
        await scene.room("open")
        await hearing.ask(contract.Admit(by=CLERK, person="party"))
        try:
            yield scene
        finally:
            await scene.close()
