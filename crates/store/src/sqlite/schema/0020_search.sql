-- Records are found by an index in a file of its own (`search_index.rs`), made in the background: the writer of the
-- hot path pays for the row alone.
DROP INDEX records_by_time;
DROP INDEX records_by_principal;
DROP INDEX records_by_action;
DROP INDEX records_by_run;
DROP INDEX records_not_allowed;
