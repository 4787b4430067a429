-- Sessions and personal access tokens. Never the secret, only its SHA-256.
CREATE TABLE tokens (
    id            TEXT    NOT NULL PRIMARY KEY,
    secret_sha256 BLOB    NOT NULL UNIQUE CHECK (length(secret_sha256) = 32),
    kind          TEXT    NOT NULL CHECK (kind IN ('session', 'personal')),
    principal     TEXT    NOT NULL,
    name          TEXT    NOT NULL,
    scopes        TEXT    NOT NULL,                  -- JSON array of words
    created_at    INTEGER NOT NULL,
    expires_at    INTEGER NOT NULL,
    last_used_at  INTEGER,
    revoked_at    INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX tokens_personal ON tokens (principal, created_at, id) WHERE kind = 'personal' AND revoked_at IS NULL;
