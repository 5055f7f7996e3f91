"""The speaker child: plays what the conference says into the courtroom, and records what was played as the track ``room-out``.

It listens on ``<run>/room-out.sock`` (``RoomOut`` frames, 48 kHz, one channel, signed 16 bit). Sound that comes faster than it is played is
dropped, the oldest first, so that the room never hears the past. While muted nothing is played and nothing recorded.

The drift that it reports is the playing device's. Without a device sound is taken at the pace of the PC's clock, and there is none.
"""

import os
import queue
import socket
import threading
from collections import deque
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import sounddevice

from recorder.children.drift import REPORT_EVERY_US, DriftFit
from recorder.children.local_socket import accept, listen, receive
from recorder.children.opus_track import OpusTrack
from recorder.children.playout import BLOCK, RATE_HZ, Playout
from recorder.children.socket_loop import SocketLoop, now_us, serve
from recorder.contract import child, ingest
from recorder.contract.framing import FrameError, FrameReader

TRACK = "room-out"
MOST_BODY_BYTES = RATE_HZ * 2
"""A second of sound in one frame is more than anyone needs to send."""
STALL_US = 1_000_000
STATS_EVERY_US = 200_000
HELD_US = 50_000
"""Blocks wait so long before they are recorded: an order that says "now" takes a while to arrive."""
_BLOCK_US = 20_000
_WAIT_US = 100_000
"""So late may a block come and still follow the one before it, where no device sets the pace."""
_READ_BYTES = 64 * 1024
_MOST_PEERS = 4


