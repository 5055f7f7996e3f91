"""Where a record lies while it is verified: a directory of its own, mostly on the centre's own disk, which is not to be filled."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path, PurePosixPath

from agent.archive.amount import amount
from agent.upstream.centre.disk_room import Room, is_short, reserve_bytes, room_of
from agent.upstream.centre.storage import NoRoomError
from recorder.record import layout


class Workroom:
    """One record at a time. What is there before it came is what a kill left.

    Args:
        base: the directory; it is made.
        room: what its disk has.
    """

    def __init__(self, base: Path, room: Callable[[Path], Room] = room_of) -> None:
        self.base = base
        self._room = room

    async def clear(self) -> None:
        """Remove what a kill left.

        Raises:
            OSError: it cannot be removed, or the directory not be made.
        """
        await asyncio.to_thread(self._clear)

    @asynccontextmanager
    async def record(self, name: str, files: Iterable[str], taken_bytes: int) -> AsyncIterator[Path]:
        """A directory for a record of this name, with those that its files need; it is gone behind this.

        ``taken_bytes`` are what the files will take of this disk.

        Raises:
            NoRoomError: they would take what is left to the centre itself.
            OSError: the disk failed.
        """
        root = self.base / name
        await self.clear()
        await asyncio.to_thread(self._find_room, taken_bytes)
        try:
            await asyncio.to_thread(_make_directories, root, files)
            yield root
        finally:
            await asyncio.to_thread(shutil.rmtree, root, ignore_errors=True)

    def _clear(self) -> None:
        self.base.mkdir(parents=True, exist_ok=True)
        for left in self.base.iterdir():
            if layout.may_be_record(left.name) and left.is_dir() and not left.is_symlink():  # what else somebody laid there stays
                shutil.rmtree(left)

    def _find_room(self, taken_bytes: int) -> None:
        room = self._room(self.base)
        if taken_bytes and is_short(room, taken_bytes):
            # Without what is free now: it changes at each try, and the same words are told once.
            raise NoRoomError(
                f"{self.base} needs {amount(taken_bytes)} for this record, with {amount(reserve_bytes(room))} left to the centre itself: "
                "make room on its disk"
            )


def _make_directories(root: Path, files: Iterable[str]) -> None:
    for directory in {root, *(root / PurePosixPath(path).parent for path in files)}:
        directory.mkdir(parents=True, exist_ok=True)
