-- Of jobs with the same key one goes at a time, in the order of their places. A place is given at enqueuing, from a sequence
-- that all replicas share: their clocks differ, and ids with them. A job without a key has place 0.
ALTER TABLE jobs ADD COLUMN key text, ADD COLUMN place bigint NOT NULL DEFAULT 0;
CREATE SEQUENCE job_places;

CREATE INDEX jobs_by_key ON jobs (key, place) WHERE key IS NOT NULL;
-- The last fence: two replicas that look at the same instant never give out two of one key.
CREATE UNIQUE INDEX jobs_begun_by_key ON jobs (key) WHERE key IS NOT NULL AND attempts > 0;
