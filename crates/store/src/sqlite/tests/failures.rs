//! When the disk says no.

use std::sync::Arc;

use guichet_contract::{EventKind, Record, RunId, RunState};

use super::Directory;
use crate::{
    CommitError, StoreError, UnitOfWork,
    conformance::fixtures::*,
    sqlite::{SqliteStore, columns::integer, fault::Fault, writing::Writing},
};

/// Sets a pragma on the connection that writes.
async fn pragma(store: &SqliteStore, name: &'static str, value: i64) {
    store
        .write(move |writing| {
            let set = format!("PRAGMA {name} = {value}");
            // Some answer with a row, some do not.
            Ok(writing.connection().prepare(&set)?.query([])?.next().map(drop)?)
        })
        .await
        .unwrap();
}

/// Lets the file grow by so many pages of 4 KiB and no more.
async fn leave_pages(store: &SqliteStore, pages: i64) {
    let now: i64 = store
        .read(|connection| Ok(connection.pragma_query_value(None, "page_count", |row| row.get(0))?))
        .await
        .unwrap();
    pragma(store, "max_page_count", now + pages).await;
}

fn large_unit(number: usize) -> (RunId, UnitOfWork) {
    let run = run_in(RunState::Queued);
    let record = Record { reason: Some("x".repeat(20_000)), ..numbered_record(number) };
    let line = EventKind::Log { line: "x".repeat(20_000) };
    (
        run.id,
        UnitOfWork::new().insert_run(run.clone()).append_event(run.id, second(0), line).append_record(record),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_takes_nothing_half_and_recovers() {
    let directory = Directory::fresh();
    let store = Arc::new(directory.store());
    leave_pages(&store, 100).await;
    let answers = at_once((0..60).map(|number| {
        let (store, (run, work)) = (Arc::clone(&store), large_unit(number));
        async move { (run, store.commit(work).await) }
    }))
    .await;
    let mut kept = 0;
    for (run, answer) in answers {
        let there = store.run(run).await.unwrap().is_some();
        assert_eq!(there, !store.events(run, 0, 9).await.unwrap().is_empty());
        assert_eq!(there, answer.is_ok());
        kept += u64::from(there);
        if let Err(error) = answer {
            assert!(matches!(error, CommitError::Store(StoreError::DiskFull(_))), "{error:?}");
            assert!(
                error.to_string().contains("guichet.db") && error.to_string().contains("full"),
                "{error}"
            );
        }
    }
    assert!(kept < 60, "the disk was not full");
    assert_eq!(store.record_count().await.unwrap(), kept);

    // Until it is full to the last page, the store says so when asked.
    while store.commit(large_unit(0).1).await.is_ok() {}
    assert!(matches!(store.check_writable().await, Err(StoreError::DiskFull(_))));

    pragma(&store, "max_page_count", 1_000_000).await;
    store.check_writable().await.unwrap();
    store.append_soon(numbered_record(0)).await.unwrap();
    let (run, work) = large_unit(61);
    store.commit(work).await.unwrap();
    assert!(store.run(run).await.unwrap().is_some());
    let (count, leaves) = (store.record_count().await.unwrap(), store.leaves(0, 100).await.unwrap());
    assert!(leaves.iter().map(|(index, _)| *index).eq(0..count), "no hole where the disk was full");
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_cannot_be_written_are_counted_and_those_after_them_are_told() {
    let directory = Directory::fresh();
    let store = directory.store();
    pragma(&store, "query_only", 1).await;
    store.append_soon(numbered_record(0)).await.unwrap();
    // The first may share its group and be answered before it is tried again; the second stands behind that.
    for _ in 0..2 {
        assert!(store.check_writable().await.is_err());
    }
    assert_eq!(store.lost_records(), 1, "it was handed over before anybody knew");
    for number in 1..10 {
        let told = store.append_soon(numbered_record(number)).await;
        assert!(matches!(told, Err(StoreError::ReadOnly(_))), "nobody is told that it was taken: {told:?}");
    }
    assert_eq!(store.lost_records(), 1);
    drop(store);
    assert_eq!(directory.store().record_count().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_store_refuses() {
    let directory = Directory::fresh();
    let store = directory.store();
    pragma(&store, "query_only", 1).await;
    let mut wakes = store.wakes();
    let error = store.commit(large_unit(0).1).await.unwrap_err();
    assert!(matches!(error, CommitError::Store(StoreError::ReadOnly(_))), "{error:?}");
    assert!(error.to_string().contains("guichet.db"), "{error}");
    assert!(matches!(store.check_writable().await, Err(StoreError::ReadOnly(_))));
    assert!(wakes.try_recv().is_err(), "nothing became true, so nobody is woken");
    drop(store);
    let store = directory.store();
    assert_eq!(store.record_count().await.unwrap(), 0);
    store.commit(large_unit(0).1).await.unwrap();
}

/// A commit that fails after every unit of its group was applied: a reference that is checked only then.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_fails_answers_its_whole_group() {
    let directory = Directory::fresh();
    let store = Arc::new(directory.store());
    store
        .write(|writing| {
            Ok(writing.connection().execute_batch(
                "CREATE TABLE late (run TEXT NOT NULL REFERENCES runs (id) DEFERRABLE INITIALLY DEFERRED)",
            )?)
        })
        .await
        .unwrap();
    // Holds the writer until the others wait behind it, so that they become one group.
    let (release, held) = std::sync::mpsc::channel::<()>();
    let (begun, holds) = tokio::sync::oneshot::channel();
    let holding = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.write(move |_| Ok(begun.send(()).is_ok() && held.recv().is_ok())).await }
    });
    holds.await.unwrap();
    let poison = tokio::spawn({
        let store = Arc::clone(&store);
        async move {
            store
                .write(|writing| {
                    Ok(writing.connection().execute("INSERT INTO late VALUES ('no such run')", [])?)
                })
                .await
        }
    });
    let neighbours: Vec<_> = (0..20)
        .map(|number| {
            let (store, work) = (Arc::clone(&store), large_unit(number).1);
            tokio::spawn(async move { store.commit(work).await })
        })
        .collect();
    store.append_soon(numbered_record(77)).await.unwrap();
    while store.waiting_orders() < 22 {
        tokio::task::yield_now().await;
    }
    release.send(()).unwrap();
    assert!(holding.await.unwrap().unwrap());
    assert!(poison.await.unwrap().is_err());
    for neighbour in neighbours {
        let answer = neighbour.await.unwrap();
        assert!(matches!(answer, Err(CommitError::Store(StoreError::Engine(_)))), "{answer:?}");
    }
    // The record that was only handed over is tried again without them; nothing else became true.
    store.check_writable().await.unwrap();
    let leaves = store.leaves(0, 100).await.unwrap();
    assert_eq!(leaves, [(0, serde_json::to_string(&numbered_record(77)).unwrap())]);
    assert_eq!(store.lost_records(), 0);
    store.commit(large_unit(1).1).await.unwrap();
    assert_eq!(integer(store.record_count().await.unwrap()), 2);
}

/// A power cut may forget a lease, and nothing else: what stands behind it in the log is on the disk with it.
#[tokio::test]
async fn only_leases_do_not_wait_for_the_disk() {
    let directory = Directory::fresh();
    let store = directory.store();
    let synchronous = |writing: &mut Writing<'_>| -> Result<i64, Fault> {
        Ok(writing.connection().pragma_query_value(None, "synchronous", |row| row.get(0))?)
    };
    let (normal, full) = (1, 2);
    assert_eq!(store.write(synchronous).await.unwrap(), full, "as it was opened");
    for _ in 0..2 {
        assert_eq!(store.write_unsynced(synchronous).await.unwrap(), normal);
        assert_eq!(store.write(synchronous).await.unwrap(), full, "whoever follows waits for the disk again");
    }
}
