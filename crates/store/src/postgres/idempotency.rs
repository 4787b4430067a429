//! Keys against double submission.

use async_trait::async_trait;
use guichet_contract::{Digest, RunId};
use jiff::Timestamp;

use super::{
    PostgresStore,
    columns::{digest, micros, row},
    unit::{Turn, Unit, Wants},
};
use crate::{Idempotency, StoreError};

const INSERT: &str = "
    INSERT INTO idempotency_keys (principal, key, request, run, at)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::uuid[], $5::bigint[])";

/// Ties a key to a run. Conflict when the key is taken.
pub(super) fn insert(
    unit: &mut Unit,
    principal: &str,
    key: &str,
    request: &Digest,
    run: RunId,
    at: Timestamp,
) {
    let columns = row![principal.to_owned(), key.to_owned(), request.as_str().to_owned(), run.0, micros(at)];
    let conflict = format!("idempotency key `{key}` of {principal} (it is taken)");
    unit.alike((Turn::InsertKey, INSERT, Wants::Rows(1)), columns, run.0, conflict);
}

const READ: &str = "SELECT request, run FROM idempotency_keys WHERE principal = $1 AND key = $2";

#[async_trait]
impl Idempotency for PostgresStore {
    async fn idempotent_run(
        &self,
        principal: &str,
        key: &str,
    ) -> Result<Option<(Digest, RunId)>, StoreError> {
        let rows = self.rows(READ, &[&principal, &key]).await?;
        self.first(&rows, |row| Ok((digest(row.try_get(0)?)?, RunId(row.try_get(1)?))))
    }
}
