"""The rungs child: makes ``<camera>.low`` of cameras that encode themselves and give no small stream of their own, and ``<camera>.small``.

The small rung is for viewers whose links carry no more; it is made of the low one, whoever makes that.

It reads the camera's stream from the media bus like any other reader, decodes it, and encodes it once at the low rung's size, while
somebody watches and the room is not muted. It is a process of its own because it decodes: what a camera sends can crash it, or keep it
busy, and the record does not notice. A camera of H.265 or with B-frames, which browsers are not given, is seen by this rung alone.
"""

import os
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import av

from recorder.children.bus_server import BusServer, BusStream
from recorder.children.encoder import LOW, SMALL, SMALL_BPS, PictureEncoder, fitted
from recorder.children.link import Link, now_us
from recorder.children.on_demand import Guarded, serve_on_demand
from recorder.contract import bus, child
from recorder.contract.bus_client import BusClient, BusEndedError

FRESH_US = 1_500_000
"""An older picture is decoded, for those after it need it, but not shown."""
LATE_US = 200_000
"""Nor is one so old that another follows already: what is encoded of a camera is live first, and smooth where the processor can."""
BEHIND_US = 6_000_000
"""Who is so far behind goes on with the next keyframe."""
NICENESS = 5
"""Where the processor is short the record comes first."""
_FPS = Fraction(25)
_LEAST_STEP_US = 1_000
_WAIT_S = 2.0


class Rung:
    """One rung, in a thread of its own: ``stream``, made of ``source``, nowhere larger than ``most``."""

    def __init__(
        self, source: str, stream: str, most: tuple[int, int], run_dir: str, encoding: dict[str, Any], server: BusServer, guarded: Guarded
    ) -> None:
        self._source = source
        self._most = most
        self._run_dir = run_dir
        self._encoding = encoding
        self._guarded = guarded
        self._key_wanted = False
        self._encoder: PictureEncoder | None = None
        self._shown_us = 0
        hello = bus.Hello(stream=stream, kind="video", codec="h264")
        # The camera is not there now, or sends nonsense: who watches waits for it.
        failures = (BusEndedError, TimeoutError, av.FFmpegError)
        serve_on_demand(server, hello, guarded, self._serve, failures, self._want_key)

    def _want_key(self) -> None:
        self._key_wanted = True

    def _serve(self, stream: BusStream) -> None:
        """Pass the camera's pictures on until nobody watches, or nobody may.

        Raises:
            BusEndedError, TimeoutError: the camera's stream ended or stands still.
            FFmpegError: it cannot be decoded.
        """
        try:
            with BusClient(self._run_dir, self._source, _WAIT_S) as reader:
                decoder = av.CodecContext.create(reader.hello.codec, "r")
                if not isinstance(decoder, av.VideoCodecContext):
                    raise BusEndedError(f"{self._source}: {reader.hello.codec} is no picture")
                decoder.extradata = reader.hello.extradata or None
                decoder.thread_count = 1
                for packet in self._packets(reader, stream):
                    for frame in decoder.decode(packet):
                        if self._is_due(frame, reader) and not self._show(stream, frame, self._shown_us):
                            return
        finally:
            self._encoder = None

    def _is_due(self, frame: av.VideoFrame, reader: BusClient) -> bool:
        """Whether a picture is fresh, and later than the one before it (a camera may say the same time twice)."""
        if frame.pts is None or frame.pts < self._shown_us + _LEAST_STEP_US:
            return False
        age_us = now_us() - frame.pts
        if age_us >= FRESH_US or (age_us >= LATE_US and reader.behind):
            return False
        self._shown_us = frame.pts
        return True

    def _packets(self, reader: BusClient, stream: BusStream) -> "Iterator[av.Packet[Any]]":
        """The stream's packets while somebody watches; what follows a loss waits for a keyframe."""
        lost, await_key = reader.lost, True
        while stream.watched:
            head, body = reader.read()
            await_key = await_key or reader.lost != lost or now_us() - head.mono_us > BEHIND_US
            lost = reader.lost
            if await_key and not head.key:
                continue
            await_key = False
            packet: av.Packet[Any] = av.Packet(body)
            packet.pts, packet.time_base = head.mono_us, Fraction(1, 1_000_000)
            yield packet

    def _show(self, stream: BusStream, frame: av.VideoFrame, mono_us: int) -> bool:
        """Encode and publish a picture; False where the room is muted."""
        width, height = fitted(frame.width, frame.height, self._most)
        if self._encoder is None or self._encoder.size != (width, height):
            self._encoder = PictureEncoder(width, height, _FPS, codec="libx264", options=self._encoding, low=True)
            extradata = self._encoder.stream.codec_context.extradata or b""
            stream.describe(
                bus.Hello(stream=stream.hello.stream, kind="video", codec="h264", extradata=extradata, width=width, height=height)
            )
        if self._key_wanted:
            self._key_wanted = False
            self._encoder.request_key()
        dur_us = round(1_000_000 / _FPS)
        for packet, at_us in self._encoder.encode(frame, mono_us):
            data, key = bytes(packet), packet.is_keyframe
            if not self._guarded(lambda data=data, key=key, at_us=at_us: stream.publish(at_us, dur_us, key=key, data=data)):  # type: ignore[misc]
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
            Rung(camera, f"{camera}.low", LOW, configure.run_dir, encoding, self._server, self._guarded)
        small = encoding | {"low_bitrate_bps": SMALL_BPS}
        for camera in configure.device.get("small", []):
            Rung(f"{camera}.low", f"{camera}.small", SMALL, configure.run_dir, small, self._server, self._guarded)

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


def _give_up(failure: threading.ExceptHookArgs) -> None:
    """A rung failed in a way that nobody foresaw: the process ends, and the core starts it anew."""
    threading.__excepthook__(failure)
    os._exit(1)


def main() -> int:
    """Run until the core closes the link."""
    os.nice(NICENESS)
    threading.excepthook = _give_up
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
