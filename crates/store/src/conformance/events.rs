//! Event streams.

use std::sync::Arc;

use guichet_contract::{EventKind, RunState};

use super::{Premises, fixtures::*};
use crate::{Change, UnitOfWork};

fn line(text: impl Into<String>) -> EventKind {
    EventKind::Log { line: text.into() }
}

pub async fn events_are_numbered_without_gaps(premises: &impl Premises) {
    let store = premises.open().await;
    let runs = [run_in(RunState::Running), run_in(RunState::Running)];
    store.commit(UnitOfWork::new().insert_run(runs[0].clone()).insert_run(runs[1].clone())).await.unwrap();
    let writers = (0..120).map(|number| {
        let (store, run) = (Arc::clone(&store), runs[number % 2].id);
        let mut work = UnitOfWork::new().append_event(run, second(1), line(format!("{number} a")));
        work = work.append_event(run, second(2), line(format!("{number} b")));
        if number % 3 == 0 {
            // Taken back: its numbers are free again.
            work = work.with(moved(run, RunState::Queued, RunState::Running));
        }
        async move { store.commit(work).await.is_ok() }
    });
    let written = at_once(writers).await.into_iter().filter(|written| *written).count();
    assert_eq!(written, 80);
    for run in &runs {
        let events = store.events(run.id, 0, 1_000).await.unwrap();
        let numbers: Vec<u64> = events.iter().map(|event| event.seq).collect();
        assert_eq!(numbers, (1..=80).collect::<Vec<u64>>());
        for pair in events.chunks(2) {
            let [EventKind::Log { line: a }, EventKind::Log { line: b }] = [&pair[0].kind, &pair[1].kind]
            else {
                panic!("only lines were written: {pair:?}")
            };
            assert_eq!(a.strip_suffix(" a"), b.strip_suffix(" b"), "a unit's events stand together");
            assert_eq!((pair[0].at, pair[1].at), (second(1), second(2)));
        }
    }
}

pub async fn events_are_read_on_from_where_one_stopped(premises: &impl Premises) {
    let store = premises.open().await;
    let run = run_in(RunState::Running);
    let mut work = UnitOfWork::new().insert_run(run.clone());
    for number in 1..=10 {
        work = work.append_event(run.id, second(number), line(number.to_string()));
    }
    store.commit(work).await.unwrap();
    let numbers = async |after, limit| -> Vec<u64> {
        store.events(run.id, after, limit).await.unwrap().iter().map(|event| event.seq).collect()
    };
    assert_eq!(numbers(0, 3).await, [1, 2, 3]);
    assert_eq!(numbers(3, 100).await, [4, 5, 6, 7, 8, 9, 10]);
    assert_eq!(numbers(10, 100).await, [0_u64; 0]);
    assert_eq!(store.events(run_id(), 0, 100).await.unwrap(), []);
}

pub async fn events_need_their_run(premises: &impl Premises) {
    let store = premises.open().await;
    conflict(store.commit(unit(Change::AppendEvent { run: run_id(), at: second(0), kind: line("x") })).await);
}
