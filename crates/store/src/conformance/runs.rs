//! Runs and decisions.

use std::{collections::HashSet, sync::Arc};

use guichet_contract::{ActionId, CancelAsked, Outcome, Principal, PrincipalKind, Run, RunId, RunState};
use guichet_lifecycle::{Event, next};
use serde_json::json;

use super::{Premises, fixtures::*};
use crate::{Change, Lane, PageRequest, RunsFilter, Store, StoreError, UnitOfWork};

async fn insert(store: &impl Store, run: &Run) {
    store.commit(UnitOfWork::new().insert_run(run.clone())).await.unwrap();
}

pub async fn a_run_reads_as_it_was_written(premises: &impl Premises) {
    let store = premises.open().await;
    let mut run = run_in(RunState::AwaitingApproval);
    run.decisions = vec![yes_by("grace"), yes_by("ada.l")];
    run.idempotency_key = Some("key".into());
    insert(&*store, &run).await;
    assert_eq!(store.run(run.id).await.unwrap(), Some(run));
    assert_eq!(store.run(run_id()).await.unwrap(), None);
}

pub async fn an_id_is_taken_once(premises: &impl Premises) {
    let store = premises.open().await;
    let run = run_in(RunState::Queued);
    insert(&*store, &run).await;
    let other = Run { title: "another".into(), ..run.clone() };
    let what = conflict(store.commit(UnitOfWork::new().insert_run(other)).await);
    assert!(what.contains(&run.id.to_string()), "{what}");
    assert_eq!(store.run(run.id).await.unwrap(), Some(run));
}

pub async fn a_move_needs_the_state_it_starts_from(premises: &impl Premises) {
    let store = premises.open().await;
    let run = run_in(RunState::Queued);
    insert(&*store, &run).await;
    let wrong = moved(run.id, RunState::AwaitingApproval, RunState::Queued);
    let what = conflict(store.commit(unit(wrong)).await);
    assert!(what.contains(&run.id.to_string()) && what.contains("awaiting_approval"), "{what}");
    conflict(store.commit(unit(moved(run_id(), RunState::Queued, RunState::Running))).await);

    // Legal from where the run stands, but not from where its author believes it to be.
    let running = run_in(RunState::Running);
    insert(&*store, &running).await;
    conflict(store.commit(unit(moved(running.id, RunState::Queued, RunState::Cancelled))).await);
    assert_eq!(store.run(running.id).await.unwrap(), Some(running));

    let racers = (0..8).map(|_| {
        let (store, to_running) = (Arc::clone(&store), moved(run.id, RunState::Queued, RunState::Running));
        async move { store.commit(unit(to_running)).await }
    });
    assert_eq!(wins(at_once(racers).await), 1);
}

pub async fn a_move_tells_when_and_with_what_outcome(premises: &impl Premises) {
    let store = premises.open().await;
    let run = run_in(RunState::Queued);
    insert(&*store, &run).await;
    store.commit(unit(moved(run.id, RunState::Queued, RunState::Running))).await.unwrap();
    let running = store.run(run.id).await.unwrap().unwrap();
    assert_eq!(running, Run { state: RunState::Running, started_at: Some(second(10)), ..run.clone() });

    let outcome = Outcome::succeeded(json!({"cancelled": true, "after": 0.25}));
    let end = moved_with(run.id, RunState::Running, RunState::Succeeded, second(20), outcome.clone());
    store.commit(unit(end)).await.unwrap();
    let ended = Run {
        state: RunState::Succeeded,
        started_at: Some(second(10)),
        finished_at: Some(second(20)),
        outcome: Some(outcome),
        ..run
    };
    assert_eq!(store.run(ended.id).await.unwrap(), Some(ended));
}

pub async fn runs_move_as_lifecycle_says(premises: &impl Premises) {
    let store = premises.open().await;
    for from in RunState::ALL.into_iter().filter(|state| *state != RunState::Planned) {
        for to in RunState::ALL {
            let legal = Event::ALL.into_iter().any(|event| next(from, event) == Ok(to));
            let run = run_in(from);
            insert(&*store, &run).await;
            let answer = store.commit(unit(moved(run.id, from, to))).await;
            let stands = store.run(run.id).await.unwrap().unwrap().state;
            if legal {
                assert_eq!((answer.is_ok(), stands), (true, to), "from {from} to {to}");
            } else {
                conflict(answer);
                assert_eq!(stands, from, "from {from} to {to}");
            }
        }
    }
}

