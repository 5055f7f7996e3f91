"""The centre's tables of uploads: which offers share what the storage has, and files that an older or a newer program wrote."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from agent.upstream.centre.database import DatabaseError
from agent.upstream.centre.upload_store import Most, UploadStore
from agent.upstream.transfer import PART_BYTES, PartDone, RecordFile, UploadOffer
from recorder.record.acknowledgement import Acknowledgement

MOST = Most(records=2, offers=3, bytes=100 * PART_BYTES)
MEDIA = "tracks/cam-judge/000001.m4s"
OLD = """
CREATE TABLE uploads (
  upload TEXT PRIMARY KEY, room TEXT NOT NULL, record TEXT NOT NULL, name TEXT NOT NULL, hearing TEXT NOT NULL, sums_sha256 TEXT NOT NULL,
  bytes INTEGER NOT NULL, files INTEGER NOT NULL, state TEXT NOT NULL, detail TEXT NOT NULL DEFAULT '', utc_us INTEGER NOT NULL
) STRICT;
CREATE TABLE objects (
  object INTEGER PRIMARY KEY, room TEXT NOT NULL, record TEXT NOT NULL, path TEXT NOT NULL, sha256 TEXT NOT NULL, len INTEGER NOT NULL,
  key TEXT NOT NULL UNIQUE, handle TEXT, stored INTEGER NOT NULL DEFAULT 0, UNIQUE (room, record, path, sha256)
) STRICT;
CREATE TABLE parts (
  object INTEGER NOT NULL REFERENCES objects, number INTEGER NOT NULL, sha256 TEXT NOT NULL, etag TEXT, PRIMARY KEY (object, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE upload_files (
  upload TEXT NOT NULL REFERENCES uploads, path TEXT NOT NULL, object INTEGER NOT NULL REFERENCES objects, PRIMARY KEY (upload, path)
) STRICT, WITHOUT ROWID;
CREATE TABLE acknowledgements (counter INTEGER PRIMARY KEY AUTOINCREMENT, upload TEXT NOT NULL UNIQUE, ack BLOB NOT NULL) STRICT;
INSERT INTO uploads VALUES ('u1', 'room-1', 'record', 'name', 'hearing', 'sums', 16777216, 1, 'open', '', 1);
INSERT INTO objects VALUES (7, 'room-1', 'record', 'tracks/cam-judge/000001.m4s', 'whole', 16777216, 'k', 'h', 0);
INSERT INTO parts VALUES (7, 1, 'a', 'etag'), (7, 2, 'b', NULL);
INSERT INTO upload_files VALUES ('u1', 'tracks/cam-judge/000001.m4s', 7);
PRAGMA user_version = 1;
"""


def offer(*parts: str, whole: str = "whole") -> UploadOffer:
    """Of one large file."""
    file = RecordFile(path=MEDIA, len=len(parts) * PART_BYTES, sha256=whole, parts=list(parts))
    return UploadOffer(record="record", name="name", hearing="hearing", sums_sha256="sums", files=[file])


def missing(store: UploadStore, upload: str) -> list[int]:
    found = store.missing(upload, [(MEDIA, 1), (MEDIA, 2)])
    assert found is not None
    return [part.number for part in found]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[UploadStore]:
    made = UploadStore(tmp_path / "uploads.sqlite")
    yield made
    made.close()


def both_there(store: UploadStore, upload: str) -> None:
    store.note(upload, [PartDone(path=MEDIA, number=number, etag="etag") for number in (1, 2)])


def test_the_same_file_in_another_offer_is_not_sent_again(store: UploadStore) -> None:
    store.offer("u1", "room-1", offer("a", "b"), 1, MOST)
    both_there(store, "u1")
    store.offer("u2", "room-1", msgspec.structs.replace(offer("a", "b"), hearing="another"), 2, MOST)
    assert missing(store, "u2") == []
    assert store.files("u2")[0].target.key == store.files("u1")[0].target.key


def test_a_failing_disks_offer_stands_in_no_good_ones_way(store: UploadStore) -> None:
    """Both promise the whole file that the seal lists; the first one's second part is another."""
    store.offer("u1", "room-1", offer("a", "damaged"), 1, MOST)
    both_there(store, "u1")
    store.offer("u2", "room-1", offer("a", "b"), 2, MOST)
    assert missing(store, "u2") == [1, 2]
    both_there(store, "u2")
    damaged, good = store.files("u1")[0], store.files("u2")[0]
    assert [part for _, part in good.parts] == ["a", "b"]
    assert [part for _, part in damaged.parts] == ["a", "damaged"]
    assert damaged.target.key != good.target.key


@pytest.mark.parametrize("acknowledged", [True, False])
def test_no_upload_goes_on_being_acknowledged_or_verified_whose_files_the_storage_lost(store: UploadStore, *, acknowledged: bool) -> None:
    for number, hearing in enumerate(("hearing", "another"), 1):
        store.offer(f"u{number}", "room-1", msgspec.structs.replace(offer("a", "b"), hearing=hearing), number, MOST)
        both_there(store, f"u{number}")
        store.begin_verifying(f"u{number}")
    (file,) = store.files("u1")
    store.set_stored(file.target.key)
    if acknowledged:
        ack = Acknowledgement(
            record="record", room="room-1", sums_sha256="0" * 64, files_sha256="0" * 64, bytes=1, files=1, verdict="sealed",
            counter=store.next_counter("u1"), utc_us=1, by="Centre", sig="", certificate="",
        )  # fmt: skip
        assert store.acknowledge("u1", ack)
        assert store.answer("u1").acknowledgement == ack
    store.lose("u2", [file.target.key], "lost", 3)
    for upload in ("u1", "u2"):
        answer = store.answer(upload)
        assert (answer.state, answer.missing_parts, answer.acknowledgement) == ("open", 2, None)
    assert store.verifying() == []
    store.offer("u1", "room-1", offer("a", "b"), 4, MOST)
    both_there(store, "u1")
    assert store.verifying() == ["u1"]


def test_what_an_older_centre_stored_is_kept_and_goes_on(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "uploads.sqlite") as db:
        db.executescript(OLD)
    db.close()
    store = UploadStore(tmp_path / "uploads.sqlite")
    assert missing(store, "u1") == [2]
    both_there(store, "u1")
    assert store.verifying() == ["u1"]
    store.offer("u2", "room-1", offer("a", "damaged"), 2, MOST)
    assert missing(store, "u2") == [1, 2]
    with pytest.raises(sqlite3.IntegrityError):
        store._db.execute("INSERT INTO upload_files VALUES ('u2', 'other', 99)")
    store.close()
    UploadStore(tmp_path / "uploads.sqlite").close()


def test_what_an_older_centre_left_open_is_superseded_by_what_came_later(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "uploads.sqlite") as db:
        db.executescript(OLD)
        for upload, record, state, utc_us in (("u2", "record", "acknowledged", 2), ("u3", "another", "open", 3)):
            values = (upload, "room-1", record, "name", "hearing", "sums", 1, 1, state, "", utc_us)
            db.execute("INSERT INTO uploads VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
    db.close()
    store = UploadStore(tmp_path / "uploads.sqlite")
    states = {upload: head.state for upload in ("u1", "u2", "u3") if (head := store.upload(upload, None)) is not None}
    assert states == {"u1": "superseded", "u2": "acknowledged", "u3": "open"}
    store.close()


def test_a_newer_centres_file_is_not_touched(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "uploads.sqlite") as db:
        db.executescript(f"{OLD} PRAGMA user_version = 99;")
    db.close()
    with pytest.raises(DatabaseError, match="newer program"):
        UploadStore(tmp_path / "uploads.sqlite")
