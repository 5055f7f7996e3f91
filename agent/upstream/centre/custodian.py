"""The second custodian: every receipt is appended to a file elsewhere, so that not even who holds the centre can take one back."""

import asyncio
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import msgspec
import structlog

from agent.upstream.centre.backend import AwayError, Ledger
from recorder.record.checkpoint import Receipt

log = structlog.get_logger()

FILE = "ledger.jsonl"
PERIOD_S = 1.0
LONGEST_RETRY_S = 60.0
_MOST = 1_000
_TAIL_BYTES = 64 * 1024


class Custodian:
    """Copies the ledger into a directory; what is there already is found by its last line."""

    def __init__(self, ledger: Ledger, directory: Path) -> None:
        self._ledger = ledger
        self._path = directory / FILE
        self._counter: int | None = None

    async def run(self) -> None:
        """Copy for ever; a disk that is away, here or the keeper's, is waited for."""
        wait_s, is_away = PERIOD_S, False
        self._counter = None  # begun anew, it believes the file alone
        while True:
            try:
                await self.copy()
                wait_s, is_away = PERIOD_S, False
            except (OSError, AwayError, sqlite3.Error) as error:
                if not is_away:
                    log.error("the second custodian does not get the ledger", file=str(self._path), error=str(error))
                wait_s, is_away = min(LONGEST_RETRY_S, 2 * wait_s), True
                self._counter = None
            await asyncio.sleep(wait_s)

    async def copy(self) -> None:
        """Append all receipts that are not there yet.

        Raises:
            OSError: the disk takes nothing, or is not there.
            sqlite3.Error: the keeper's file cannot be read for the moment.
            AwayError: nor can the keeper's servers.
        """
        if self._counter is None:
            self._counter = await asyncio.to_thread(last_counter, self._path)
        while receipts := await self._ledger.after(self._counter, _MOST):
            await asyncio.to_thread(_append, self._path, receipts)
            self._counter = receipts[-1].counter


def last_counter(path: Path) -> int:
    """The counter of the last whole line; 0 where there is none. What a crash left of a line is ended.

    Raises:
        OSError: it cannot be read or written.
    """
    path.parent.stat()
    with path.open("ab+") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL_BYTES))
        tail = file.read()
        if tail and not tail.endswith(b"\n"):
            file.write(b"\n")
        for line in reversed(tail.split(b"\n")):
            try:
                return msgspec.json.decode(line, type=Receipt).counter
            except msgspec.DecodeError:
                continue
    return 0


def _append(path: Path, receipts: Sequence[Receipt]) -> None:
    with path.open("ab") as file:
        file.write(b"".join(msgspec.json.encode(receipt, order="sorted") + b"\n" for receipt in receipts))
        file.flush()
        os.fsync(file.fileno())
