"""Glass to glass: from a picture in the camera to the same picture in Chromium, through the room and through Debian's Janus.

One network camera, H.264 by RTSP, whose pictures carry their numbers. Ours is a room that records it, and its conference: once with the
camera's stream handed on as it comes, once with the rung that the room encodes of it. Janus' Streaming reads the same camera and hands it
on as it comes. In turn, each with a browser of its own.

In the figure: the camera's encoder (x264, no B-frames), RTSP, all that the room does, the browser's jitter buffer and decoder, and the wait
for its next frame (16.7 ms apart: a display of 60 Hz). Not in it: exposure and the sensor's reading, for a picture's time is that at which
it is handed to the camera's encoder; a network, for all is on one machine; and the display's own delay, for there is no display: a picture
counts as seen at the time that the browser expects it to be (``expectedDisplayTime``).
"""

import asyncio
import os
import statistics
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from bench.glass_viewer import Door, JanusDoor, OurDoor, Shown, watch
from bench.link_room import CAMERA
from bench.links import running
from bench.result import Result
from tests.lab.janus import Camera, Janus
from tests.lab.room import room
from tests.lab.rtsp_camera import RtspCamera, rtsp_camera
from tests.vks.hearing import free_port
from vks.mixing import BLOCK

SETTLE_S, MEASURED_S, ROUNDS = 5.0, 20.0, 2
"""The first seconds are left out: the browser's jitter buffer is finding its size."""
LEAST_READ = 0.9
"""Of the pictures that are shown, so many must have a number that can be read."""
SOURCE = "RTSP camera, 720p25, H.264, 1.5 Mbit/s"
Who = Literal["forwarded", "janus", "encoded"]


@dataclass(slots=True)
class Delays:
    """What one way took, in milliseconds for each picture."""

    received: list[float] = field(default_factory=list)
    """Until its last packet was in the browser."""
    shown: list[float] = field(default_factory=list)
    missed: int = 0
    """Pictures of the camera that were never shown."""

    def take(self, sent_us: dict[int, int], found: list[Shown]) -> None:
        """Pictures of one round."""
        first: dict[int, Shown] = {}
        for each in found:
            first.setdefault(each.number, each)
        self.received += [(each.received_us - sent_us[number]) / 1_000 for number, each in first.items()]
        self.shown += [(each.shown_us - sent_us[number]) / 1_000 for number, each in first.items()]
        self.missed += max(first) - min(first) + 1 - len(first)


def glass(base: Path) -> list[Result]:
    """The delay, p50 and p95."""
    ways: dict[Who, Delays] = {"forwarded": Delays(), "janus": Delays(), "encoded": Delays()}
    with rtsp_camera(log=base / "sent", width=1280, height=720, fps=25, gop_s=2, kbps=1_500, sound="none") as camera:
        for number in range(ROUNDS):
            for who, delays in ways.items():
                found = _janus(base / f"{who}-{number}", camera) if who == "janus" else _ours(base / f"{who}-{number}", camera, who)
                delays.take(_sent_us(base / "sent"), found)
    load = f"load {os.getloadavg()[1]:.0f}"
    janus = ways["janus"]
    return [
        *_results("glass to glass", ways["forwarded"], janus, f"{SOURCE}; {load}"),
        *_results("glass to glass, encoded in the room", ways["encoded"], janus, f"{SOURCE}; {load}"),
    ]


def _results(name: str, ours: Delays, janus: Delays, source: str) -> list[Result]:
    rows = (
        ("p50", _quantile(ours.shown, 50), _quantile(janus.shown, 50), "ms"),
        ("p95", _quantile(ours.shown, 95), _quantile(janus.shown, 95), "ms"),
        ("until it is in the browser, p50", _quantile(ours.received, 50), _quantile(janus.received, 50), "ms"),
        ("pictures never shown", _missed(ours), _missed(janus), "of all"),
    )
    return [Result(f"{name}, {what}", our, peer, unit, "Janus 1.1.2, Streaming", source=source) for what, our, peer, unit in rows]


def _quantile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def _missed(of: Delays) -> float:
    return of.missed / (of.missed + len(of.shown))


def _ours(base: Path, camera: RtspCamera, who: Who) -> list[Shown]:
    base.mkdir()
    password, silence, door = base / "password", base / "silence.pcm", base / "door"
    password.write_text(camera.password, encoding="utf-8")
    silence.write_bytes(bytes(2 * BLOCK))
    devices = f'[[camera]]\nid = "{CAMERA}"\ndriver = "rtsp"\nurl = "{camera.url}"\nuser = "{camera.user}"\npassword_file = "{password}"\n'
    if who == "forwarded":
        devices += f'sub_url = "{camera.url}"\n'
    with room(base / "room", devices, extra="[ingest]\nenabled = true\n[vks]\n") as it:
        it.wait_live(CAMERA)
        it.begin()
        with running([sys.executable, "-m", "bench.link_room", "ours", str(it.run_dir), str(silence), str(door), str(base / "heard.pcm")]):
            found = asyncio.run(_watched(OurDoor(door)))
        it.stop()
    return found


def _janus(base: Path, camera: RtspCamera) -> list[Shown]:
    server = Janus(base, free_port(), Camera(camera.url, camera.user, camera.password))

    async def watched() -> list[Shown]:
        await server.start()
        return await _watched(JanusDoor(server.url))

    try:
        return asyncio.run(watched())
    finally:
        server.kill()


async def _watched(door: Door) -> list[Shown]:
    found, said = await watch(door, SETTLE_S + MEASURED_S, SETTLE_S)
    if len(said["shown"]) < LEAST_READ * (len(said["shown"]) + said["unread"]):
        raise RuntimeError(f"{said['unread']} pictures without a number, {len(said['shown'])} with")
    return found


def _sent_us(log: Path) -> dict[int, int]:
    """When each picture was in the camera."""
    lines = (line.split() for line in log.read_text(encoding="ascii").splitlines() if line)
    return {int(line[0]): int(line[1]) for line in lines if len(line) == 2}
