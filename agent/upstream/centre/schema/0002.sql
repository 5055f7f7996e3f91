-- What the flags of rooms are computed from, to be found among all that rooms tell; the index holds nothing else.
ALTER TABLE event ADD COLUMN notable INTEGER NOT NULL DEFAULT 0;
UPDATE event SET notable = 1 WHERE json_extract(CAST(body AS TEXT), '$.data.is')
  IN ('session.started', 'session.ended', 'session.bound', 'hearing.reconciled');
CREATE INDEX event_notable ON event (utc_us, number) WHERE notable = 1;

-- Who planned a hearing: 'api', or the name of a source that is read.
ALTER TABLE hearing ADD COLUMN source TEXT NOT NULL DEFAULT 'api';
ALTER TABLE hearing ADD COLUMN starts_utc_us INTEGER NOT NULL DEFAULT 0;
ALTER TABLE hearing ADD COLUMN ends_utc_us INTEGER NOT NULL DEFAULT 0;
UPDATE hearing SET starts_utc_us = json_extract(CAST(body AS TEXT), '$.starts_utc_us'),
  ends_utc_us = json_extract(CAST(body AS TEXT), '$.ends_utc_us');
CREATE INDEX hearing_starts ON hearing (starts_utc_us);

-- The hearing's offset again, so that a room's poll reads what is new to it alone, however many hearings it had.
ALTER TABLE hearing_room ADD COLUMN change_offset INTEGER NOT NULL DEFAULT 0;
UPDATE hearing_room SET change_offset = (SELECT change_offset FROM hearing WHERE hearing.id = hearing_room.hearing);
CREATE INDEX hearing_room_offset ON hearing_room (room, change_offset);

-- Heads that contradict a receipt: that a room said otherwise of a record than before, first and last, and how often.
CREATE TABLE contradiction (
  record TEXT NOT NULL,
  room TEXT NOT NULL,
  kept_at INTEGER NOT NULL,
  kept_head TEXT NOT NULL,
  said_at INTEGER NOT NULL,
  said_head TEXT NOT NULL,
  first_utc_us INTEGER NOT NULL,
  last_utc_us INTEGER NOT NULL,
  times INTEGER NOT NULL,
  PRIMARY KEY (record, room)
) STRICT, WITHOUT ROWID;
