"""What a child gives up before it listens to strangers (prctl(2), seccomp(2), setrlimit(2); Linux on x86-64 and arm64)."""

import ctypes
import os
import platform
import resource
import signal
import struct

_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 22, 4, 38
_FILTER_MODE = 2
_LOAD, _JUMP_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _KILL = 0x7FFF0000, 0x80000000
_ERRNO_EPERM = 0x00050001
_MACHINES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
_IOCTL, _FIONBIO = (16, 29), 0x5421
"""Of ``ioctl`` only "do not block" is left: others, and ``fcntl``, have the kernel send a signal to any process of the same user."""
_CALLS: dict[str, tuple[int | None, int | None]] = {
    "read": (0, 63), "write": (1, 64), "readv": (19, 65), "writev": (20, 66), "close": (3, 57), "fstat": (5, 80), "lseek": (8, 62),
    "newfstatat": (262, 79), "poll": (7, None), "ppoll": (271, 73), "epoll_wait": (232, None),
    "epoll_pwait": (281, 22), "epoll_ctl": (233, 21), "accept4": (288, 242), "recvfrom": (45, 207), "recvmsg": (47, 212),
    "sendto": (44, 206), "sendmsg": (46, 211), "shutdown": (48, 210), "getsockopt": (55, 209), "setsockopt": (54, 208),
    "getsockname": (51, 204), "getpeername": (52, 205), "mmap": (9, 222), "munmap": (11, 215), "mremap": (25, 216),
    "mprotect": (10, 226), "madvise": (28, 233), "brk": (12, 214), "futex": (202, 98), "clock_gettime": (228, 113),
    "clock_nanosleep": (230, 115), "nanosleep": (35, 101), "getrandom": (318, 278), "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139), "sigaltstack": (131, 132), "sched_yield": (24, 124), "getpid": (39, 172),
    "gettid": (186, 178), "restart_syscall": (219, 128), "exit": (60, 93), "exit_group": (231, 94),
}  # fmt: skip
"""What an open socket, memory and the clock need; no file can be opened, no socket made, no process started or signalled."""


def die_with_parent() -> None:
    """End when the parent ends, whatever happens to it.

    Raises:
        OSError: the kernel refuses.

    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def drop_powers(memory_bytes: int, files: int) -> str:
    """Give up for good what a parser of strangers' bytes does not need. Call it when all files and sockets are open.

    Args:
        memory_bytes: the most address space the process may have.
        files: the most open descriptors.

    Returns:
        What holds now, for the log.

    Raises:
        OSError: the kernel refuses.

    """
    for limit, most in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_NOFILE, files),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (most, most))
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _prctl(_PR_SET_DUMPABLE, 0)
    machine = _MACHINES.get(platform.machine())
    if machine is None:
        return f"limits, no new privileges; no seccomp filter for {platform.machine()}"
    _install(_program(*machine))
    return f"limits, no new privileges, {len(_CALLS)} system calls"


def _program(audit_arch: int, column: int) -> bytes:
    """A filter in classic BPF: the machine must be right, the call in the list; all else fails with EPERM."""
    numbers = [calls[column] for calls in _CALLS.values() if calls[column] is not None]
    steps = [(_LOAD, 0, 0, 4), (_JUMP_EQUAL, 1, 0, audit_arch), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, 0)]
    steps += [(_JUMP_EQUAL, 0, 4, _IOCTL[column]), (_LOAD, 0, 0, 24), (_JUMP_EQUAL, 0, 1, _FIONBIO)]
    steps += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _ERRNO_EPERM)]
    steps += [(_JUMP_EQUAL, len(numbers) - index, 0, number or 0) for index, number in enumerate(numbers)]
    steps += [(_RETURN, 0, 0, _ERRNO_EPERM), (_RETURN, 0, 0, _ALLOW)]
    return b"".join(struct.pack("<HBBI", *step) for step in steps)


def _install(program: bytes) -> None:
    instructions = ctypes.create_string_buffer(program, len(program))
    address = ctypes.addressof(instructions)
    header = ctypes.create_string_buffer(struct.pack("<H6xQ", len(program) // 8, address), 16)
    _prctl(_PR_SET_SECCOMP, _FILTER_MODE, ctypes.addressof(header))


def _prctl(option: int, *arguments: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    padded = [ctypes.c_ulong(argument) for argument in (*arguments, 0, 0, 0, 0)][:4]
    if libc.prctl(ctypes.c_int(option), *padded) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"prctl {option}: {os.strerror(code)}")
