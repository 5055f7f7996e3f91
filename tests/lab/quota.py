"""A control group that holds one process to what its unit file allows, as systemd does (cgroups(7), version 1 or 2; needs root)."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_UNITS = Path(__file__).parents[2] / "systemd"
_PERIOD_US = 100_000


@dataclass(frozen=True, slots=True)
class Limits:
    """What a service may take."""

    cpu_percent: int
    memory_bytes: int


def limits_of(unit: str) -> Limits:
    """CPUQuota and MemoryMax of a unit of this repository (systemd.resource-control(5))."""
    text = (_UNITS / unit).read_text(encoding="utf-8")
    cpu, memory = re.search(r"^CPUQuota=(\d+)%$", text, re.MULTILINE), re.search(r"^MemoryMax=(\d+)M$", text, re.MULTILINE)
    assert cpu is not None, unit
    assert memory is not None, unit
    return Limits(int(cpu[1]), int(memory[1]) * 1024 * 1024)


class Quota:
    """The group. In version 1 each kind of limit has a tree of its own."""

    def __init__(self, directories: list[Path]) -> None:
        self._directories = directories

    def hold(self, pid: int) -> None:
        """Put a process, and all that it starts, under the limits."""
        for directory in self._directories:
            (directory / "cgroup.procs").write_text(str(pid), encoding="ascii")


def can_hold() -> bool:
    """Whether groups with both limits can be made here."""
    return os.geteuid() == 0 and (_is_first() or _has_second())


@contextmanager
def quota(name: str, limits: Limits) -> Iterator[Quota]:
    """A group that is gone afterwards; what still runs in it is moved out."""
    name = f"{name}-{os.getpid()}"  # one that a killed run left is in nobody's way
    wanted_us = _PERIOD_US * limits.cpu_percent // 100
    values: dict[Path, dict[str, object]]
    if _is_first():
        values = {
            _ROOT / "cpu" / name: {"cpu.cfs_period_us": _PERIOD_US, "cpu.cfs_quota_us": wanted_us},
            _ROOT / "memory" / name: {"memory.limit_in_bytes": limits.memory_bytes},
        }
    else:
        values = {_ROOT / name: {"cpu.max": f"{wanted_us} {_PERIOD_US}", "memory.max": limits.memory_bytes}}
    try:
        for directory, files in values.items():
            directory.mkdir()
            for file, value in files.items():
                (directory / file).write_text(str(value), encoding="ascii")
        yield Quota(list(values))
    finally:
        for directory in values:
            if directory.exists():
                for pid in (directory / "cgroup.procs").read_text(encoding="ascii").split():
                    (directory.parent / "cgroup.procs").write_text(pid, encoding="ascii")
                directory.rmdir()


def _is_first() -> bool:
    return (_ROOT / "cpu" / "cpu.cfs_quota_us").exists() or (_ROOT / "cpu" / "cgroup.procs").exists()


def _has_second() -> bool:
    controllers = _ROOT / "cgroup.subtree_control"
    return controllers.exists() and {"cpu", "memory"} <= set(controllers.read_text(encoding="ascii").split()) and os.access(_ROOT, os.W_OK)
