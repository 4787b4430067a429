-- Providers that registered themselves. Few, and changed as a whole: each change says which revision it was made from.
CREATE TABLE registrations (
    provider TEXT NOT NULL PRIMARY KEY,
    revision INTEGER NOT NULL CHECK (revision >= 1),
    body     TEXT NOT NULL                         -- JSON of Registration
) STRICT, WITHOUT ROWID;
