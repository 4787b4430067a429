-- Providers that registered themselves. Few, and changed as a whole: each change says which revision it was made from.
CREATE TABLE registrations (
    provider text COLLATE "C" NOT NULL PRIMARY KEY,
    revision bigint NOT NULL CHECK (revision >= 1),
    body     text NOT NULL                         -- JSON of Registration
);
