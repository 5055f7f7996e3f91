"""The tables of the agent's one file, as numbered steps: ``PRAGMA user_version`` counts those taken. A step is never edited."""

STEPS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
        "CREATE TABLE changes (id TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID",
        "CREATE TABLE hearings (id TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID",
        "CREATE TABLE sessions (id TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID",
        (
            "CREATE TABLE commands (number INTEGER PRIMARY KEY, command BLOB NOT NULL, "
            "state TEXT NOT NULL CHECK (state IN ('new', 'begun', 'done'))) STRICT"
        ),
        (
            "CREATE TABLE outbox (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, class TEXT NOT NULL, type TEXT NOT NULL, "
            "utc_us INTEGER NOT NULL, mono_us INTEGER NOT NULL, boot TEXT NOT NULL, clock BLOB NOT NULL, data BLOB NOT NULL, "
            "state TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'taken', 'quarantined')), taken_utc_us INTEGER) STRICT"
        ),
        "CREATE INDEX outbox_waiting ON outbox (seq) WHERE state = 'waiting'",
    ),
    # Under which epoch an event was numbered; NULL: under the file's.
    ("ALTER TABLE outbox ADD COLUMN epoch TEXT",),
    # Why an event was set aside.
    ("ALTER TABLE outbox ADD COLUMN reason TEXT NOT NULL DEFAULT ''",),
)
