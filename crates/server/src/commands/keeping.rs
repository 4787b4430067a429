//! `guichetd migrate`, `guichetd backup` and `guichetd restore`: what an operator does to the store as a whole.

use std::{collections::HashMap, path::Path, process::ExitCode, sync::Arc};

use anyhow::{Context as _, anyhow, bail};
use guichet_ledger::{Checkpoint, Edge, KeySet, edge_tiles, verify_from};
use guichet_store::{Store, StoreError, postgres, sqlite};

use super::say;
use crate::{config::Config, keys, store};

/// Leaves that are read at once.
const BATCH: usize = 10_000;

/// Brings the schema of the store up to date, as a start of the gateway does.
///
/// # Errors
/// The store's.
pub fn migrate(file: &Path) -> anyhow::Result<ExitCode> {
    let config = load(file)?;
    within_runtime(async {
        let steps = if let Some(settings) = &config.store {
            postgres::migrate(settings).await.context("the store cannot be migrated")?
        } else {
            // Opening is migrating; it needs the file for itself.
            store::open(&config).await?.close().await;
            0
        };
        say(&match steps {
            0 => "the schema is up to date".to_owned(),
            steps => format!("the schema was brought forward by {steps} steps"),
        });
        Ok(ExitCode::SUCCESS)
    })
}

/// Writes the store, as it stands at one moment, into a new folder. The gateway may go on meanwhile.
///
/// # Errors
/// The store's, and the folder's.
pub fn backup(file: &Path, to: &Path) -> anyhow::Result<ExitCode> {
    let config = load(file)?;
    within_runtime(async {
        let manifest = match &config.store {
            Some(settings) => postgres::export(settings, to).await,
            None => sqlite::export(&store::sqlite_file(&config), to),
        };
        let manifest = manifest.context("no backup was made")?;
        let (runs, records) = (manifest.rows("runs"), manifest.rows("records"));
        say(&format!("{runs} runs and {records} records are in {}", to.display()));
        say(&format!("the keys are not in it: keep {} too, elsewhere", config.data.join("keys").display()));
        Ok(ExitCode::SUCCESS)
    })
}

/// Takes a backup of either store into this one, which must be empty, and proves the ledger anew.
///
/// # Errors
/// The backup's, the store's, and whatever the ledger's proof finds.
pub fn restore(file: &Path, from: &Path) -> anyhow::Result<ExitCode> {
    let config = load(file)?;
    within_runtime(async {
        let ledger_keys = keys::ledger_keys(&keys::folder(&config.data)?, &config.environment)?;
        let manifest = match &config.store {
            Some(settings) => postgres::import(settings, from).await,
            None => sqlite::import(&store::sqlite_file(&config), from),
        };
        let manifest = manifest.context("nothing was restored")?;
        let (runs, records) = (manifest.rows("runs"), manifest.rows("records"));
        say(&format!("{runs} runs and {records} records were restored"));
        let store = store::open(&config).await?;
        let proven = prove(&store, &ledger_keys).await;
        store.close().await;
        say(&proven?);
        Ok(ExitCode::SUCCESS)
    })
}

/// Holds all records against the newest checkpoint.
async fn prove(store: &Arc<dyn Store>, keys: &KeySet) -> anyhow::Result<String> {
    let Some((_, note)) = store.latest_checkpoint().await? else {
        return Ok("there is no checkpoint yet, so there is nothing to prove".to_owned());
    };
    let checkpoint: Checkpoint = keys.open(&note).context(
        "the newest checkpoint does not open with the keys in the data folder: put the folder `keys` that belongs to the \
         backup there; without it nothing more would be sealed",
    )?;
    let first = store.first_record().await?;
    let mut tiles = HashMap::new();
    for (level, index) in edge_tiles(first) {
        if let Some(hashes) = store.tile(level, index).await? {
            tiles.insert((level, index), hashes);
        }
    }
    let edge = Edge::from_tiles(first, &tiles)?;
    let (leaves, read) = std::sync::mpsc::sync_channel::<Result<(u64, String), StoreError>>(BATCH);
    let proving = tokio::task::spawn_blocking(move || verify_from(edge, read, &checkpoint, &[]));
    let (store, mut from) = (Arc::clone(store), first);
    let reading = async move {
        loop {
            let batch = store.leaves(from, BATCH).await;
            let batch = match batch {
                Ok(batch) if batch.is_empty() => return,
                Ok(batch) => batch,
                Err(error) => {
                    // The receiver tells it, unless it has found worse.
                    let _ = leaves.send(Err(error));
                    return;
                }
            };
            from += batch.len() as u64;
            let sender = leaves.clone();
            let sent = tokio::task::spawn_blocking(move || {
                batch.into_iter().all(|leaf| sender.send(Ok(leaf)).is_ok())
            });
            if !sent.await.unwrap_or(false) {
                return;
            }
        }
    };
    reading.await;
    let report = proving.await?.context("the ledger is not as it was signed")?;
    let more = match report.beyond {
        0 => String::new(),
        beyond => format!("; {beyond} more are sealed at the next start"),
    };
    Ok(format!(
        "the ledger is proven: records {first} to {} are those that were signed{more}",
        report.size.max(1) - 1
    ))
}

fn load(file: &Path) -> anyhow::Result<Config> {
    Config::load(file).map_err(|faults| {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        anyhow!("the configuration is not usable:\n{}", faults.join("\n"))
    })
}

fn within_runtime(work: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(work),
        Err(error) => bail!("no async runtime: {error}"),
    }
}
