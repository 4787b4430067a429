//! Keys against double submission.

use async_trait::async_trait;
use guichet_contract::{Digest, RunId};
use jiff::Timestamp;
use rusqlite::params;

use super::{
    SqliteStore,
    columns::{micros, word},
    fault::{Fault, OrConflict as _},
    writing::Writing,
};
use crate::{Idempotency, StoreError};

const INSERT: &str =
    "INSERT INTO idempotency_keys (principal, key, request, run, at) VALUES (?1, ?2, ?3, ?4, ?5)";

/// Ties a key to a run. Conflict when the key is taken.
pub(super) fn insert(
    writing: &mut Writing<'_>,
    principal: &str,
    key: &str,
    request: &Digest,
    run: RunId,
    at: Timestamp,
) -> Result<(), Fault> {
    writing
        .connection()
        .prepare_cached(INSERT)?
        .execute(params![principal, key, request.as_str(), run.to_string(), micros(at)])
        .or_conflict(|| format!("idempotency key `{key}` of {principal} (it is taken)"))?;
    Ok(())
}

const READ: &str = "SELECT request, run FROM idempotency_keys WHERE principal = ?1 AND key = ?2";

#[async_trait]
impl Idempotency for SqliteStore {
    async fn idempotent_run(
        &self,
        principal: &str,
        key: &str,
    ) -> Result<Option<(Digest, RunId)>, StoreError> {
        let (principal, key) = (principal.to_owned(), key.to_owned());
        self.look(move |connection| {
            let mut statement = connection.prepare_cached(READ)?;
            let mut rows = statement.query([principal, key])?;
            let Some(row) = rows.next()? else { return Ok(None) };
            let request: String = row.get(0)?;
            Ok(Some((serde_json::from_value(request.into())?, word(&row.get::<_, String>(1)?)?)))
        })
        .await
    }
}