pub async fn of_many_last_decisions_one_counts(premises: &impl Premises) {
    let store = premises.open().await;
    for _ in 0..20 {
        let run = run_in(RunState::AwaitingApproval);
        insert(&*store, &run).await;
        let racers = (0..4).map(|number| {
            let (store, id) = (Arc::clone(&store), run.id);
            let decision = yes_by(&format!("approver {number}"));
            // Each saw none, and each would queue the run.
            let work = unit(Change::AddDecision { run: id, seen: 0, decision })
                .with(moved(id, RunState::AwaitingApproval, RunState::Queued))
                .enqueue_job(job_due(second(0)));
            async move { store.commit(work).await }
        });
        assert_eq!(wins(at_once(racers).await), 1);
        let run = store.run(run.id).await.unwrap().unwrap();
        assert_eq!((run.state, run.decisions.len()), (RunState::Queued, 1));
    }
    let jobs = store.claim_jobs(&Lane::Runs, "all", second(1), second(2), &Room::any(100)).await.unwrap();
    assert_eq!(jobs.len(), 20, "one job for each run");
}

pub async fn a_person_decides_once(premises: &impl Premises) {
    let store = premises.open().await;
    let run = run_in(RunState::AwaitingApproval);
    insert(&*store, &run).await;
    let decide = |seen, by| unit(Change::AddDecision { run: run.id, seen, decision: yes_by(by) });
    store.commit(decide(0, "grace")).await.unwrap();
    let what = conflict(store.commit(decide(1, "grace")).await);
    assert!(what.contains("grace"), "{what}");
    for wrongly_seen in [0, 2, 7] {
        conflict(store.commit(decide(wrongly_seen, "alan")).await);
    }
    store.commit(decide(1, "alan")).await.unwrap();
    let decisions = store.run(run.id).await.unwrap().unwrap().decisions;
    assert_eq!(decisions, [yes_by("grace"), yes_by("alan")]);
}

pub async fn decisions_are_for_those_who_wait(premises: &impl Premises) {
    let store = premises.open().await;
    for state in [RunState::Queued, RunState::Running, RunState::Expired] {
        let run = run_in(state);
        insert(&*store, &run).await;
        conflict(
            store.commit(unit(Change::AddDecision { run: run.id, seen: 0, decision: yes_by("grace") })).await,
        );
    }
    conflict(
        store.commit(unit(Change::AddDecision { run: run_id(), seen: 0, decision: yes_by("grace") })).await,
    );
}

pub async fn pages_neither_repeat_nor_skip(premises: &impl Premises) {
    let store = premises.open().await;
    // Many share a moment, so that the id must decide.
    let runs: Vec<Run> =
        (0..1_000).map(|n| Run { created_at: second(n / 7), ..run_in(RunState::Succeeded) }).collect();
    let mut work = UnitOfWork::new();
    for run in &runs {
        work = work.insert_run(run.clone());
    }
    store.commit(work).await.unwrap();

    let (mut page, mut seen, mut newer) = (first(33), Vec::<Run>::new(), 0);
    loop {
        let read = store.runs(&RunsFilter::default(), &page).await.unwrap();
        assert!(read.items.len() == 33 || read.next.is_none());
        seen.extend(read.items);
        newer += 1;
        insert(&*store, &Run { created_at: second(2_000 + newer), ..run_in(RunState::Queued) }).await;
        match read.next {
            Some(next) => page.cursor = Some(next),
            None => break,
        }
    }
    let mut expected: Vec<(_, RunId)> = runs.iter().map(|run| (run.created_at, run.id)).collect();
    expected.sort_unstable();
    expected.reverse();
    let seen: Vec<_> = seen.iter().map(|run| (run.created_at, run.id)).collect();
    assert_eq!(seen, expected);
    assert!(newer >= 30);
}

