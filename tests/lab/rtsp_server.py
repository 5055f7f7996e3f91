"""A network camera by GStreamer's RTSP server: the process behind ``rtsp_camera``. Runs under Debian's Python, which has gi and numpy.

    /usr/bin/python3 -m tests.lab.rtsp_server --port 0 --user u --password p

Prints ``ready <port>``. ``/main`` has picture and sound, ``/sub`` the picture at half the size. Every picture carries its number in the
visual code of ``frame_strip``; number n is due at start + n / fps of CLOCK_MONOTONIC, whoever watches. Each 5 s (n a multiple of 5 fps) the
picture is white for 80 ms and the sound is a 1 kHz beep of 80 ms that begins with it. Commands are lines on stdin: ``freeze`` (send
nothing more), ``still`` (send one picture again and again), ``black``, ``silent`` (whatever is shown), ``go`` (as before). The end of stdin
ends the process.
"""

import argparse
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gi
import numpy as np

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402 - versions are chosen first

from tests.lab import frame_strip  # noqa: E402

FLASH_EVERY_S = 5
FLASH_S = 0.08
BEEP_HZ = 1000
SOUND_RATE_HZ = 48_000
SOUND_BLOCK = 960
# One slice a picture (threads=1): with more, h264parse splits an IDR into two access units, and the client loses a GOP.
VIDEO = {
    "h264": "x264enc tune=zerolatency threads=1 speed-preset=ultrafast bitrate={kbps} key-int-max={gop} bframes=0 ! h264parse ! "
    "rtph264pay name=pay0 pt=96 config-interval=-1",
    "h265": "x265enc tune=zerolatency speed-preset=ultrafast bitrate={kbps} key-int-max={gop} ! h265parse ! "
    "rtph265pay name=pay0 pt=96 config-interval=-1",
}
SOUND = {
    "opus": "opusenc bitrate=64000 ! rtpopuspay name=pay1 pt=97",
    "pcmu": "audioconvert ! audioresample ! audio/x-raw,rate=8000 ! mulawenc ! rtppcmupay name=pay1",
}


@dataclass
class Studio:
    """What is in front of the camera: time, and the technician's commands."""

    fps: int
    start_s: float = field(default_factory=time.monotonic)
    mode: str = "go"
    is_silent: bool = False
    still_at: int = 0

    def luma(self, number: int, width: int, height: int) -> Any:
        """The picture's brightness, shape (height, width): a moving ramp, the flash, the strip."""
        shown = self.still_at if self.mode == "still" else number
        if self.mode == "black":
            return np.full((height, width), 16, np.uint8)
        if shown % (FLASH_EVERY_S * self.fps) < FLASH_S * self.fps:
            luma = np.full((height, width), 235, np.uint8)
        else:
            column = (np.arange(width, dtype=np.int64) + 3 * shown) % 128 + 40
            luma = np.broadcast_to(column.astype(np.uint8), (height, width)).copy()
        frame_strip.draw(luma, shown)
        return luma

    def sound(self, first: int) -> bytes:
        """One block of samples from sample ``first`` since the start: a quiet tone, the beep."""
        at = np.arange(first, first + SOUND_BLOCK, dtype=np.int64)
        seconds = at / SOUND_RATE_HZ
        beep = at % (FLASH_EVERY_S * SOUND_RATE_HZ) < FLASH_S * SOUND_RATE_HZ
        wave = np.where(beep, 0.5 * np.sin(2 * np.pi * BEEP_HZ * seconds), 0.02 * np.sin(2 * np.pi * 300 * seconds))
        if self.is_silent:
            wave = np.zeros(SOUND_BLOCK)
        return bytes((wave * 32767).astype("<i2").tobytes())


