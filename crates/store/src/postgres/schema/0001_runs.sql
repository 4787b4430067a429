-- What is kept of runs: themselves, what people decided, what their followers are told, the work still to do.
--
-- Columns and words are those of the SQLite store, so that a backup of one can be restored into the other. Moments are
-- microseconds since 1970-01-01 UTC. JSON stands in columns of type text: what was written is read back to the byte, and
-- `jsonb` would refuse the character U+0000.

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
CREATE TABLE runs (
    id                uuid   NOT NULL PRIMARY KEY,
    short_id          text   NOT NULL,               -- last 8 hexadecimal digits of the id
    state             text   NOT NULL CHECK (state IN (
                          'awaiting_approval', 'queued', 'running',
                          'succeeded', 'failed', 'cancelled', 'unknown',
                          'rejected', 'expired', 'voided')),
    action            text   NOT NULL,
    requested_by_kind text   NOT NULL,
    requested_by      text   NOT NULL,
    idempotency_key   text,
    created_at        bigint NOT NULL,
    started_at        bigint,
    finished_at       bigint,
    outcome           text,                          -- JSON of Outcome
    body              text   NOT NULL                -- JSON of Run as submitted; the columns above win
);

CREATE INDEX runs_by_short_id  ON runs (short_id);
CREATE INDEX runs_by_time      ON runs (created_at, id);
CREATE INDEX runs_by_state     ON runs (state, created_at, id);
CREATE INDEX runs_by_action    ON runs (action, created_at, id);
CREATE INDEX runs_by_requester ON runs (requested_by, created_at, id);
CREATE UNIQUE INDEX runs_once_per_key ON runs (requested_by_kind, requested_by, idempotency_key)
    WHERE idempotency_key IS NOT NULL;
CREATE INDEX runs_open_by_requester ON runs (requested_by_kind, requested_by)
    WHERE state IN ('awaiting_approval', 'queued', 'running');

CREATE FUNCTION refuse_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'no run moves from % to %', OLD.state, NEW.state USING ERRCODE = 'check_violation';
END
$$;

-- The last fence: no statement passes beside it.
CREATE TRIGGER runs_move BEFORE UPDATE OF state ON runs
FOR EACH ROW WHEN ((OLD.state, NEW.state) NOT IN (
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
    ('running', 'unknown')))
EXECUTE FUNCTION refuse_move();

-- One row per person: nobody counts twice, whatever the code above believes.
CREATE TABLE decisions (
    run        uuid   NOT NULL REFERENCES runs (id),
    decided_by text   NOT NULL,
    position   bigint NOT NULL,                      -- order of deciding, from 0
    body       text   NOT NULL,                      -- JSON of Decision
    PRIMARY KEY (run, decided_by),
    UNIQUE (run, position)
);

CREATE TABLE events (
    run  uuid   NOT NULL REFERENCES runs (id),
    seq  bigint NOT NULL CHECK (seq >= 1),           -- from 1 within the run, without gaps
    at   bigint NOT NULL,
    body text   NOT NULL,                            -- JSON of EventKind
    PRIMARY KEY (run, seq)
);

-- Runs that went on without their approvals, and who looked at them afterwards.
CREATE TABLE reviews (
    run       uuid   NOT NULL PRIMARY KEY REFERENCES runs (id),
    opened_at bigint NOT NULL,
    due_at    bigint NOT NULL,
    closed_at bigint,
    closed_by text,
    words     text,
    CHECK ((closed_at IS NULL) = (closed_by IS NULL) AND (closed_at IS NULL) = (words IS NULL))
);
CREATE INDEX reviews_open ON reviews (due_at, run) WHERE closed_at IS NULL;

-- No reference to runs here and below: the order of changes within a unit of work is its author's.
CREATE TABLE idempotency_keys (
    principal text   NOT NULL,                       -- kind/name
    key       text   NOT NULL,
    request   text   NOT NULL,                       -- digest of what was submitted
    run       uuid   NOT NULL,
    at        bigint NOT NULL,
    PRIMARY KEY (principal, key)
);

CREATE TABLE jobs (
    id          uuid    NOT NULL PRIMARY KEY,
    kind        text    NOT NULL,
    run         uuid    NOT NULL,
    lane        text    NOT NULL,                    -- runs, or channel/NAME
    due         bigint  NOT NULL,
    attempts    integer NOT NULL,
    lease       text,                                -- who holds it
    lease_until bigint,
    notice      text,                                -- JSON of Notice, for the kind that delivers one
    -- When it can be claimed: when it is due, or when the lease on it runs out.
    free_at     bigint  NOT NULL GENERATED ALWAYS AS (coalesce(lease_until, due)) STORED,
    CHECK ((lease IS NULL) = (lease_until IS NULL)),
    CHECK ((kind = 'deliver_notice') = (notice IS NOT NULL))
);
CREATE INDEX jobs_by_free_at ON jobs (lane, free_at, id);
CREATE INDEX jobs_by_run     ON jobs (run, kind);

-- Who was told of what, through which channel: written after the telling. `recipient` is a person's name; empty for a
-- channel that is one recipient as a whole.
CREATE TABLE deliveries (
    event     uuid    NOT NULL,
    channel   text    NOT NULL,
    recipient text    NOT NULL,
    run       uuid    NOT NULL,
    at        bigint  NOT NULL,
    given_up  integer NOT NULL CHECK (given_up IN (0, 1)),
    PRIMARY KEY (event, channel, recipient)
);