class Speaker:
    """The child's state; driven by its loop."""

    def __init__(self, loop: SocketLoop, configure: child.Configure) -> None:
        device = configure.device
        self._loop = loop
        self._track = OpusTrack(TRACK, "loudspeakers", device["bitrate_bps"], configure.fragment_us, configure.segment_s * 1_000_000)
        self._uids = {os.getuid(), *configure.options.get("bus_uids", [])}
        self._playout = Playout()
        self._lock = threading.Lock()
        self._played: queue.SimpleQueue[tuple[npt.NDArray[np.int16], int]] = queue.SimpleQueue()
        self._waiting: deque[tuple[npt.NDArray[np.int16], int]] = deque()
        """Blocks that were given to the device: samples, and when the first is heard."""
        self._calls: queue.SimpleQueue[tuple[int, int] | None] = queue.SimpleQueue()
        """For each call of the device: how much it has taken until then, and when that was (us); None where it ran dry."""
        self._taken_samples = 0
        self._clock = DriftFit()
        self._drift_us = now_us() + REPORT_EVERY_US
        self._muted = False
        self._peers = 0
        self._stream: sounddevice.OutputStream | None = None
        self._next_us = 0
        self._called_us = 0
        self._stats_us = 0
        self._samples = 0
        self._last_us = 0
        self._open(device["device"], configure.run_dir)

    def _open(self, device: str, run_dir: str) -> None:
        if device != "none":
            try:
                self._stream = sounddevice.OutputStream(
                    device=device, channels=1, samplerate=RATE_HZ, dtype="int16", blocksize=BLOCK, callback=self._on_block
                )
                self._stream.start()
            except (sounddevice.PortAudioError, ValueError) as error:
                self._loop.send(child.SourceLost(cause="missing", detail=f"{device}: {error}; `courtroom devices` lists the names"))
                self._loop.end()
                return
        self._listener = listen(Path(run_dir) / "room-out.sock", 0o666, _MOST_PEERS)
        self._loop.watch(self._listener, self._accept)
        self._called_us = now_us()
        self._loop.send(child.Opened(driver="portaudio", address=device, serial="", tracks={TRACK: "audio"}, continuous=False))

    def obey(self, message: child.ToChild) -> None:
        """Take a message of the core."""
        if isinstance(message, child.Mute):
            self._mute(on=message.on)
        else:
            self._track.obey(message)

    def _mute(self, *, on: bool) -> None:
        self._record_played(now_us())
        with self._lock:
            self._muted = on
            self._playout.clear()
        self._waiting.clear()
        if on:
            self._loop.send_all(self._track.mute())
        self._loop.send(child.Muted(on=on, at_mono_us=now_us()))

    def tick(self) -> None:
        """Do what is due."""
        now = now_us()
        if self._stream is None:
            self._play_nowhere(now)
        elif now - self._called_us > STALL_US:
            self._record_played(now)
            self._loop.send_all(self._track.finish())
            self._loop.send(child.SourceLost(cause="timeout", detail="the loudspeakers' device takes no sound any more"))
            self._loop.end()
        self._record_played(now - HELD_US)
        self._measure(now)
        self._loop.send_all(self._track.tick(now))
        if now - self._stats_us > STATS_EVERY_US:
            self._stats_us = now
            stats = child.TrackStats(track=TRACK, units=self._samples, dropped=self._playout.dropped_samples, last_mono_us=self._last_us)
            self._loop.send(child.Stats(tracks=[stats]))

    def _play_nowhere(self, now: int) -> None:
        """Take blocks as a device would, at the pace of the clock."""
        self._next_us = max(self._next_us, now - _WAIT_US)
        while self._next_us <= now:
            block = self._playout.pull()
            if block is None:
                return
            self._played.put((block, self._next_us))
            self._next_us += _BLOCK_US

    def _measure(self, now: int) -> None:
        """Follow the device's clock, and report what it drifts."""
        while not self._calls.empty():
            call = self._calls.get()
            if call is None:
                self._clock = DriftFit()  # what it played instead of sound is not counted: a new count begins
            else:
                self._clock.add(*call)
        fit = self._clock.fit()
        if now >= self._drift_us and fit is not None:
            self._drift_us = now + REPORT_EVERY_US
            self._loop.send(fit.measured(TRACK))

    def _on_block(self, out: npt.NDArray[np.int16], frames: int, timing: "_Timing", status: sounddevice.CallbackFlags) -> None:
        """Called by PortAudio's thread: fill a block."""
        self._called_us = now_us()
        if status.output_underflow:
            self._calls.put(None)
        self._calls.put((self._taken_samples * 1_000_000 // RATE_HZ, self._called_us))
        self._taken_samples += frames
        with self._lock:
            block = None if self._muted else self._playout.pull()
        if block is None:
            out[:] = 0
            return
        out[:, 0] = block
        ahead_us = round((timing.outputBufferDacTime - timing.currentTime) * 1_000_000)
        self._played.put((block, self._called_us + max(0, min(ahead_us, 1_000_000))))

    def _record_played(self, until_us: int) -> None:
        """Record the blocks that were heard until this time; what the device still holds may belong to a part that nobody asked for yet."""
        while not self._played.empty():
            self._waiting.append(self._played.get())
        while self._waiting and self._waiting[0][1] + _BLOCK_US <= until_us:
            block, mono_us = self._waiting.popleft()
            if self._muted:
                continue
            self._samples += len(block)
            self._last_us = mono_us
            self._loop.send_all(self._track.add(block, mono_us))

    def _accept(self) -> None:
        accepted = accept(self._listener)
        if accepted is None:
            return
        sock, uid = accepted
        if uid not in self._uids or self._peers >= _MOST_PEERS:
            self._loop.send(child.Refused(what="user", detail=f"user {uid} may not play into the courtroom"))
            sock.close()
            return
        self._peers += 1
        frames = FrameReader(MOST_BODY_BYTES)
        self._loop.watch(sock, lambda: self._readable(sock, frames))

    def _readable(self, sock: socket.socket, frames: FrameReader) -> None:
        data = receive(sock, _READ_BYTES)
        if data is None:
            return
        try:
            for head, body in frames.feed(data):
                ingest.from_room_out.decode(head)
                self._push(np.frombuffer(body[: len(body) // 2 * 2], "<i2").astype(np.int16, copy=False))
        except (FrameError, msgspec.DecodeError) as error:
            self._loop.send(child.Refused(what="frame", detail=str(error)[:200]))
            data = b""
        if not data:
            self._loop.unwatch(sock)
            sock.close()
            self._peers -= 1

    def _push(self, samples: npt.NDArray[np.int16]) -> None:
        with self._lock:
            if not self._muted:
                self._playout.push(samples)


class _Timing:
    """PortAudio's ``PaStreamCallbackTimeInfo``, seconds of its own clock."""

    currentTime: float  # noqa: N815 - PortAudio's name
    outputBufferDacTime: float  # noqa: N815 - likewise


if __name__ == "__main__":
    serve(Speaker)