pub async fn runs_are_filtered(premises: &impl Premises) {
    let store = premises.open().await;
    let mut work = UnitOfWork::new();
    let (states, people, actions) = (
        [RunState::Queued, RunState::Failed, RunState::Running],
        ["ada", "grace"],
        ["cancel-query", "vacuum"],
    );
    for number in 0..24 {
        work = work.insert_run(Run {
            requested_by: Principal::person(people[number % 2]),
            action: ActionId::new("postgres", actions[number / 2 % 2]),
            created_at: second(i64::try_from(number).unwrap()),
            ..run_in(states[number / 4 % 3])
        });
    }
    store.commit(work).await.unwrap();
    let all = store.runs(&RunsFilter::default(), &first(500)).await.unwrap().items;
    assert_eq!(all.len(), 24);
    for states in [vec![], vec![RunState::Queued], vec![RunState::Queued, RunState::Running]] {
        for action in [None, Some(ActionId::new("postgres", "vacuum"))] {
            for requested_by in [None, Some("grace".to_owned()), Some("nobody".to_owned())] {
                let filter = RunsFilter { states: states.clone(), action: action.clone(), requested_by };
                let expected: Vec<&Run> = all
                    .iter()
                    .filter(|run| states.is_empty() || states.contains(&run.state))
                    .filter(|run| action.as_ref().is_none_or(|action| *action == run.action))
                    .filter(|run| {
                        filter.requested_by.as_ref().is_none_or(|name| *name == run.requested_by.name)
                    })
                    .collect();
                let mut page = first(5);
                let mut found = Vec::new();
                loop {
                    let read = store.runs(&filter, &page).await.unwrap();
                    found.extend(read.items);
                    page.cursor = read.next;
                    if page.cursor.is_none() {
                        break;
                    }
                }
                assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{filter:?}");
            }
        }
    }
}

pub async fn a_strange_cursor_is_refused(premises: &impl Premises) {
    let store = premises.open().await;
    for cursor in ["", "x", "zz.zz", "1.", "'; DROP TABLE runs; --"] {
        let page = PageRequest { limit: 10, cursor: Some(cursor.into()) };
        let answer = store.runs(&RunsFilter::default(), &page).await;
        assert!(matches!(answer, Err(StoreError::BadCursor)), "{cursor}: {answer:?}");
    }
}

pub async fn short_ids_find_their_runs(premises: &impl Premises) {
    let store = premises.open().await;
    let run = run_in(RunState::Queued);
    let mut twin = run_in(RunState::Queued);
    twin.id = format!("{}{}", &twin.id.0.simple().to_string()[..24], run.id.short()).parse().unwrap();
    insert(&*store, &run).await;
    assert_eq!(store.runs_by_short_id(&run.id.short()).await.unwrap(), [run.id]);
    insert(&*store, &twin).await;
    let both: HashSet<RunId> = store.runs_by_short_id(&run.id.short()).await.unwrap().into_iter().collect();
    assert_eq!(both, HashSet::from([run.id, twin.id]));
    assert_eq!(store.runs_by_short_id("nothing!").await.unwrap(), []);
}

pub async fn open_runs_are_counted(premises: &impl Premises) {
    let store = premises.open().await;
    for state in [RunState::Queued, RunState::Queued, RunState::Running, RunState::Failed, RunState::Voided] {
        insert(&*store, &run_in(state)).await;
    }
    let mut open = store.open_runs().await.unwrap();
    open.retain(|(_, count)| *count > 0);
    open.sort_unstable();
    assert_eq!(open, [(RunState::Queued, 2), (RunState::Running, 1)]);
    let by = run_in(RunState::Queued).requested_by;
    assert_eq!(store.open_runs_of(by.kind, &by.name).await.unwrap(), 3);
    assert_eq!(store.open_runs_of(by.kind, "somebody else").await.unwrap(), 0);
    assert_eq!(
        store.open_runs_of(PrincipalKind::CiJob, &by.name).await.unwrap(),
        0,
        "another kind is another actor"
    );
}

