-- How many runs somebody has that have not ended is asked at each submission: counted among those alone, whatever
-- the history behind them.
CREATE INDEX runs_open_by_requester ON runs (requested_by_kind, requested_by)
    WHERE state IN ('awaiting_approval', 'queued', 'running');
