-- What a job calls when it is performed: the claims of one that is full pass over all its jobs at once, however many wait.
-- Empty for a job that calls nobody.
ALTER TABLE jobs ADD COLUMN bulkhead TEXT NOT NULL DEFAULT '';

-- A run's action is PROVIDER.OPERATION.
UPDATE jobs SET bulkhead = coalesce(
    (SELECT substr(action, 1, instr(action, '.') - 1) FROM runs WHERE runs.id = jobs.run), '')
WHERE kind = 'execute_run';

DROP INDEX jobs_by_free_at;
CREATE INDEX jobs_by_free_at ON jobs (lane, bulkhead, free_at, id);
