"""One process for a place: it holds a lock there for as long as it lives, and a second one is told who does.

The lock is the kernel's (flock(2)): it ends with the process, however that ends, and nothing stale is ever left.
"""

import contextlib
import fcntl
import os
import time
from pathlib import Path

WAIT_S = 3.0
"""For so long a process that is just ending is waited for."""
_POLL_S = 0.05
_SIGKILL_BIT = 1 << 8
"""In the masks of /proc/PID/status (proc(5)): signal 9."""


class HeldError(OSError):
    """Another process has the place; the message says which, and where its lock is."""


def hold(lock: Path, *, wait_s: float = WAIT_S) -> int:
    """Take the lock for the rest of this process's life, by a file that its user and root alone can open.

    A process that was killed and only hangs in a disk does not count: the room must not wait for that.

    Returns:
        The descriptor that holds it.

    Raises:
        HeldError: another process has it, and goes on having it for ``wait_s``.
        OSError: there can be no such file (a full or missing disk, no right to write).
    """
    end_s = time.monotonic() + wait_s
    while True:
        descriptor = _take(lock)
        if descriptor is not None:
            return descriptor
        inode, holder = _inode(lock), _holder(lock)
        if holder is not None and _is_killed(holder):
            if _inode(lock) == inode:  # else a third process was faster: the lock there now is its own
                lock.unlink(missing_ok=True)  # whoever comes after this process meets its lock, not that of one which is dead
            continue
        if time.monotonic() >= end_s:
            who = "another process" if not holder else f"process {holder}"
            raise HeldError(f"{who} holds the lock {lock}")
        time.sleep(_POLL_S)


def _take(lock: Path) -> int | None:
    """The locked file; None where somebody else has the lock."""
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except PermissionError:
        # Root's, from a trial by hand. Whether it is held can be seen without opening it.
        if _holder(lock) is not None:
            return None
        lock.unlink()
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), lock.lstat()):
                return descriptor
    except BlockingIOError:
        pass
    except OSError:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def _holder(lock: Path) -> int | None:
    """The process that has the lock, as /proc/locks says (proc(5)); None where nobody has, or that cannot be seen."""
    inode = _inode(lock)
    try:
        lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    for line in lines:
        words = line.split()
        if len(words) >= 6 and words[1] == "FLOCK" and words[5].rpartition(":")[2] == str(inode):
            return int(words[4])
    return None


def _inode(lock: Path) -> int | None:
    try:
        return lock.lstat().st_ino
    except OSError:
        return None


def _is_killed(process: int) -> bool:
    """Whether it will do nothing any more: it was killed, and threads of it hang in the kernel."""
    try:
        lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False  # ended meanwhile, or nothing may be known of it
    found = dict(line.split(":", 1) for line in lines if ":" in line)
    if found.get("State", "").split()[:1] in (["Z"], ["X"]):
        return True
    return any(int(found.get(mask, "0"), 16) & _SIGKILL_BIT for mask in ("SigPnd", "ShdPnd"))
