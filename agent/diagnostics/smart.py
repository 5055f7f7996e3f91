"""Check of the disks' own word about their health (SMART), where smartmontools is installed and this user may ask."""

import asyncio
import json
import os
import shutil
from pathlib import Path

from agent.apart import apart
from agent.diagnostics.check import Context, Found, Outcome

SMARTCTL_S = 15.0
_FAILING_BIT = 0x08
"""smartctl(8), EXIT STATUS, bit 3: "SMART status check returned DISK FAILING"."""
_WORN_BITS = 0x10 | 0x20 | 0x40
"""Bits 4 to 6: attributes at or below threshold now or in the past, errors in the device's log."""
_PATHS = "/usr/sbin:/sbin:/usr/bin"


class SmartCheck:
    """Whether a disk says itself that it fails."""

    name = "smart"
    version = 1
    deadline_s = 2 * SMARTCTL_S + 5

    def __init__(self, smartctl: str | None = None) -> None:
        self._smartctl = smartctl

    async def run(self, context: Context) -> Outcome:
        """Ask each disk."""
        command = self._smartctl or shutil.which("smartctl", path=_PATHS)
        if command is None:
            return Outcome([Found("unknown", "smart_missing")])
        found: list[Found] = []
        values: dict[str, float] = {}
        storage = context.config.storage
        for disk, path in (("primary", storage.primary), ("mirror", storage.mirror)):
            if path is not None:
                found.append(await self._disk(command, disk, Path(path), values))
        return Outcome(found, values)

    async def _disk(self, command: str, disk: str, path: Path, values: dict[str, float]) -> Found:
        try:
            device = await apart(lambda: block_device(path), SMARTCTL_S)
        except OSError:
            device = None
        if device is None:
            return Found("unknown", "smart_none", {"disk": disk, "path": str(path)})
        here = {"disk": disk, "device": str(device)}
        process = await asyncio.create_subprocess_exec(
            command, "--json=c", "-H", "-A", str(device), stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            async with asyncio.timeout(SMARTCTL_S):
                printed, _ = await process.communicate()
        except TimeoutError:
            return Found("warning", "smart_hangs", here)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return judge(printed, process.returncode or 0, here, values)


def judge(printed: bytes, status: int, here: dict[str, str], values: dict[str, float]) -> Found:
    """What smartctl said: its JSON (``smart_status.passed``, ``temperature.current``) and its exit status. Pure."""
    try:
        said = json.loads(printed)
        passed = said["smart_status"]["passed"]
    except (ValueError, KeyError, TypeError):
        return Found("unknown", "smart_silent", here)
    degrees = said.get("temperature", {}).get("current")
    if isinstance(degrees, int | float):
        values[f"{here['disk']}_celsius"] = float(degrees)
    if passed is not True or status & _FAILING_BIT:
        return Found("bad", "smart_failing", here)
    return Found("warning", "smart_worn", here) if status & _WORN_BITS else Found("good", "smart_good", here)


def block_device(path: Path) -> Path | None:
    """The whole disk that a directory lies on (sysfs: a partition's directory lies in its disk's); None for tmpfs, a network, a mapping."""
    number = path.stat().st_dev
    node = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
    if not node.exists():
        return None
    real = node.resolve()
    disk = real.parent if (real / "partition").exists() else real
    device = Path("/dev") / disk.name
    return device if (disk / "device").exists() and device.exists() else None
