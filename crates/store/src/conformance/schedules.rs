//! Schedules: one value each, changed by whoever saw it last.

use std::sync::Arc;

use guichet_contract::{Schedule, ScheduleState};

use super::{Premises, fixtures::*};
use crate::{Change, Job, JobKind, Lane, UnitOfWork, Wake};

fn inserted(schedule: &Schedule) -> Change {
    Change::InsertSchedule(Box::new(schedule.clone()))
}

fn replaced(schedule: &Schedule) -> Change {
    Change::ReplaceSchedule(Box::new(schedule.clone()))
}

pub async fn a_schedule_reads_as_it_was_written(premises: &impl Premises) {
    let store = premises.open().await;
    let kept = schedule_named("nightly");
    let told = Schedule { in_words: Some("at 03:00".into()), next: vec![second(1)], ..kept.clone() };
    store.commit(unit(inserted(&told))).await.unwrap();
    assert_eq!(store.schedule(kept.id).await.unwrap(), Some(kept.clone()), "what is only told is not kept");
    assert_eq!(store.schedule_by_name("nightly").await.unwrap(), Some(kept.clone()));
    assert_eq!(store.schedule_by_name("Nightly").await.unwrap(), None);
    assert_eq!(store.schedule(schedule_named("other").id).await.unwrap(), None);
    conflict(store.commit(unit(inserted(&Schedule { name: "again".into(), ..kept.clone() }))).await);
    conflict(store.commit(unit(inserted(&schedule_named("nightly")))).await);
    drop(store);
    assert_eq!(premises.open().await.schedule(kept.id).await.unwrap(), Some(kept));
}

pub async fn of_many_who_change_a_schedule_one_wins(premises: &impl Premises) {
    let store = premises.open().await;
    let first = schedule_named("nightly");
    store.commit(unit(inserted(&first))).await.unwrap();
    let changers = (0..20).map(|number| {
        let store = Arc::clone(&store);
        let changed = Schedule {
            revision: 2,
            state: ScheduleState::Paused,
            because: Some(number.to_string()),
            ..first.clone()
        };
        async move { store.commit(unit(replaced(&changed))).await }
    });
    assert_eq!(wins(at_once(changers).await), 1);
    let now = store.schedule(first.id).await.unwrap().unwrap();
    assert_eq!((now.revision, now.state), (2, ScheduleState::Paused));
    // Nor does anything else of the unit come true.
    let late = UnitOfWork::new()
        .append_record(numbered_record(1))
        .with(replaced(&Schedule { revision: 2, ..first.clone() }));
    conflict(store.commit(late).await);
    assert_eq!(store.record_count().await.unwrap(), 0);
    conflict(store.commit(unit(replaced(&Schedule { revision: 4, ..first.clone() }))).await);
    store.commit(unit(replaced(&Schedule { revision: 3, ..first.clone() }))).await.unwrap();
    conflict(store.commit(unit(replaced(&Schedule { revision: 2, ..schedule_named("none") }))).await);
}

pub async fn schedules_are_listed_by_name(premises: &impl Premises) {
    let store = premises.open().await;
    for name in ["b", "a.1", "a", "c", "a-1", "B"] {
        store.commit(unit(inserted(&schedule_named(name)))).await.unwrap();
    }
    let names = async |after: Option<&str>, limit: usize| {
        let found = store.schedules(after, limit).await.unwrap();
        found.into_iter().map(|schedule| schedule.name).collect::<Vec<_>>()
    };
    assert_eq!(names(None, 10).await, ["B", "a", "a-1", "a.1", "b", "c"]);
    assert_eq!(names(None, 2).await, ["B", "a"]);
    assert_eq!(names(Some("a"), 2).await, ["a-1", "a.1"]);
    assert_eq!(names(Some("c"), 2).await, [""; 0]);
}

pub async fn a_deleted_schedule_frees_its_name(premises: &impl Premises) {
    let store = premises.open().await;
    let first = schedule_named("nightly");
    store.commit(unit(inserted(&first))).await.unwrap();
    let delete = |revision| unit(Change::DeleteSchedule { schedule: first.id, revision });
    conflict(store.commit(delete(2)).await);
    store.commit(delete(1)).await.unwrap();
    conflict(store.commit(delete(1)).await);
    assert_eq!(store.schedule(first.id).await.unwrap(), None);
    store.commit(unit(inserted(&schedule_named("nightly")))).await.unwrap();
}

pub async fn a_schedules_job_is_one_of_those_that_move_runs(premises: &impl Premises) {
    let store = premises.open().await;
    let schedule = schedule_named("nightly");
    let job = Job { kind: JobKind::FireSchedule, run: schedule.id.as_run(), ..job_due(second(5)) };
    let mut wakes = store.wakes();
    store.commit(UnitOfWork::new().with(inserted(&schedule)).enqueue_job(job.clone())).await.unwrap();
    assert_eq!(wakes.recv().await.unwrap(), Wake::Job);
    assert_eq!(store.next_due(&Lane::Runs, &Room::any(1)).await.unwrap(), Some(second(5)));
    let claimed = store.claim_jobs(&Lane::Runs, "w", second(5), second(65), &Room::any(9)).await.unwrap();
    assert_eq!(claimed, [Job { attempts: 1, ..job.clone() }]);
    store.commit(unit(Change::DropJobs { run: job.run, kind: JobKind::FireSchedule })).await.unwrap();
    assert_eq!(store.next_due(&Lane::Runs, &Room::any(1)).await.unwrap(), None);
}
