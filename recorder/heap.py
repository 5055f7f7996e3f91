"""How a process that runs for days keeps its memory (mallopt(3), malloc_trim(3))."""

import ctypes
import os
import sys
import threading
import time

GIVE_BACK_S = 60.0
_M_ARENA_MAX, _M_MMAP_THRESHOLD = -8, -3
_LARGE_BYTES = 8 * 1024
"""With 32 KiB the holes that media leaves in the heap grew to 2 MB, with 8 KiB they stay below 0.6 MB; it takes no more time."""


PYTHON_MALLOC = "PYTHONMALLOC"
"""Read by Python at its start (docs of CPython, "Command line and environment")."""


def leave_pymalloc() -> None:
    """Begin this process anew under libc's allocator alone, unless it is so already; call before anything else is done.

    Python's own allocator keeps small objects in arenas of a megabyte, each of which goes back to the system only when nothing is left in
    it: with media passing through, the arenas grew by 2 MiB an hour where libc's heap stayed as it was (and took less time).
    """
    if os.environ.get(PYTHON_MALLOC) != "malloc":
        os.environ[PYTHON_MALLOC] = "malloc"
        os.execv(sys.executable, sys.orig_argv)  # noqa: S606 - the same command, by the same interpreter


def keep_large_out() -> None:
    """Nothing large in the heap.

    Media that queues up while the machine is busy would push the heap's end out to where one small thing allocated meanwhile keeps it;
    blocks of their own go back to the system when they are freed.
    """
    ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)


def share_heap() -> None:
    """One heap for all threads, and what is free in it goes back to the system.

    What one thread allocates another one frees here, media on its way to two disks or to the core; with a heap for each thread, glibc's
    default, the holes that this leaves are never filled.
    """
    libc = ctypes.CDLL(None)
    libc.mallopt(_M_ARENA_MAX, 1)
    threading.Thread(target=_give_back, args=(libc,), name="heap", daemon=True).start()


def _give_back(libc: ctypes.CDLL) -> None:
    """Once a minute, give the system the pages that are free in the middle of the heap (malloc_trim(3)); glibc itself gives its end alone.

    It takes a millisecond or two, in which this process can allocate nothing.
    """
    while True:
        time.sleep(GIVE_BACK_S)
        libc.malloc_trim(0)
