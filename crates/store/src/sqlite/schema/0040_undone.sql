-- Which run another one undoes: looked up with every run that is read, so that it is undone once.
ALTER TABLE runs ADD COLUMN undoes TEXT GENERATED ALWAYS AS (body ->> '$.undoes') VIRTUAL;
CREATE INDEX runs_by_undone ON runs (undoes) WHERE undoes IS NOT NULL;
