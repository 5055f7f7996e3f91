"""The rungs child: makes ``<camera>.low`` of cameras that encode themselves and give no small stream of their own.

It reads the camera's stream from the media bus like any other reader, decodes it, and encodes it once at the low rung's size, while
somebody watches and the room is not muted. It is a process of its own because it decodes: what a camera sends can crash it, or keep it
busy, and the record does not notice. A camera of H.265, which browsers are not given, is seen by this rung alone.
"""

import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import av

from recorder.children.bus_server import BusServer
from recorder.children.encoder import PictureEncoder, low_size
from recorder.children.link import Link, now_us
from recorder.contract import bus, child
from recorder.contract.bus_client import BusClient, BusEndedError

RETRY_S = 1.0
FRESH_US = 1_500_000
"""An older picture is decoded, for those after it need it, but not shown."""
BEHIND_US = 6_000_000
"""Who is so far behind goes on with the next keyframe."""
_FPS = Fraction(25)
_WAIT_S = 2.0

Guarded = Callable[[Callable[[], None]], bool]
"""Runs what is given to it, unless the room is muted: then it returns False."""


class Rung:
    """One camera's low rung, in a thread of its own."""

    def __init__(self, camera: str, run_dir: str, encoding: dict[str, Any], server: BusServer, guarded: Guarded) -> None:
        self._camera = camera
        self._run_dir = run_dir
        self._encoding = encoding
        self._guarded = guarded
        self._came = threading.Event()
        self._key_wanted = False
        self._encoder: PictureEncoder | None = None
        self._stream = server.stream(bus.Hello(stream=f"{camera}.low", kind="video", codec="h264"), self._asked, described=False)
        threading.Thread(target=self._run, name=f"low rung of {camera}", daemon=True).start()

    def _asked(self) -> None:
        """A viewer came, or needs a keyframe."""
        self._key_wanted = True
        self._came.set()

    def _run(self) -> None:
        while True:
            self._came.wait()
            self._came.clear()
            while self._stream.watched and self._guarded(_nothing):
                try:
                    self._serve()
                except (BusEndedError, TimeoutError, av.FFmpegError):
                    time.sleep(RETRY_S)  # the camera is not there now, or sends nonsense; who watches waits for it
            self._encoder = None
            self._stream.disconnect()

    def _serve(self) -> None:
        """Pass the camera's pictures on until nobody watches, or nobody may.

        Raises:
            BusEndedError, TimeoutError: the camera's stream ended or stands still.
            FFmpegError: it cannot be decoded.
        """
        with BusClient(self._run_dir, self._camera, _WAIT_S) as reader:
            decoder = av.CodecContext.create(reader.hello.codec, "r")
            if not isinstance(decoder, av.VideoCodecContext):
                raise BusEndedError(f"{self._camera}: {reader.hello.codec} is no picture")
            decoder.extradata = reader.hello.extradata or None
            decoder.thread_count = 1
            for packet in self._packets(reader):
                for frame in decoder.decode(packet):
                    if frame.pts is not None and now_us() - frame.pts < FRESH_US and not self._show(frame, frame.pts):
                        return

    def _packets(self, reader: BusClient) -> "Iterator[av.Packet[Any]]":
        """The stream's packets while somebody watches; what follows a loss waits for a keyframe."""
        lost, await_key = reader.lost, True
        while self._stream.watched:
            head, body = reader.read()
            await_key = await_key or reader.lost != lost or now_us() - head.mono_us > BEHIND_US
            lost = reader.lost
            if await_key and not head.key:
                continue
            await_key = False
            packet: av.Packet[Any] = av.Packet(body)
            packet.pts, packet.time_base = head.mono_us, Fraction(1, 1_000_000)
            yield packet

    def _show(self, frame: av.VideoFrame, mono_us: int) -> bool:
        """Encode and publish a picture; False where the room is muted."""
        width, height = low_size(frame.width, frame.height)
        if self._encoder is None or self._encoder.size != (width, height):
            self._encoder = PictureEncoder(width, height, _FPS, codec="libx264", options=self._encoding, low=True)
            extradata = self._encoder.stream.codec_context.extradata or b""
            self._stream.describe(
                bus.Hello(stream=f"{self._camera}.low", kind="video", codec="h264", extradata=extradata, width=width, height=height)
            )
        if self._key_wanted:
            self._key_wanted = False
            self._encoder.request_key()
        dur_us = round(1_000_000 / _FPS)
        for packet, at_us in self._encoder.encode(frame, mono_us):
            data, key = bytes(packet), packet.is_keyframe
            if not self._guarded(lambda data=data, key=key, at_us=at_us: self._stream.publish(at_us, dur_us, key=key, data=data)):  # type: ignore[misc]
                return False
        return True


class Rungs:
    """The child's state: all cameras' rungs, and whether they may show anything."""

    def __init__(self, link: Link, configure: child.Configure) -> None:
        self._link = link
        self._gate = threading.Lock()
        self._muted = False
        self._server = BusServer(configure.run_dir, configure.options.get("bus_uids", []))
        encoding = configure.options.get("encoding", {})
        for camera in configure.device["cameras"]:
            Rung(camera, configure.run_dir, encoding, self._server, self._guarded)

    def obey(self, message: child.ToChild) -> None:
        """Take a message of the core: there is nothing to obey but a mute."""
        if not isinstance(message, child.Mute):
            return
        with self._gate:
            self._muted = message.on
            if message.on:
                self._server.disconnect_all()
        self._link.send(child.Muted(on=message.on, at_mono_us=now_us()))

    def _guarded(self, act: Callable[[], None]) -> bool:
        with self._gate:
            if self._muted:
                return False
            act()
            return True


def _nothing() -> None:
    return


def main() -> int:
    """Run until the core closes the link."""
    link = Link()
    configure = link.wait()
    if not isinstance(configure, child.Configure):
        return 2
    rungs = Rungs(link, configure)
    link.send(child.Opened(driver="rungs", address="media bus", serial="", tracks={}, continuous=False))
    while (message := link.wait()) is not None:
        rungs.obey(message)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
