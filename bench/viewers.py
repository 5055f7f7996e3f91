"""What one more viewer costs: our forwarding of a picture that was encoded once, against others'.

Against aiortc's own sender, which encodes for each peer, and against Janus, which forwards as we do and is written in C.
720p25 at 1.5 Mbit/s to viewers in another process that take packets and decode nothing. CPU seconds of the sending process for each second
of media, once all are connected. Janus is sent the same picture by us, by WHIP, and it alone is measured then.
"""

import asyncio
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import aiohttp
import av
import numpy as np
from aiohttp import web
from aiortc import MediaStreamTrack, RTCBundlePolicy, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from av.frame import Frame

from bench.result import Result
from recorder.contract.conference import AudienceServer
from tests.lab.janus import Janus
from tests.lab.whip_to_janus import WhipToJanus
from tests.vks.hearing import free_port
from vks.connection import Connection
from vks.forwarding import Feed, Slot
from vks.h264_payloads import nal_units
from vks.times import mono_us
from vks.whip import Whip

SIZE, FPS, KBPS, GOP = (1280, 720), 25, 1_500, 100
_PUBLISHER = "any-publisher"
SETTLE_S, MEASURED_S = 6.0, 24.0
ROUNDS = 5
"""One viewer costs less than a hundredth of a core: single runs differ by a fifth, and the median of these counts."""
OURS, STOCK = (1, 5, 10, 20), (1, 5)
"""Numbers of viewers. Stock aiortc falls behind from some 8 on: its figure would flatter it."""


def viewers(_: Path) -> list[Result]:
    """CPU for each viewer, ours against stock aiortc and against Janus."""
    ours, janus = dict[int, float](), dict[int, float]()
    for count in OURS:  # side by side: a machine that is busy is so for both
        pairs = [(_measured("ours", count), _measured("janus", count)) for _ in range(ROUNDS if count == 1 else 1)]
        ours[count], janus[count] = (statistics.median(each) for each in zip(*pairs, strict=True))
    stock = {count: _measured("stock", count) for count in STOCK}
    results = [
        Result(
            name=f"{count} viewers of one picture", ours=ours[count] / count, peer=stock[count] / count, unit="cores a viewer",
            peer_is="stock aiortc", goal=0.05, source="720p25, 1.5 Mbit/s",
        )
        for count in STOCK
    ]  # fmt: skip
    results += [
        Result(
            name=f"{count} viewers of one picture", ours=ours[count] / count, peer=stock[max(STOCK)] / max(STOCK), unit="cores a viewer",
            peer_is=f"stock aiortc with {max(STOCK)}", goal=0.05, source="720p25, 1.5 Mbit/s",
        )
        for count in OURS if count not in STOCK
    ]  # fmt: skip
    results += [
        Result(
            name=f"{count} viewers of one picture, against Janus", ours=ours[count] / count, peer=janus[count] / count,
            unit="cores a viewer", peer_is="Janus 1.1.2, VideoRoom", goal=1.0, source="720p25, 1.5 Mbit/s",
        )
        for count in OURS
    ]  # fmt: skip
    return results


def _measured(who: str, count: int) -> float:
    """Cores that the sending process takes."""
    command = [sys.executable, "-m", "bench.viewers"]
    with subprocess.Popen([*command, "send", who, str(count)], stdout=subprocess.PIPE, text=True) as sender:
        assert sender.stdout is not None
        port = sender.stdout.readline().strip()
        with subprocess.Popen([*command, "watch", who, port, str(count)]) as watcher:
            said: dict[str, float] = json.loads(sender.stdout.readline())
            watcher.terminate()
        sender.terminate()
    return said["cores"]


def _pictures() -> list[list[bytes]]:
    """A group of moving pictures, encoded once."""
    encoder = av.CodecContext.create("libx264", "w")
    if not isinstance(encoder, av.VideoCodecContext):
        raise TypeError("libx264")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = *SIZE, "yuv420p", Fraction(1, FPS)
    encoder.bit_rate = KBPS * 1_000
    rate = f"nal-hrd=cbr:vbv-maxrate={KBPS}:vbv-bufsize={KBPS}"  # filled up to the rate: the cost of sending is that of its packets
    encoder.options = {"preset": "veryfast", "tune": "zerolatency", "profile": "baseline", "g": str(GOP), "x264-params": rate}
    units = []
    for number in range(GOP):
        frame = _frame(number)
        frame.pts = number
        units += [nal_units(bytes(packet)) for packet in encoder.encode(frame)]
    return units


