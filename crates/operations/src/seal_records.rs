//! The sealer: orders new records into the Merkle log and signs a checkpoint, within a second of the first of them.

use std::{collections::HashMap, sync::Arc, time::Duration};

use guichet_contract::Clock;
use guichet_ledger::{self as ledger, KeySet, LedgerError, NoteError, Tree};
use guichet_store::{CommitError, Store, StoreError, next_records};
use tokio::{sync::watch, time};
use tokio_util::sync::CancellationToken;

/// How long records are gathered before they are sealed together.
const GATHER: Duration = Duration::from_millis(500);
/// How many records are sealed at once; more are sealed in several steps.
const BATCH: usize = 20_000;
/// The pause after a failure.
const PAUSE: Duration = Duration::from_secs(5);

/// Why records were not sealed, or not pruned.
#[derive(Debug, thiserror::Error)]
pub enum TrailError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store did not take it.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The tiles are not those that were signed: somebody changed them.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The last checkpoint was signed with another key, or changed.
    #[error(
        "the last checkpoint does not open with this ledger's keys: {0}. If keys/ledger.key was replaced or removed, \
         restore keys/ledger.key from a backup"
    )]
    Note(#[from] NoteError),
    /// A part of them is pruned.
    #[error(
        "records {first} to {} are archived and pruned; it ended there ({why}): those that follow are in the archive and \
         still in the store, so prune again, into another folder",
        until - 1
    )]
    PrunedInPart {
        /// The first record that was there.
        first: u64,
        /// The first one that is there now.
        until: u64,
        /// Why it ended.
        why: String,
    },
    /// A record that cannot be read.
    #[error(
        "record {index} cannot be read ({why}); nothing was pruned: `guichet audit verify --tiles` tells whether it was changed"
    )]
    Unreadable {
        /// Its index.
        index: u64,
        /// What is wrong.
        why: String,
    },
}

/// Seals whenever there are new records, until `stop`; then once more, so that nothing that was recorded stays unsealed.
pub async fn work(
    store: Arc<dyn Store>,
    keys: Arc<KeySet>,
    clock: Arc<dyn Clock>,
    sealed: watch::Sender<Option<String>>,
    stop: CancellationToken,
) {
    let mut wakes = store.wakes();
    loop {
        // Looked at first: what was recorded before the stop is sealed, however far a seal under way has come.
        let last = stop.is_cancelled();
        if last && let Err(error) = store.check_writable().await {
            // A write stands behind the records that were only handed over.
            tracing::warn!(%error, "the last records may not be written yet when they are sealed");
        }
        let pause = match seal_records(&*store, &keys, &*clock).await {
            Ok(note) => {
                publish(&sealed, note);
                None
            }
            Err(TrailError::Store(StoreError::Closed)) => return,
            // Another replica was first; what is left is its to seal, or ours a moment later.
            Err(TrailError::Commit(CommitError::Conflict { .. })) => Some(GATHER),
            Err(error) => {
                tracing::error!(%error, "records could not be sealed; they are kept and sealed later");
                Some(PAUSE)
            }
        };
        if last {
            return;
        }
        let next = async {
            if let Some(pause) = pause {
                return time::sleep(pause).await;
            }
            next_records(&mut wakes, GATHER).await;
        };
        tokio::select! {
            biased;
            () = next => {}
            () = stop.cancelled() => {}
        }
    }
}

/// Tells witnesses of a checkpoint they have not been told of.
fn publish(sealed: &watch::Sender<Option<String>>, note: Option<String>) {
    sealed.send_if_modified(|told| {
        let is_new = note.is_some() && *told != note;
        if is_new {
            *told = note;
        }
        is_new
    });
}

/// Seals all records that are not sealed yet. Gives the newest checkpoint, if there is any.
///
/// # Errors
/// The store's, or a ledger that is not the one that was signed: then nothing more is sealed, and `guichet audit verify`
/// tells where it was changed.
pub async fn seal_records(
    store: &dyn Store,
    keys: &KeySet,
    clock: &dyn Clock,
) -> Result<Option<String>, TrailError> {
    loop {
        let latest = store.latest_checkpoint().await?.map(|(_, note)| note);
        let before = match &latest {
            Some(note) => keys.open(note)?.tree(),
            None => Tree::EMPTY,
        };
        let leaves = store.leaves(before.size, BATCH).await?;
        if leaves.is_empty() {
            return Ok(latest);
        }
        let mut tiles = HashMap::new();
        for (level, index) in ledger::edge_tiles(before.size) {
            if let Some(hashes) = store.tile(level, index).await? {
                tiles.insert((level, index), hashes);
            }
        }
        let texts: Vec<&[u8]> = leaves.iter().map(|(_, text)| text.as_bytes()).collect();
        let appended = ledger::append(&before, &texts, &tiles)?;
        let note = keys.sign(&appended.tree());
        store.seal(appended.size, &note, clock.now(), &appended.tiles).await?;
        if leaves.len() < BATCH {
            return Ok(Some(note));
        }
    }
}

#[cfg(test)]
mod tests {
    use guichet_contract::{Record, RecordVerdict, Surface, SystemClock, Verb};
    use guichet_ledger::{Signer, parse_unverified};
    use guichet_store::sqlite::SqliteStore;

    use super::*;

    #[tokio::test]
    async fn the_last_seal_covers_what_was_only_handed_over() {
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&folder.path().join("store")).unwrap());
        let keys = Arc::new(KeySet::from(Signer::from_seed("guichet/staging", [1; 32]).unwrap()));
        let (told, sealed) = watch::channel(None);
        let stop = CancellationToken::new();
        let sealer = tokio::spawn(work(Arc::clone(&store), keys, Arc::new(SystemClock), told, stop.clone()));
        for _ in 0..20 {
            let (verb, verdict) = (Verb::PerformRead, RecordVerdict::Allowed);
            let record = Record::new(SystemClock.now(), verb, verdict, "staging", Surface::Rest);
            store.append_soon(record).await.unwrap();
        }
        stop.cancel();
        sealer.await.unwrap();
        let note = sealed.borrow().clone().expect("a checkpoint");
        assert_eq!(parse_unverified(&note).unwrap().size, 20);
        store.close().await;
    }
}
