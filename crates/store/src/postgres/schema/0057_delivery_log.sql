-- What becomes of each notice, try by try. A delivery is one notice on its way through one channel. It has the id of the job
-- that makes it, and keeps the notice when that job is done, so that it can be sent once more.
CREATE TABLE delivery_log (
    id       uuid    NOT NULL PRIMARY KEY,
    event    uuid    NOT NULL,                       -- id of what happened, the same for all channels
    channel  text    NOT NULL,
    occasion text    NOT NULL,
    run      uuid    NOT NULL,
    at       bigint  NOT NULL,                       -- when it happened
    state    text    NOT NULL,
    replays  integer NOT NULL CHECK (replays >= 0),
    ended_at bigint,
    notice   text    NOT NULL,                       -- JSON of Notice
    CHECK ((state = 'waiting') = (ended_at IS NULL))
);

CREATE INDEX delivery_log_by_at    ON delivery_log (at, id);
CREATE INDEX delivery_log_by_run   ON delivery_log (run);
CREATE INDEX delivery_log_by_event ON delivery_log (event);

CREATE TABLE delivery_attempts (
    delivery  uuid    NOT NULL,
    replay    integer NOT NULL,
    number    integer NOT NULL,
    recipient text COLLATE "C" NOT NULL,             -- empty for a channel that is one recipient as a whole
    body      text    NOT NULL,                      -- JSON of Attempt
    PRIMARY KEY (delivery, replay, number, recipient)
);

-- What waits now is in the log from now on. PostgreSQL has no U+0000 in a text, and people's words may have one.
INSERT INTO delivery_log (id, event, channel, occasion, run, at, state, replays, notice)
SELECT id, (said ->> 'event')::uuid, said ->> 'channel', said ->> 'occasion', run,
       floor(extract(epoch FROM (said ->> 'at')::timestamptz))::bigint * 1000000, 'waiting', 0, notice
FROM (SELECT id, run, notice, replace(notice, '\u0000', '\ufffd')::json AS said FROM jobs WHERE notice IS NOT NULL) AS waiting;
