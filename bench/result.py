"""A measurement: ours against a peer in the same run, as a ratio."""

import contextlib
import math
import platform
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Result:
    """One figure. ``ratio`` is ours over the peer's; where there is no peer, ``peer`` is the figure to reach."""

    name: str
    ours: float
    peer: float
    unit: str
    peer_is: str
    goal: float | None = None
    """The ratio must not be over this."""
    source: str = ""
    """What the input was: figures from the test pattern are labelled so."""

    @property
    def ratio(self) -> float:
        """Ours over the peer's; 1 where there is nothing of either."""
        if not self.peer:
            return float("inf") if self.ours else 1.0
        return self.ours / self.peer

    def row(self) -> dict[str, Any]:
        """The row of ``results.json``; no ratio where the peer has nothing of it."""
        return {
            "name": self.name,
            "ours": round(self.ours, 4),
            "peer": round(self.peer, 4),
            "ratio": round(self.ratio, 4) if math.isfinite(self.ratio) else None,  # JSON has no infinity
            "unit": self.unit,
            "peer_is": self.peer_is,
            "goal": self.goal,
            "source": self.source,
            "machine": machine(),
            "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        }


Measurement = Callable[[Path], list[Result]]


def machine() -> str:
    """Processor, cores and kernel."""
    model = next(
        (line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if "model name" in line),
        platform.machine(),
    )
    cores = Path("/proc/cpuinfo").read_text(encoding="utf-8").count("processor\t")
    return f"{model}, {cores} cores, Linux {'.'.join(platform.release().split('.')[:2])}"


def cpu_s(pid: int) -> float:
    """CPU seconds that a process has used so far, its dead children not counted."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def pss_mib(pid: int) -> float:
    """Resident memory of a process, with its share of what it has in common with others (PSS)."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


def anonymous_mib(pid: int) -> float:
    """Memory of a process that no file backs: what it has allocated, and no other process has a part in; 0 where it has ended."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) / 1024
    return 0.0


def process_name(pid: int) -> str:
    """The last word of the module that a process runs: ``capture``, ``watch``, ``cli`` (the core)."""
    words = Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8").split("\0")
    return words[words.index("-m") + 1].rsplit(".", 1)[-1] if "-m" in words else words[0]
