"""Directories that belong to somebody else, also for root, whom no mode keeps out."""

import errno
import os
from pathlib import Path

import pytest


def forbid(monkeypatch: pytest.MonkeyPatch, *directories: Path) -> None:
    """Whether something is in these directories cannot be told from now on; they themselves are listed."""
    allowed = Path.stat

    def stat(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        if not set(directories).isdisjoint(path.parents):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return allowed(path, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(Path, "stat", stat)
