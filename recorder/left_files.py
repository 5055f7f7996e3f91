"""What a crash left in a record's files: the open segments' tails by hash, and all bytes that no line of the journal speaks of.

A recorder that was killed may leave bytes in the system's memory alone, where the next power cut takes them. So each file of which
something is said is made durable before it is read (``settle``): what a recovery names must be there afterwards.
"""

import errno
import hashlib
import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from recorder.disk import sync_directory
from recorder.file_table import Stored
from recorder.journal_state import JournalState, LeftTrack
from recorder.record import layout
from recorder.record.entries import ByteRange
from recorder.record.file_check import open_plain, open_regular

log = structlog.get_logger()

_READ_BYTES = 1024 * 1024
_EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
_media = re.compile(rf"{layout.TRACKS}/({layout.ID_PATTERN})/(?:init-(\d+)\.mp4|seg-(\d+)\.m4s)")
_key = re.compile(rf"{layout.KEYS}/({layout.ID_PATTERN})-(\d+)\.cms")


@dataclass(slots=True)
class LeftFiles:
    """What was found; the open segments' running hashes are over all that is there."""

    torn: list[ByteRange] = field(default_factory=list)
    damaged: list[ByteRange] = field(default_factory=list)
    hashes: dict[str, Any] = field(default_factory=dict)
    """By track."""


def look_at_files(record: Path, state: JournalState) -> LeftFiles:
    """Compare the files with what the journal says; nothing is changed on the disk, but what is read is durable there.

    ``state`` is brought to what is there: the length of every file, and numbers behind those of files that no line speaks of, so that none
    is ever written to again.

    Raises:
        OSError: the disk failed, or a link stands for a directory.
    """
    found = LeftFiles()
    open_ones = [track for track in state.tracks.values() if track.segment is not None]
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # hashing lets other threads run
        for _ in pool.map(lambda track: _look_at_open(record, state, track, found), open_ones):
            pass
    passed_over = {layout.DEVICE_CHAIN, layout.MANIFEST} | layout.UNHASHED
    folders: list[str] = []
    for path, is_regular in sorted(_files(record, folders)):
        _pass_over_number(state, path)
        if not is_regular or path in state.files or path in passed_over or not _can_be_named(path):
            continue
        settle(record / path)
        loose = byte_range(record, path, 0, (record / path).stat().st_size)
        found.torn.append(loose)
        state.files.put(path, Stored(loose.len, None))
    for folder in folders:
        _settle_names(record / folder)
    found.torn.sort(key=lambda torn: (torn.file, torn.off))
    found.damaged.sort(key=lambda lost: (lost.file, lost.off))
    return found


def settle(path: Path) -> None:
    """Make durable what a file holds, and have it read from the disk, not from memory.

    A disk that refuses is no reason to leave the record: memory forgets then what the disk did not take, and the rest is read.
    """
    try:
        descriptor = open_regular(path)
    except OSError:
        return  # whoever reads it says so
    try:
        os.fdatasync(descriptor)
    except OSError as error:
        log.error("what a crash left could not be made durable", file=str(path), error=str(error))
    finally:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def _settle_names(directory: Path) -> None:
    try:
        sync_directory(directory)
    except OSError as error:
        log.error("names that a crash left could not be made durable", directory=str(directory), error=str(error))


def _can_be_named(path: str) -> bool:
    """Whether the recovery names a file that no line speaks of; of all others the verifier says what they are."""
    other = layout.is_half_written(path) or path.startswith(f"{layout.ORDERS}/") or layout.journal_number(path) is not None
    return not other and layout.can_be_listed(path)


def byte_range(record: Path, file: str, off: int, size: int) -> ByteRange:
    """These bytes of a file as they are."""
    digest = hashlib.sha256()
    _feed(record / file, off, size, digest.update)
    return ByteRange(file=file, off=off, len=size, sha256=digest.hexdigest())


def _look_at_open(record: Path, state: JournalState, track: LeftTrack, found: LeftFiles) -> None:
    """Check the fragments since the last checkpoint, and hash the whole segment, for it is closed as it is."""
    assert track.segment is not None
    path = layout.segment_file(track.name, track.segment)
    whole = found.hashes[track.name] = hashlib.sha256()
    settle(record / path)
    try:
        size = (record / path).stat().st_size
    except FileNotFoundError:
        # Its name was durable before its lines: somebody or something removed it.
        found.damaged.append(ByteRange(file=path, off=0, len=track.off, sha256=_EMPTY_SHA256))
        state.files.remove(path)
        track.off = 0
        return
    for frag in track.frags:
        there = byte_range(record, path, frag.off, min(frag.len, max(0, size - frag.off)))
        if there.sha256 != frag.sha256:
            found.damaged.append(there)
    if size > track.off:
        found.torn.append(byte_range(record, path, track.off, size - track.off))
    _feed(record / path, 0, size, whole.update)
    track.off = size
    state.files.put(path, Stored(size, None))


def _pass_over_number(state: JournalState, path: str) -> None:
    media, key = _media.fullmatch(path), _key.fullmatch(path)
    if media is not None and media[3] is not None:
        track = state.track(media[1])
        track.next_seg = max(track.next_seg, int(media[3]) + 1)
    elif media is not None or key is not None:
        name, number = (media[1], media[2]) if media is not None else (key[1], key[2])  # type: ignore[index]
        track = state.track(name)
        track.next_part = max(track.next_part, int(number) + 1)


def _files(record: Path, walked: list[str]) -> Iterator[tuple[str, bool]]:
    """Paths of what a record holds, relative to it, and whether each is a regular file; its directories are put in ``walked``.

    Further attributes are not asked for, for there may be tens of thousands.
    """
    folders = [""]
    while folders:
        folder = folders.pop()
        walked.append(folder)
        with os.scandir(record / folder) as there:
            for entry in there:
                path = f"{folder}{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    folders.append(path + "/")
                elif entry.is_dir():  # by it what is recorded from now on would be written elsewhere
                    raise OSError(errno.ELOOP, "a link stands there for a directory", str(record / path))
                else:
                    yield path, entry.is_file(follow_symlinks=False)


def _feed(path: Path, off: int, size: int, update: Callable[[bytes], None]) -> None:
    with open_plain(path) as file:
        file.seek(off)
        while size and (data := file.read(min(_READ_BYTES, size))):
            update(data)
            size -= len(data)
