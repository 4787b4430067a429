//! Sessions and personal tokens.

use async_trait::async_trait;
use guichet_contract::TokenId;
use jiff::Timestamp;
use tokio_postgres::Row;

use super::{
    PostgresStore,
    columns::{micros, moment, moment_if_any, searchable, values, word},
    fault::Fault,
    unit::Unit,
};
use crate::{StoreError, Token, Tokens};

const INSERT: &str = "
    INSERT INTO tokens (id, secret_sha256, kind, principal, name, scopes, created_at, expires_at, last_used_at, revoked_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";

/// A new token. Conflict when its id or secret exists.
pub(super) fn insert(unit: &mut Unit, token: &Token) -> Result<(), Fault> {
    let values = values![
        token.id.0,
        token.secret_sha256.to_vec(),
        token.kind.as_str(),
        token.principal.clone(),
        searchable(&token.name),
        serde_json::to_string(&token.scopes)?,
        micros(token.created_at),
        micros(token.expires_at),
        token.last_used_at.map(micros),
        token.revoked_at.map(micros),
    ];
    unit.one(INSERT, values, format!("token {} (its id or its secret exists)", token.id));
    Ok(())
}

/// Ends it. Conflict when there is none, or it was ended before.
pub(super) fn revoke(unit: &mut Unit, token: TokenId, at: Timestamp) {
    let revoke = "UPDATE tokens SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL";
    let conflict = format!("token {token} (it does not exist or is revoked already)");
    unit.one(revoke, values![token.0, micros(at)], conflict);
}

const TOUCH: &str = "
    UPDATE tokens SET last_used_at = $2 WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $2)";

/// Notes its use; an older note never replaces a newer one.
pub(super) fn touch(unit: &mut Unit, token: TokenId, at: Timestamp) {
    unit.any(TOUCH, values![token.0, micros(at)]);
}

const SELECT: &str = "
    SELECT id, secret_sha256, kind, principal, name, scopes, created_at, expires_at, last_used_at, revoked_at
    FROM tokens";

fn read_row(row: &Row) -> Result<Token, Fault> {
    let secret: &[u8] = row.try_get(1)?;
    Ok(Token {
        id: TokenId(row.try_get(0)?),
        secret_sha256: secret
            .try_into()
            .map_err(|_| Fault::Corrupt("the hash of a token's secret is not 32 bytes".to_owned()))?,
        kind: word(row.try_get(2)?)?,
        principal: row.try_get(3)?,
        name: row.try_get(4)?,
        scopes: serde_json::from_str(row.try_get(5)?)?,
        created_at: moment(row.try_get(6)?)?,
        expires_at: moment(row.try_get(7)?)?,
        last_used_at: moment_if_any(row.try_get(8)?)?,
        revoked_at: moment_if_any(row.try_get(9)?)?,
    })
}

#[async_trait]
impl Tokens for PostgresStore {
    async fn token_by_secret(&self, secret_sha256: &[u8; 32]) -> Result<Option<Token>, StoreError> {
        let secret = secret_sha256.as_slice();
        let rows = self.rows(&format!("{SELECT} WHERE secret_sha256 = $1"), &[&secret]).await?;
        self.first(&rows, read_row)
    }

    async fn token(&self, id: TokenId) -> Result<Option<Token>, StoreError> {
        let rows = self.rows(&format!("{SELECT} WHERE id = $1"), &[&id.0]).await?;
        self.first(&rows, read_row)
    }

    async fn personal_tokens(&self, principal: &str) -> Result<Vec<Token>, StoreError> {
        let tail = "WHERE principal = $1 AND kind = 'personal' AND revoked_at IS NULL
                    ORDER BY created_at DESC, id DESC LIMIT 500";
        let rows = self.rows(&format!("{SELECT} {tail}"), &[&principal]).await?;
        self.each(&rows, read_row)
    }
}
