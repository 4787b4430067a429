//! What holds across nouns: units, opening again, closing, waking.

use std::{sync::Arc, time::Duration};

use guichet_contract::{Digest, EventKind, Run, RunState, Verb};
use tokio::sync::broadcast::error::TryRecvError;

use super::{Premises, fixtures::*};
use crate::{Change, CommitError, Lane, RecordsFilter, Store, StoreError, TokenKind, UnitOfWork, Wake};

fn state_event(state: RunState) -> EventKind {
    EventKind::State { state, because: None }
}

/// A unit as it is in life: a run, its first event, its record, its job.
fn submission(run: &Run) -> UnitOfWork {
    UnitOfWork::new()
        .insert_run(run.clone())
        .append_event(run.id, second(0), state_event(run.state))
        .append_record(guichet_contract::Record { run: Some(run.id), ..record(Verb::SubmitRun) })
        .enqueue_job(crate::Job { run: run.id, ..job_due(second(0)) })
}

pub async fn a_unit_is_all_or_nothing(premises: &impl Premises) {
    let store = premises.open().await;
    let standing = run_in(RunState::Queued);
    store.commit(UnitOfWork::new().insert_run(standing.clone())).await.unwrap();
    let (run, token) = (run_in(RunState::Queued), token_of("ada", TokenKind::Session));
    let failing = submission(&run)
        .with(Change::InsertToken(token.clone()))
        .with(Change::InsertIdempotencyKey {
            principal: "person/ada".into(),
            key: "k".into(),
            request: Digest::of_bytes(b""),
            run: run.id,
            at: second(0),
        })
        .with(moved(standing.id, RunState::Queued, RunState::Running))
        .with(moved(run.id, RunState::AwaitingApproval, RunState::Queued))
        .append_record(record(Verb::ApproveRun));
    conflict(store.commit(failing).await);

    assert_eq!(store.run(run.id).await.unwrap(), None);
    assert_eq!(store.events(run.id, 0, 10).await.unwrap(), []);
    assert_eq!(store.record_count().await.unwrap(), 0);
    assert_eq!(store.next_due(&Lane::Runs, &Room::any(1)).await.unwrap(), None);
    assert_eq!(store.token(token.id).await.unwrap(), None);
    assert_eq!(store.idempotent_run("person/ada", "k").await.unwrap(), None);
    assert_eq!(store.run(standing.id).await.unwrap(), Some(standing));
}

