//! Providers that registered themselves, each as one value that is replaced as a whole.

use async_trait::async_trait;
use guichet_contract::Registration;
use tokio_postgres::Row;

use super::{
    PostgresStore,
    columns::{integer, searchable, values},
    fault::Fault,
    unit::Unit,
};
use crate::{Registrations, StoreError};

const INSERT: &str = "INSERT INTO registrations (provider, revision, body) VALUES ($1, $2, $3)";
const REPLACE: &str = "UPDATE registrations SET revision = $2::bigint, body = $3 WHERE provider = $1 AND revision = $2::bigint - 1";

/// The registration as it is now. Conflict unless the one that is kept has the revision before; for the first, unless
/// there is none.
pub(super) fn put(unit: &mut Unit, registration: &Registration) -> Result<(), Fault> {
    let body = serde_json::to_string(registration)?;
    let values = values![searchable(&registration.provider), integer(registration.revision), body];
    let sql = if registration.revision == 1 { INSERT } else { REPLACE };
    unit.one(sql, values, changed(&registration.provider));
    unit.woken.registration = true;
    Ok(())
}

/// The name is nobody's again. Conflict unless the registration has this revision.
pub(super) fn delete(unit: &mut Unit, provider: &str, revision: u64) {
    let delete = "DELETE FROM registrations WHERE provider = $1 AND revision = $2";
    unit.one(delete, values![searchable(provider), integer(revision)], changed(provider));
    unit.woken.registration = true;
}

fn changed(provider: &str) -> String {
    format!("the registration of {provider} (changed meanwhile)")
}

fn read(row: &Row) -> Result<Registration, Fault> {
    Ok(serde_json::from_str(row.try_get(0)?)?)
}

#[async_trait]
impl Registrations for PostgresStore {
    async fn registration(&self, provider: &str) -> Result<Option<Registration>, StoreError> {
        let select = "SELECT body FROM registrations WHERE provider = $1";
        let rows = self.rows(select, &[&searchable(provider)]).await?;
        self.first(&rows, read)
    }

    async fn registrations(&self, limit: usize) -> Result<Vec<Registration>, StoreError> {
        let select = "SELECT body FROM registrations ORDER BY provider LIMIT $1";
        let rows = self.rows(select, &[&integer(limit)]).await?;
        self.each(&rows, read)
    }
}
