-- Actions that are performed at set times. Few, and changed as a whole: each change says which revision it was made from.
-- Their jobs are of the kind `fire_schedule`, with the schedule's id where others have a run's.
CREATE TABLE schedules (
    id       TEXT    NOT NULL PRIMARY KEY,
    name     TEXT    NOT NULL UNIQUE,
    revision INTEGER NOT NULL CHECK (revision >= 1),
    body     TEXT    NOT NULL                        -- JSON of Schedule
) STRICT, WITHOUT ROWID;
