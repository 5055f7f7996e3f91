"""A speaker of a large audience as its media server gives him by WHEP (draft-ietf-wish-whep): one who receives offers, and is answered."""

from dataclasses import dataclass, field

from aiohttp import web
from aiortc import MediaStreamTrack, RTCBundlePolicy, RTCConfiguration, RTCPeerConnection, RTCSessionDescription

SDP = "application/sdp"


@dataclass(slots=True)
class WhepSpeaker:
    """The endpoint: ``application`` is served by whoever tests.

    Attributes:
        sound, picture: what the speaker sends.
        token: which receivers must bring.
        tells_levels: whether it says how loud each packet of sound is.
    """

    sound: MediaStreamTrack
    picture: MediaStreamTrack
    token: str
    tells_levels: bool = True
    asked: list[str] = field(default_factory=list)
    peers: list[RTCPeerConnection] = field(default_factory=list)

    def application(self) -> web.Application:
        """The routes."""
        application = web.Application()
        application.router.add_post("/speaker", self._give)
        application.router.add_delete("/speaker/session", self._end)
        application.on_cleanup.append(self._close)
        return application

    async def hang_up(self) -> None:
        """As a server that is started anew."""
        for peer in self.peers:
            await peer.close()

    async def _give(self, request: web.Request) -> web.Response:
        self.asked.append("POST")
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.Response(status=401)
        offer = (await request.text()).replace("a=end-of-candidates\r\n", "")
        if not self.tells_levels:
            offer = "".join(line for line in offer.splitlines(keepends=True) if "ssrc-audio-level" not in line)
        peer = RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
        self.peers.append(peer)
        peer.addTrack(self.sound)
        peer.addTrack(self.picture)
        await peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        await peer.setLocalDescription(await peer.createAnswer())
        headers = {"Location": "/speaker/session"}
        return web.Response(status=201, text=peer.localDescription.sdp, content_type=SDP, headers=headers)

    async def _end(self, _: web.Request) -> web.Response:
        self.asked.append("DELETE")
        await self.hang_up()
        return web.Response()

    async def _close(self, _: web.Application) -> None:
        await self.hang_up()
