-- The same moves. A list of rows is laid into a table of its own for each statement; a text is only read.
DROP TRIGGER runs_move;
CREATE TRIGGER runs_move BEFORE UPDATE OF state ON runs
WHEN instr('
    awaiting_approval queued;
    awaiting_approval rejected;
    awaiting_approval expired;
    awaiting_approval cancelled;
    awaiting_approval voided;
    queued running;
    queued cancelled;
    queued voided;
    queued failed;
    running queued;
    running succeeded;
    running failed;
    running cancelled;
    running unknown;
    unknown succeeded;
    unknown failed;
    unknown cancelled;
', ' ' || OLD.state || ' ' || NEW.state || ';') = 0
BEGIN
    SELECT RAISE(ABORT, 'no run moves so');
END;
