-- The rooms' events in the order in which they were taken. body is the CloudEvent as JSON.
CREATE TABLE event (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  room TEXT NOT NULL,
  epoch TEXT NOT NULL,
  seq INTEGER NOT NULL,
  utc_us INTEGER NOT NULL,
  body BLOB NOT NULL,
  UNIQUE (room, epoch, seq)
) STRICT;

-- The last change of each hearing; change_offset rises over all of them.
CREATE TABLE hearing (
  id TEXT PRIMARY KEY,
  change_offset INTEGER NOT NULL UNIQUE,
  body BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- The rooms that a hearing is or was in: each gets every change of it.
CREATE TABLE hearing_room (
  room TEXT NOT NULL,
  hearing TEXT NOT NULL REFERENCES hearing (id),
  PRIMARY KEY (room, hearing)
) STRICT, WITHOUT ROWID;

-- The receipts; the counter is the centre's own and has no holes.
CREATE TABLE receipt (
  counter INTEGER PRIMARY KEY,
  record TEXT NOT NULL,
  at INTEGER NOT NULL,
  head TEXT NOT NULL,
  room TEXT NOT NULL,
  body BLOB NOT NULL,
  UNIQUE (record, at)
) STRICT;

CREATE TABLE command (
  room TEXT NOT NULL,
  number INTEGER NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (room, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE room (
  id TEXT PRIMARY KEY,
  heard_utc_us INTEGER,
  heartbeat BLOB
) STRICT, WITHOUT ROWID;

-- Secrets by their SHA-256 alone.
CREATE TABLE token (
  secret_sha256 TEXT PRIMARY KEY,
  room TEXT NOT NULL,
  until_utc_us INTEGER NOT NULL,
  used_utc_us INTEGER
) STRICT, WITHOUT ROWID;

-- serial in hexadecimal: 20 bytes are more than an INTEGER holds.
CREATE TABLE certificate (
  serial TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  until_utc_us INTEGER NOT NULL,
  pem TEXT NOT NULL,
  revoked_utc_us INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE counter (
  name TEXT PRIMARY KEY,
  value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO counter VALUES ('offset', 0), ('receipt', 0), ('command', 0);
