//! Connections and servers that go away while units are written.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use guichet_contract::{EventKind, Record, RunId, RunState, Verb};
use guichet_throwaway_postgres::Cluster;
use uuid::Uuid;

use super::{Database, PostgresStore, settings_on};
use crate::{
    CommitError, RunsFilter, Store, StoreError, UnitOfWork,
    conformance::fixtures::*,
    postgres::{batch::Undone, change, connect::Connector, writer},
};

fn submission(run: &guichet_contract::Run) -> UnitOfWork {
    UnitOfWork::new()
        .insert_run(run.clone())
        .append_event(run.id, second(0), EventKind::Log { line: "submitted".into() })
        .append_record(Record { run: Some(run.id), ..record(Verb::SubmitRun) })
}

/// Every run that is there is whole, and the ledger has one dense record for each.
async fn kept(store: &PostgresStore) -> HashSet<RunId> {
    let (mut page, mut kept) = (first(500), HashSet::new());
    loop {
        let read = store.runs(&RunsFilter::default(), &page).await.unwrap();
        for run in &read.items {
            assert!(kept.insert(run.id));
            assert_eq!(store.events(run.id, 0, 10).await.unwrap().len(), 1);
        }
        page.cursor = read.next;
        if page.cursor.is_none() {
            break;
        }
    }
    let leaves = store.leaves(0, 1_000_000).await.unwrap();
    assert!(leaves.iter().map(|(index, _)| *index).eq(0..kept.len() as u64), "one record each, dense");
    let told: HashSet<RunId> =
        leaves.iter().map(|(_, text)| serde_json::from_str::<Record>(text).unwrap().run.unwrap()).collect();
    assert_eq!(told, kept);
    kept
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn connections_that_are_killed_lose_nothing_and_double_nothing() {
    let database = Database::fresh();
    let store = Arc::new(database.store().await);
    let stop = Arc::new(AtomicBool::new(false));
    let killer = tokio::task::spawn_blocking({
        let (stop, name) = (Arc::clone(&stop), database.0.clone());
        move || {
            let mut kills = 0;
            while !stop.load(Ordering::Relaxed) {
                // Those that are in a transaction first: some of them commit at this very instant.
                let killed = super::cluster().sql(&format!(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                     WHERE datname = '{name}' AND (state LIKE 'idle in%' OR query LIKE 'COMMIT%' OR state = 'active')"
                ));
                kills += killed.unwrap().parse::<usize>().unwrap();
                std::thread::sleep(Duration::from_millis(7));
            }
            kills
        }
    });
    let writers = (0..8).map(|_| {
        let store = Arc::clone(&store);
        async move {
            let mut written = Vec::new();
            for _ in 0..120 {
                let run = run_in(RunState::Queued);
                written.push((run.id, store.commit(submission(&run)).await));
            }
            written
        }
    });
    let answers: Vec<_> = at_once(writers).await.into_iter().flatten().collect();
    stop.store(true, Ordering::Relaxed);
    let kills = killer.await.unwrap();
    assert!(kills > 10, "{kills} connections were killed");
    let store = database.store().await;
    let kept = kept(&store).await;
    for (run, answer) in answers {
        match answer {
            Ok(()) => assert!(kept.contains(&run), "answered, and lost"),
            Err(CommitError::Store(StoreError::Unreachable(_))) => {
                assert!(!kept.contains(&run), "refused, and done");
            }
            Err(other) => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn units_wait_for_a_server_that_starts_again() {
    let cluster = Arc::new(Cluster::start().unwrap());
    let store = Arc::new(PostgresStore::open(&settings_on(&cluster, "postgres")).await.unwrap());
    let stop = Arc::new(AtomicBool::new(false));
    let crasher = tokio::task::spawn_blocking({
        let (cluster, stop) = (Arc::clone(&cluster), Arc::clone(&stop));
        move || {
            for _ in 0..3 {
                std::thread::sleep(Duration::from_millis(200));
                cluster.crash_and_start().unwrap();
            }
            stop.store(true, Ordering::Relaxed);
        }
    });
    let writers = (0..8).map(|_| {
        let (store, stop) = (Arc::clone(&store), Arc::clone(&stop));
        async move {
            let mut written = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let run = run_in(RunState::Queued);
                written.push((run.id, store.commit(submission(&run)).await));
            }
            written
        }
    });
    let answers: Vec<_> = at_once(writers).await.into_iter().flatten().collect();
    crasher.await.unwrap();
    let kept = kept(&store).await;
    for (run, answer) in &answers {
        assert_eq!(answer.is_ok(), kept.contains(run), "{answer:?}");
    }
    assert_eq!(kept.len(), answers.len(), "it was back within the writer's patience");

    // And when it stays away, all are told so.
    cluster.stop().unwrap();
    let error = store.check_writable().await.unwrap_err().to_string();
    assert!(error.contains("cannot be reached") && !error.contains("throwaway"), "{error}");
    assert!(matches!(store.run(run_id()).await, Err(StoreError::Unreachable(_))));
}

/// The server goes away at the one moment that cannot be seen: after the commit was sent.
#[tokio::test]
async fn the_fate_of_a_commit_is_found_out() {
    let database = Database::fresh();
    let _store = database.store().await;
    let connector = Connector::new(&database.settings()).unwrap();
    let mut line = writer::open_line(&connector).await.unwrap();
    let run = run_in(RunState::Queued);
    let unit = change::unit_of(&submission(&run).changes).unwrap();
    let commit = Uuid::new_v4();
    assert!(line.write(&[&unit], commit, Uuid::new_v4()).await.is_ok());
    assert!(line.became_true(commit).await.unwrap(), "it was committed");

    // Asked before it was committed: then it never is, however late it comes.
    let late = Uuid::new_v4();
    assert!(!line.became_true(late).await.unwrap());
    let unit = change::unit_of(&submission(&run_in(RunState::Queued)).changes).unwrap();
    let written = line.write(&[&unit], late, Uuid::new_v4()).await;
    assert!(matches!(written, Err(Undone::Refused(_))));
    assert_eq!(database.sql("SELECT count(*) FROM runs"), "1");
    assert_eq!(database.sql("SELECT next_index FROM ledger_head"), "1");
}
