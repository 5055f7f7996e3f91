"""Power cuts by model: what a disk may hold afterwards, given what was written and synced before.

A file holds what was synced. Of what was written since, each file by itself holds all, the beginning, nothing, zeros, anything, or some of
its pages and zeros for the others. A file whose name was not synced may be gone. A file whose sync failed is one that was not synced.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from unittest import mock

from recorder.disk import Write
from tests.recorder import committing
from tests.recorder.committing import FaultyDisk

PAGE_BYTES = 512
"""A disk's sector; pages of the file system are whole numbers of them."""


@dataclass
class Log:
    """What was asked of the disks, in order: writes, and paths of syncs that went well."""

    operations: list[Write | str] = field(default_factory=list)


@contextmanager
def logged() -> Iterator[Log]:
    """Disks that are made meanwhile write down what is asked of them."""
    log = Log()

    class LoggedDisk(FaultyDisk):
        def write(self, write: Write) -> None:
            try:
                super().write(write)
            except OSError:
                log.operations.append(self.taken(write))
                raise
            log.operations.append(write)

        def sync(self, paths: Iterable[str]) -> None:
            for path in sorted(paths):
                super().sync([path])
                log.operations.append(path)

    with mock.patch.object(committing, "FaultyDisk", LoggedDisk):
        yield log


@dataclass
class Stored:
    """A file: what is certain, whether its name is, and what it would hold if all went well."""

    synced: bytes = b""
    named: bool = False
    full: bytes = b""


def stored(before: dict[str, bytes], log: Log, operations: int) -> dict[str, Stored]:
    """The files after so many operations, the next of which may be under way."""
    files = {path: Stored(data, named=True, full=data) for path, data in before.items()}
    for number, operation in enumerate(log.operations[: operations + 1]):
        if isinstance(operation, Write):
            file = files.setdefault(operation.path, Stored())
            gap = bytes(max(0, operation.off - len(file.full)))
            file.full = (file.full + gap)[: operation.off] + operation.data + file.full[operation.off + len(operation.data) :]
        elif number < operations:
            file = files[operation]
            file.synced, file.named = file.full, True
    return files


class Files(dict[str, bytes]):
    """Files by path, shown by their lengths."""

    def __repr__(self) -> str:
        return ", ".join(f"{path} {len(data)}" for path, data in self.items())


def fates(files: dict[str, Stored], chance: Random) -> Files:
    """What the disk holds after the cut."""
    after = Files()
    for path, file in sorted(files.items()):
        if not file.named and chance.random() < 0.5:
            continue
        data = file.full
        if file.full != file.synced:
            kind = chance.choice(["whole", "cut", "zeros", "garbage", "hole", "pages"])
            kept = chance.randint(len(file.synced), len(file.full))
            rest = len(file.full) - kept
            # Garbage has line ends, too, but no whole entries: of such a cut no disk could tell.
            ends = {"whole": file.full[kept:], "cut": b"", "zeros": bytes(rest), "garbage": (b'\xff"\n{\x00}' * rest)[:rest]}
            if kind == "hole":  # the later pages were written, the earlier were not
                ends["hole"] = bytes(rest // 2) + file.full[kept + rest // 2 :]
            ends["pages"] = _some_pages(file.full, kept, chance)[kept:]
            data = file.full[:kept] + ends[kind]
        after[path] = data
    return after


def _some_pages(data: bytes, kept: int, chance: Random) -> bytes:
    """Behind what was kept, each page was written or was not."""
    pages = bytearray(data)
    for begin in range(kept // PAGE_BYTES * PAGE_BYTES, len(data), PAGE_BYTES):
        if chance.random() < 0.5:
            end = min(begin + PAGE_BYTES, len(data))
            pages[max(begin, kept) : end] = bytes(end - max(begin, kept))
    return bytes(pages)


def lay(root: Path, files: dict[str, bytes]) -> None:
    """Make a record's directory of these files."""
    root.mkdir(parents=True)
    for path, data in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
