"""What the centre knows of uploads: one SQLite file. Synchronous; ``Uploads`` calls it from one thread.

An *object* is one file of a record as the storage holds it; offers of the same record share those whose hashes are the same, that of the
file and those of its parts. So an offer that is made again because an order or a receipt came sends nothing but that, and the offer of a
failing disk, whose parts are not what the file's hash promises, stands in no other's way.

An acknowledgement that does not hold any more is *withdrawn*. Nobody is given it again, but no sweep takes the upload that had it: the room
may have deleted the record by it, and what the storage still has may be all that there is.

An object that no upload has any more becomes a *removal*: what is to be removed from the storage. No offer finds it again, and none is
given its key, so that however late it is removed, nothing goes that a room was told to be there.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import msgspec

from agent.upstream.centre.database import DatabaseError
from agent.upstream.centre.storage import Target
from agent.upstream.centre.upload_tables import STEPS, SWEEP
from agent.upstream.transfer import PART_BYTES, PartDone, RecordFile, UploadOffer, UploadState
from recorder.record.acknowledgement import Acknowledgement

State = Literal["open", "superseded", "verifying", "acknowledged", "refused"]
"""Superseded: the room sends another offer of the record in its place. It may offer this one again; until then it is told of none."""
REFUSED_US = 3_600_000_000
"""A refused record is verified again when it is offered after this time: the authority that was missing may be there."""


class FullError(Exception):
    """A room has as much on its way as it may; the message says what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Most:
    """How much a room may have on its way at once: other records, offers of one record, bytes that no acknowledged record has."""

    records: int
    offers: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """An upload's head."""

    upload: str
    room: str
    record: str
    name: str
    hearing: str
    sums_sha256: str
    bytes: int
    files: int
    state: State


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of an upload: where it lies, and what it must be."""

    path: str
    sha256: str
    target: Target
    stored: bool
    parts: tuple[tuple[str, str], ...]
    """The tag and the SHA-256 of each part."""


@dataclass(frozen=True, slots=True)
class MissingPart:
    """A part that the storage has not yet."""

    path: str
    number: int
    sha256: str
    target: Target


class UploadStore:
    """The tables.

    Raises:
        DatabaseError: the file was written by a newer program.
    """

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        (taken,) = self._db.execute("PRAGMA user_version").fetchone()
        if taken > len(STEPS):
            raise DatabaseError(f"{path} was written by a newer program (step {taken}, this one knows {len(STEPS)}): install that one")
        for number, step in enumerate(STEPS[taken:], taken + 1):
            with self._transaction():
                for statement in step.split(";\n"):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version = {number}")
        # Only now: a step may put a table in the place of one that others refer to.
        self._db.execute("PRAGMA foreign_keys = ON")

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def offer(self, upload: str, room: str, offer: UploadOffer, utc_us: int, most: Most) -> None:
        """Store an offer, in the place of others of this record that are open; a record refused long ago is verified again.

        Raises:
            FullError: there is more on its way than may be; nothing is changed.
        """
        with self._transaction():
            others = "SELECT count(DISTINCT record) FROM uploads WHERE room = ? AND record != ? AND state IN ('open', 'verifying')"
            if self._db.execute(others, (room, offer.record)).fetchone()[0] >= most.records:
                raise FullError(f"{most.records} other records of this room are on their way: finish those that were offered before")
            self._db.execute(
                "UPDATE uploads SET state = 'superseded', utc_us = ? WHERE (room, record) = (?, ?) AND upload != ? AND state = 'open'",
                (utc_us, room, offer.record, upload),
            )
            if self._db.execute("SELECT 1 FROM uploads WHERE upload = ?", (upload,)).fetchone() is not None:
                again = (
                    "UPDATE uploads SET state = 'open', utc_us = ? WHERE upload = ? "
                    "AND (state IN ('open', 'superseded') OR state = 'refused' AND utc_us <= ?)"
                )
                self._db.execute(again, (utc_us, upload, utc_us - REFUSED_US))
                return
            offers = "SELECT count(*) FROM uploads WHERE (room, record) = (?, ?) AND state != 'acknowledged'"
            if self._db.execute(offers, (room, offer.record)).fetchone()[0] >= most.offers:
                raise FullError(
                    f"this record was offered {most.offers} times, each time otherwise, and none is acknowledged: wait some days"
                )
            size = sum(file.len for file in offer.files)
            place = self._place(f"{quote(room, safe='')}/{offer.name}/{upload}")
            self._db.execute(
                "INSERT INTO uploads (upload, room, record, name, hearing, sums_sha256, bytes, files, state, utc_us) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'open', ?)",
                (upload, room, offer.record, offer.name, offer.hearing, offer.sums_sha256, size, len(offer.files), utc_us),
            )
            for file in offer.files:
                known = self._object(room, offer.record, file)
                if known is None:
                    key = f"{place}/{file.path}"
                    statement = "INSERT INTO objects (room, record, path, sha256, len, key) VALUES (?, ?, ?, ?, ?, ?) RETURNING object"
                    (known,) = self._db.execute(statement, (room, offer.record, file.path, file.sha256, file.len, key)).fetchone()
                    parts = [(known, number, sha256) for number, sha256 in enumerate(file.parts, 1)]
                    self._db.executemany("INSERT INTO parts (object, number, sha256) VALUES (?, ?, ?)", parts)
                self._db.execute("INSERT INTO upload_files VALUES (?, ?, ?)", (upload, file.path, known))
            if self._unacknowledged_bytes(room) > most.bytes:
                raise FullError(f"records of this room that are not acknowledged would have more than {most.bytes} bytes")

    def _unacknowledged_bytes(self, room: str) -> int:
        row = self._db.execute(
            "SELECT coalesce(sum(len), 0) FROM objects WHERE object IN "
            "(SELECT object FROM upload_files JOIN uploads USING (upload) WHERE room = ? AND state != 'acknowledged') AND NOT EXISTS "
            "(SELECT 1 FROM upload_files JOIN uploads USING (upload) "
            "WHERE upload_files.object = objects.object AND state = 'acknowledged')",
            (room,),
        ).fetchone()
        return int(row[0])

    def _place(self, place: str) -> str:
        """Where an upload's own objects lie: a place of its own as long as something of an earlier one is to be removed there."""
        newest = "SELECT max(removal) FROM removals WHERE substr(key, 1, ?) = ?"
        (removal,) = self._db.execute(newest, (len(place), place)).fetchone()
        return place if removal is None else f"{place}-{removal}"

    def _object(self, room: str, record: str, file: RecordFile) -> int | None:
        """The object that this very file is already."""
        same = "SELECT object FROM objects WHERE (room, record, path, sha256) = (?, ?, ?, ?)"
        for (number,) in self._db.execute(same, (room, record, file.path, file.sha256)).fetchall():
            parts = self._db.execute("SELECT sha256 FROM parts WHERE object = ? ORDER BY number", (number,)).fetchall()
            if [sha256 for (sha256,) in parts] == file.parts:
                return int(number)
        return None

    def upload(self, upload: str, room: str | None) -> Upload | None:
        """An upload of this room; None of all rooms."""
        row = self._db.execute(
            "SELECT upload, room, record, name, sums_sha256, bytes, files, state, hearing FROM uploads "
            "WHERE upload = ? AND room = coalesce(?, room)",
            (upload, room),
        ).fetchone()
        if row is None:
            return None
        return Upload(
            upload=row[0], room=row[1], record=row[2], name=row[3], sums_sha256=row[4], bytes=row[5], files=row[6], state=row[7],
            hearing=row[8],
        )  # fmt: skip

    def answer(self, upload: str) -> UploadState:
        """An upload as the room is told."""
        # Whoever asks just when it is superseded hears so by the next answer.
        told = "SELECT iif(state = 'superseded', 'open', state), detail FROM uploads WHERE upload = ?"
        state, detail = self._db.execute(told, (upload,)).fetchone()
        (missing,) = self._db.execute(
            "SELECT count(*) FROM upload_files JOIN parts USING (object) WHERE upload = ? AND etag IS NULL", (upload,)
        ).fetchone()
        row = self._db.execute("SELECT ack FROM acknowledgements WHERE upload = ?", (upload,)).fetchone()
        ack = msgspec.json.decode(row[0], type=Acknowledgement) if row is not None and row[0] else None
        return UploadState(upload=upload, state=state, missing_parts=missing, detail=detail[:2000], acknowledgement=ack)

    def missing(self, upload: str, wanted: Sequence[tuple[str, int]]) -> list[MissingPart] | None:
        """Those of the wanted parts that are missing; None where one is of no file of this upload."""
        found = []
        for path, number in wanted:
            row = self._db.execute(
                "SELECT parts.sha256, etag, key, coalesce(handle, ''), len FROM upload_files JOIN objects USING (object) "
                "JOIN parts USING (object) WHERE upload = ? AND upload_files.path = ? AND number = ?",
                (upload, path, number),
            ).fetchone()
            if row is None:
                return None
            if row[1] is None:
                found.append(MissingPart(path, number, row[0], Target(row[2], row[3], row[4])))
        return found

    def touch(self, upload: str, utc_us: int) -> None:
        """The room goes on with an open upload."""
        self._db.execute("UPDATE uploads SET utc_us = ? WHERE upload = ? AND state = 'open'", (utc_us, upload))

    def set_handle(self, key: str, handle: str) -> str:
        """The storage's handle of an object; the first that was set stands."""
        with self._transaction():
            self._db.execute("UPDATE objects SET handle = coalesce(handle, ?) WHERE key = ?", (handle, key))
            (stands,) = self._db.execute("SELECT handle FROM objects WHERE key = ?", (key,)).fetchone()
        return str(stands)

    def forget_handle(self, key: str, handle: str) -> None:
        """The storage gave up what was put by this handle: all parts of the object are missing again."""
        with self._transaction():
            if self._db.execute("UPDATE objects SET handle = NULL, stored = 0 WHERE (key, handle) = (?, ?)", (key, handle)).rowcount:
                self._db.execute("UPDATE parts SET etag = NULL WHERE object = (SELECT object FROM objects WHERE key = ?)", (key,))

    def note(self, upload: str, done: Sequence[PartDone]) -> None:
        """These parts are in the storage; the last of an open upload makes it ``verifying``."""
        with self._transaction():
            for part in done:
                self._db.execute(
                    "UPDATE parts SET etag = coalesce(etag, ?) WHERE number = ? AND object = "
                    "(SELECT object FROM upload_files WHERE upload = ? AND path = ?)",
                    (part.etag, part.number, upload, part.path),
                )
            self._begin_verifying(upload)

    def begin_verifying(self, upload: str) -> None:
        """An open upload that misses nothing is verified: all its files came by other offers."""
        with self._transaction():
            self._begin_verifying(upload)

    def doubt(self, upload: str, stands: Callable[[Acknowledgement], bool]) -> None:
        """An acknowledgement that does not stand holds no more: the record is verified again.

        Whoever signed it may have been revoked, or the clock was wrong: rooms would refuse the same acknowledgement for ever.
        """
        with self._transaction():
            given = "SELECT ack FROM uploads JOIN acknowledgements USING (upload) WHERE upload = ? AND state = 'acknowledged'"
            row = self._db.execute(given, (upload,)).fetchone()
            if row is None or stands(msgspec.json.decode(row[0], type=Acknowledgement)):
                return
            self._withdraw(upload)
            self._db.execute("UPDATE uploads SET state = 'verifying', detail = '' WHERE upload = ?", (upload,))

    def _begin_verifying(self, upload: str) -> None:
        self._db.execute(
            "UPDATE uploads SET state = 'verifying', detail = '' WHERE upload = ?1 AND state = 'open' AND NOT EXISTS "
            "(SELECT 1 FROM upload_files JOIN parts USING (object) WHERE upload = ?1 AND etag IS NULL)",
            (upload,),
        )

    def verifying(self) -> list[str]:
        """The uploads whose verification has not ended."""
        return [row[0] for row in self._db.execute("SELECT upload FROM uploads WHERE state = 'verifying' ORDER BY utc_us")]

    def files(self, upload: str) -> list[StoredFile]:
        """All files of an upload."""
        found: dict[int, list[tuple[str, str]]] = {}
        parts = "SELECT object, coalesce(etag, ''), sha256 FROM upload_files JOIN parts USING (object) WHERE upload = ? ORDER BY 1, number"
        for number, tag, sha256 in self._db.execute(parts, (upload,)):
            found.setdefault(number, []).append((tag, sha256))
        rows = self._db.execute(
            "SELECT object, upload_files.path, sha256, key, coalesce(handle, ''), len, stored FROM upload_files "
            "JOIN objects USING (object) WHERE upload = ? ORDER BY upload_files.path",
            (upload,),
        )
        return [
            StoredFile(path, sha256, Target(key, handle, length), bool(stored), tuple(found[number]))
            for number, path, sha256, key, handle, length, stored in rows
        ]

    def set_stored(self, key: str) -> None:
        """All parts of an object are one file in the storage."""
        self._db.execute("UPDATE objects SET stored = 1 WHERE key = ?", (key,))

    def lose(self, upload: str, keys: Sequence[str], detail: str, utc_us: int) -> None:
        """The storage does not hold these objects: they are missing again, and the upload is open.

        No other upload that has one is acknowledged or verified any more. Its room may offer it again, and sends what is missing then.
        """
        with self._transaction():
            for other in self._held_by_others(upload, keys):
                self._withdraw(other)
                superseded = "UPDATE uploads SET state = 'superseded', detail = ?, utc_us = ? WHERE upload = ?"
                self._db.execute(superseded, (detail[:2000], utc_us, other))
            for key in keys:
                self._db.execute("UPDATE objects SET stored = 0, handle = NULL WHERE key = ?", (key,))
                self._db.execute("UPDATE parts SET etag = NULL WHERE object = (SELECT object FROM objects WHERE key = ?)", (key,))
            opened = "UPDATE uploads SET state = 'open', detail = ?, utc_us = ? WHERE upload = ?"
            self._db.execute(opened, (detail[:2000], utc_us, upload))

    def _held_by_others(self, upload: str, keys: Sequence[str]) -> set[str]:
        """The other uploads that are acknowledged, or to be, for the storage has these objects."""
        having = (
            "SELECT upload FROM objects JOIN upload_files USING (object) JOIN uploads USING (upload) "
            "WHERE key = ? AND upload != ? AND state IN ('verifying', 'acknowledged')"
        )
        return {other for key in keys for (other,) in self._db.execute(having, (key, upload))}

    def _withdraw(self, upload: str) -> None:
        """What was acknowledged of an upload holds no more; the next acknowledgement has another counter."""
        moved = "INSERT INTO withdrawn SELECT counter, upload, ack FROM acknowledgements WHERE upload = ? AND ack != x''"
        self._db.execute(moved, (upload,))
        self._db.execute("DELETE FROM acknowledgements WHERE upload = ? AND ack != x''", (upload,))

    def sweep(self, *, over_utc_us: int, open_utc_us: int) -> None:
        """Forget what was refused or superseded, or left open, before these times; what it alone has is to be removed from the storage."""
        with self._transaction():
            for statement in SWEEP:
                self._db.execute(statement, {"over": over_utc_us, "open": open_utc_us})

    def removals(self, after: int) -> list[tuple[int, Target]]:
        """What is to be removed from the storage behind this number, by its number."""
        rows = self._db.execute("SELECT removal, key, handle, len FROM removals WHERE removal > ? ORDER BY removal LIMIT 1000", (after,))
        return [(row[0], Target(*row[1:])) for row in rows]

    def removed(self, removal: int) -> None:
        """The storage does not hold it any more."""
        self._db.execute("DELETE FROM removals WHERE removal = ?", (removal,))

    def set_detail(self, upload: str, detail: str) -> None:
        """Why a verification waits."""
        self._db.execute("UPDATE uploads SET detail = ? WHERE upload = ?", (detail[:2000], upload))

    def refuse(self, upload: str, detail: str, utc_us: int) -> None:
        """The record does not verify."""
        self._db.execute("UPDATE uploads SET state = 'refused', detail = ?, utc_us = ? WHERE upload = ?", (detail[:2000], utc_us, upload))

    def next_counter(self, upload: str) -> int:
        """The number of this upload's acknowledgement; it is given once."""
        with self._transaction():
            self._db.execute("INSERT INTO acknowledgements (upload, ack) VALUES (?, x'') ON CONFLICT DO NOTHING", (upload,))
            (counter,) = self._db.execute("SELECT counter FROM acknowledgements WHERE upload = ?", (upload,)).fetchone()
        return int(counter)

    def acknowledge(self, upload: str, ack: Acknowledgement) -> bool:
        """The record is verified and acknowledged; False: it is not, for the storage does not hold all of it any more."""
        held = (
            "SELECT state = 'verifying' AND files = (SELECT count(*) FROM upload_files JOIN objects USING (object) "
            "WHERE upload = ?1 AND stored = 1) FROM uploads WHERE upload = ?1"
        )
        with self._transaction():
            if not self._db.execute(held, (upload,)).fetchone()[0]:
                return False
            self._db.execute("UPDATE acknowledgements SET ack = ? WHERE upload = ?", (msgspec.json.encode(ack), upload))
            self._db.execute("UPDATE uploads SET state = 'acknowledged', detail = '' WHERE upload = ?", (upload,))
        return True

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")


def parts_of(length: int) -> int:
    """How many parts a file of so many bytes has; an empty one has one, of no bytes."""
    return max(1, -(-length // PART_BYTES))
