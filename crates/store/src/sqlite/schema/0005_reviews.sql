-- Runs that went on without their approvals, and who looked at them afterwards.
CREATE TABLE reviews (
    run       TEXT    NOT NULL PRIMARY KEY REFERENCES runs (id),
    opened_at INTEGER NOT NULL,
    due_at    INTEGER NOT NULL,
    closed_at INTEGER,
    closed_by TEXT,
    words     TEXT,
    CHECK ((closed_at IS NULL) = (closed_by IS NULL) AND (closed_at IS NULL) = (words IS NULL))
) STRICT, WITHOUT ROWID;

-- Open ones are few and are looked for; those that are closed are looked for by their run.
CREATE INDEX reviews_open ON reviews (due_at, run) WHERE closed_at IS NULL;
