-- What is kept of runs: themselves, what people decided, what their followers are told, the work still to do.
--
-- Moments are microseconds since 1970-01-01 UTC. Ids are UUIDs in their usual text, so that `sqlite3 guichet.db`
-- can be read by a person. JSON columns hold the words of the room `contract`.

-- How a run moves (the room `lifecycle` owns the moves; a conformance case holds the two together):
--
--   (planned)   never stored
--       │
--       ├────────► awaiting_approval ──► rejected | expired | cancelled | voided
--       │                  │
--       ▼                  ▼
--       └───────────────► queued ──────► cancelled | voided | failed
--                          │
--                          ▼
--                        running ──────► succeeded | failed | cancelled | unknown
--
-- Each UPDATE names the state it moves from, and the rows it changed are counted. The trigger is the last fence:
-- it knows every arrow, and no statement passes beside it.
CREATE TABLE runs (
    id                TEXT    NOT NULL PRIMARY KEY,
    short_id          TEXT    NOT NULL,              -- last 8 hexadecimal digits of the id
    state             TEXT    NOT NULL CHECK (state IN (
                          'awaiting_approval', 'queued', 'running',
                          'succeeded', 'failed', 'cancelled', 'unknown',
                          'rejected', 'expired', 'voided')),
    action            TEXT    NOT NULL,
    requested_by_kind TEXT    NOT NULL,
    requested_by      TEXT    NOT NULL,
    idempotency_key   TEXT,
    created_at        INTEGER NOT NULL,
    started_at        INTEGER,
    finished_at       INTEGER,
    outcome           TEXT,                          -- JSON of Outcome
    body              TEXT    NOT NULL               -- JSON of Run as submitted; the columns above win
) STRICT;

CREATE INDEX runs_by_short_id  ON runs (short_id);
CREATE INDEX runs_by_time      ON runs (created_at, id);
CREATE INDEX runs_by_state     ON runs (state, created_at, id);
CREATE INDEX runs_by_action    ON runs (action, created_at, id);
CREATE INDEX runs_by_requester ON runs (requested_by, created_at, id);
CREATE UNIQUE INDEX runs_once_per_key ON runs (requested_by_kind, requested_by, idempotency_key)
    WHERE idempotency_key IS NOT NULL;

CREATE TRIGGER runs_move BEFORE UPDATE OF state ON runs
WHEN (OLD.state, NEW.state) NOT IN (VALUES
    ('awaiting_approval', 'queued'),
    ('awaiting_approval', 'rejected'),
    ('awaiting_approval', 'expired'),
    ('awaiting_approval', 'cancelled'),
    ('awaiting_approval', 'voided'),
    ('queued', 'running'),
    ('queued', 'cancelled'),
    ('queued', 'voided'),
    ('queued', 'failed'),
    ('running', 'succeeded'),
    ('running', 'failed'),
    ('running', 'cancelled'),
    ('running', 'unknown'))
BEGIN
    SELECT RAISE(ABORT, 'no run moves so');
END;

-- One row per person: nobody counts twice, whatever the code above believes.
CREATE TABLE decisions (
    run        TEXT    NOT NULL REFERENCES runs (id),
    decided_by TEXT    NOT NULL,
    position   INTEGER NOT NULL,                     -- order of deciding, from 0
    body       TEXT    NOT NULL,                     -- JSON of Decision
    PRIMARY KEY (run, decided_by),
    UNIQUE (run, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
    run  TEXT    NOT NULL REFERENCES runs (id),
    seq  INTEGER NOT NULL CHECK (seq >= 1),          -- from 1 within the run, without gaps
    at   INTEGER NOT NULL,
    body TEXT    NOT NULL,                           -- JSON of EventKind
    PRIMARY KEY (run, seq)
) STRICT, WITHOUT ROWID;

-- No reference to runs here and below: the order of changes within a unit of work is its author's.
CREATE TABLE idempotency_keys (
    principal TEXT    NOT NULL,                      -- kind/name
    key       TEXT    NOT NULL,
    request   TEXT    NOT NULL,                      -- digest of what was submitted
    run       TEXT    NOT NULL,
    at        INTEGER NOT NULL,
    PRIMARY KEY (principal, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE jobs (
    id          TEXT    NOT NULL PRIMARY KEY,
    kind        TEXT    NOT NULL CHECK (kind IN ('execute_run', 'expire_run')),
    run         TEXT    NOT NULL,
    due         INTEGER NOT NULL,
    attempts    INTEGER NOT NULL,
    lease       TEXT,                                -- who holds it
    lease_until INTEGER,
    -- When it can be claimed: when it is due, or when the lease on it runs out.
    free_at     INTEGER NOT NULL GENERATED ALWAYS AS (coalesce(lease_until, due)) VIRTUAL,
    CHECK ((lease IS NULL) = (lease_until IS NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX jobs_by_free_at ON jobs (free_at, id);
CREATE INDEX jobs_by_run     ON jobs (run, kind);
