"""The tables of uploads, as the steps by which each version of the program changed them, and what a sweep does to them."""

STEPS = (
    """
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
""",
    """
CREATE TABLE new_objects (
  object INTEGER PRIMARY KEY, room TEXT NOT NULL, record TEXT NOT NULL, path TEXT NOT NULL, sha256 TEXT NOT NULL, len INTEGER NOT NULL,
  key TEXT NOT NULL UNIQUE, handle TEXT, stored INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO new_objects SELECT object, room, record, path, sha256, len, key, handle, stored FROM objects;
DROP TABLE objects;
ALTER TABLE new_objects RENAME TO objects;
CREATE INDEX objects_by_hash ON objects (room, record, path, sha256);
""",
    """
CREATE TABLE removals (removal INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, handle TEXT NOT NULL, len INTEGER NOT NULL) STRICT;
CREATE INDEX upload_files_by_object ON upload_files (object);
""",
    """
CREATE INDEX uploads_by_record ON uploads (room, record);
UPDATE uploads SET state = 'superseded' WHERE state = 'open' AND EXISTS
(SELECT 1 FROM uploads AS newer WHERE (newer.room, newer.record) = (uploads.room, uploads.record) AND newer.utc_us > uploads.utc_us);
""",
    """
CREATE TABLE withdrawn (counter INTEGER PRIMARY KEY, upload TEXT NOT NULL REFERENCES uploads, ack BLOB NOT NULL) STRICT;
CREATE INDEX withdrawn_by_upload ON withdrawn (upload);
""",
)
"""``PRAGMA user_version`` counts those taken. A step is never edited."""
SWEEP = (
    """
    DELETE FROM upload_files WHERE upload NOT IN (SELECT upload FROM withdrawn) AND upload IN (SELECT upload FROM uploads
    WHERE state IN ('refused', 'superseded') AND utc_us < :over OR state = 'open' AND utc_us < :open)
    """,
    """
    DELETE FROM uploads WHERE upload NOT IN (SELECT upload FROM withdrawn)
    AND (state IN ('refused', 'superseded') AND utc_us < :over OR state = 'open' AND utc_us < :open)
    """,
    """
    INSERT INTO removals (key, handle, len) SELECT key, coalesce(handle, ''), len FROM objects
    WHERE (handle IS NOT NULL OR stored = 1) AND NOT EXISTS (SELECT 1 FROM upload_files WHERE upload_files.object = objects.object)
    """,
    "DELETE FROM parts WHERE NOT EXISTS (SELECT 1 FROM upload_files WHERE upload_files.object = parts.object)",
    "DELETE FROM objects WHERE NOT EXISTS (SELECT 1 FROM upload_files WHERE upload_files.object = objects.object)",
)
"""What was refused or superseded before ``over``, or left open before ``open``, goes; what it alone has becomes removals."""
