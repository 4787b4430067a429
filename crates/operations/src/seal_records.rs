//! The sealer: orders new records into the Merkle log and signs a checkpoint, within a second of the first of them.

use std::{collections::HashMap, sync::Arc, time::Duration};

use guichet_contract::Clock;
use guichet_ledger::{self as ledger, KeySet, LedgerError, NoteError, Tree};
use guichet_store::{CommitError, Store, StoreError, Wake};
use tokio::{
    sync::{broadcast::error::RecvError, watch},
    time,
};
use tokio_util::sync::CancellationToken;

/// How long records are gathered before they are sealed together.
const GATHER: Duration = Duration::from_millis(500);
/// How many records are sealed at once; more are sealed in several steps.
const BATCH: usize = 20_000;
/// The pause after a failure.
const PAUSE: Duration = Duration::from_secs(5);

/// Why nothing was sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The new state was not taken.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The tiles are not those that were signed: somebody changed them.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The last checkpoint was signed with another key, or changed.
    #[error("the last checkpoint does not open with this ledger's key: {0}")]
    Note(#[from] NoteError),
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
    let mut counted = None;
    loop {
        let pause = match seal_records(&*store, &keys, &*clock).await {
            Ok(note) => {
                publish(&sealed, note);
                None
            }
            Err(SealError::Store(StoreError::Closed)) => return,
            // Another replica was first; what is left is its to seal, or ours a moment later.
            Err(SealError::Commit(CommitError::Conflict { .. })) => Some(GATHER),
            Err(error) => {
                tracing::error!(%error, "records could not be sealed; they are kept and sealed later");
                Some(PAUSE)
            }
        };
        if stop.is_cancelled() {
            return;
        }
        if let Err(error) = index_records(&*store, &mut counted).await {
            tracing::error!(%error, "records could not be indexed; searches read them themselves, and are slower");
        }
        let next = async {
            if let Some(pause) = pause {
                time::sleep(pause).await;
                return;
            }
            loop {
                match wakes.recv().await {
                    Ok(Wake::Record | Wake::Anything) | Err(RecvError::Lagged(_)) => break,
                    Ok(_) => {}
                    Err(RecvError::Closed) => std::future::pending().await,
                }
            }
            time::sleep(GATHER).await;
        };
        tokio::select! {
            () = next => {}
            () = stop.cancelled() => {}
        }
    }
}

/// Records are indexed for searching in steps of so many.
const INDEXED_AT_ONCE: u64 = 4_096;
/// While more new records than this come between two looks, the processors are wanted elsewhere: indexing waits.
const BUSY: u64 = 2_000;
/// But no more than so many records ever wait: a search reads what is not indexed.
const WAITING_MOST: u64 = 200_000;

/// Makes new records quick to find, when there is time for it.
async fn index_records(store: &dyn Store, indexed_before: &mut Option<u64>) -> Result<(), StoreError> {
    let there = store.record_count().await?;
    let new = there - indexed_before.replace(there).unwrap_or(there).min(there);
    let mut waiting = store.index_records(INDEXED_AT_ONCE).await?;
    while waiting >= INDEXED_AT_ONCE && (new < BUSY || waiting > WAITING_MOST) {
        waiting = store.index_records(INDEXED_AT_ONCE).await?;
    }
    Ok(())
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
) -> Result<Option<String>, SealError> {
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
