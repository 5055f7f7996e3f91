"""Directories of a carried disk, opened name by name: whoever prepared the disk leads no read and no write out of it by a link."""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


@contextlib.contextmanager
def directory(top: Path, path: str = "", *, make: bool = False) -> Iterator[int]:
    """A descriptor of the directory ``path`` below ``top``. What ``top`` names a person said, and it may be a link; nothing below may.

    Raises:
        OSError: a link, or what is no directory, stands in the path; or it is not there, and is not to be made.
    """
    descriptor = os.open(top, _DIRECTORY)
    try:
        for part in PurePosixPath(path).parts:
            if make:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, 0o750, dir_fd=descriptor)
            inner = _inner(descriptor, part, top / path)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


def open_regular_in(top: Path, path: str) -> int:
    """A descriptor for reading a regular file below ``top``; no part of its path is a link, and a pipe is not waited for.

    Raises:
        OSError: it cannot be opened, or is something else.
    """
    place = PurePosixPath(path)
    with directory(top, str(place.parent)) as at:
        descriptor = os.open(place.name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=at)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "is no regular file", str(top / path))
    return descriptor


def refuse_links(top: Path, path: str) -> None:
    """Refuse a directory below ``top`` that holds anything but directories and regular files. One that is not there holds nothing.

    Raises:
        OSError: it holds such a thing, is one, or cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise error

    try:
        with directory(top, path) as at:
            for where, names, leaves, descriptor in os.fwalk(".", dir_fd=at, onerror=refuse):
                for name in (*names, *leaves):
                    mode = os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode
                    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
                        raise OSError(errno.ELOOP, f"{top / path / where / name} is a link or a device, and no record holds one")
    except FileNotFoundError:
        return


def sync_all(top: Path, path: str) -> None:
    """Make the names in a directory below ``top`` durable, and in those in it.

    Raises:
        OSError: it cannot be done.
    """
    with directory(top, path) as at:
        for _, _, _, descriptor in os.fwalk(".", dir_fd=at):
            os.fsync(descriptor)


def _inner(descriptor: int, name: str, place: Path) -> int:
    try:
        return os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=descriptor)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENOTDIR}:
            raise OSError(errno.ENOTDIR, f"'{name}' in {place} is a link or a file where a directory belongs") from error
        raise