pub async fn a_run_is_undone_once(premises: &impl Premises) {
    let store = premises.open().await;
    let done = run_in(RunState::Succeeded);
    insert(&*store, &done).await;
    let undoing = |state| Run { undoes: Some(done.id), ..run_in(state) };
    let by = async || store.run(done.id).await.unwrap().unwrap().undone_by;
    // What came to nothing undid nothing.
    for state in
        [RunState::Failed, RunState::Cancelled, RunState::Rejected, RunState::Expired, RunState::Voided]
    {
        insert(&*store, &undoing(state)).await;
    }
    assert_eq!(by().await, None);
    let racers = (0..4).map(|_| {
        let (store, run) = (Arc::clone(&store), undoing(RunState::Queued));
        async move { store.commit(UnitOfWork::new().insert_run(run)).await }
    });
    assert_eq!(wins(at_once(racers).await), 1);
    let first = by().await.unwrap();
    let what = conflict(store.commit(UnitOfWork::new().insert_run(undoing(RunState::Queued))).await);
    assert!(what.contains(&done.id.to_string()) && what.contains(&first.to_string()), "{what}");
    // It is undone as long as nobody says otherwise.
    store.commit(unit(moved(first, RunState::Queued, RunState::Cancelled))).await.unwrap();
    assert_eq!(by().await, None);
    for state in [RunState::AwaitingApproval, RunState::Running, RunState::Succeeded] {
        let other = run_in(RunState::Succeeded);
        insert(&*store, &other).await;
        insert(&*store, &Run { undoes: Some(other.id), ..run_in(state) }).await;
        assert!(store.run(other.id).await.unwrap().unwrap().undone_by.is_some(), "{state}");
        conflict(
            store.commit(UnitOfWork::new().insert_run(Run { undoes: Some(other.id), ..run_in(state) })).await,
        );
    }
}

pub async fn a_run_under_way_rests_and_is_asked_to_stop(premises: &impl Premises) {
    let store = premises.open().await;
    let run = run_in(RunState::Running);
    insert(&*store, &run).await;
    let rest = |until| unit(Change::RestRun { run: run.id, until });
    let asked = CancelAsked { by: "grace".into(), at: second(7), because: Some("too late".into()) };
    let ask = || unit(Change::AskCancel { run: run.id, asked: asked.clone() });
    store.commit(rest(Some(second(60)))).await.unwrap();
    assert_eq!(store.run(run.id).await.unwrap().unwrap().waits_until, Some(second(60)));
    store.commit(ask()).await.unwrap();
    conflict(store.commit(ask()).await);
    // Who was asked to stop wakes, and does not go to sleep again.
    conflict(store.commit(rest(Some(second(90)))).await);
    store.commit(rest(None)).await.unwrap();
    let stands = store.run(run.id).await.unwrap().unwrap();
    assert_eq!((stands.waits_until, stands.cancel_asked), (None, Some(asked.clone())));
    store.commit(unit(moved(run.id, RunState::Running, RunState::Cancelled))).await.unwrap();
    conflict(store.commit(rest(None)).await);

    let queued = run_in(RunState::Queued);
    insert(&*store, &queued).await;
    conflict(store.commit(unit(Change::AskCancel { run: queued.id, asked })).await);
    conflict(store.commit(unit(Change::RestRun { run: queued.id, until: Some(second(60)) })).await);
}

pub async fn a_run_whose_call_was_not_sent_is_queued_again(premises: &impl Premises) {
    let store = premises.open().await;
    let run = run_in(RunState::Queued);
    insert(&*store, &run).await;
    for _ in 0..2 {
        store.commit(unit(moved(run.id, RunState::Queued, RunState::Running))).await.unwrap();
        assert!(store.run(run.id).await.unwrap().unwrap().started_at.is_some());
        store.commit(unit(moved(run.id, RunState::Running, RunState::Queued))).await.unwrap();
        let again = store.run(run.id).await.unwrap().unwrap();
        assert_eq!((again.state, again.started_at), (RunState::Queued, None), "it has not started");
        conflict(store.commit(unit(moved(run.id, RunState::Running, RunState::Succeeded))).await);
    }
}
