"""A disk that takes nothing, as SQLite shows it: what is read only is read, what is written fails and leaves the file as it was."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from agent.store_file import transaction


@contextmanager
def full_disk() -> Iterator[None]:
    """As long as this lasts no file of an agent's takes anything."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("agent.store.transaction", _takes_nothing)
        yield


@contextmanager
def _takes_nothing(db: sqlite3.Connection) -> Iterator[None]:
    before = db.total_changes
    with transaction(db):
        yield
        if db.total_changes > before:
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error
