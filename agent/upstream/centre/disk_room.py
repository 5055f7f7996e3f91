"""How much room a disk has, and how much of it is left to the centre itself."""

import os
from pathlib import Path
from typing import NamedTuple

RESERVE_BYTES = 2 * 1024**3
"""So much of the disk is left free, at most a twentieth of it: the centre's own files mostly lie there too, and events must be taken."""


class Room(NamedTuple):
    """What a disk has: all of it, and what is free."""

    all_bytes: int
    free_bytes: int


def room_of(path: Path) -> Room:
    """What the disk of a directory has for this process.

    Raises:
        OSError: it does not answer.
    """
    found = os.statvfs(path)
    return Room(found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize)


def is_short(room: Room, wanted_bytes: int) -> bool:
    """Whether less than the reserve would be left. Pure."""
    return room.free_bytes - wanted_bytes < reserve_bytes(room)


def reserve_bytes(room: Room) -> int:
    """What is left free of a disk. Pure."""
    return min(RESERVE_BYTES, room.all_bytes // 20)
