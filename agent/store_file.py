"""Opening and setting aside the agent's SQLite file, and the reserve beside it.

The file is held exclusively by one connection (so the WAL-reset bug of SQLite 3.7.0 to 3.51.2, which needs two, cannot occur:
https://www.sqlite.org/wal.html#walresetbug), is readable by its owner alone, and is known by its inode: a copy that somebody put back
has numbers that were given before, and must begin a new epoch.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import structlog

from agent.store_schema import STEPS

log = structlog.get_logger()

RESERVE_BYTES = 8 * 1024 * 1024
"""Size of the file that is given up so that class A can still be written when the disk is full."""

LOG_PAGES = 256
"""The write-ahead log is brought into the file at 1 MiB, a fraction of the reserve."""


class StoreError(Exception):
    """Another agent holds the file."""


class DamagedError(Exception):
    """What lies there is not a file of this agent."""


def connect(path: Path) -> sqlite3.Connection:
    """Open the file, or begin it.

    Raises:
        StoreError: another agent holds it.
        sqlite3.OperationalError: it cannot be opened (its disk, its directory).
        DamagedError: it is damaged, or a later version wrote it.
    """
    with contextlib.suppress(OSError):
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        path.chmod(0o600)
    db = sqlite3.connect(path, isolation_level=None, timeout=1.0)
    try:
        prepare(db)
    except sqlite3.DatabaseError as error:
        db.close()
        if not isinstance(error, sqlite3.OperationalError):
            raise DamagedError(str(error)) from error
        if error.sqlite_errorcode & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            raise StoreError(f"another agent holds {path}; stop it first") from error
        raise
    except DamagedError:
        db.close()
        raise
    return db


def prepare(db: sqlite3.Connection) -> None:
    """Set a connection up, look whether its file is whole, and take the steps that are missing.

    Raises:
        sqlite3.DatabaseError: it cannot be read.
        DamagedError: it is damaged, or a later version wrote it.
    """
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute(f"PRAGMA wal_autocheckpoint = {LOG_PAGES}")
    (found,) = db.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise DamagedError(str(found))
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > len(STEPS):
        raise DamagedError(f"a later version of the agent wrote it (step {version}; known are {len(STEPS)})")
    for number, step in enumerate(STEPS[version:], version + 1):
        with transaction(db):
            for statement in step:
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {number}")


def connect_to_read(path: Path) -> sqlite3.Connection:
    """Open a file that can only be read, on a disk on which nothing can be made beside it.

    ``immutable`` (https://www.sqlite.org/uri.html) passes over the write-ahead log, so up to 1 MiB of what was written last is missing.

    Raises:
        sqlite3.Error: it cannot be read.
    """
    db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True, isolation_level=None)
    try:
        db.execute("SELECT count(*) FROM meta").fetchone()
    except sqlite3.Error:
        db.close()
        raise
    return db


def shorten_log(db: sqlite3.Connection) -> None:
    """Bring the write-ahead log into the file, and free its room; on a full disk as far as that goes."""
    with contextlib.suppress(sqlite3.OperationalError):
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@contextlib.contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All or nothing."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def set_aside(path: Path, utc_us: int) -> str:
    """Keep a damaged file, with its log, under another name; returns that name."""
    aside = path.with_name(f"{path.name}.damaged-{utc_us}")
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
    return aside.name


def is_full(error: sqlite3.OperationalError) -> bool:
    """Whether a full disk may be behind an error: SQLite calls it so, or an I/O error where a file beside its own could not grow."""
    return error.sqlite_errorcode & 0xFF in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}


class Reserve:
    """The file beside the agent's that holds room on the disk for class A."""

    def __init__(self, path: Path, size_bytes: int = RESERVE_BYTES) -> None:
        self._path = path.with_name(f"{path.name}.reserve")
        self._bytes = size_bytes

    @property
    def held(self) -> bool:
        """Whether it is there; without it classes B and C are not stored."""
        return os.path.exists(self._path)  # noqa: PTH110 - Path.exists raises what a broken disk answers

    def take(self) -> None:
        """Take it where the disk has room for four of it."""
        if self.held:
            return
        try:
            disk = os.statvfs(self._path.parent)
            if disk.f_bavail * disk.f_frsize < 4 * self._bytes:
                return
            file = os.open(self._path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(file, 0, self._bytes)
            finally:
                os.close(file)
        except OSError as error:
            self.give_up()
            log.warning("no room can be kept back for the agent's file", file=str(self._path), error=error.strerror or str(error))

    def give_up(self) -> None:
        """Free its room, as far as the disk lets anything go: one that became read-only does not."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
