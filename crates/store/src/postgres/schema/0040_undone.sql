-- Which run another one undoes: looked up with every run that is read, so that it is undone once.
--
-- A column of its own, written with the run: a generated one would read the JSON again at every move. `jsonb` refuses the
-- character U+0000, which may stand in an input.
ALTER TABLE runs ADD COLUMN undoes uuid;
UPDATE runs SET undoes = (replace(body, '\u0000', '\ufffd')::jsonb ->> 'undoes')::uuid
    WHERE body LIKE '%"undoes":"%';
CREATE INDEX runs_by_undone ON runs (undoes) WHERE undoes IS NOT NULL;
