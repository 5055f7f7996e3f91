"""Writes a small file of the agent whole, beside the old one, and then puts it in its place: what is read is one or the other."""

import os
from pathlib import Path


def write(path: Path, data: bytes) -> None:
    """Write it; durable when this returns.

    Raises:
        OSError: it cannot be written; the old one stands.
    """
    fresh = path.with_suffix(".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as out:  # noqa: PTH123 - a descriptor
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    fresh.replace(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
