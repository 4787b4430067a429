-- Runs that take long: until when one only waits, who asked that it be stopped; and what became of a run of which
-- nobody could say it, once its provider was asked.
ALTER TABLE runs ADD COLUMN waits_until INTEGER;
ALTER TABLE runs ADD COLUMN cancel_asked TEXT;          -- JSON of CancelAsked

DROP TRIGGER runs_move;
CREATE TRIGGER runs_move BEFORE UPDATE OF state ON runs
WHEN (OLD.state, NEW.state) NOT IN (VALUES
    ('awaiting_approval', 'queued'),
    ('awaiting_approval', 'rejected'),
    ('awaiting_approval', 'expired'),
    ('awaiting_approval', 'cancelled'),
    ('awaiting_approval', 'voided'),
    ('queued', 'running'),
    ('queued', 'cancelled'),
    ('queued', 'voided'),
    ('queued', 'failed'),
    ('running', 'succeeded'),
    ('running', 'failed'),
    ('running', 'cancelled'),
    ('running', 'unknown'),
    ('unknown', 'succeeded'),
    ('unknown', 'failed'),
    ('unknown', 'cancelled'))
BEGIN
    SELECT RAISE(ABORT, 'no run moves so');
END;
