-- Which channels there are, as far as gateways say so: each notes those of its own configuration every few minutes. What waits
-- for one that nobody has noted for long is given up.
CREATE TABLE channels (
    name    text COLLATE "C" NOT NULL PRIMARY KEY,
    seen_at bigint  NOT NULL                         -- when somebody last had it
);

-- Who was told before there was a log of deliveries is found by its age, to be forgotten.
CREATE INDEX deliveries_by_at ON deliveries (at);
