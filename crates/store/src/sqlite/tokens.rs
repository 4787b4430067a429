//! Sessions and personal tokens.

use async_trait::async_trait;
use guichet_contract::TokenId;
use jiff::Timestamp;
use rusqlite::{Connection, Row, ToSql, params};

use super::{
    SqliteStore,
    columns::{micros, moment, moment_if_any, word},
    fault::{Fault, OrConflict as _},
    writing::Writing,
};
use crate::{StoreError, Token, Tokens};

const INSERT: &str = "
    INSERT INTO tokens (id, secret_sha256, kind, principal, name, scopes, created_at, expires_at, last_used_at, revoked_at)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";

/// A new token. Conflict when its id or secret exists.
pub(super) fn insert(writing: &mut Writing<'_>, token: &Token) -> Result<(), Fault> {
    writing
        .connection()
        .prepare_cached(INSERT)?
        .execute(params![
            token.id.to_string(),
            token.secret_sha256,
            token.kind.as_str(),
            token.principal,
            token.name,
            serde_json::to_string(&token.scopes)?,
            micros(token.created_at),
            micros(token.expires_at),
            token.last_used_at.map(micros),
            token.revoked_at.map(micros),
        ])
        .or_conflict(|| format!("token {} (its id or its secret exists)", token.id))?;
    Ok(())
}

/// Ends it. Conflict when there is none, or it was ended before.
pub(super) fn revoke(writing: &mut Writing<'_>, token: TokenId, at: Timestamp) -> Result<(), Fault> {
    let revoked = writing
        .connection()
        .prepare_cached("UPDATE tokens SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL")?
        .execute(params![token.to_string(), micros(at)])?;
    if revoked == 1 {
        Ok(())
    } else {
        Err(Fault::Conflict(format!("token {token} (it does not exist or is revoked already)")))
    }
}

const TOUCH: &str = "
    UPDATE tokens SET last_used_at = ?2 WHERE id = ?1 AND (last_used_at IS NULL OR last_used_at < ?2)";

/// Notes its use; an older note never replaces a newer one.
pub(super) fn touch(writing: &mut Writing<'_>, token: TokenId, at: Timestamp) -> Result<(), Fault> {
    writing.connection().prepare_cached(TOUCH)?.execute(params![token.to_string(), micros(at)])?;
    Ok(())
}

const SELECT: &str = "
    SELECT id, secret_sha256, kind, principal, name, scopes, created_at, expires_at, last_used_at, revoked_at
    FROM tokens";

fn read_row(row: &Row<'_>) -> Result<Token, Fault> {
    let kind: String = row.get(2)?;
    Ok(Token {
        id: word(&row.get::<_, String>(0)?)?,
        secret_sha256: row.get(1)?,
        kind: serde_json::from_value(kind.into())?,
        principal: row.get(3)?,
        name: row.get(4)?,
        scopes: serde_json::from_str(&row.get::<_, String>(5)?)?,
        created_at: moment(row.get(6)?)?,
        expires_at: moment(row.get(7)?)?,
        last_used_at: moment_if_any(row.get(8)?)?,
        revoked_at: moment_if_any(row.get(9)?)?,
    })
}

fn select(connection: &Connection, tail: &str, key: impl ToSql) -> Result<Vec<Token>, Fault> {
    let mut statement = connection.prepare_cached(&format!("{SELECT} {tail}"))?;
    let mut rows = statement.query([key])?;
    let mut tokens = Vec::new();
    while let Some(row) = rows.next()? {
        tokens.push(read_row(row)?);
    }
    Ok(tokens)
}

#[async_trait]
impl Tokens for SqliteStore {
    async fn token_by_secret(&self, secret_sha256: &[u8; 32]) -> Result<Option<Token>, StoreError> {
        let secret = *secret_sha256;
        self.look(move |connection| Ok(select(connection, "WHERE secret_sha256 = ?1", secret)?.pop())).await
    }

    async fn token(&self, id: TokenId) -> Result<Option<Token>, StoreError> {
        self.look(move |connection| Ok(select(connection, "WHERE id = ?1", id.to_string())?.pop())).await
    }

    async fn personal_tokens(&self, principal: &str) -> Result<Vec<Token>, StoreError> {
        let principal = principal.to_owned();
        self.read(move |connection| {
            let tail = "WHERE principal = ?1 AND kind = 'personal' AND revoked_at IS NULL
                        ORDER BY created_at DESC, id DESC LIMIT 500";
            select(connection, tail, principal)
        })
        .await
    }
}
