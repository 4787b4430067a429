//! Providers that registered themselves, each as one value that is replaced as a whole.

use async_trait::async_trait;
use guichet_contract::Registration;
use rusqlite::{OptionalExtension as _, params};

use super::{
    SqliteStore,
    columns::integer,
    fault::{Fault, OrConflict as _},
    writing::Writing,
};
use crate::{Registrations, StoreError};

const INSERT: &str = "INSERT INTO registrations (provider, revision, body) VALUES (?1, ?2, ?3)";
const REPLACE: &str =
    "UPDATE registrations SET revision = ?2, body = ?3 WHERE provider = ?1 AND revision = ?2 - 1";

/// The registration as it is now. Conflict unless the one that is kept has the revision before; for the first, unless
/// there is none.
pub(super) fn put(writing: &mut Writing<'_>, registration: &Registration) -> Result<(), Fault> {
    let body = serde_json::to_string(registration)?;
    let values = params![registration.provider, integer(registration.revision), body];
    if registration.revision == 1 {
        let mut insert = writing.connection().prepare_cached(INSERT)?;
        insert.execute(values).or_conflict(|| changed(&registration.provider))?;
    } else {
        let replaced = writing.connection().prepare_cached(REPLACE)?.execute(values)?;
        seen(replaced, &registration.provider)?;
    }
    writing.wake_registration();
    Ok(())
}

/// The name is nobody's again. Conflict unless the registration has this revision.
pub(super) fn delete(writing: &mut Writing<'_>, provider: &str, revision: u64) -> Result<(), Fault> {
    let deleted = writing
        .connection()
        .prepare_cached("DELETE FROM registrations WHERE provider = ?1 AND revision = ?2")?
        .execute(params![provider, integer(revision)])?;
    seen(deleted, provider)?;
    writing.wake_registration();
    Ok(())
}

fn seen(rows: usize, provider: &str) -> Result<(), Fault> {
    if rows == 1 { Ok(()) } else { Err(Fault::Conflict(changed(provider))) }
}

fn changed(provider: &str) -> String {
    format!("the registration of {provider} (changed meanwhile)")
}

#[async_trait]
impl Registrations for SqliteStore {
    async fn registration(&self, provider: &str) -> Result<Option<Registration>, StoreError> {
        let provider = provider.to_owned();
        self.read(move |connection| {
            let body: Option<String> = connection
                .prepare_cached("SELECT body FROM registrations WHERE provider = ?1")?
                .query_row([provider], |row| row.get(0))
                .optional()?;
            Ok(body.map(|body| serde_json::from_str(&body)).transpose()?)
        })
        .await
    }

    async fn registrations(&self, limit: usize) -> Result<Vec<Registration>, StoreError> {
        self.read(move |connection| {
            let mut statement =
                connection.prepare_cached("SELECT body FROM registrations ORDER BY provider LIMIT ?1")?;
            let mut rows = statement.query([integer(limit)])?;
            let mut registrations = Vec::new();
            while let Some(row) = rows.next()? {
                registrations.push(serde_json::from_str(&row.get::<_, String>(0)?)?);
            }
            Ok(registrations)
        })
        .await
    }
}
