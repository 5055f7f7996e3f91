"""The mixer child: makes the room mix of all microphones, records it as ``room-mix``, and serves it as Opus and as samples.

It reads every channel's ``<track>.pcm`` from the media bus. A channel that is not there is not in the mix, and is looked for again; when no
channel gives sound any more, the mix is lost until one does.

It reports no drift: the mix lies on CLOCK_MONOTONIC itself, and what its channels drift is told by their own children.
"""

import socket

import msgspec
import numpy as np
import numpy.typing as npt

from recorder.children.bus_server import BusServer
from recorder.children.local_socket import receive
from recorder.children.meter import Meter
from recorder.children.mixing import BLOCK_US, RATE_HZ, Limiter, Mixer
from recorder.children.opus_track import LOOKAHEAD, OpusEncoder, OpusTrack
from recorder.children.socket_loop import SocketLoop, now_us, serve
from recorder.contract import bus, child
from recorder.contract.framing import FrameError, FrameReader

TRACK = "room-mix"
RETRY_US = 250_000
LEVELS_EVERY_US = 150_000
SILENT_US = 1_500_000
"""A mix to which no channel gave anything for so long is lost."""
_READ_BYTES = 256 * 1024


class _Channel:
    """One channel's connection to the bus."""

    def __init__(self, track: str) -> None:
        self.track = track
        self.sock: socket.socket | None = None
        self.frames = FrameReader()
        self.tried_us = 0


class MixerChild:
    """The child's state; driven by its loop."""

    def __init__(self, loop: SocketLoop, configure: child.Configure) -> None:
        device = configure.device
        self._loop = loop
        self._run_dir = configure.run_dir
        self._bitrate_bps = device["bitrate_bps"]
        self._mixer = Mixer({channel["track"]: channel["gain_db"] for channel in device["channels"]})
        self._channels = [_Channel(channel["track"]) for channel in device["channels"]]
        self._track = OpusTrack(TRACK, "room mix", self._bitrate_bps, configure.fragment_us, configure.segment_s * 1_000_000)
        self._limiter = Limiter()
        self._muted = False
        self._opened = False
        self._encoder: OpusEncoder | None = None
        self._samples = 0
        self._last_us = 0
        self._heard_us = 0
        self._told_us = 0
        self._told_samples = 0
        self._meter = Meter(16)
        self._bus = BusServer(configure.run_dir, configure.options.get("bus_uids", []))
        opus = bus.Hello(stream=TRACK, kind="audio", codec="opus", rate_hz=RATE_HZ, channels=1)
        pcm = bus.Hello(stream=f"{TRACK}.pcm", kind="audio", codec="pcm_s16le", rate_hz=RATE_HZ, channels=1)
        self._opus_bus = self._bus.stream(opus)
        self._pcm_bus = self._bus.stream(pcm)

    def obey(self, message: child.ToChild) -> None:
        """Take a message of the core."""
        if isinstance(message, child.Mute):
            self._mute(on=message.on)
        else:
            self._track.obey(message)

    def _mute(self, *, on: bool) -> None:
        """Forget all sound, also what waits on the bus on both sides of us."""
        self._muted = on
        self._mixer.clear()
        self._limiter.clear()
        self._encoder, self._meter = None, Meter(16)
        for channel in self._channels:
            self._disconnect(channel)
        if on:
            self._bus.disconnect_all()
            self._loop.send_all(self._track.mute())
        self._heard_us = now_us()
        self._loop.send(child.Muted(on=on, at_mono_us=now_us()))

    def tick(self) -> None:
        """Do what is due."""
        now = now_us()
        if not self._muted:
            for channel in self._channels:
                if channel.sock is None and now - channel.tried_us > RETRY_US:
                    self._connect(channel, now)
            self._mix(now)
            if self._opened and now - self._heard_us > SILENT_US:
                self._loop.send_all(self._track.finish())
                self._loop.send(child.SourceLost(cause="eof", detail="no microphone of the mix gives sound"))
                self._loop.end()
        self._loop.send_all(self._track.tick(now))

    def _connect(self, channel: _Channel, now: int) -> None:
        channel.tried_us = now
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.connect(bus.socket_path(self._run_dir, f"{channel.track}.pcm"))
        except OSError:
            sock.close()  # its microphone is not there now
            return
        sock.setblocking(False)
        channel.sock, channel.frames = sock, FrameReader()
        self._loop.watch(sock, lambda: self._readable(channel))

    def _disconnect(self, channel: _Channel) -> None:
        sock, channel.sock = channel.sock, None
        if sock is not None:
            self._loop.unwatch(sock)
            sock.close()

    def _readable(self, channel: _Channel) -> None:
        data = receive(channel.sock, _READ_BYTES) if channel.sock is not None else None
        if data is None:
            return
        try:
            for head, body in channel.frames.feed(data):
                message = bus.from_writer.decode(head)
                if isinstance(message, bus.Packet):
                    self._mixer.add(channel.track, message.mono_us, np.frombuffer(body, "<i2").astype(np.int16, copy=False))
                    self._heard_us = now_us()
        except (FrameError, msgspec.DecodeError, ValueError):
            data = b""  # what it sends is no sound: begin anew with it
        if not data:
            self._disconnect(channel)
        self._mix(now_us())

    def _mix(self, now: int) -> None:
        for mono_us, total in self._mixer.take(now):
            done = self._limiter.push(mono_us, total)
            if done is not None:
                self._give(*done)
        if self._samples != self._told_samples and now - self._told_us > LEVELS_EVERY_US:
            self._told_us, self._told_samples = now, self._samples
            stats = child.TrackStats(track=TRACK, units=self._samples, dropped=self._mixer.late_samples, last_mono_us=self._last_us)
            self._loop.send(child.Stats(tracks=[stats]))
            self._loop.send(child.Levels(channels=[self._meter.read(TRACK)]))

    def _give(self, mono_us: int, block: npt.NDArray[np.int16]) -> None:
        if not self._opened:
            self._opened = True
            self._loop.send(child.Opened(driver="mixer", address="media bus", serial="", tracks={TRACK: "audio"}))
        self._samples += len(block)
        self._last_us = mono_us
        self._meter.add(block)
        self._loop.send_all(self._track.add(block, mono_us))
        if self._pcm_bus.watched:
            self._pcm_bus.publish(mono_us, BLOCK_US, key=True, data=block.astype("<i2", copy=False).tobytes())
        if not self._opus_bus.watched:
            self._encoder = None
            return
        if self._encoder is None:
            self._encoder = OpusEncoder(self._bitrate_bps)
        for packet in self._encoder.encode(block):
            self._opus_bus.publish(mono_us - LOOKAHEAD * 1_000_000 // RATE_HZ, BLOCK_US, key=True, data=packet)


if __name__ == "__main__":
    serve(MixerChild)
