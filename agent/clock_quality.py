"""What is known of this PC's UTC: who disciplines it, and by how much it may be wrong.

chrony is asked first (``chronyc -c tracking``), for it alone bounds its error; then the kernel, which only knows whether some daemon
disciplines it (adjtimex(2)).
"""

import asyncio
import contextlib
import ctypes
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from agent.upstream.contract import ClockQuality

KEPT_S = 10.0
OLD_S = 3 * KEPT_S
"""What was read longer ago is not told any more."""
CHRONYC_S = 2.0
_TRACKING_FIELDS = 14
_LOCAL = "7F7F0101"
"""chronyc(1), tracking: the reference 127.127.1.1 is this computer itself (directive ``local``)."""
_TIMESYNCD_SYNCHRONISED = Path("/run/systemd/timesync/synchronized")
"""systemd-timesyncd.service(8), FILES: touched after each successful synchronisation."""
_STA_UNSYNC, _TIME_ERROR = 0x0040, 5

UNDISCIPLINED = ClockQuality(source="undisciplined")


class _Timex(ctypes.Structure):
    """``struct timex`` of adjtimex(2), 64-bit Linux; ``maxerror`` counts microseconds."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 184),
    )


_libc = ctypes.CDLL(None, use_errno=True)


def parse_tracking(text: str) -> ClockQuality:
    """The quality as ``chronyc -c tracking`` prints it.

    Fourteen fields in the order of chronyc(1), "tracking": reference id (hex), its name, stratum, reference time, system time (s), last
    offset, RMS offset, frequency, residual frequency, skew, root delay (s), root dispersion (s), update interval, leap status. The bound
    is that page's: |system time| + root dispersion + root delay / 2.

    Raises:
        ValueError: it is something else.
    """
    fields = text.strip().split(",")
    if len(fields) != _TRACKING_FIELDS:
        raise ValueError(f"{len(fields)} fields instead of {_TRACKING_FIELDS}")
    stratum, leap = int(fields[2]), fields[13]
    if leap == "Not synchronised" or stratum == 0:
        return UNDISCIPLINED
    if fields[0] == _LOCAL:
        return ClockQuality(source="chrony, by its own clock", stratum=stratum)
    bound_s = abs(float(fields[4])) + float(fields[11]) + float(fields[10]) / 2
    return ClockQuality(source="chrony", stratum=stratum, error_us=round(bound_s * 1_000_000))


def kernel_quality(synchronised: Path = _TIMESYNCD_SYNCHRONISED) -> ClockQuality:
    """What the kernel knows; takes no time.

    timesyncd tells the kernel an error of nothing at each update (``maxerror = 0``, systemd's timesyncd-manager.c), whatever its server is
    worth: under it nobody knows the bound.
    """
    timex = _Timex()
    state = _libc.ntp_adjtime(ctypes.byref(timex))
    if state < 0:
        return ClockQuality(source="unknown")
    if state == _TIME_ERROR or timex.status & _STA_UNSYNC:
        return UNDISCIPLINED
    if synchronised.exists():
        return ClockQuality(source="timesyncd")
    return ClockQuality(source="kernel", error_us=max(0, int(timex.maxerror)))


class ClockWatch:
    """The clock's quality, read anew each ten seconds beside everything else.

    Args:
        chronyc: the command that prints the tracking.
        clock: seconds that only grow.
    """

    def __init__(self, chronyc: Sequence[str] = ("chronyc", "-n", "-c", "tracking"), clock: Callable[[], float] = time.monotonic) -> None:
        self._command = list(chronyc)
        self._clock = clock
        self._quality: ClockQuality | None = None
        self._at_s = 0.0

    @property
    def latest(self) -> ClockQuality:
        """The last quality that was read, at once; the kernel's word where there is none, or only an old one."""
        if self._quality is None or self._clock() - self._at_s > OLD_S:
            return kernel_quality()
        return self._quality

    async def read(self) -> ClockQuality:
        """The quality, not older than ten seconds."""
        if self._quality is None or self._clock() - self._at_s >= KEPT_S:
            self._quality, self._at_s = await self._ask(), self._clock()
        return self._quality

    async def run(self) -> None:
        """Keep ``latest`` fresh for ever."""
        while True:
            await self.read()
            await asyncio.sleep(KEPT_S)

    async def _ask(self) -> ClockQuality:
        """The word of chrony, or the kernel's where chrony does not run here, hangs, or says something else."""
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env={"LC_ALL": "C", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            )
        except OSError:
            return kernel_quality()
        try:
            async with asyncio.timeout(CHRONYC_S):
                printed, _ = await process.communicate()
            if process.returncode == 0:
                return parse_tracking(printed.decode("ascii", errors="replace"))
        except (TimeoutError, ValueError):
            pass
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        return kernel_quality()
