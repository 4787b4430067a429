-- What people are to be told is durable work like any other, on lanes of its own, one for each channel: a mail
-- server that hangs must keep neither a run nor another channel waiting. The list of kinds leaves the schema: whoever reads a job knows the words, and a table cannot be
-- told new ones without being copied.
CREATE TABLE jobs_with_lanes (
    id          TEXT    NOT NULL PRIMARY KEY,
    kind        TEXT    NOT NULL,
    run         TEXT    NOT NULL,
    due         INTEGER NOT NULL,
    attempts    INTEGER NOT NULL,
    lease       TEXT,                                -- who holds it
    lease_until INTEGER,
    notice      TEXT,                                -- JSON of Notice, for the kind that delivers one
    lane        TEXT    NOT NULL GENERATED ALWAYS AS (
                    iif(kind = 'deliver_notice', 'channel/' || (notice ->> 'channel'), 'runs')) VIRTUAL,
    -- When it can be claimed: when it is due, or when the lease on it runs out.
    free_at     INTEGER NOT NULL GENERATED ALWAYS AS (coalesce(lease_until, due)) VIRTUAL,
    CHECK ((lease IS NULL) = (lease_until IS NULL)),
    CHECK ((kind = 'deliver_notice') = (notice IS NOT NULL))
) STRICT, WITHOUT ROWID;

INSERT INTO jobs_with_lanes (id, kind, run, due, attempts, lease, lease_until)
    SELECT id, kind, run, due, attempts, lease, lease_until FROM jobs;
DROP TABLE jobs;
ALTER TABLE jobs_with_lanes RENAME TO jobs;

CREATE INDEX jobs_by_free_at ON jobs (lane, free_at, id);
CREATE INDEX jobs_by_run     ON jobs (run, kind);

-- Who was told of what, through which channel: written after the telling, so that nobody is told twice of what is
-- written here. `recipient` is a person's name; empty for a channel that is one recipient as a whole.
CREATE TABLE deliveries (
    event     TEXT    NOT NULL,                      -- id of what happened, the same for all channels
    channel   TEXT    NOT NULL,
    recipient TEXT    NOT NULL,
    run       TEXT    NOT NULL,
    at        INTEGER NOT NULL,
    given_up  INTEGER NOT NULL CHECK (given_up IN (0, 1)),
    PRIMARY KEY (event, channel, recipient)
) STRICT, WITHOUT ROWID;
