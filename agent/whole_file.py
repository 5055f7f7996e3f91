"""Writes a small file of the agent whole, beside the old one, and then puts it in its place: what is read is one or the other.

One that cannot be read is set aside, where the agent can do its work without it.
"""

import contextlib
import os
from pathlib import Path
from typing import TypeVar

import msgspec
import structlog

log = structlog.get_logger()

Kept = TypeVar("Kept")


def read_or_set_aside(path: Path, kept: type[Kept], words: str) -> Kept | None:
    """What is kept there; None where there is no file, or it cannot be read: that is logged, and it is set aside as ``.damaged``.

    Args:
        path: where it is.
        kept: its form.
        words: what is lost where it cannot be read, for the log.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=kept)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:  # bytes that are no UTF-8 are no DecodeError
        aside = path.with_suffix(".damaged")
        log.error(words, aside=str(aside), error=str(error))
        with contextlib.suppress(OSError):
            path.replace(aside)
        return None


def write(path: Path, data: bytes) -> None:
    """Write it; durable when this returns.

    Raises:
        OSError: it cannot be written; the old one stands, or after a power cut may stand again.
    """
    fresh = path.with_suffix(".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as out:  # noqa: PTH123 - a descriptor
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    fresh.replace(path)
    _sync(path.parent)


def remove(path: Path) -> None:
    """Remove it, where it is there; it stays away when this returns.

    Raises:
        OSError: it cannot be removed, or may be there again after a power cut.
    """
    path.unlink(missing_ok=True)
    _sync(path.parent)


def _sync(path: Path) -> None:
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
