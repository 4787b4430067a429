//! `guichetd ledger …`: what an operator does to the audit trail: while the gateway is stopped, or beside gateways that share
//! a database.

use std::{path::Path, process::ExitCode, sync::Arc};

use anyhow::{Context as _, anyhow, ensure};
use guichet_contract::{Clock, SystemClock};
use guichet_ledger::KeySet;
use guichet_operations::{
    prune_records::{Segment, find_segment, prune_records},
    seal_records::{TrailError, seal_records},
};
use guichet_store::{CommitError, Store, sqlite::drop_search_index};
use jiff::{Timestamp, civil::Date, tz::TimeZone};

use super::say;
use crate::{archive, config::Config, keys, record_export::Position, store};

/// Archives the records from before a day or moment, verifies the archive, and deletes them from the store.
///
/// # Errors
/// Whatever keeps it from being archived and verified; then nothing is deleted. What goes wrong later says what is deleted.
pub fn prune(file: &Path, before: &str, folder: &Path) -> anyhow::Result<ExitCode> {
    let config = load(file)?;
    let before = moment(before)?;
    runtime()?.block_on(prune_before(&config, before, folder))
}

async fn prune_before(config: &Config, before: Timestamp, folder: &Path) -> anyhow::Result<ExitCode> {
    let ledger_keys = keys::ledger_keys(&keys::folder(&config.data)?, &config.environment)?;
    let store = open(config).await?;
    let store = &*store;
    let clock = store.clock().unwrap_or_else(|| Arc::new(SystemClock));
    seal(store, &ledger_keys, &*clock).await?;
    let Some(segment) = find_segment(store, &ledger_keys, before).await? else {
        say(&format!("nothing to prune: fewer than 256 sealed records are older than {before}"));
        store.close().await;
        return Ok(ExitCode::SUCCESS);
    };
    is_exported(config, &segment)?;
    archive::write(store, &ledger_keys, &segment, folder).await?;
    let root = segment.note.lines().nth(2).unwrap_or_default();
    let archived = format!("archived in {}, root {root}", folder.display());
    prune_records(store, &*clock, &config.environment, &segment, &archived).await?;
    // Said at once: it is done, whatever comes now.
    say(&format!("records {} to {} {archived}, verified, and pruned", segment.first, segment.until - 1));
    say("keep the archive: `guichet audit verify --archive` proves it with the ledger's key");
    let sealed = seal(store, &ledger_keys, &*clock).await;
    store.close().await;
    if config.store.is_none() {
        drop_search_index(&store::sqlite_file(config)).context(
            "the records are archived, verified and pruned, but the search index, which has words of theirs, cannot \
             be removed; remove guichet.sqlite.search, or start the gateway, which makes it anew",
        )?;
    }
    sealed.context(
        "the records are archived, verified and pruned, but the record of that is not sealed yet: a gateway does that when \
         it serves; do not prune again",
    )?;
    Ok(ExitCode::SUCCESS)
}

/// Opens the store beside the gateways that share it; one that is not shared must be free.
async fn open(config: &Config) -> anyhow::Result<Arc<dyn Store>> {
    let opened = store::open(config).await;
    if config.store.is_some() { opened } else { opened.context("stop the gateway first") }
}

/// Seals what is not sealed yet. Where a gateway beside this one was quicker, it does the same.
async fn seal(store: &dyn Store, keys: &KeySet, clock: &dyn Clock) -> Result<(), TrailError> {
    match seal_records(store, keys, clock).await {
        Err(TrailError::Commit(CommitError::Conflict { .. })) if store.is_shared() => Ok(()),
        sealed => sealed.map(drop),
    }
}

/// Records that leave the store can no longer be sent to the collector.
fn is_exported(config: &Config, segment: &Segment) -> anyhow::Result<()> {
    if config.telemetry.otlp_records.is_none() {
        return Ok(());
    }
    let sent = Position::of(&config.data).read()?;
    ensure!(
        sent >= segment.until,
        "[telemetry] otlp_records: the collector has taken the records before {sent}, and those before {} would be pruned; \
         nothing was pruned. Start the gateway and wait until the number in otlp-records.position is that, or prune \
         without the collector: take `otlp_records` out of the configuration for this command",
        segment.until
    );
    Ok(())
}

/// A new key signs first from the next start on, the old one beside it. A gateway that runs is not disturbed: it read its
/// keys when it started.
///
/// # Errors
/// A key file that cannot be read or written.
pub fn new_key(file: &Path) -> anyhow::Result<ExitCode> {
    let config = load(file)?;
    let key = keys::add_ledger_key(&keys::folder(&config.data)?, &config.environment)?;
    say(&key);
    say("from the next start on this key signs beside the old one; publish it where auditors look.");
    say("when all auditors have verified the ledger once since then: `guichetd ledger drop-old-keys`");
    Ok(ExitCode::SUCCESS)
}

/// Only the newest key signs from the next start on.
///
/// # Errors
/// With SQLite, a gateway that runs; a newest checkpoint that the newest key did not sign; a key file that cannot be read or
/// written.
pub fn drop_old_keys(file: &Path) -> anyhow::Result<ExitCode> {
    let config = load(file)?;
    runtime()?.block_on(drop_keys(&config))
}

async fn drop_keys(config: &Config) -> anyhow::Result<ExitCode> {
    let folder = keys::folder(&config.data)?;
    let store = open(config).await?;
    let newest = store.latest_checkpoint().await?.map(|(_, note)| note);
    let dropped = keys::drop_old_ledger_keys(&folder, &config.environment, newest.as_deref());
    store.close().await;
    let dropped = dropped?;
    for key in &dropped {
        say(&format!("dropped {key}"));
    }
    if dropped.is_empty() {
        say("there is one key only; nothing was changed");
    }
    Ok(ExitCode::SUCCESS)
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("no async runtime")
}

fn load(file: &Path) -> anyhow::Result<Config> {
    Config::load(file).map_err(|faults| {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        anyhow!("the configuration is not usable:\n{}", faults.join("\n"))
    })
}

/// A moment (RFC 3339), or the beginning of a day in UTC.
fn moment(text: &str) -> anyhow::Result<Timestamp> {
    if let Ok(at) = text.parse() {
        return Ok(at);
    }
    let day: Date = text.parse().with_context(|| {
        format!("--before: `{text}` is no day: write 2026-01-31, or 2026-01-31T08:00:00Z")
    })?;
    Ok(day.to_zoned(TimeZone::UTC)?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_moments_are_taken() {
        assert_eq!(moment("2026-01-31").unwrap().to_string(), "2026-01-31T00:00:00Z");
        assert_eq!(moment("2026-01-31T08:00:00Z").unwrap().to_string(), "2026-01-31T08:00:00Z");
        assert!(moment("yesterday").unwrap_err().to_string().contains("is no day"));
    }
}
