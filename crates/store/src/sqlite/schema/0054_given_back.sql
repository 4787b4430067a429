-- A run whose provider could surely not be called is queued again.
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
    ('running', 'queued'),
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
