"""The mixer child: makes the room mix of all microphones, records it as ``room-mix``, and serves it as Opus and as samples.

It reads every channel's ``<track>.pcm`` from the media bus. A channel that is not there is not in the mix, and is looked for again; when no
channel gives sound any more, the mix is lost until one does.
"""

import socket

import msgspec
import numpy as np
import numpy.typing as npt

from recorder.children.mixing import BLOCK_US, RATE_HZ, Limiter, Mixer
from recorder.children.opus_track import LOOKAHEAD, OpusEncoder, OpusTrack
from recorder.children.packet_track import Out
from recorder.children.socket_loop import SocketLoop, now_us
from recorder.children.sound_bus import SoundBus
from recorder.contract import bus, child
from recorder.contract.framing import FrameError, FrameReader

TRACK = "room-mix"
RETRY_US = 250_000
LEVELS_EVERY_US = 150_000
SILENT_US = 1_500_000
"""A mix to which no channel gave anything for so long is lost."""
_READ_BYTES = 256 * 1024
_SILENCE_DBFS = -120.0
_CLIPPED = 32767


class _Channel:
    """One channel's connection to the bus."""

    def __init__(self, track: str) -> None:
        self.track = track
        self.sock: socket.socket | None = None
        self.frames = FrameReader()
        self.tried_us = 0


class MixerChild:
    """The child's state; driven by its loop."""

    def __init__(self) -> None:
        self.loop = SocketLoop(self._on_message, self._on_tick)
        self._track: OpusTrack | None = None
        self._channels: list[_Channel] = []
        self._limiter = Limiter()
        self._muted = False
        self._opened = False
        self._encoder: OpusEncoder | None = None
        self._samples = 0
        self._last_us = 0
        self._heard_us = 0
        self._told_us = 0
        self._window: list[npt.NDArray[np.int16]] = []

    def _on_message(self, message: child.Message) -> None:
        match message:
            case child.Configure():
                self._configure(message)
            case child.StartPart() if self._track is not None and TRACK in message.tracks:
                out = self._track.start(message.tracks[TRACK], message.from_mono_us, message.origin_mono_us, message.keys.get(TRACK))
                self._send_all(out)
            case child.StopPart() if self._track is not None:
                self._track.request_stop(message.at_mono_us)
            case child.Mute() if self._track is not None:
                self._mute(self._track, on=message.on)
            case _:
                pass  # there is no picture and no pre-roll here

    def _configure(self, message: child.Configure) -> None:
        device = message.device
        self._run_dir = message.run_dir
        self._bitrate_bps = device["bitrate_bps"]
        self._mixer = Mixer({channel["track"]: channel["gain_db"] for channel in device["channels"]})
        self._channels = [_Channel(channel["track"]) for channel in device["channels"]]
        self._track = OpusTrack(TRACK, "room mix", self._bitrate_bps, message.fragment_us, message.segment_s * 1_000_000)
        uids = message.options.get("bus_uids", [])
        opus = bus.Hello(stream=TRACK, kind="audio", codec="opus", rate_hz=RATE_HZ, channels=1)
        pcm = bus.Hello(stream=f"{TRACK}.pcm", kind="audio", codec="pcm_s16le", rate_hz=RATE_HZ, channels=1)
        self._opus_bus = SoundBus(self.loop, message.run_dir, opus, uids)
        self._pcm_bus = SoundBus(self.loop, message.run_dir, pcm, uids)

    def _mute(self, track: OpusTrack, *, on: bool) -> None:
        """Forget all sound, also what waits on the bus on both sides of us."""
        self._muted = on
        self._mixer.clear()
        self._limiter.clear()
        self._encoder, self._window = None, []
        for channel in self._channels:
            self._disconnect(channel)
        if on:
            self._opus_bus.wipe()
            self._pcm_bus.wipe()
            self._send_all(track.mute())
        self._heard_us = now_us()
        self.loop.send(child.Muted(on=on, at_mono_us=now_us()))

    def _on_tick(self) -> None:
        track = self._track
        if track is None:
            return
        now = now_us()
        if not self._muted:
            for channel in self._channels:
                if channel.sock is None and now - channel.tried_us > RETRY_US:
                    self._connect(channel, now)
            self._mix(track, now)
            if self._opened and now - self._heard_us > SILENT_US:
                self.loop.send(child.SourceLost(cause="eof", detail="no microphone of the mix gives sound"))
                self.loop.end()
        self._send_all(track.tick(now))

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
        self.loop.watch(sock, lambda: self._readable(channel))

    def _disconnect(self, channel: _Channel) -> None:
        sock, channel.sock = channel.sock, None
        if sock is not None:
            self.loop.unwatch(sock)
            sock.close()

    def _readable(self, channel: _Channel) -> None:
        if channel.sock is None or self._track is None:
            return
        try:
            data = channel.sock.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
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
        self._mix(self._track, now_us())

    def _mix(self, track: OpusTrack, now: int) -> None:
        for mono_us, total in self._mixer.take(now):
            done = self._limiter.push(mono_us, total)
            if done is not None:
                self._give(track, *done)
        if self._samples and now - self._told_us > LEVELS_EVERY_US and self._window:
            self._told_us = now
            stats = child.TrackStats(track=TRACK, units=self._samples, dropped=self._mixer.late_samples, last_mono_us=self._last_us)
            self.loop.send(child.Stats(tracks=[stats]))
            self.loop.send(child.Levels(channels=[_level(np.concatenate(self._window))]))
            self._window = []

    def _give(self, track: OpusTrack, mono_us: int, block: npt.NDArray[np.int16]) -> None:
        if not self._opened:
            self._opened = True
            self.loop.send(child.Opened(driver="mixer", address="media bus", serial="", tracks={TRACK: "audio"}))
        self._samples += len(block)
        self._last_us = mono_us
        self._window.append(block)
        self._send_all(track.add(block, mono_us))
        if self._pcm_bus.read:
            self._pcm_bus.publish(mono_us, BLOCK_US, block.astype("<i2", copy=False).tobytes())
        if not self._opus_bus.read:
            self._encoder = None
            return
        if self._encoder is None:
            self._encoder = OpusEncoder(self._bitrate_bps)
        for packet in self._encoder.encode(block):
            self._opus_bus.publish(mono_us - LOOKAHEAD * 1_000_000 // RATE_HZ, BLOCK_US, packet)

    def _send_all(self, out: list[Out]) -> None:
        for message, body in out:
            self.loop.send(message, body)


def _level(samples: npt.NDArray[np.int16]) -> child.Level:
    scaled = samples.astype(np.float64) / 32768
    rms, peak = float(np.sqrt(np.mean(scaled**2))), float(np.abs(scaled).max())
    return child.Level(
        track=TRACK,
        rms_dbfs=20 * float(np.log10(rms)) if rms else _SILENCE_DBFS,
        peak_dbfs=20 * float(np.log10(peak)) if peak else _SILENCE_DBFS,
        clipped=int(np.count_nonzero(np.abs(samples.astype(np.int32)) >= _CLIPPED)),
    )


def main() -> None:
    """Run until the core closes the link."""
    MixerChild().loop.run()


if __name__ == "__main__":
    main()
