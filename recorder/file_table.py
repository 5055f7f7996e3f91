"""The files of a record as they stand, in little memory: a hearing of eight hours in a full room has 15,000 segments. Pure.

A segment takes a row of 8 bytes and its hash among those of its track, for segments are numbered one after the other; whatever else there
is, or comes out of turn, is kept by its name. A table may keep shorter hashes, or lengths alone.
"""

import functools
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import msgspec

from recorder.record import layout

SHA256_BYTES = 32
_GONE = -1
"""In the row of a segment that was removed; a length whose hash is not known stands there as ``_UNKNOWN`` less the length."""
_UNKNOWN = -2


@dataclass(frozen=True, slots=True)
class Stored:
    """A file as it stands: its length, and the SHA-256 of so many bytes (None: an earlier run of the recorder began it)."""

    size_bytes: int
    sha256: bytes | None


class FileTable(msgspec.Struct, forbid_unknown_fields=True):
    """Files by their paths, relative to the record. Plain data, so that it can be stored; use it by its methods."""

    rows: dict[str, bytearray] = {}
    """By track, a row for each segment from the first on."""
    others: dict[str, tuple[int, bytes | None]] = {}
    hash_bytes: int = SHA256_BYTES
    """How long the hashes are; 0: lengths alone."""

    def get(self, path: str) -> Stored | None:
        """The file of this name; None where there is none."""
        row = self._row(path)
        if row is None:
            other = self.others.get(path)
            return None if other is None else Stored(*other)
        return _stored(*self._struct.unpack_from(self.rows[row[0]], row[1]))

    def put(self, path: str, stored: Stored) -> None:
        """A file as it stands now."""
        segment = layout.segment_of(path)
        if segment is not None:
            self.put_segment(*segment, stored)
            return
        self._judge(stored)
        self.others[path] = (stored.size_bytes, stored.sha256)

    def put_segment(self, track: str, number: int, stored: Stored) -> None:
        """A segment as it stands now."""
        self._judge(stored)
        row = self._struct
        values = (_UNKNOWN - stored.size_bytes, b"") if stored.sha256 is None else (stored.size_bytes, stored.sha256)
        rows, off = self.rows.setdefault(track, bytearray()), number * row.size
        if off < len(rows):
            row.pack_into(rows, off, *values)
        elif off == len(rows) and (not self.others or layout.segment_file(track, number) not in self.others):
            rows += row.pack(*values)
        else:
            self.others[layout.segment_file(track, number)] = (stored.size_bytes, stored.sha256)

    def remove(self, path: str) -> None:
        """The file is not there any more, or was not."""
        row = self._row(path)
        if row is None:
            self.others.pop(path, None)
        else:
            self._struct.pack_into(self.rows[row[0]], row[1], _GONE, b"")

    def items(self) -> Iterator[tuple[str, Stored]]:
        """All files; a track's segments in their order."""
        for track, rows in self.rows.items():
            for number, row in enumerate(self._struct.iter_unpack(rows)):
                if (stored := _stored(*row)) is not None:
                    yield layout.segment_file(track, number), stored
        for path, other in self.others.items():
            yield path, Stored(*other)

    def copied(self) -> "FileTable":
        """A copy that changes here do not touch."""
        return FileTable({track: bytearray(rows) for track, rows in self.rows.items()}, dict(self.others), self.hash_bytes)

    def update(self, files: "Mapping[str, Stored] | FileTable") -> None:
        """Files as they stand now."""
        entries: Iterable[tuple[str, Stored]] = files.items()
        for path, stored in entries:
            self.put(path, stored)

    def __contains__(self, path: str) -> bool:
        """Whether there is a file of this name."""
        return self.get(path) is not None

    def __len__(self) -> int:
        """How many files there are."""
        return sum(1 for _ in self.items())

    def _judge(self, stored: Stored) -> None:
        """A hash is of the table's width: a shorter one would be taken for another, a longer one cut."""
        if stored.sha256 is not None and len(stored.sha256) != self.hash_bytes:
            raise ValueError(f"a hash of {len(stored.sha256)} bytes for a table of hashes of {self.hash_bytes}")

    def _row(self, path: str) -> tuple[str, int] | None:
        """The track and offset of a segment's row, if it has one."""
        segment = layout.segment_of(path)
        if segment is None:
            return None
        track, off = segment[0], segment[1] * self._struct.size
        return (track, off) if off < len(self.rows.get(track, b"")) else None

    @property
    def _struct(self) -> struct.Struct:
        return _row_struct(self.hash_bytes)


@functools.cache
def _row_struct(hash_bytes: int) -> struct.Struct:
    return struct.Struct(f"<q{hash_bytes}s")


def _stored(value: int, sha256: bytes) -> Stored | None:
    """What a row says."""
    if value == _GONE:
        return None
    return Stored(value, sha256) if value >= 0 else Stored(_UNKNOWN - value, None)
