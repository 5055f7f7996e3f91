"""Sound devices by PortAudio.

PortAudio does not tell of an unplugged card: its callbacks only stop. So their age is watched, and a device that gave none for a second is
lost. Listing the devices again would stop every running stream, so one process opens one device.
"""

import queue
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import sounddevice

from drivers.capabilities import AudioFormat, Sound, SourceLostError
from drivers.microphones.edge import EdgeModel

STALL_S = 1.0
BLOCK_S = 0.02
_QUEUE_BLOCKS = 250


def open(stanza: Mapping[str, Any]) -> "PortAudioSource":  # noqa: A001 - the drivers' convention
    """Open a device by the name that ``courtroom devices`` prints.

    Args:
        stanza: ``device``, ``rate_hz`` and ``channels`` (of them the highest ``number`` counts) of room.toml.

    Raises:
        SourceLostError: ``missing`` when there is no such device, ``format`` when it cannot do this rate or these channels.

    """
    device = stanza["device"]
    channels = max(channel["number"] for channel in stanza["channels"])
    try:
        sounddevice.query_devices(device, "input")
    except (ValueError, sounddevice.PortAudioError) as error:
        raise SourceLostError("missing", f"{device}: {error}; `courtroom devices` lists the names") from error
    try:
        return PortAudioSource(device, channels, stanza["rate_hz"], stanza.get("serial", ""))
    except sounddevice.PortAudioError as error:
        raise SourceLostError("format", f"{device}: {error}") from error


class PortAudioSource:
    """An open device. Blocks are ``BLOCK_S`` long, 16 bits."""

    def __init__(self, device: str, channels: int, rate_hz: int, serial: str) -> None:
        self.formats = {"audio": AudioFormat(codec="pcm", rate_hz=rate_hz, channels=channels)}
        self.address = device
        self.serial = serial
        self.exact_clock = False
        self._blocks: queue.Queue[tuple[npt.NDArray[np.int16], int]] = queue.Queue(_QUEUE_BLOCKS)
        self._position = 0
        self._stream = sounddevice.InputStream(
            device=device,
            channels=channels,
            samplerate=rate_hz,
            dtype="int16",
            blocksize=round(rate_hz * BLOCK_S),
            callback=self._on_block,
        )
        self._edge = EdgeModel(rate_hz, _now_us())
        self._stream.start()

    def read(self) -> Sound:
        """Block for the next 20 ms."""
        try:
            samples, arrival_us = self._blocks.get(timeout=STALL_S)
        except queue.Empty:
            raise SourceLostError("timeout", f"{self.address}: no sound for {STALL_S:.0f} s; check the cable and the device") from None
        self._position += self._edge.lost(len(samples), arrival_us)
        sound = Sound(stream="audio", samples=samples, position=self._position, arrival_us=arrival_us)
        self._position += len(samples)
        return sound

    def close(self) -> None:
        """Let go of the device."""
        self._stream.abort(ignore_errors=True)
        self._stream.close(ignore_errors=True)

    def _on_block(self, samples: npt.NDArray[np.int16], _frames: int, _time: object, _status: sounddevice.CallbackFlags) -> None:
        """Called by PortAudio's thread. A block that finds the queue full is lost, and shows as a jump of position."""
        try:
            self._blocks.put_nowait((samples.copy(), _now_us()))
        except queue.Full:
            return


def _now_us() -> int:
    return time.monotonic_ns() // 1000
