"""Where a unit asks for it, a room.toml that is wrong is told once and then waited for.

systemd starts a process again half a second after it ended, because a hearing may wait for it. One that ended because of a mistake in
room.toml would tell the same mistake all day, and keep a processor busy with it; only another file can change that.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path

from provisioning.room import RoomConfig
from provisioning.room_file import ConfigError, load

WRONG_STATUS = 2
"""Exit status of a process whose room.toml is wrong."""
WAIT_S = "COURTROOM_MEND_WAIT_S"
"""Set in the units: for so many seconds at most the file is waited for. Elsewhere the command ends at once."""
LOOK_S = 0.5


def load_or_wait(path: Path, tell: Callable[[str], None]) -> RoomConfig | None:
    """Read a room's configuration; where it is wrong tell every mistake, and wait for another file. Whoever gets None has to end."""
    seen = _stamp(path)
    try:
        return load(path)
    except ConfigError as error:
        tell(str(error))
    until_s = time.monotonic() + _wait_s(tell)
    while _stamp(path) == seen and time.monotonic() < until_s:
        time.sleep(LOOK_S)
    return None


def _wait_s(tell: Callable[[str], None]) -> float:
    value = os.environ.get(WAIT_S, "0")
    try:
        return float(value)
    except ValueError:
        tell(f"{WAIT_S}={value!r} is no number of seconds: room.toml is not waited for. Correct it in the unit, or leave it out.")
        return 0.0


def _stamp(path: Path) -> tuple[int, int, int, int] | None:
    """What tells one file from another, and from itself with another owner or mode; None where none can be seen."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_ctime_ns
