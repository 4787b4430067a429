-- The audit trail and its seal, and what a writer leaves so that it can tell what became of a commit.

-- `body` is the exact text that is hashed into the Merkle log.
CREATE TABLE records (
    log_index bigint PRIMARY KEY CHECK (log_index >= 0),  -- dense from 0
    at        bigint NOT NULL,
    body      text   NOT NULL
);

-- The index of the next record. Whoever appends holds this row until the commit: indexes are given in the order of the
-- commits, without holes, whichever replica appends.
CREATE TABLE ledger_head (
    one        integer PRIMARY KEY CHECK (one = 1),
    next_index bigint  NOT NULL CHECK (next_index >= 0)
);
INSERT INTO ledger_head (one, next_index) VALUES (1, 0);

CREATE TABLE checkpoints (
    size bigint PRIMARY KEY CHECK (size >= 0),
    note text   NOT NULL,                            -- the signed note
    at   bigint NOT NULL
);

-- Tiles of hashes (C2SP tlog-tiles): 1 to 256 hashes of 32 bytes.
CREATE TABLE tiles (
    level  smallint NOT NULL CHECK (level BETWEEN 0 AND 63),
    place  bigint   NOT NULL CHECK (place >= 0),
    hashes bytea    NOT NULL CHECK (length(hashes) BETWEEN 32 AND 8192 AND length(hashes) % 32 = 0),
    PRIMARY KEY (level, place)
);

-- What records are found by, filled in the background: whoever appends pays for the row alone. It holds nothing that the
-- records do not.
CREATE TABLE found_by (
    log_index bigint PRIMARY KEY,
    principal text,
    action    text,
    resource  text COLLATE "C",
    owner     text,
    run       uuid,
    trace     text,
    verb      text NOT NULL,
    verdict   text NOT NULL,
    words     tsvector                               -- none when there are too many: then the record itself is read
);
CREATE INDEX found_by_principal ON found_by (principal) WHERE principal IS NOT NULL;
CREATE INDEX found_by_action    ON found_by (action) WHERE action IS NOT NULL;
CREATE INDEX found_by_resource  ON found_by (resource) WHERE resource IS NOT NULL;
CREATE INDEX found_by_owner     ON found_by (owner) WHERE owner IS NOT NULL;
CREATE INDEX found_by_run       ON found_by (run) WHERE run IS NOT NULL;
CREATE INDEX found_by_trace     ON found_by (trace) WHERE trace IS NOT NULL;
CREATE INDEX found_by_verb      ON found_by (verb);
CREATE INDEX found_by_verdict   ON found_by (verdict);
CREATE INDEX found_by_words     ON found_by USING gin (words);
CREATE INDEX found_by_too_many_words ON found_by (log_index) WHERE words IS NULL;

-- From when to when the records of a span of 4,096 are; and how many records, from the first one, are indexed.
CREATE TABLE found_in (
    span     bigint PRIMARY KEY,
    earliest bigint NOT NULL,
    latest   bigint NOT NULL
);
CREATE TABLE found_until (
    one     integer PRIMARY KEY CHECK (one = 1),
    records bigint  NOT NULL
);
INSERT INTO found_until (one, records) VALUES (1, 0);

-- One row for each transaction of a writer, for an hour: when the connection breaks during a commit, the row tells
-- whether the transaction became true.
CREATE TABLE commits (
    id uuid        PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX commits_by_time ON commits (at);
