"""The recorder's clocks: CLOCK_MONOTONIC, UTC as the PC claims it, and what is known of that claim."""

import ctypes
import errno
import time
from dataclasses import dataclass
from pathlib import Path

from recorder.record.entries import ClockState
from recorder.record.journal import Times

STEP_US = 200_000
"""A change of UTC against CLOCK_MONOTONIC between two looks that is reported as a step; a slewing daemon moves 500 ppm at most."""

_STA_UNSYNC, _STA_NANO = 0x0040, 0x2000
_TIMESYNCD_SYNCHRONISED = Path("/run/systemd/timesync/synchronized")
"""systemd-timesyncd.service(8), FILES: touched after each successful synchronisation."""


class _Timex(ctypes.Structure):
    """``struct timex`` of adjtimex(2), 64-bit Linux."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("constant", ctypes.c_long),
        ("precision", ctypes.c_long),
        ("tolerance", ctypes.c_long),
        ("rest", ctypes.c_byte * 160),
    )


def mono_us() -> int:
    """CLOCK_MONOTONIC in microseconds."""
    return time.monotonic_ns() // 1000


def utc_us() -> int:
    """The PC's claim of UTC, microseconds since 1970."""
    return time.time_ns() // 1000


def boot_id() -> str:
    """The kernel's name for this boot: CLOCK_MONOTONIC compares only within one."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def clock_state() -> ClockState:
    """What the kernel knows of UTC: disciplined by a daemon with this error bound, or by nothing."""
    timex = _Timex()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.adjtimex(ctypes.byref(timex)) < 0:
        return ClockState(source=f"unknown: adjtimex {errno.errorcode.get(ctypes.get_errno(), '?')}")
    return told_by_kernel(int(timex.status), int(timex.offset), int(timex.maxerror), by_timesyncd=_TIMESYNCD_SYNCHRONISED.exists())


def told_by_kernel(status: int, offset: int, maxerror_us: int, *, by_timesyncd: bool) -> ClockState:
    """What adjtimex(2) says; ``offset`` counts nanoseconds where ``STA_NANO`` is set, else microseconds.

    timesyncd tells the kernel an error of nothing at each update (``maxerror = 0``, systemd's timesyncd-manager.c), whatever its server is
    worth: under it nobody knows the bound.
    """
    if status & _STA_UNSYNC:
        return ClockState(source="undisciplined")
    offset_us = offset // 1000 if status & _STA_NANO else offset
    if by_timesyncd:
        return ClockState(source="timesyncd", offset_us=offset_us)
    return ClockState(source="kernel", offset_us=offset_us, error_us=maxerror_us)


@dataclass(frozen=True, slots=True)
class SessionClock:
    """Session time: microseconds since the session's origin on CLOCK_MONOTONIC of this boot."""

    origin_mono_us: int

    def t_us(self, at_mono_us: int) -> int:
        """Session time of a moment; never negative, for nothing of a session lies before its origin."""
        return max(0, at_mono_us - self.origin_mono_us)

    def times(self) -> Times:
        """All three clocks now."""
        now_us = mono_us()
        return Times(mono_us=now_us, utc_us=utc_us(), t_us=self.t_us(now_us))


class StepDetector:
    """Tells when UTC jumped against CLOCK_MONOTONIC. Pure: both clocks are passed in."""

    def __init__(self) -> None:
        self._difference_us: int | None = None

    def step_us(self, now_mono_us: int, now_utc_us: int) -> int | None:
        """By how much UTC stepped since the last call, or None where it went on as it should."""
        difference_us = now_utc_us - now_mono_us
        before_us, self._difference_us = self._difference_us, difference_us
        if before_us is None or abs(difference_us - before_us) < STEP_US:
            return None
        return difference_us - before_us
