"""One SQLite file, one connection, one thread: writes are committed in groups, so that many requests share one sync of the disk.

The connection is alone because of a defect of SQLite's WAL with two of them (https://sqlite.org/wal.html, "The WAL-Reset Bug").
"""

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

Answer = TypeVar("Answer")
Work = Callable[[sqlite3.Connection], Any]
GROUP = 500
"""How many pieces of work share a commit at most."""
_STEPS = "agent.upstream.centre.schema"


class DatabaseError(Exception):
    """The file cannot be used; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class _Job:
    work: Work
    done: "Future[Any]"


class Database:
    """The file; made and brought up to date by numbered steps (``schema/NNNN.sql``)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        opened: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(opened,), name="database", daemon=True)
        self._thread.start()
        opened.result()

    async def do(self, work: Callable[[sqlite3.Connection], Answer]) -> Answer:
        """Run ``work`` in the database's thread; answered when what it wrote is durable. What raises is undone alone.

        Raises:
            sqlite3.Error: the file failed; nothing of it is kept.
        """
        done: Future[Answer] = Future()
        self._jobs.put(_Job(work, done))
        return await asyncio.wrap_future(done)

    def do_now(self, work: Callable[[sqlite3.Connection], Answer]) -> Answer:
        """As ``do``, and nothing else is done meanwhile: before anything runs.

        Raises:
            sqlite3.Error: as ``do``.
        """
        done: Future[Answer] = Future()
        self._jobs.put(_Job(work, done))
        return done.result()

    def close(self) -> None:
        """Finish what waits, and end."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self, opened: "Future[None]") -> None:
        try:
            connection = _open(self._path)
        except (sqlite3.Error, OSError, DatabaseError) as error:
            opened.set_exception(error)
            return
        opened.set_result(None)
        ended = False
        while not ended:
            first = self._jobs.get()
            jobs = [first]
            while len(jobs) < GROUP and not self._jobs.empty():
                jobs.append(self._jobs.get_nowait())
            ended = None in jobs
            self._do_all(connection, [job for job in jobs if job is not None and job.done.set_running_or_notify_cancel()])
        connection.close()

    def _do_all(self, connection: sqlite3.Connection, jobs: Sequence[_Job]) -> None:
        finished: list[tuple[_Job, Any]] = []
        try:
            connection.execute("BEGIN IMMEDIATE")
            for job in jobs:
                connection.execute("SAVEPOINT job")
                try:
                    answer = job.work(connection)
                except Exception as error:  # whatever it is, it is the asker's alone, who is told it; the others of the group go on
                    if isinstance(error, sqlite3.Error) and not connection.in_transaction:
                        raise  # a full disk undoes the whole group (https://sqlite.org/lang_transaction.html, "Response To Errors")
                    connection.execute("ROLLBACK TO job")
                    job.done.set_exception(error)
                else:
                    finished.append((job, answer))
                connection.execute("RELEASE job")
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            for job in jobs:
                if not job.done.done():
                    job.done.set_exception(error)
            return
        for job, answer in finished:
            job.done.set_result(answer)


def is_full(error: sqlite3.Error) -> bool:
    """Whether a full disk may be behind an error: SQLite calls it so, or an I/O error where a file beside its own could not grow."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}


def why_not_kept(error: sqlite3.Error) -> str:
    """What an error of the file means for whoever asked, and what to do."""
    if is_full(error):
        return (
            f"the disk of the centre's directory is full or fails, and nothing of this is kept ({error}): make room there, then ask again"
        )
    return f"the centre's database fails, and nothing of this is kept ({error}): the centre's log has more"


def _open(path: Path) -> sqlite3.Connection:
    path.touch(mode=0o600, exist_ok=True)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    steps = sorted(step.name for step in files(_STEPS).iterdir() if step.name.endswith(".sql"))
    done = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if done > len(steps):
        raise DatabaseError(f"{path} was written by a newer program (step {done}, this one knows {len(steps)}): install that one")
    for number, step in enumerate(steps[done:], done + 1):
        script = (files(_STEPS) / step).read_text(encoding="utf-8")
        connection.executescript(f"BEGIN;\n{script}\nPRAGMA user_version={number};\nCOMMIT;")
    return connection
