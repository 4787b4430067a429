//! Locks that somebody keeps, and connections of which the server no longer knows what we believe.

use std::{sync::Arc, time::Duration};

use guichet_contract::RunState;
use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::Database;
use crate::{Change, RecordsFilter, UnitOfWork, conformance::fixtures::*};

/// Whoever waits for a lock is told what a time-out tells. Says how many waited.
fn end_waiting(database: &Database) -> usize {
    let ended = database.sql(
        "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity
         WHERE datname = current_database() AND wait_event_type = 'Lock'",
    );
    ended.parse().unwrap()
}

/// Until somebody waits for a lock.
async fn somebody_waits(database: &Database) {
    let waiting = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
    for _ in 0..500 {
        if database.sql(waiting) != "0" {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
    panic!("nobody waits for a lock");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_were_handed_over_outlast_a_lock_on_the_ledger() {
    let database = Database::fresh();
    let store = Arc::new(database.store().await);
    let somebody = database.somebody().await;
    somebody.batch_execute("BEGIN; SELECT * FROM ledger_head FOR UPDATE").await.unwrap();
    let asking = tokio::spawn({
        let store = Arc::clone(&store);
        async move {
            // In one group, so that the record meets what the unit meets.
            let (handed, asked) = tokio::join!(
                store.append_soon(numbered_record(0)),
                store.commit(UnitOfWork::new().append_record(numbered_record(1))),
            );
            handed.unwrap();
            asked
        }
    });
    // Whoever waits loses patience; then the record is alone.
    let until = Instant::now() + Duration::from_secs(15);
    let mut ended = 0;
    while !asking.is_finished() && Instant::now() < until {
        ended += end_waiting(&database);
        sleep(Duration::from_millis(200)).await;
    }
    for _ in 0..2 {
        somebody_waits(&database).await;
        ended += end_waiting(&database);
    }
    assert!(ended > 3, "{ended} statements were ended");
    somebody.batch_execute("COMMIT").await.unwrap();
    store.check_writable().await.unwrap();
    let asked = asking.await.unwrap();
    assert_eq!(store.lost_records(), 0);
    assert_eq!(store.record_count().await.unwrap(), 1 + u64::from(asked.is_ok()));
    if let Err(told) = asked {
        assert!(told.to_string().contains("lock"), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_a_prune() {
    let database = Database::fresh();
    let store = database.store().await;
    let records = (0..600).map(numbered_record).fold(UnitOfWork::new(), UnitOfWork::append_record);
    store.commit(records).await.unwrap();
    store.seal(520, "note of 520", second(1), &[(0, 0, vec![7; 256 * 32])]).await.unwrap();
    let other = database.store().await;
    // The prune takes its time.
    let somebody = database.somebody().await;
    somebody.batch_execute("BEGIN; SELECT * FROM records WHERE log_index = 7 FOR UPDATE").await.unwrap();
    let prune = unit(Change::PruneRecords { before: 512 }).append_record(numbered_record(9_999));
    let (pruned, ()) = tokio::join!(store.commit(prune), async {
        somebody_waits(&database).await;
        let waits = "SELECT pid || ' since ' || xact_start FROM pg_stat_activity
                     WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let pruning = database.sql(waits);
        other.commit(UnitOfWork::new().append_record(numbered_record(600))).await.unwrap();
        assert_eq!(database.sql(waits), pruning, "the same prune still goes on: it was not waited for");
        somebody.batch_execute("COMMIT").await.unwrap();
    });
    pruned.unwrap();
    assert_eq!((store.first_record().await.unwrap(), store.record_count().await.unwrap()), (512, 602));
}

#[tokio::test]
async fn a_search_that_takes_too_long_says_what_helps() {
    let database = Database::fresh();
    let store = database.store().await;
    store.commit(UnitOfWork::new().append_record(numbered_record(0))).await.unwrap();
    assert_eq!(store.index_records(10).await.unwrap(), 0);
    let somebody = database.somebody().await;
    somebody.batch_execute("BEGIN; LOCK TABLE found_by IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let filter = RecordsFilter { owner: Some("nobody".into()), ..RecordsFilter::default() };
    let told = store.records(&filter, &first(10)).await.unwrap_err().to_string();
    assert!(told.contains("narrow it"), "{told}");
}

#[tokio::test]
async fn a_connection_that_is_stale_is_not_kept() {
    let database = Database::fresh();
    let store = database.store().await;
    let run = run_in(RunState::Queued);
    store.commit(UnitOfWork::new().insert_run(run.clone())).await.unwrap();
    let there = async || store.run(run.id).await.unwrap().is_some();
    assert!(there().await);
    // What was prepared before the schema changed.
    database.sql("ALTER TABLE runs ALTER COLUMN body TYPE varchar");
    assert!(there().await && there().await);
    // What the server forgot: a pooler gave the connection another session.
    store.rows("DEALLOCATE ALL", &[]).await.unwrap();
    assert!(there().await && there().await);
    // A server that became a standby.
    let extend = async || store.extend_lease(job_due(second(0)).id, "nobody", Timestamp::UNIX_EPOCH).await;
    store.rows("SET default_transaction_read_only = on", &[]).await.unwrap();
    assert!(!extend().await.unwrap() && !extend().await.unwrap());
}
