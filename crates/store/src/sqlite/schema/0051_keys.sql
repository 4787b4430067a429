-- Of jobs with the same key one goes at a time, in the order of their places. A place is given at enqueuing, after all
-- that are there: the clock may be set back, and ids with it.
ALTER TABLE jobs ADD COLUMN key TEXT;
ALTER TABLE jobs ADD COLUMN place INTEGER NOT NULL DEFAULT 0;

CREATE INDEX jobs_by_key ON jobs (key, place) WHERE key IS NOT NULL;
-- At most one of each key: the one that was given out.
CREATE INDEX jobs_begun_by_key ON jobs (key) WHERE key IS NOT NULL AND attempts > 0;
