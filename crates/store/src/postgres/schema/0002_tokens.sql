-- Sessions and personal access tokens. Never the secret, only its SHA-256.
CREATE TABLE tokens (
    id            uuid   NOT NULL PRIMARY KEY,
    secret_sha256 bytea  NOT NULL UNIQUE CHECK (length(secret_sha256) = 32),
    kind          text   NOT NULL CHECK (kind IN ('session', 'personal')),
    principal     text   NOT NULL,
    name          text   NOT NULL,
    scopes        text   NOT NULL,                   -- JSON array of words
    created_at    bigint NOT NULL,
    expires_at    bigint NOT NULL,
    last_used_at  bigint,
    revoked_at    bigint
);
CREATE INDEX tokens_personal ON tokens (principal, created_at, id) WHERE kind = 'personal' AND revoked_at IS NULL;
