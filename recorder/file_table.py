"""The files of a record as they stand, in little memory: a hearing of eight hours in a full room has 15,000 segments. Pure.

A segment takes a row of 41 bytes among those of its track, for segments are numbered one after the other; whatever else there is, or comes
out of turn, is kept by its name.
"""

import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import msgspec

from recorder.record import layout

_ROW = struct.Struct("<q?32s")
"""Length, whether the hash is known, and the hash."""
_NONE_BYTES = -1
"""Length in the row of a segment that was removed."""
_UNKNOWN = bytes(32)


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

    def get(self, path: str) -> Stored | None:
        """The file of this name; None where there is none."""
        row = self._row(path)
        if row is None:
            other = self.others.get(path)
            return None if other is None else Stored(*other)
        size, known, sha256 = _ROW.unpack_from(self.rows[row[0]], row[1])
        return None if size == _NONE_BYTES else Stored(size, sha256 if known else None)

    def put(self, path: str, stored: Stored) -> None:
        """A file as it stands now."""
        segment = layout.segment_of(path)
        if segment is None:
            self.others[path] = (stored.size_bytes, stored.sha256)
        else:
            self.put_segment(*segment, stored)

    def put_segment(self, track: str, number: int, stored: Stored) -> None:
        """A segment as it stands now."""
        values = stored.size_bytes, stored.sha256 is not None, stored.sha256 or _UNKNOWN
        rows, off = self.rows.setdefault(track, bytearray()), number * _ROW.size
        if off < len(rows):
            _ROW.pack_into(rows, off, *values)
        elif off == len(rows) and (not self.others or layout.segment_file(track, number) not in self.others):
            rows += _ROW.pack(*values)
        else:
            self.others[layout.segment_file(track, number)] = (stored.size_bytes, stored.sha256)

    def remove(self, path: str) -> None:
        """The file is not there any more, or was not."""
        row = self._row(path)
        if row is None:
            self.others.pop(path, None)
        else:
            _ROW.pack_into(self.rows[row[0]], row[1], _NONE_BYTES, False, _UNKNOWN)

    def items(self) -> Iterator[tuple[str, Stored]]:
        """All files; a track's segments in their order."""
        for track, rows in self.rows.items():
            for number, (size, known, sha256) in enumerate(_ROW.iter_unpack(rows)):
                if size != _NONE_BYTES:
                    yield layout.segment_file(track, number), Stored(size, sha256 if known else None)
        for path, other in self.others.items():
            yield path, Stored(*other)

    def copied(self) -> "FileTable":
        """A copy that changes here do not touch."""
        return FileTable({track: bytearray(rows) for track, rows in self.rows.items()}, dict(self.others))

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

    def _row(self, path: str) -> tuple[str, int] | None:
        """The track and offset of a segment's row, if it has one."""
        segment = layout.segment_of(path)
        if segment is None:
            return None
        track, off = segment[0], segment[1] * _ROW.size
        return (track, off) if off < len(self.rows.get(track, b"")) else None
