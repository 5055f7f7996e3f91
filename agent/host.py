"""Readings of this PC from /proc and /sys. What a machine does not tell is None, never zero."""

import datetime as dt
import re
import time
from collections.abc import Callable
from pathlib import Path

from cryptography import x509

from agent.indicators import HostFacts
from agent.upstream.contract import ClockQuality

_PSI_TOTAL = re.compile(r"^some .*\btotal=(\d+)$", re.MULTILINE)
_MEMORY = re.compile(r"^(MemTotal|MemAvailable):\s+(\d+) kB$", re.MULTILINE)
_PLAUSIBLE_C = (-30.0, 150.0)


class HostReader:
    """Reads; rates are over the time since the reading before.

    Args:
        certificate: of the connection to the centre, or None.
        proc: ``/proc``.
        sys: ``/sys``.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        certificate: Path | None,
        *,
        proc: Path = Path("/proc"),
        sys: Path = Path("/sys"),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._certificate = certificate
        self._proc = proc
        self._sys = sys
        self._clock = clock
        self._cpu: tuple[int, int] | None = None
        self._psi: tuple[int, float] | None = None

    def read(self, quality: ClockQuality, *, disk_failing: bool | None = None) -> HostFacts:
        """All readings now; takes less than a millisecond, and none of a disk that may hang."""
        return HostFacts(
            cpu_percent=self._cpu_percent(),
            io_pressure_percent=self._pressure_percent(),
            memory_free_percent=self._memory_percent(),
            temperature_c=self._temperature_c(),
            disk_failing=None if disk_failing is None else float(disk_failing),
            clock_error_ms=None if quality.error_us is None else quality.error_us / 1000,
            certificate_days_left=self._days_left(),
        )

    def _cpu_percent(self) -> float | None:
        """proc(5), /proc/stat: jiffies by kind; idle and iowait are what is not used. Guest time is in user time already."""
        try:
            first = (self._proc / "stat").read_text(encoding="ascii").split("\n", 1)[0].split()
            jiffies = [int(field) for field in first[1:9]]
        except (OSError, ValueError):
            return None
        if len(jiffies) < 5:
            return None
        total, idle = sum(jiffies), jiffies[3] + jiffies[4]
        before, self._cpu = self._cpu, (total, idle)
        if before is None or total <= before[0]:
            return None
        return 100 * min(1.0, max(0.0, 1 - (idle - before[1]) / (total - before[0])))

    def _pressure_percent(self) -> float | None:
        """The kernel's accounting/psi.rst: ``total`` counts microseconds in which some task waited."""
        try:
            match = _PSI_TOTAL.search((self._proc / "pressure/io").read_text(encoding="ascii"))
        except (OSError, ValueError):
            return None
        if match is None:
            return None
        now_s, total_us = self._clock(), int(match[1])
        before, self._psi = self._psi, (total_us, now_s)
        if before is None or now_s <= before[1]:
            return None
        return min(100.0, (total_us - before[0]) / (now_s - before[1]) / 10_000)

    def _memory_percent(self) -> float | None:
        try:
            found = {name: int(kib) for name, kib in _MEMORY.findall((self._proc / "meminfo").read_text(encoding="ascii"))}
            return 100 * found["MemAvailable"] / found["MemTotal"]
        except (OSError, ValueError, KeyError, ZeroDivisionError):
            return None

    def _temperature_c(self) -> float | None:
        """The kernel's driver-api/thermal/sysfs-api.rst: thousandths of a degree."""
        found = []
        for zone in sorted(self._sys.glob("class/thermal/thermal_zone*/temp")):
            try:
                degrees = int(zone.read_text(encoding="ascii")) / 1000
            except (OSError, ValueError):
                continue  # a sensor that sleeps answers with an error
            if _PLAUSIBLE_C[0] <= degrees <= _PLAUSIBLE_C[1]:
                found.append(degrees)
        return max(found, default=None)

    def _days_left(self) -> float | None:
        """Read anew each time: a renewed certificate is another file of the same name."""
        if self._certificate is None:
            return None
        try:
            certificate = x509.load_pem_x509_certificate(self._certificate.read_bytes())
        except (OSError, ValueError):
            return None
        return (certificate.not_valid_after_utc - dt.datetime.now(dt.UTC)).total_seconds() / 86_400
