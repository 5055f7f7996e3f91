"""The few functions of ALSA's library that capture needs, by ctypes (https://www.alsa-project.org/alsa-doc/alsa-lib/pcm.html).

The system's own library is used on purpose: the one inside the PyAV wheel looks for its configuration and plug-ins under a directory that
anyone may create, its FFmpeg reader cannot open 24-bit cards, and when a sound server dies it retries for ever without returning.
"""

import ctypes
import errno
from typing import Literal

import numpy as np

_CAPTURE = 1
_NONBLOCK = 1
_RW_INTERLEAVED = 3
_NO_RATE_CONVERSION = 0

Format = Literal["S32_LE", "S24_3LE", "S16_LE"]
FORMATS: dict[Format, tuple[int, int]] = {"S32_LE": (10, 4), "S24_3LE": (32, 3), "S16_LE": (2, 2)}
"""ALSA's number of each sample format (``snd_pcm_format_t``) and its size in bytes, the best first."""


class AlsaError(OSError):
    """A call failed; ``errno`` and the message are ALSA's."""


class _Library:
    """The loaded library with its signatures."""

    def __init__(self) -> None:
        try:
            self.lib = ctypes.CDLL("libasound.so.2", use_errno=False)
        except OSError as error:
            raise AlsaError(errno.ENOENT, "ALSA's library is missing: install libasound2") from error
        pointer, number, size = ctypes.c_void_p, ctypes.c_int, ctypes.c_ulong
        unsigned = ctypes.POINTER(ctypes.c_uint)
        frames = ctypes.POINTER(ctypes.c_ulong)
        self._declare("snd_strerror", ctypes.c_char_p, number)
        self._declare("snd_pcm_open", number, ctypes.POINTER(pointer), ctypes.c_char_p, number, number)
        self._declare("snd_pcm_close", number, pointer)
        self._declare("snd_pcm_hw_params_malloc", number, ctypes.POINTER(pointer))
        self._declare("snd_pcm_hw_params_free", None, pointer)
        self._declare("snd_pcm_hw_params_any", number, pointer, pointer)
        for name in ("access", "channels", "rate_resample"):
            self._declare(f"snd_pcm_hw_params_set_{name}", number, pointer, pointer, ctypes.c_uint)
        self._declare("snd_pcm_hw_params_set_format", number, pointer, pointer, number)
        self._declare("snd_pcm_hw_params_test_format", number, pointer, pointer, number)
        self._declare("snd_pcm_hw_params_set_rate", number, pointer, pointer, ctypes.c_uint, number)
        for name in ("period_time_near", "buffer_time_near"):
            self._declare(f"snd_pcm_hw_params_set_{name}", number, pointer, pointer, unsigned, ctypes.POINTER(number))
        self._declare("snd_pcm_hw_params_get_period_size", number, pointer, frames, ctypes.POINTER(number))
        self._declare("snd_pcm_hw_params_get_channels_min", number, pointer, unsigned)
        self._declare("snd_pcm_hw_params_get_channels_max", number, pointer, unsigned)
        self._declare("snd_pcm_hw_params", number, pointer, pointer)
        for name in ("prepare", "start"):
            self._declare(f"snd_pcm_{name}", number, pointer)
        self._declare("snd_pcm_wait", number, pointer, number)
        self._declare("snd_pcm_readi", ctypes.c_long, pointer, pointer, size)
        self._declare("snd_pcm_delay", number, pointer, ctypes.POINTER(ctypes.c_long))

    def _declare(self, name: str, result: type | None, *arguments: type) -> None:
        function = getattr(self.lib, name)
        function.restype, function.argtypes = result, list(arguments)

    def call(self, name: str, *arguments: object) -> int:
        """Call a function; a negative answer becomes an error."""
        result: int = getattr(self.lib, name)(*arguments)
        if result < 0:
            raise AlsaError(-result, f"{name[len('snd_pcm_') :]}: {self.lib.snd_strerror(result).decode()}")
        return result


