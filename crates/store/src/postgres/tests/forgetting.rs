//! What was delivered long ago is forgotten: without a look at all the rest, and not while somebody sends it once more.

use std::{sync::Arc, time::Duration};

use guichet_contract::{DeliveryId, DeliveryState};
use tokio::time::sleep;

use super::Database;
use crate::{
    Change, JobKind, UnitOfWork,
    conformance::{
        fixtures::*,
        notices::{job, mail, notice},
    },
    postgres::deliveries,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_replayed_elsewhere_at_this_instant_is_not_forgotten() {
    let database = Database::fresh();
    let store = Arc::new(database.store().await);
    let job = job();
    store.commit(unit(Change::EnqueueNotice { job: job.clone(), notice: notice() })).await.unwrap();
    crate::Jobs::claim_jobs(&*store, &mail(), "a", second(1), second(2), &Room::any(1)).await.unwrap();
    let id = DeliveryId::of_job(job.id);
    let end = Change::EndDelivery { delivery: id, state: DeliveryState::GivenUp, at: second(9) };
    let finish = Change::FinishJob { job: job.id, lease: "a".into() };
    store.commit(UnitOfWork::new().with(finish).with(end)).await.unwrap();

    // Another gateway is in the midst of the replay.
    let elsewhere = database.somebody().await;
    let kind = JobKind::DeliverNotice.as_str();
    let replay = format!(
        "BEGIN;
         UPDATE delivery_log SET state = 'waiting', ended_at = NULL, replays = replays + 1 WHERE id = '{id}';
         INSERT INTO jobs (id, kind, run, lane, due, attempts, notice)
         SELECT id, '{kind}', run, 'channel/' || channel, 0, 0, notice FROM delivery_log WHERE id = '{id}'"
    );
    elsewhere.batch_execute(&replay).await.unwrap();
    let forgetting = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.forget_deliveries(second(1_000)).await }
    });
    let waiting = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while !forgetting.is_finished() && database.sql(waiting) == "0" {
        sleep(Duration::from_millis(20)).await;
    }
    elsewhere.batch_execute("COMMIT").await.unwrap();
    assert_eq!(forgetting.await.unwrap().unwrap(), 0);
    let there = store.delivery(id).await.unwrap().unwrap();
    assert_eq!((there.state, there.replays), (DeliveryState::Waiting, 1));
    assert_eq!(store.forget_deliveries(second(1_000)).await.unwrap(), 0, "nor afterwards");
}

#[tokio::test]
async fn who_forgets_does_not_look_at_what_stays() {
    let database = Database::fresh();
    drop(database.store().await);
    database.sql(
        "INSERT INTO delivery_log (id, event, channel, occasion, run, at, state, replays, ended_at, notice)
         SELECT gen_random_uuid(), gen_random_uuid(), 'hook', 'run_ended', gen_random_uuid(), n, 'delivered', 0, n, '{}'
         FROM generate_series(1, 20000) n;
         INSERT INTO deliveries (event, channel, recipient, run, at, given_up)
         SELECT event, channel, '', run, at, 0 FROM delivery_log",
    );
    database.sql("VACUUM ANALYZE delivery_log");
    database.sql("VACUUM ANALYZE deliveries");
    for statement in [deliveries::FORGET, deliveries::FORGET_OLD_TOLD] {
        let plan = database.sql(&format!(
            "PREPARE it AS {statement};
             EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) EXECUTE it(11, 250)"
        ));
        for all in ["Seq Scan on delivery_log", "Seq Scan on deliveries"] {
            assert!(!plan.contains(all), "{plan}");
        }
    }
    for table in ["delivery_log", "deliveries"] {
        assert_eq!(database.sql(&format!("SELECT count(*) FROM {table}")), "19990");
    }
}
