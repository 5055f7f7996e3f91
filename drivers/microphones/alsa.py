"""Sound cards by ALSA, many channels at once.

A card that is pulled, and a sound server that dies behind an ALSA name, is reported by the next read. After an overrun (we came too late,
the card's buffer was full) the card is started again, and the position jumps by what was lost in between.
"""

import errno
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from drivers.capabilities import AudioFormat, LossCause, Samples, Sound, SourceLostError
from drivers.microphones.edge import EdgeModel
from drivers.microphones.libasound import AlsaError, Pcm
from drivers.microphones.pcm import from_16, from_24_in_3, from_32

STALL_S = 1.0
"""A card that gives nothing for so long is lost."""
BLOCK_S = 0.02
_GONE = frozenset({errno.ENODEV, errno.ENOENT, errno.ENXIO, errno.EBADFD, errno.ESHUTDOWN})
_OVERRUN = frozenset({errno.EPIPE, errno.ESTRPIPE})


def open(stanza: Mapping[str, Any]) -> "AlsaSource":  # noqa: A001 - the drivers' convention
    """Open an ALSA device.

    Args:
        stanza: ``device``, ``rate_hz``, ``channels`` (of them the highest ``number`` counts) and ``open_channels`` of room.toml.

    Raises:
        SourceLostError: ``missing`` when there is no such card, ``format`` when it cannot do this rate or these channels.

    """
    channels = stanza.get("open_channels") or max(channel["number"] for channel in stanza["channels"])
    try:
        pcm = Pcm(stanza["device"], channels, stanza["rate_hz"])
    except AlsaError as error:
        if error.errno == errno.EINVAL:
            raise SourceLostError("format", f"{stanza['device']}: {error.strerror}") from error
        raise SourceLostError("missing", f"{stanza['device']}: {error.strerror}; `courtroom devices` lists the cards") from error
    return AlsaSource(pcm, stanza["device"], stanza["rate_hz"], stanza.get("serial", ""))


class AlsaSource:
    """An open card. Blocks are ``BLOCK_S`` long."""

    def __init__(self, pcm: Pcm, device: str, rate_hz: int, serial: str) -> None:
        self.formats = {
            "audio": AudioFormat(codec="pcm", rate_hz=rate_hz, channels=pcm.channels, bits=16 if pcm.format == "S16_LE" else 24)
        }
        self.address = device
        self.serial = serial
        self.exact_clock = False
        self._pcm = pcm
        self._rate_hz = rate_hz
        self._block = round(rate_hz * BLOCK_S)
        self._frame_bytes = pcm.channels * pcm.sample_bytes
        self._position = 0
        self._edge: EdgeModel | None = None
        self._pending = bytearray()
        self._ready: deque[Sound] = deque()
        self._start()

    def read(self) -> Sound:
        """Block for the next 20 ms."""
        last_us = _now_us()
        while not self._ready:
            try:
                came = self._pcm.wait(100) and self._take()
                if not came:
                    self._pcm.delay_frames()  # asks a server behind the name whether it is still there
            except AlsaError as error:
                self._recover(error, last_us)
                came = False
            if not came and _now_us() - last_us > STALL_S * 1e6:
                raise SourceLostError("timeout", f"{self.address}: no sound for {STALL_S:.0f} s; check the cable and the card")
        return self._ready.popleft()

    def close(self) -> None:
        """Let go of the card."""
        self._pcm.close()

    def _start(self) -> None:
        try:
            self._pcm.start()
        except AlsaError as error:
            raise self._lost(error) from error
        if self._edge is None:
            self._edge = EdgeModel(self._rate_hz, _now_us())

    def _take(self) -> bool:
        """Read what is there; True when something was."""
        data = self._pcm.read(self._block)
        if not data:
            return False
        now_us = _now_us()
        edge_us = now_us - self._pcm.delay_frames() * 1_000_000 // self._rate_hz
        assert self._edge is not None
        lost = self._edge.lost(len(data) // self._frame_bytes, edge_us)
        if lost:
            self._flush(now_us)
            self._position += lost
        self._pending += data
        while len(self._pending) >= self._block * self._frame_bytes:
            self._emit(self._block, now_us)
        return True

    def _flush(self, now_us: int) -> None:
        if self._pending:
            self._emit(len(self._pending) // self._frame_bytes, now_us)

    def _emit(self, frames: int, now_us: int) -> None:
        size = frames * self._frame_bytes
        samples = self._decode(bytes(self._pending[:size]))
        del self._pending[:size]
        self._ready.append(Sound(stream="audio", samples=samples, position=self._position, arrival_us=now_us))
        self._position += frames

    def _decode(self, data: bytes) -> Samples:
        match self._pcm.format:
            case "S32_LE":
                return from_32(data, self._pcm.channels)
            case "S24_3LE":
                return from_24_in_3(data, self._pcm.channels)
            case "S16_LE":
                return from_16(data, self._pcm.channels)

    def _recover(self, error: AlsaError, last_us: int) -> None:
        """Start again after an overrun; everything else, and an overrun that a restart does not end, is the end of the device."""
        if error.errno not in _OVERRUN:
            raise self._lost(error) from error
        if _now_us() - last_us > STALL_S * 1e6:
            raise SourceLostError("timeout", f"{self.address}: does not start again after an overrun") from error
        self._start()

    def _lost(self, error: AlsaError) -> SourceLostError:
        cause: LossCause = "unplugged" if error.errno in _GONE else "error"
        return SourceLostError(cause, f"{self.address}: {error.strerror}")


def _now_us() -> int:
    return time.monotonic_ns() // 1000
