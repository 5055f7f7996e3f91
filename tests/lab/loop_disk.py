"""Disks that fail on order: ext4 file systems on loop devices. Needs root.

A power cut is FS_IOC_SHUTDOWN (Linux, ``fs/ext4/ioctl.c``) with ``NOLOGFLUSH``: from that moment nothing reaches the device, and what was
not synced is gone after ``remount``, as after a pulled plug. A stall is FIFREEZE: writers block in the kernel until FITHAW. A pulled disk
is a shutdown too: every access fails with EIO until it is put back.
"""

import contextlib
import fcntl
import os
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FS_IOC_SHUTDOWN = 0x8004587D
"""_IOR('X', 125, __u32)."""
NO_LOG_FLUSH = 2
FIFREEZE = 0xC0045877
FITHAW = 0xC0045878
MIB = 1 << 20


def usable() -> bool:
    """Whether this process may mount loop devices."""
    return os.geteuid() == 0 and Path("/dev/loop-control").exists()


class LoopDisk:
    """One mounted disk; ``path`` is its root directory."""

    def __init__(self, directory: Path, size_mib: int) -> None:
        self.path = directory / "disk"
        self._image = directory / "disk.img"
        self._frozen = False
        self.path.mkdir()
        with self._image.open("wb") as file:
            file.truncate(size_mib * MIB)
        # No blocks kept back for root: a full disk shall be full for the recorder too, whoever it runs as.
        _run("mkfs.ext4", "-q", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0", str(self._image))
        self._mount()

    def cut_power(self) -> None:
        """From now on nothing reaches the disk, and every access fails. ``remount`` shows what survived."""
        self._ioctl(FS_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))

    def remount(self) -> None:
        """Put the disk back: unmount what is left, replay ext4's journal, mount. Refused while a process holds a file of it open."""
        _run("umount", str(self.path))
        self._mount()

    def stall(self) -> None:
        """Block every write until ``go_on``."""
        self._ioctl(FIFREEZE, struct.pack("i", 0))
        self._frozen = True

    def go_on(self) -> None:
        """End ``stall``."""
        self._ioctl(FITHAW, struct.pack("i", 0))
        self._frozen = False

    def fill(self, leave_bytes: int = 0) -> Path:
        """Fill the disk with one file but for about ``leave_bytes``; delete the file to make room."""
        ballast = self.path / "fill"
        free = os.statvfs(self.path)
        length = free.f_bavail * free.f_frsize - leave_bytes
        with ballast.open("wb", buffering=0) as file:
            while length > 0:
                try:
                    os.posix_fallocate(file.fileno(), 0, length)
                    break
                except OSError:
                    length -= MIB  # others write meanwhile
            if leave_bytes == 0:
                file.seek(0, os.SEEK_END)
                with contextlib.suppress(OSError):
                    while file.write(bytes(4096)):
                        pass
        return ballast

    def close(self) -> None:
        """Unmount and forget the disk."""
        if self._frozen:
            self.go_on()
        # Lazily: a process under test that still holds a file open must not keep the lab from cleaning up.
        if self.path.is_mount():
            _run("umount", "--lazy", str(self.path))

    def _mount(self) -> None:
        _run("mount", "-o", "loop", str(self._image), str(self.path))

    def _ioctl(self, request: int, argument: bytes) -> None:
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(descriptor, request, argument)
        finally:
            os.close(descriptor)


@contextmanager
def loop_disk(size_mib: int = 64) -> Iterator[LoopDisk]:
    """A disk of its own size that is unmounted and gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="loop-disk-") as directory:
        disk = LoopDisk(Path(directory), size_mib)
        try:
            yield disk
        finally:
            disk.close()


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")
