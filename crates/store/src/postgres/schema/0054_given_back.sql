-- A run whose provider could surely not be called is queued again.
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
    ('running', 'queued'),
    ('running', 'succeeded'),
    ('running', 'failed'),
    ('running', 'cancelled'),
    ('running', 'unknown'),
    ('unknown', 'succeeded'),
    ('unknown', 'failed'),
    ('unknown', 'cancelled')))
EXECUTE FUNCTION refuse_move();