def _frame(number: int) -> av.VideoFrame:
    rough = np.random.default_rng(1).integers(0, 256, (SIZE[1] // 8, SIZE[0] // 8)).astype(np.uint8)
    grey = np.roll(np.kron(rough, np.ones((8, 8), np.uint8)), (3 * number, 5 * number), axis=(0, 1))
    return av.VideoFrame.from_ndarray(np.repeat(grey[:, :, None], 3, axis=2), format="rgb24").reformat(format="yuv420p")


class _Moving(MediaStreamTrack):
    """The same pictures for aiortc's own sender, which encodes them for each peer."""

    kind = "video"
    _frames: list[av.VideoFrame] = []  # noqa: RUF012 - made once for all peers

    def __init__(self) -> None:
        super().__init__()
        self._frames.extend([] if self._frames else (_frame(number) for number in range(GOP)))
        self._number, self._due_s = 0, asyncio.get_running_loop().time()

    async def recv(self) -> Frame:
        """The next picture, when it is due."""
        self._due_s += 1 / FPS
        await asyncio.sleep(max(0.0, self._due_s - asyncio.get_running_loop().time()))
        frame = self._frames[self._number % GOP]
        frame.pts, frame.time_base = self._number * 90_000 // FPS, Fraction(1, 90_000)
        self._number += 1
        return frame


async def _send(who: str, count: int) -> None:
    feed, peers = Feed(lambda: None), list[RTCPeerConnection]()
    configuration = RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE)

    async def offer(request: web.Request) -> web.Response:
        sdp = await request.text()
        if who == "ours":
            ours = Connection([])
            peers.append(ours)
            answer = await ours.answer(sdp)
            Slot(ours.outbound(0)).show(feed, mono_us())
            return web.Response(text=answer)
        stock = RTCPeerConnection(configuration)
        peers.append(stock)
        await stock.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
        stock.addTrack(_Moving())
        await stock.setLocalDescription(await stock.createAnswer())
        return web.Response(text=stock.localDescription.sdp)

    application = web.Application()
    application.router.add_post("/", offer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    pictures = _pictures() if who == "ours" else []
    feeding = asyncio.create_task(_feed(feed, pictures)) if pictures else None
    while len(peers) < count or any(peer.connectionState != "connected" for peer in peers):  # noqa: ASYNC110 - aiortc tells no one event
        await asyncio.sleep(0.05)
    await asyncio.sleep(SETTLE_S)
    cpu_s, began_s = time.process_time(), time.monotonic()
    await asyncio.sleep(MEASURED_S)
    print(json.dumps({"cores": (time.process_time() - cpu_s) / (time.monotonic() - began_s)}), flush=True)
    if feeding is not None:
        feeding.cancel()
    await asyncio.sleep(3_600)


async def _send_by_janus(count: int) -> None:
    with tempfile.TemporaryDirectory() as base:
        janus = Janus(Path(base), free_port())
        await janus.start()
        try:
            cores = await _published(janus, count)
        finally:
            janus.kill()
    print(json.dumps({"cores": cores}), flush=True)  # last: whoever reads it ends this process


async def _published(janus: Janus, count: int) -> float:
    """Cores that Janus takes while so many watch."""
    feed, pictures, ours = Feed(lambda: None), _pictures(), Connection([])
    shim = WhipToJanus(janus.url, _PUBLISHER)
    runner = web.AppRunner(shim.application())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    url = f"http://127.0.0.1:{port}/whip"
    async with Whip(AudienceServer(whip=url, token=_PUBLISHER), url) as whip:
        await ours.accept((await whip.publish(await ours.offer([("video", "sendonly")]))).answer)
    Slot(ours.outbound(0)).show(feed, mono_us())
    feeding = asyncio.create_task(_feed(feed, pictures))
    print(port, flush=True)
    while shim.watching < count:  # noqa: ASYNC110 - asked of another process
        await asyncio.sleep(0.05)
    await asyncio.sleep(SETTLE_S)
    cpu_s, began_s = janus.cpu_s(), time.monotonic()
    await asyncio.sleep(MEASURED_S)
    cores = (janus.cpu_s() - cpu_s) / (time.monotonic() - began_s)
    feeding.cancel()
    await ours.close()
    await runner.cleanup()
    return cores


async def _feed(feed: Feed, pictures: list[list[bytes]]) -> None:
    due_us = mono_us()
    for units in itertools.cycle(pictures):
        due_us += 1_000_000 // FPS
        await asyncio.sleep(max(0, due_us - mono_us()) / 1e6)
        feed.take(units, due_us, mono_us())


async def _watch(who: str, port: str, count: int) -> None:
    peers, root = list[Connection](), f"http://127.0.0.1:{port}"
    async with aiohttp.ClientSession() as http:
        for _ in range(count):
            peer = Connection([])
            peers.append(peer)
            await (_watch_janus if who == "janus" else _dial)(peer, http, root)
        while True:
            await asyncio.sleep(1.0)
            for peer in peers:
                await peer.inbound(0).report()


async def _dial(peer: Connection, http: aiohttp.ClientSession, root: str) -> None:
    peer.addTransceiver("video", "recvonly")
    peer.inbound(0).tells_estimates = False  # aiortc's encoder would follow them down
    await peer.setLocalDescription(await peer.createOffer())
    async with http.post(f"{root}/", data=peer.localDescription.sdp) as answer:
        await peer.setRemoteDescription(RTCSessionDescription(await answer.text(), "answer"))


async def _watch_janus(peer: Connection, http: aiohttp.ClientSession, root: str) -> None:
    async with http.post(f"{root}/watch") as offered:
        answer = await peer.answer(await offered.text())
        resource = offered.headers["Location"]
    peer.inbound(0).tells_estimates = False
    async with http.put(f"{root}/{resource}", data=answer) as taken:
        taken.raise_for_status()


def main(words: list[str]) -> Any:  # noqa: ANN401 - nothing
    """One of the two processes."""
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    if words[0] == "watch":
        return asyncio.run(_watch(words[1], words[2], int(words[3])))
    return asyncio.run(_send_by_janus(int(words[2])) if words[1] == "janus" else _send(words[1], int(words[2])))


if __name__ == "__main__":
    main(sys.argv[1:])
