-- Actions that are performed at set times. Few, and changed as a whole: each change says which revision it was made from.
-- Their jobs are of the kind `fire_schedule`, with the schedule's id where others have a run's.
CREATE TABLE schedules (
    id       uuid   NOT NULL PRIMARY KEY,
    name     text   COLLATE "C" NOT NULL UNIQUE,     -- listed byte for byte
    revision bigint NOT NULL CHECK (revision >= 1),
    body     text   NOT NULL                         -- JSON of Schedule
);
