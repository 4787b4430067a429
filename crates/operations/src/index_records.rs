//! The indexer: makes new records quick to find, in the background. A task of its own, so that neither the sealer nor a stop
//! waits for it: an index that is made from nothing takes minutes.

use std::{sync::Arc, time::Duration};

use guichet_store::{Store, StoreError, next_records};
use tokio_util::sync::CancellationToken;

/// How long new records are gathered before they are indexed together.
const GATHER: Duration = Duration::from_millis(500);
/// Records are indexed in steps of so many; a stop waits for one step at most.
const AT_ONCE: u64 = 4_096;
/// While more new records than this come between two looks, the processors are wanted elsewhere: indexing waits.
const BUSY: u64 = 2_000;
/// But no more than so many records ever wait: a search reads what is not indexed.
const WAITING_MOST: u64 = 200_000;

/// Indexes until `stop`. What is not indexed then is at the next start.
pub async fn work(store: Arc<dyn Store>, stop: CancellationToken) {
    let mut wakes = store.wakes();
    let mut counted = None;
    while !stop.is_cancelled() {
        match index_records(&*store, &mut counted, &stop).await {
            Ok(()) => {}
            Err(StoreError::Closed) => return,
            Err(error) => {
                tracing::error!(%error, "records could not be indexed; searches read them themselves, and are slower");
            }
        }
        let next = async {
            next_records(&mut wakes, GATHER).await;
        };
        tokio::select! {
            biased;
            () = next => {}
            () = stop.cancelled() => {}
        }
    }
}

/// As much as there is time for. `counted` is how many records there were at the look before.
async fn index_records(
    store: &dyn Store,
    counted: &mut Option<u64>,
    stop: &CancellationToken,
) -> Result<(), StoreError> {
    let there = store.record_count().await?;
    let new = there.saturating_sub(counted.replace(there).unwrap_or(there));
    let mut waiting = store.index_records(AT_ONCE).await?;
    while !stop.is_cancelled() && waiting >= AT_ONCE && (new < BUSY || waiting > WAITING_MOST) {
        waiting = store.index_records(AT_ONCE).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use guichet_contract::{Clock as _, Record, RecordVerdict, Surface, SystemClock, Verb};
    use guichet_store::{UnitOfWork, sqlite::SqliteStore};

    use super::*;

    #[tokio::test]
    async fn a_stop_ends_it_however_much_waits() {
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&folder.path().join("store")).unwrap());
        let (verb, verdict) = (Verb::PerformRead, RecordVerdict::Allowed);
        let record = Record::new(SystemClock.now(), verb, verdict, "staging", Surface::Rest);
        let work_of =
            |count| (0..count).fold(UnitOfWork::new(), |work, _| work.append_record(record.clone()));
        store.commit(work_of(9_000)).await.unwrap();
        let stop = CancellationToken::new();
        stop.cancel();
        work(Arc::clone(&store), stop.clone()).await;
        assert_eq!(store.index_records(64).await.unwrap(), 9_000 - 64, "nothing was begun after the stop");
        let mut counted = None;
        index_records(&*store, &mut counted, &stop).await.unwrap();
        assert_eq!(
            store.index_records(0).await.unwrap(),
            9_000 - 128 - AT_ONCE,
            "one step, and it is looked again"
        );
        store.close().await;
    }
}
