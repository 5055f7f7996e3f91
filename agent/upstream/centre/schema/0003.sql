-- When each name was revoked last: a certificate of it that is not known here (it was issued after the copy from which this file was
-- restored) is denied by that time.
CREATE TABLE revocation (
  name TEXT PRIMARY KEY,
  utc_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO revocation SELECT name, max(revoked_utc_us) FROM certificate WHERE revoked_utc_us IS NOT NULL GROUP BY name;
