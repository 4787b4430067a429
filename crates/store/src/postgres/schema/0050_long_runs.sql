-- Runs that take long: until when one only waits, who asked that it be stopped; and what became of a run of which
-- nobody could say it, once its provider was asked.
ALTER TABLE runs ADD COLUMN waits_until bigint, ADD COLUMN cancel_asked text;   -- JSON of CancelAsked

DROP TRIGGER runs_move ON runs;
CREATE TRIGGER runs_move BEFORE UPDATE OF state ON runs
FOR EACH ROW WHEN ((OLD.state, NEW.state) NOT IN (
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
    ('unknown', 'cancelled')))
EXECUTE FUNCTION refuse_move();
