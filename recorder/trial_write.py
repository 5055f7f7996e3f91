"""A byte written to a disk while nothing is recorded, to know before a hearing begins whether the disk takes anything."""

import errno
import os
from collections.abc import Mapping
from pathlib import Path

from recorder.disk import DiskName

ALARM: Mapping[DiskName, str] = {"primary": "primary_refuses", "mirror": "mirror_refuses"}
"""On while the disk took no byte when it was last tried."""
TRIAL = ".trial"
_MAKE_ROOM = "make room there"
_GIVE_RIGHT = "give the recorder's user a right to write there"
_REMEDY = {
    errno.ENOSPC: _MAKE_ROOM,
    errno.EDQUOT: _MAKE_ROOM,
    errno.EROFS: "mount it for writing, and look after its health: the system mounts a disk that fails so that it can be read only",
    errno.EACCES: _GIVE_RIGHT,
    errno.EPERM: _GIVE_RIGHT,
}


def try_write(base: Path) -> None:
    """Write a byte that nobody needs, and take it away.

    Raises:
        OSError: the disk takes none.
    """
    path = base / TRIAL
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
        try:
            os.write(descriptor, b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    finally:
        path.unlink(missing_ok=True)


def not_writable(error: OSError, base: Path) -> str:
    """In words, that a disk takes nothing, why, and what to do."""
    remedy = _REMEDY.get(error.errno or 0, "check its cable and power, or change it")
    return f"{base} takes nothing: {error.strerror or error}; {remedy} before a hearing begins"