pub async fn a_conflict_leaves_its_neighbours_alone(premises: &impl Premises) {
    let store = premises.open().await;
    let taken = run_in(RunState::Queued);
    store.commit(UnitOfWork::new().insert_run(taken.clone())).await.unwrap();
    let writers = (0..200).map(|number| {
        let run = if number % 4 == 0 { taken.clone() } else { run_in(RunState::Queued) };
        let store = Arc::clone(&store);
        async move { (store.commit(submission(&run)).await, run.id) }
    });
    let (mut won, mut lost) = (0, 0);
    for (answer, run) in at_once(writers).await {
        match answer {
            Ok(()) => {
                won += 1;
                assert_eq!(store.events(run, 0, 10).await.unwrap().len(), 1);
            }
            Err(CommitError::Conflict { .. }) => lost += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!((won, lost), (150, 50));
    assert_eq!(store.record_count().await.unwrap(), 150);
    assert_eq!(
        store.claim_jobs(&Lane::Runs, "a", second(0), second(1), &Room::any(500)).await.unwrap().len(),
        150
    );
}

pub async fn what_was_committed_is_there_when_reopened(premises: &impl Premises) {
    let store = premises.open().await;
    let (run, token) = (run_in(RunState::AwaitingApproval), token_of("ada", TokenKind::Personal));
    store.commit(submission(&run).with(Change::InsertToken(token.clone()))).await.unwrap();
    let decided = Change::AddDecision { run: run.id, seen: 0, decision: yes_by("grace") };
    store.commit(unit(decided)).await.unwrap();
    store.seal(1, "one", second(0), &[(0, 0, vec![1; 32])]).await.unwrap();
    let (run, leaves) = (store.run(run.id).await.unwrap(), store.leaves(0, 9).await.unwrap());
    drop(store);

    let store = premises.open().await;
    let run = run.unwrap();
    assert_eq!(run.decisions.len(), 1);
    assert_eq!(store.run(run.id).await.unwrap(), Some(run.clone()));
    assert_eq!(store.events(run.id, 0, 9).await.unwrap().len(), 1);
    assert_eq!(store.token(token.id).await.unwrap(), Some(token));
    assert_eq!(store.leaves(0, 9).await.unwrap(), leaves);
    assert_eq!(store.latest_checkpoint().await.unwrap(), Some((1, "one".to_owned())));
    assert_eq!(store.tile(0, 0).await.unwrap(), Some(vec![1; 32]));
    assert_eq!(store.next_due(&Lane::Runs, &Room::any(1)).await.unwrap(), Some(second(0)));
    // And the ledger goes on where it stopped.
    store.commit(UnitOfWork::new().append_record(numbered_record(1))).await.unwrap();
    assert_eq!(store.leaves(1, 9).await.unwrap().len(), 1);
}

pub async fn what_was_handed_over_is_durable_once_closed(premises: &impl Premises) {
    let store = premises.open().await;
    for number in 0..5_000 {
        store.append_soon(numbered_record(number)).await.unwrap();
    }
    store.close().await;
    drop(store);
    let store = premises.open().await;
    assert_eq!(store.record_count().await.unwrap(), 5_000);
    let last = store.leaves(4_999, 1).await.unwrap();
    assert_eq!(last[0].1, serde_json::to_string(&numbered_record(4_999)).unwrap());
}

pub async fn after_closing_nothing_is_taken(premises: &impl Premises) {
    let store = premises.open().await;
    tokio::join!(store.close(), store.close());
    store.close().await;
    let answer = store.commit(UnitOfWork::new().append_record(numbered_record(0))).await;
    assert!(matches!(answer, Err(CommitError::Store(StoreError::Closed))), "{answer:?}");
    let answer = store.append_soon(numbered_record(0)).await;
    assert!(matches!(answer, Err(StoreError::Closed)), "{answer:?}");
    let answer = store.check_writable().await;
    assert!(matches!(answer, Err(StoreError::Closed)), "{answer:?}");
}

pub async fn a_store_knows_that_it_can_write(premises: &impl Premises) {
    let store = premises.open().await;
    store.check_writable().await.unwrap();
    store.check_writable().await.unwrap();
    let nothing = store.records(&RecordsFilter::default(), &first(10)).await.unwrap();
    assert_eq!((nothing.items.len(), nothing.next), (0, None));
}

pub async fn wakes_come_after_the_commit(premises: &impl Premises) {
    let store = premises.open().await;
    let mut wakes = store.wakes();
    for _ in 0..50 {
        let run = run_in(RunState::Queued);
        let (mut of_it, mut of_another) =
            (store.wakes_of(run.id), store.wakes_of(run_in(RunState::Queued).id));
        let committing = tokio::spawn({
            let (store, work) = (Arc::clone(&store), submission(&run));
            async move { store.commit(work).await }
        });
        let mut missing = vec![Wake::Job, Wake::Record];
        while !missing.is_empty() {
            // Only so that a lost wake ends the test; nothing depends on how long it takes.
            let wake = tokio::time::timeout(Duration::from_mins(1), wakes.recv()).await.unwrap().unwrap();
            missing.retain(|awaited| *awaited != wake);
            // Whoever is woken finds what woke them.
            assert_eq!(store.events(run.id, 0, 10).await.unwrap().len(), 1);
        }
        tokio::time::timeout(Duration::from_mins(1), of_it.next()).await.unwrap().unwrap();
        assert_eq!(store.events(run.id, 0, 10).await.unwrap().len(), 1);
        committing.await.unwrap().unwrap();
        let told = tokio::time::timeout(Duration::ZERO, of_another.next()).await;
        assert!(told.is_err(), "what happens to a run wakes those who watch it");
    }
}

pub async fn a_conflict_wakes_nobody(premises: &impl Premises) {
    let store = premises.open().await;
    let run = run_in(RunState::Queued);
    store.commit(UnitOfWork::new().insert_run(run.clone())).await.unwrap();
    let mut wakes = store.wakes();
    conflict(store.commit(submission(&run_in(RunState::Queued)).insert_run(run)).await);
    // A unit behind it proves that it was dealt with.
    store.check_writable().await.unwrap();
    assert!(matches!(wakes.try_recv(), Err(TryRecvError::Empty)));
}
