"""Check of the disks: a file is really written, made durable and read back; their room against what is planned; the mirror's copies."""

import errno
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from agent.apart import apart
from agent.diagnostics.check import Context, Found, Outcome
from agent.diagnostics.rate import bytes_per_s
from recorder.record import layout

PROBE_BYTES = 16 * 1024 * 1024
PROBE_S = 20.0
MIB, GIB = 1024**2, 1024**3
PROBE_NAME = ".diagnostics-probe"
_BALLAST = ".ballast"
"""The recorder's reserve on each disk."""
_SPARE = 4.0
"""A disk should write so many times what a session needs: it also seals, copies and is read from."""
_LEAST_HOURS = 1.0


@dataclass(frozen=True, slots=True)
class Probed:
    """What a probe measured."""

    write_bytes_s: float
    read_bytes_s: float
    same: bool


def probe(directory: Path, stopped: threading.Event, size_bytes: int = PROBE_BYTES) -> Probed:
    """Write a file, sync it, read it from the disk and compare. It has no name from its first moment on: nothing is left behind by a kill.

    Raises:
        OSError: the disk refuses.
        InterruptedError: stopped.
    """
    path = directory / PROBE_NAME
    path.unlink(missing_ok=True)
    # O_EXCL follows no link that somebody may have put there meanwhile (open(2)).
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        path.unlink()
        block = os.urandom(MIB)
        began_s = time.monotonic()
        for number in range(size_bytes // MIB):
            _write(descriptor, number.to_bytes(8, "big") + block[8:], stopped)
        os.fsync(descriptor)
        written_s = time.monotonic()
        # Clean pages leave the cache, so that the disk is read and not the memory (posix_fadvise(2)).
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.lseek(descriptor, 0, os.SEEK_SET)
        same = all(_read(descriptor, stopped) == number.to_bytes(8, "big") + block[8:] for number in range(size_bytes // MIB))
        read_s = time.monotonic()
    finally:
        os.close(descriptor)
    return Probed(size_bytes / max(written_s - began_s, 1e-6), size_bytes / max(read_s - written_s, 1e-6), same)


def _write(descriptor: int, data: bytes, stopped: threading.Event) -> None:
    view = memoryview(data)
    while view:
        if stopped.is_set():
            raise InterruptedError
        view = view[os.write(descriptor, view) :]


def _read(descriptor: int, stopped: threading.Event) -> bytes:
    data = b""
    while len(data) < MIB:
        if stopped.is_set():
            raise InterruptedError
        part = os.read(descriptor, MIB - len(data))
        if not part:
            break
        data += part
    return data


class DiskCheck:
    """Room, speed and truth of each disk; whether the mirror has what the primary has."""

    name = "disk"
    version = 1
    deadline_s = 2 * PROBE_S + 10

    async def run(self, context: Context) -> Outcome:
        """Look at the primary, then at the mirror: two probes at once would slow each other down on one controller."""
        storage = context.config.storage
        need_bytes_s = bytes_per_s(context.config, context.status())
        found: list[Found] = []
        values: dict[str, float] = {"need_mib_s": need_bytes_s / MIB}
        for disk, path in (("primary", storage.primary), ("mirror", storage.mirror)):
            if path is not None:
                found += await self._disk(context, disk, Path(path), need_bytes_s, values)
        if storage.mirror is not None:
            found += await _behind(Path(storage.primary), Path(storage.mirror))
        return Outcome(found, {name: round(value, 2) for name, value in values.items()})

    async def _disk(self, context: Context, disk: str, path: Path, need_bytes_s: float, values: dict[str, float]) -> list[Found]:
        stopped = threading.Event()
        here = {"disk": disk, "path": str(path)}
        found: list[Found] = []
        try:
            room = await apart(lambda: os.statvfs(path), PROBE_S)
            free_bytes = room.f_bavail * room.f_frsize
            hours = free_bytes / need_bytes_s / 3600
            values |= {f"{disk}_free_gib": free_bytes / GIB, f"{disk}_hours": hours}
            here |= {"free": f"{free_bytes / GIB:.1f}", "hours": f"{hours:.1f}"}
            found += _room(context, here, hours)
            if free_bytes < 2 * context.config.storage.ballast_mib * MIB and not await apart((path / _BALLAST).exists, PROBE_S):
                found.append(Found("bad", "disk_no_ballast", here))
            probed = await apart(lambda: probe(path, stopped), PROBE_S)
        except TimeoutError:
            return [*found, Found("bad", "disk_hangs", here | {"seconds": f"{PROBE_S:g}"})]
        except OSError as error:
            return [*found, *(one for one in [_refused(error, here)] if one.code not in {other.code for other in found})]
        finally:
            stopped.set()
        speed = {
            "write": f"{probed.write_bytes_s / MIB:.1f}",
            "read": f"{probed.read_bytes_s / MIB:.1f}",
            "need": f"{need_bytes_s / MIB:.2f}",
        }
        values |= {f"{disk}_write_mib_s": probed.write_bytes_s / MIB, f"{disk}_read_mib_s": probed.read_bytes_s / MIB}
        if not probed.same:
            found.append(Found("bad", "disk_differs", here))
        elif probed.write_bytes_s < _SPARE * need_bytes_s:
            found.append(Found("bad" if probed.write_bytes_s < need_bytes_s else "warning", "disk_slow", here | speed))
        return found or [Found("good", "disk_good", here | speed)]


def _room(context: Context, here: dict[str, str], hours: float) -> list[Found]:
    wanted = max(context.config.storage.warn_hours, context.planned_hours)
    if hours < _LEAST_HOURS:
        return [Found("bad", "disk_full", here)]
    return [Found("warning", "disk_short", here | {"wanted": f"{wanted:.1f}"})] if hours < wanted else []


def _refused(error: OSError, here: dict[str, str]) -> Found:
    if error.errno in {errno.EACCES, errno.EPERM}:
        return Found("unknown", "disk_closed", here)
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return Found("bad", "disk_full", {"free": "0", "hours": "0"} | here)
    if error.errno == errno.ENOENT:
        return Found("bad", "disk_missing", here)
    return Found("bad", "disk_refuses", here | {"error": error.strerror or str(error)})


async def _behind(primary: Path, mirror: Path) -> list[Found]:
    """Sealed records that the mirror has no sealed copy of."""
    try:
        lacking = await apart(lambda: sorted(_sealed(primary) - _sealed(mirror)), PROBE_S)
    except OSError:
        return []  # a disk that cannot be read is told above; a hang is an OSError too
    return [Found("warning", "mirror_behind", {"count": str(len(lacking)), "first": lacking[0]})] if lacking else []


def _sealed(base: Path) -> set[str]:
    return {entry.name for entry in base.iterdir() if layout.may_be_record(entry.name) and _is_sealed(entry)}


def _is_sealed(root: Path) -> bool:
    """Whether a sealed record is there, as far as can be seen: one that cannot be read hides no other."""
    try:
        return (root / layout.SUMS_SIGNATURE).is_file()
    except OSError:
        return False
