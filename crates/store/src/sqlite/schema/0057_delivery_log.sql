-- What becomes of each notice, try by try. A delivery is one notice on its way through one channel. It has the id of the job
-- that makes it, and keeps the notice when that job is done, so that it can be sent once more.
CREATE TABLE delivery_log (
    id       TEXT    NOT NULL PRIMARY KEY,
    event    TEXT    NOT NULL,                       -- id of what happened, the same for all channels
    channel  TEXT    NOT NULL,
    occasion TEXT    NOT NULL,
    run      TEXT    NOT NULL,
    at       INTEGER NOT NULL,                       -- when it happened
    state    TEXT    NOT NULL,
    replays  INTEGER NOT NULL CHECK (replays >= 0),
    ended_at INTEGER,
    notice   TEXT    NOT NULL,                       -- JSON of Notice
    CHECK ((state = 'waiting') = (ended_at IS NULL))
) STRICT;

CREATE INDEX delivery_log_by_at    ON delivery_log (at, id);
CREATE INDEX delivery_log_by_run   ON delivery_log (run);
CREATE INDEX delivery_log_by_event ON delivery_log (event);

CREATE TABLE delivery_attempts (
    delivery  TEXT    NOT NULL,
    replay    INTEGER NOT NULL,
    number    INTEGER NOT NULL,
    recipient TEXT    NOT NULL,                      -- empty for a channel that is one recipient as a whole
    body      TEXT    NOT NULL,                      -- JSON of Attempt
    PRIMARY KEY (delivery, replay, number, recipient)
) STRICT, WITHOUT ROWID;

-- What waits now is in the log from now on.
INSERT INTO delivery_log (id, event, channel, occasion, run, at, state, replays, notice)
SELECT id, notice ->> 'event', notice ->> 'channel', notice ->> 'occasion', run,
       CAST(strftime('%s', notice ->> 'at') AS INTEGER) * 1000000, 'waiting', 0, notice
FROM jobs WHERE notice IS NOT NULL;
