-- The audit trail and its seal.
--
-- `body` is the exact text that is hashed into the Merkle log; the other columns repeat what is filtered by.
-- Every index is paid for at every record of the hot path: those below grow at their right edge, or are partial.
CREATE TABLE records (
    log_index INTEGER PRIMARY KEY CHECK (log_index >= 0),  -- dense from 0, given by the writer
    at        INTEGER NOT NULL,
    principal TEXT,
    action    TEXT,
    run       TEXT,
    verb      TEXT    NOT NULL,
    verdict   TEXT    NOT NULL,
    body      TEXT    NOT NULL
) STRICT;

CREATE INDEX records_by_time      ON records (at);
CREATE INDEX records_by_principal ON records (principal) WHERE principal IS NOT NULL;
CREATE INDEX records_by_action    ON records (action) WHERE action IS NOT NULL;
CREATE INDEX records_by_run       ON records (run) WHERE run IS NOT NULL;
CREATE INDEX records_not_allowed  ON records (verdict) WHERE verdict <> 'allowed';

CREATE TABLE checkpoints (
    size INTEGER PRIMARY KEY CHECK (size >= 0),
    note TEXT    NOT NULL,                           -- the signed note
    at   INTEGER NOT NULL
) STRICT;

-- Tiles of hashes (C2SP tlog-tiles): 1 to 256 hashes of 32 bytes. With a rowid, because a row may be 8 KiB.
CREATE TABLE tiles (
    level  INTEGER NOT NULL CHECK (level BETWEEN 0 AND 63),
    place  INTEGER NOT NULL CHECK (place >= 0),
    hashes BLOB    NOT NULL CHECK (length(hashes) BETWEEN 32 AND 8192 AND length(hashes) % 32 = 0),
    PRIMARY KEY (level, place)
) STRICT;

-- One row that is rewritten to learn whether the store takes writes.
CREATE TABLE probe (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    writes INTEGER NOT NULL,
    filler BLOB
) STRICT;
INSERT INTO probe (one, writes) VALUES (1, 0);
