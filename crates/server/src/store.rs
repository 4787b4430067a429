//! Which store the configuration asks for, opened.

use std::{path::PathBuf, sync::Arc};

use anyhow::Context as _;
use guichet_ledger::KeySet;
use guichet_store::{Store, postgres::PostgresStore, sqlite::SqliteStore};

use crate::config::Config;

/// The file of the SQLite store.
pub fn sqlite_file(config: &Config) -> PathBuf {
    config.data.join("guichet.sqlite")
}

/// Opens it, its schema brought up to date.
///
/// # Errors
/// The store's own.
pub async fn open(config: &Config) -> anyhow::Result<Arc<dyn Store>> {
    Ok(match &config.store {
        Some(settings) => {
            Arc::new(PostgresStore::open(settings).await.context("the store cannot be opened")?)
        }
        None => Arc::new(SqliteStore::open(&sqlite_file(config)).context("the store cannot be opened")?),
    })
}

/// Opens it for a gateway that begins to serve.
///
/// # Errors
/// The store's own; and keys that are not those of the other replicas.
pub async fn open_to_serve(config: &Config, keys: &KeySet) -> anyhow::Result<Arc<dyn Store>> {
    let store = open(config).await?;
    if !store.is_shared() {
        // This process owns the file alone: whoever held a lease on a job is gone. In a database they run out.
        store.free_all_leases().await.context("the store cannot be used")?;
        return Ok(store);
    }
    if let Some((_, note)) = store.latest_checkpoint().await.context("the store cannot be used")? {
        keys.open(&note).with_context(|| {
            format!(
                "the newest checkpoint in the database does not open with {}: replicas share their keys; copy the \
                 folder `keys` of the first one here",
                config.data.join("keys/ledger.key").display()
            )
        })?;
    }
    Ok(store)
}