class Stream:
    """Feeds one running pipeline from the studio, paced by the clock, until the pipeline ends."""

    def __init__(self, studio: Studio, media: Any, options: argparse.Namespace, scale: int, log: Any) -> None:
        self._studio, self._options, self._log = studio, options, log
        self._width, self._height = options.width // scale, options.height // scale
        self._begin_s = time.monotonic()
        self._alive = True
        media.connect("unprepared", self._ended)
        pipeline = media.get_element()
        for name, work in (("picture", self._pictures), ("sound", self._sounds)):
            source = pipeline.get_by_name(name)
            if source is not None:
                threading.Thread(target=work, args=(source,), daemon=True).start()

    def _ended(self, _media: Any) -> None:
        self._alive = False

    def _pictures(self, source: Any) -> None:
        fps = self._options.fps
        number = int((self._begin_s - self._studio.start_s) * fps) + 1
        chroma = bytes([128]) * (self._width * self._height // 2)
        while self._wait_until(self._studio.start_s + number / fps):
            luma = self._studio.luma(number, self._width, self._height)
            if not self._push(source, luma.tobytes() + chroma, number / fps, 1 / fps):
                return
            if self._log:
                self._log.write(f"{number} {time.monotonic_ns() // 1000}\n")
                self._log.flush()
            number += 1

    def _sounds(self, source: Any) -> None:
        block = int((self._begin_s - self._studio.start_s) * SOUND_RATE_HZ / SOUND_BLOCK) + 1
        while self._wait_until(self._studio.start_s + block * SOUND_BLOCK / SOUND_RATE_HZ):
            first = block * SOUND_BLOCK
            if not self._push(source, self._studio.sound(first), first / SOUND_RATE_HZ, SOUND_BLOCK / SOUND_RATE_HZ):
                return
            block += 1

    def _wait_until(self, due_s: float) -> bool:
        remaining_s = due_s - time.monotonic()
        if remaining_s > 0:
            time.sleep(remaining_s)  # the pace of a camera, not a hope
        return self._alive

    def _push(self, source: Any, data: bytes, at_s: float, duration_s: float) -> bool:
        if self._studio.mode == "freeze":
            return True
        buffer = Gst.Buffer.new_wrapped(data)
        buffer.pts = int((at_s + self._studio.start_s - self._begin_s) * Gst.SECOND)
        buffer.duration = int(duration_s * Gst.SECOND)
        return bool(source.emit("push-buffer", buffer) == Gst.FlowReturn.OK)


def factory(studio: Studio, options: argparse.Namespace, scale: int, log: Any) -> Any:
    """A mount whose picture is ``scale`` times smaller; only the first has sound."""
    width, height = options.width // scale, options.height // scale
    video = VIDEO[options.codec].format(kbps=options.kbps // scale**2, gop=int(options.gop_s * options.fps))
    launch = (
        f"appsrc name=picture is-live=true format=time caps=video/x-raw,format=I420,width={width},height={height},"
        f"framerate={options.fps}/1 ! {video}"
    )
    if scale == 1 and options.sound != "none":
        launch += (
            f"  appsrc name=sound is-live=true format=time caps=audio/x-raw,format=S16LE,layout=interleaved,channels=1,"
            f"rate={SOUND_RATE_HZ} ! {SOUND[options.sound]}"
        )
    made = GstRtspServer.RTSPMediaFactory()
    made.set_launch(f"( {launch} )")
    made.set_shared(True)
    if options.user:
        permissions = GstRtspServer.RTSPPermissions()
        for permission in ("media.factory.access", "media.factory.construct"):
            permissions.add_permission_for_role("viewer", permission, True)
        made.set_permissions(permissions)
    made.connect("media-configure", lambda _factory, media: Stream(studio, media, options, scale, log))
    return made


def obey(studio: Studio, loop: Any) -> None:
    """Follow the commands on stdin; its end ends the process."""
    for line in sys.stdin:
        command = line.strip()
        if command == "silent":
            studio.is_silent = True
            continue
        studio.still_at = int((time.monotonic() - studio.start_s) * studio.fps)
        studio.mode = command
        if command == "go":
            studio.is_silent = False
    loop.quit()


def main() -> None:
    """Serve until stdin ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", default="0")
    parser.add_argument("--user", default="")
    parser.add_argument("--password", default="")
    parser.add_argument("--width", type=int, default=320)
    parser.add_argument("--height", type=int, default=180)
    parser.add_argument("--fps", type=int, default=25)
    parser.add_argument("--gop-s", type=float, default=1.0)
    parser.add_argument("--kbps", type=int, default=400)
    parser.add_argument("--codec", choices=sorted(VIDEO), default="h264")
    parser.add_argument("--sound", choices=[*SOUND, "none"], default="opus")
    parser.add_argument("--log", type=Path, help="file for `<number> <CLOCK_MONOTONIC in microseconds>` of every picture sent on /main")
    options = parser.parse_args()
    Gst.init(None)
    studio = Studio(fps=options.fps)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(options.port)
    if options.user:
        auth = GstRtspServer.RTSPAuth()
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        token = GstRtspServer.RTSPToken()
        token.set_string("media.factory.role", "viewer")
        auth.add_digest(options.user, options.password, token)
        server.set_auth(auth)
    log = options.log.open("w") if options.log else None
    mounts = server.get_mount_points()
    mounts.add_factory("/main", factory(studio, options, 1, log))
    mounts.add_factory("/sub", factory(studio, options, 2, None))
    loop = GLib.MainLoop()
    server.attach(None)
    threading.Thread(target=obey, args=(studio, loop), daemon=True).start()
    print(f"ready {server.get_bound_port()}", flush=True)
    loop.run()


if __name__ == "__main__":
    main()
