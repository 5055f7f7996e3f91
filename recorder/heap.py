"""How a process that runs for days keeps its memory (mallopt(3), malloc_trim(3))."""

import ctypes
import threading
import time

GIVE_BACK_S = 60.0
_M_ARENA_MAX, _M_MMAP_THRESHOLD = -8, -3
_LARGE_BYTES = 32 * 1024


def keep_small() -> None:
    """One heap for all threads, and nothing large in it.

    What one thread allocates another one frees here, media on its way to two disks; with a heap for each thread, glibc's default, the holes
    that this leaves are never filled. And media that queues up while the machine is busy would push the heap's end out to where one small
    thing allocated meanwhile keeps it; blocks of their own go back to the system when they are freed.
    """
    libc = ctypes.CDLL(None)
    libc.mallopt(_M_ARENA_MAX, 1)
    libc.mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
    threading.Thread(target=_give_back, args=(libc,), name="heap", daemon=True).start()


def _give_back(libc: ctypes.CDLL) -> None:
    """Once a minute, give the system the pages that are free in the middle of the heap (malloc_trim(3)); glibc itself gives its end alone.

    It takes a millisecond or two, in which this process can allocate nothing.
    """
    while True:
        time.sleep(GIVE_BACK_S)
        libc.malloc_trim(0)
