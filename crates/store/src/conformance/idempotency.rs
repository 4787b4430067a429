//! Keys against double submission.

use std::sync::Arc;

use guichet_contract::{Digest, Principal, Run, RunId, RunState};

use super::{Premises, fixtures::*};
use crate::{Change, Lane, RunsFilter, UnitOfWork};

fn key_of(principal: &str, key: &str, run: RunId) -> Change {
    Change::InsertIdempotencyKey {
        principal: principal.into(),
        key: key.into(),
        request: Digest::of_bytes(key.as_bytes()),
        run,
        at: second(0),
    }
}

pub async fn of_many_with_one_key_one_wins(premises: &impl Premises) {
    let store = premises.open().await;
    let racers = (0..20).map(|_| {
        let store = Arc::clone(&store);
        let run = Run { idempotency_key: Some("key".into()), ..run_in(RunState::Queued) };
        let work = unit(key_of("person/ada", "key", run.id)).insert_run(run).enqueue_job(job_due(second(0)));
        async move { store.commit(work).await }
    });
    assert_eq!(wins(at_once(racers).await), 1);
    let runs = store.runs(&RunsFilter::default(), &first(500)).await.unwrap().items;
    assert_eq!(runs.len(), 1);
    let known = store.idempotent_run("person/ada", "key").await.unwrap();
    assert_eq!(known, Some((Digest::of_bytes(b"key"), runs[0].id)));
    assert_eq!(
        store.claim_jobs(&Lane::Runs, "a", second(0), second(9), &Room::any(100)).await.unwrap().len(),
        1
    );
}

pub async fn keys_of_two_people_never_meet(premises: &impl Premises) {
    let store = premises.open().await;
    let (ada, grace) = (run_id(), run_id());
    let both = unit(key_of("person/ada", "key", ada)).with(key_of("person/grace", "key", grace));
    store.commit(both).await.unwrap();
    let run_of = async |principal| store.idempotent_run(principal, "key").await.unwrap().map(|(_, run)| run);
    assert_eq!(run_of("person/ada").await, Some(ada));
    assert_eq!(run_of("person/grace").await, Some(grace));
    assert_eq!(run_of("ci_job/ada").await, None);
}

pub async fn a_run_with_a_taken_key_is_a_conflict(premises: &impl Premises) {
    let store = premises.open().await;
    let with_key = |run: Run| Run { idempotency_key: Some("key".into()), ..run };
    let insert = |run| UnitOfWork::new().insert_run(run);
    store.commit(insert(with_key(run_in(RunState::Queued)))).await.unwrap();
    let what = conflict(store.commit(insert(with_key(run_in(RunState::Queued)))).await);
    assert!(what.contains("`key`") && what.contains("ada"), "{what}");
    let other = Run { requested_by: Principal::person("grace"), ..with_key(run_in(RunState::Queued)) };
    store.commit(insert(other)).await.unwrap();
    store.commit(insert(run_in(RunState::Queued))).await.unwrap();
    store.commit(insert(run_in(RunState::Queued))).await.unwrap();
}