class Pcm:
    """An open capture PCM, not yet started.

    Args:
        name: ALSA's name of it, such as ``hw:CARD=…,DEV=0`` or one that ``/etc/asound.conf`` defines.
        channels: how many to open.
        rate_hz: the card's own rate; it is never converted.
        period_us: how often the card is to wake us.
        buffer_us: how long we may be late before sound is lost.

    Raises:
        AlsaError: the PCM does not exist, is busy, or cannot do this.

    """

    def __init__(self, name: str, channels: int, rate_hz: int, period_us: int = 20_000, buffer_us: int = 1_000_000) -> None:
        self._alsa = _Library()
        self._pcm = ctypes.c_void_p()
        self.channels = channels
        self._alsa.call("snd_pcm_open", ctypes.byref(self._pcm), name.encode(), _CAPTURE, _NONBLOCK)
        try:
            self._set_up(channels, rate_hz, period_us, buffer_us)
        except AlsaError:
            self.close()
            raise

    def start(self) -> None:
        """Start, or start again after an overrun. What was buffered is lost.

        Raises:
            AlsaError: the device is gone.

        """
        self._alsa.call("snd_pcm_prepare", self._pcm)
        self._alsa.call("snd_pcm_start", self._pcm)

    def wait(self, timeout_ms: int) -> bool:
        """Whether samples came within the time.

        Raises:
            AlsaError: EPIPE after an overrun, ENODEV when the device is gone.

        """
        return self._alsa.call("snd_pcm_wait", self._pcm, timeout_ms) > 0

    def read(self, frames: int) -> bytes:
        """Take at most so many frames of what has arrived (possibly none), interleaved.

        Raises:
            AlsaError: as ``wait``.

        """
        data = np.empty(frames * self.channels * self.sample_bytes, np.uint8)
        try:
            got = self._alsa.call("snd_pcm_readi", self._pcm, data.ctypes.data, frames)
        except AlsaError as error:
            if error.errno == errno.EAGAIN:
                return b""
            raise
        return data[: got * self.channels * self.sample_bytes].tobytes()

    def delay_frames(self) -> int:
        """Frames captured but not yet read.

        Raises:
            AlsaError: as ``wait``.

        """
        frames = ctypes.c_long()
        self._alsa.call("snd_pcm_delay", self._pcm, ctypes.byref(frames))
        return max(0, frames.value)

    def close(self) -> None:
        """Let go of the device."""
        if self._pcm:
            self._alsa.lib.snd_pcm_close(self._pcm)
            self._pcm = ctypes.c_void_p()

    def _set_up(self, channels: int, rate_hz: int, period_us: int, buffer_us: int) -> None:
        call, pcm = self._alsa.call, self._pcm
        params = ctypes.c_void_p()
        call("snd_pcm_hw_params_malloc", ctypes.byref(params))
        try:
            call("snd_pcm_hw_params_any", pcm, params)
            call("snd_pcm_hw_params_set_rate_resample", pcm, params, _NO_RATE_CONVERSION)
            call("snd_pcm_hw_params_set_access", pcm, params, _RW_INTERLEAVED)
            least, most = ctypes.c_uint(), ctypes.c_uint()
            call("snd_pcm_hw_params_get_channels_min", params, ctypes.byref(least))
            call("snd_pcm_hw_params_get_channels_max", params, ctypes.byref(most))
            if not least.value <= channels <= most.value:
                raise AlsaError(errno.EINVAL, f"opens with {least.value} to {most.value} channels, not {channels}: set open_channels")
            self.format = self._best_format(params)
            self.sample_bytes = FORMATS[self.format][1]
            call("snd_pcm_hw_params_set_format", pcm, params, FORMATS[self.format][0])
            call("snd_pcm_hw_params_set_channels", pcm, params, channels)
            call("snd_pcm_hw_params_set_rate", pcm, params, rate_hz, 0)
            for name, value_us in (("period", period_us), ("buffer", buffer_us)):
                near, direction = ctypes.c_uint(value_us), ctypes.c_int(0)
                call(f"snd_pcm_hw_params_set_{name}_time_near", pcm, params, ctypes.byref(near), ctypes.byref(direction))
            call("snd_pcm_hw_params", pcm, params)
        finally:
            self._alsa.lib.snd_pcm_hw_params_free(params)

    def _best_format(self, params: ctypes.c_void_p) -> Format:
        for name, (number, _) in FORMATS.items():
            if self._alsa.lib.snd_pcm_hw_params_test_format(self._pcm, params, number) == 0:
                return name
        raise AlsaError(errno.EINVAL, f"gives none of the formats {', '.join(FORMATS)}")
