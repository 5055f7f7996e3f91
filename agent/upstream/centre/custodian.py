"""The second custodian: every receipt is appended to a file elsewhere, so that not even who holds the centre can take one back."""

import asyncio
import errno
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

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
        self._directory = directory
        self._path = directory / FILE
        self._counter: int | None = None
        self._file: _File | None = None

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
        # A disk that was unmounted or exchanged meanwhile has another file at this path, and only that says what is in it.
        if self._counter is None or await asyncio.to_thread(_file_at, self._path) != self._file:
            self._counter = await self._begin()
        while receipts := await self._ledger.after(self._counter, _MOST):
            await asyncio.to_thread(_append, self._path, receipts, self._file)
            self._file = await asyncio.to_thread(_file_at, self._path)
            self._counter = receipts[-1].counter

    async def _begin(self) -> int:
        """Find the file that goes on with the ledger, and its last counter. Another ledger's stays as it is; a new one is begun beside."""
        self._path = await asyncio.to_thread(newest_file, self._directory)
        try:
            last = await asyncio.to_thread(last_receipt, self._path)
        except StrangeLineError as error:
            before, self._path, last = self._path, await asyncio.to_thread(free_file, self._directory), None
            log.error(
                "the second custodian's file ends otherwise than we write: a new one is begun, keep both",
                before=str(before),
                error=str(error),
            )
        if last is not None:
            there = await self._ledger.after(last.counter - 1, 1)
            # Signed anew by another certificate it is the same receipt still.
            if not there or _said(there[0]) != _said(last):
                before, self._path, last = self._path, await asyncio.to_thread(free_file, self._directory), None
                log.error(
                    "the ledger is another than the second custodian has, as after a restore from a copy: a new file is begun, keep both",
                    before=str(before), file=str(self._path), counter=there[0].counter if there else None,
                )  # fmt: skip
        await asyncio.to_thread(self._path.touch)
        self._file = await asyncio.to_thread(_file_at, self._path)
        return last.counter if last is not None else 0


class StrangeLineError(Exception):
    """A whole line that no crash leaves, and that is no receipt as this program knows them: nothing before or behind it is touched."""


class _File(NamedTuple):
    device: int
    inode: int
    size_bytes: int


def _said(receipt: Receipt) -> tuple[object, ...]:
    return (receipt.counter, receipt.record, receipt.room, receipt.at, receipt.head, receipt.utc_us)


def newest_file(directory: Path) -> Path:
    """The file that was begun last: ``ledger.jsonl``, or after a restore of the centre ``ledger-2.jsonl`` and so on."""
    free = free_file(directory)
    number = int(free.stem.rpartition("-")[2]) - 1
    return directory / (FILE if number == 1 else f"ledger-{number}.jsonl")


def free_file(directory: Path) -> Path:
    """The name of the next file."""
    number = 2
    while (directory / f"ledger-{number}.jsonl").exists():
        number += 1
    return directory / f"ledger-{number}.jsonl"


def last_receipt(path: Path) -> Receipt | None:
    """The last receipt in the file. What a crash left of lines behind it is cut off: the ledger has them, and they come again.

    Raises:
        OSError: it cannot be read or written.
        StrangeLineError: somebody else wrote there.
    """
    path.parent.stat()
    with path.open("ab+") as file:
        size = file.seek(0, os.SEEK_END)
        length, found = min(size, _TAIL_BYTES), None
        while True:
            file.seek(size - length)
            tail = file.read()
            end, found = _last_in(tail)
            if found is not None or length == size:
                break
            length = min(size, 16 * length)
        if size - length + end < size:
            file.truncate(size - length + end)
            os.fsync(file.fileno())
    return found


def _last_in(tail: bytes) -> tuple[int, Receipt | None]:
    """The last whole line that is a receipt, and where it ends."""
    end = tail.rfind(b"\n") + 1
    while end:
        begin = tail.rfind(b"\n", 0, end - 1) + 1
        try:
            return end, msgspec.json.decode(tail[begin:end], type=Receipt)
        except (msgspec.DecodeError, UnicodeDecodeError):
            if _is_json(tail[begin:end]):
                raise StrangeLineError(tail[begin:end][:200].decode(errors="replace")) from None
            end = begin
    return 0, None


def _is_json(line: bytes) -> bool:
    try:
        msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True


def _file_at(path: Path) -> _File | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return _File(status.st_dev, status.st_ino, status.st_size)


def _append(path: Path, receipts: Sequence[Receipt], expected: _File | None) -> None:
    with path.open("ab") as file:
        status = os.fstat(file.fileno())
        if expected is None or (status.st_dev, status.st_ino, status.st_size) != expected:
            raise OSError(errno.ESTALE, "is another file than a moment ago", str(path))
        file.write(b"".join(msgspec.json.encode(receipt, order="sorted") + b"\n" for receipt in receipts))
        file.flush()
        os.fsync(file.fileno())
