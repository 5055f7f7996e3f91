"""The room's disks: names of records, the ballast that keeps the last entries certain, and for how long the space lasts."""

import contextlib
import math
import os
import stat
import uuid
from datetime import UTC, datetime
from pathlib import Path

BALLAST = ".ballast"
RATE_SPAN_S = 60.0
"""Time over which the rate of writing is averaged for the forecast."""


def record_name(room: str, record: uuid.UUID, utc_us: int) -> str:
    """Name of a record's directory: date (UTC), room, record."""
    return f"{datetime.fromtimestamp(utc_us / 1e6, tz=UTC):%Y-%m-%d}_{room}_{record}"


class Ballast:
    """A file of real blocks that is given up when the disk is full, so that the entries that say so find room."""

    def __init__(self, directory: Path, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self._path = directory / BALLAST

    def lay(self) -> bool:
        """Allocate the ballast where it is missing; False where the disk has no room for it."""
        with contextlib.suppress(FileNotFoundError):
            there = self._path.lstat()
            if not stat.S_ISREG(there.st_mode):
                self.drop()  # a link or a pipe, which holds no room
            elif there.st_size == self.size_bytes:
                return True
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, self.size_bytes)
        except OSError:
            self.drop()
            return False
        finally:
            os.close(descriptor)
        return True

    def drop(self) -> None:
        """Give the space back."""
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()


class Forecast:
    """For how many hours the free space lasts at the present rate. Pure; the clock is passed in."""

    def __init__(self) -> None:
        self._rate: float | None = None
        self._pending_bytes = 0
        self._since_us: int | None = None

    def wrote(self, size_bytes: int, now_us: int) -> None:
        """Count bytes."""
        if self._since_us is None:
            self._since_us = now_us
        self._pending_bytes += size_bytes
        elapsed_s = (now_us - self._since_us) / 1e6
        if elapsed_s < 1.0:
            return
        rate = self._pending_bytes / elapsed_s
        weight = 1.0 if self._rate is None else 1 - math.exp(-elapsed_s / RATE_SPAN_S)
        self._rate = rate if self._rate is None else self._rate + weight * (rate - self._rate)
        self._pending_bytes, self._since_us = 0, now_us

    @property
    def rate_bytes_s(self) -> float:
        """The present rate; 0 before a second of recording."""
        return self._rate or 0.0

    def hours_left(self, free_bytes: int) -> float | None:
        """Hours until the disk is full, or None before a second of recording."""
        if not self._rate:
            return None
        return free_bytes / self._rate / 3600
