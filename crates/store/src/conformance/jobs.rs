//! Durable work.

use std::{collections::HashSet, sync::Arc};

use guichet_contract::{JobId, RunId};

use super::{Premises, fixtures::*};
use crate::{Change, Job, JobKind, Lane, Store, UnitOfWork, Wake};

async fn enqueue(store: &impl Store, jobs: impl IntoIterator<Item = Job>) {
    store.commit(jobs.into_iter().fold(UnitOfWork::new(), UnitOfWork::enqueue_job)).await.unwrap();
}

fn ids(jobs: &[Job]) -> Vec<JobId> {
    jobs.iter().map(|job| job.id).collect()
}

pub async fn no_job_is_claimed_twice(premises: &impl Premises) {
    let store = premises.open().await;
    enqueue(&*store, (0..200).map(|number| job_due(second(number)))).await;
    let claimers = (0..8).map(|number| {
        let store = Arc::clone(&store);
        async move {
            let (lease, mut held) = (format!("worker {number}"), Vec::new());
            loop {
                let jobs = store
                    .claim_jobs(&Lane::Runs, &lease, second(500), second(900), &Room::any(3))
                    .await
                    .unwrap();
                assert!(jobs.len() <= 3);
                if jobs.is_empty() {
                    return held;
                }
                held.extend(jobs);
            }
        }
    });
    let claimed: Vec<Job> = at_once(claimers).await.into_iter().flatten().collect();
    assert_eq!(claimed.len(), 200);
    assert_eq!(claimed.iter().map(|job| job.id).collect::<HashSet<_>>().len(), 200);
    assert!(claimed.iter().all(|job| job.attempts == 1));
}

pub async fn jobs_wait_until_they_are_due(premises: &impl Premises) {
    let store = premises.open().await;
    let jobs = [job_due(second(20)), job_due(second(10)), job_due(second(30))];
    enqueue(&*store, jobs.clone()).await;
    assert_eq!(store.claim_jobs(&Lane::Runs, "a", second(9), second(99), &Room::any(10)).await.unwrap(), []);
    let due = store.claim_jobs(&Lane::Runs, "a", second(20), second(99), &Room::any(10)).await.unwrap();
    assert_eq!(ids(&due), [jobs[1].id, jobs[0].id], "oldest first");
    assert_eq!(due[0], Job { attempts: 1, ..jobs[1].clone() });
}

pub async fn a_lease_runs_out(premises: &impl Premises) {
    let store = premises.open().await;
    let job = job_due(second(0));
    enqueue(&*store, [job.clone()]).await;
    assert_eq!(
        store.claim_jobs(&Lane::Runs, "a", second(0), second(60), &Room::any(1)).await.unwrap().len(),
        1
    );
    assert_eq!(store.claim_jobs(&Lane::Runs, "b", second(59), second(120), &Room::any(1)).await.unwrap(), []);
    let again = store.claim_jobs(&Lane::Runs, "b", second(60), second(120), &Room::any(1)).await.unwrap();
    assert_eq!(again, [Job { attempts: 2, ..job.clone() }]);
    let late = Change::FinishJob { job: job.id, lease: "a".into() };
    conflict(store.commit(unit(late)).await);
}

pub async fn a_lease_can_be_prolonged_while_it_is_held(premises: &impl Premises) {
    let store = premises.open().await;
    let job = job_due(second(0));
    enqueue(&*store, [job.clone()]).await;
    store.claim_jobs(&Lane::Runs, "a", second(0), second(60), &Room::any(1)).await.unwrap();
    assert!(store.extend_lease(job.id, "a", second(100)).await.unwrap());
    assert!(!store.extend_lease(job.id, "b", second(200)).await.unwrap());
    assert!(!store.extend_lease(job_id(), "a", second(200)).await.unwrap());
    assert_eq!(store.claim_jobs(&Lane::Runs, "b", second(99), second(200), &Room::any(1)).await.unwrap(), []);
    assert_eq!(
        store.claim_jobs(&Lane::Runs, "b", second(100), second(200), &Room::any(1)).await.unwrap().len(),
        1
    );
    assert!(!store.extend_lease(job.id, "a", second(300)).await.unwrap(), "it was lost");
}

pub async fn only_the_holder_finishes_or_retries(premises: &impl Premises) {
    let store = premises.open().await;
    let job = job_due(second(0));
    enqueue(&*store, [job.clone()]).await;
    let finish = |lease: &str| unit(Change::FinishJob { job: job.id, lease: lease.into() });
    let retry = |lease: &str| unit(Change::RetryJob { job: job.id, lease: lease.into(), due: second(50) });
    let hold = |lease: &str| unit(Change::HoldJob { job: job.id, lease: lease.into() });
    conflict(store.commit(finish("a")).await);
    conflict(store.commit(hold("a")).await);
    store.claim_jobs(&Lane::Runs, "a", second(0), second(60), &Room::any(1)).await.unwrap();
    store.commit(hold("a")).await.unwrap();
    conflict(store.commit(hold("b")).await);
    conflict(store.commit(finish("b")).await);
    conflict(store.commit(retry("b")).await);

    store.commit(retry("a")).await.unwrap();
    conflict(store.commit(finish("a")).await);
    assert_eq!(store.claim_jobs(&Lane::Runs, "a", second(49), second(99), &Room::any(1)).await.unwrap(), []);
    let again = store.claim_jobs(&Lane::Runs, "a", second(50), second(99), &Room::any(1)).await.unwrap();
    assert_eq!(again, [Job { due: second(50), attempts: 2, ..job.clone() }]);

    store.commit(finish("a")).await.unwrap();
    conflict(store.commit(finish("a")).await);
    assert_eq!(
        store.claim_jobs(&Lane::Runs, "a", second(1_000), second(2_000), &Room::any(1)).await.unwrap(),
        []
    );
}

pub async fn the_next_moment_is_known(premises: &impl Premises) {
    let store = premises.open().await;
    assert_eq!(store.next_due(&Lane::Runs, &Room::any(1)).await.unwrap(), None);
    enqueue(&*store, [job_due(second(30)), job_due(second(10))]).await;
    assert_eq!(store.next_due(&Lane::Runs, &Room::any(1)).await.unwrap(), Some(second(10)));
    store.claim_jobs(&Lane::Runs, "a", second(10), second(20), &Room::any(1)).await.unwrap();
    assert_eq!(
        store.next_due(&Lane::Runs, &Room::any(1)).await.unwrap(),
        Some(second(20)),
        "then the lease runs out"
    );
    store.claim_jobs(&Lane::Runs, "a", second(20), second(90), &Room::any(1)).await.unwrap();
    assert_eq!(store.next_due(&Lane::Runs, &Room::any(1)).await.unwrap(), Some(second(30)));
}

pub async fn all_leases_can_be_freed(premises: &impl Premises) {
    let store = premises.open().await;
    enqueue(&*store, [job_due(second(0)), job_due(second(1)), job_due(second(2))]).await;
    assert_eq!(
        store.claim_jobs(&Lane::Runs, "a", second(1), second(900), &Room::any(10)).await.unwrap().len(),
        2
    );
    assert_eq!(store.free_all_leases().await.unwrap(), 2);
    assert_eq!(store.free_all_leases().await.unwrap(), 0);
    assert_eq!(
        store.claim_jobs(&Lane::Runs, "b", second(2), second(900), &Room::any(10)).await.unwrap().len(),
        3
    );
}

pub async fn jobs_of_a_run_can_be_dropped(premises: &impl Premises) {
    let store = premises.open().await;
    let run = run_id();
    let of = |run: RunId, kind| Job { kind, run, ..job_due(second(0)) };
    let kept = [of(run, JobKind::ExecuteRun), of(run_id(), JobKind::ExpireRun)];
    enqueue(&*store, [of(run, JobKind::ExpireRun), kept[0].clone(), kept[1].clone()]).await;
    let dropping = Change::DropJobs { run, kind: JobKind::ExpireRun };
    store.commit(unit(dropping.clone()).with(dropping)).await.unwrap();
    let left = store.claim_jobs(&Lane::Runs, "a", second(0), second(60), &Room::any(10)).await.unwrap();
    assert_eq!(ids(&left).into_iter().collect::<HashSet<_>>(), ids(&kept).into_iter().collect());
}

pub async fn what_waits_can_be_hastened(premises: &impl Premises) {
    let store = premises.open().await;
    let run = run_id();
    let of = |run, kind| Job { kind, run, ..job_due(second(500)) };
    let jobs = [of(run, JobKind::ExecuteRun), of(run, JobKind::ExpireRun), of(run_id(), JobKind::ExecuteRun)];
    enqueue(&*store, jobs.clone()).await;
    let hasten =
        |due| UnitOfWork::new().with(Change::HastenJobs { run, kind: JobKind::ExecuteRun, due: second(due) });
    store.commit(hasten(10)).await.unwrap();
    // Never later than it was.
    store.commit(hasten(100)).await.unwrap();
    let claimed = store.claim_jobs(&Lane::Runs, "a", second(10), second(40), &Room::any(10)).await.unwrap();
    assert_eq!(claimed.iter().map(|job| job.id).collect::<Vec<_>>(), [jobs[0].id]);
    // What is held is not taken from its holder.
    store.commit(hasten(5)).await.unwrap();
    assert!(
        store.claim_jobs(&Lane::Runs, "b", second(20), second(50), &Room::any(10)).await.unwrap().is_empty()
    );
}

async fn claim(store: &impl Store, lease: &str, now: i64, limit: usize) -> Vec<JobId> {
    let jobs =
        store.claim_jobs(&Lane::Runs, lease, second(now), second(now + 60), &Room::any(limit)).await.unwrap();
    ids(&jobs)
}

fn finish(job: &Job, lease: &str) -> UnitOfWork {
    unit(Change::FinishJob { job: job.id, lease: lease.into() })
}

pub async fn of_one_key_one_goes_at_a_time_and_in_order(premises: &impl Premises) {
    let store = premises.open().await;
    // Enqueued one after the other; the second is due before the first, as after a clock that was set back.
    let line = [job_in_line("a", second(2)), job_in_line("a", second(1)), job_in_line("a", second(3))];
    let (other, free) = (job_in_line("b", second(3)), job_due(second(3)));
    for job in line.iter().chain([&other, &free]) {
        enqueue(&*store, [job.clone()]).await;
    }
    assert_eq!(store.line("a", second(9)).await.unwrap(), line.each_ref().map(|job| job.run));
    let first = store.claim_jobs(&Lane::Runs, "w", second(9), second(69), &Room::any(10)).await.unwrap();
    let (claimed, expected): (HashSet<_>, HashSet<_>) =
        (ids(&first).into_iter().collect(), [line[0].id, other.id, free.id].into());
    assert_eq!(claimed, expected, "another key, and none, pass by");
    assert_eq!(first.iter().find(|job| job.id == line[0].id).unwrap().key.as_deref(), Some("a"));
    assert_eq!(claim(&*store, "w", 9, 10).await, []);
    // A lease that runs out frees the job for another holder, not its key for another job.
    assert_eq!(
        claim(&*store, "v", 70, 10).await.iter().filter(|id| line.iter().any(|job| job.id == **id)).count(),
        1
    );
    conflict(store.commit(finish(&line[0], "w")).await);
    store.commit(finish(&line[0], "v")).await.unwrap();
    for (after, job) in line.iter().enumerate().skip(1) {
        assert_eq!(store.line("a", second(9)).await.unwrap().len(), 3 - after);
        assert_eq!(claim(&*store, "w", 71, 10).await, [job.id]);
        store.commit(finish(job, "w")).await.unwrap();
    }
    assert_eq!(store.line("a", second(9)).await.unwrap(), []);
}

pub async fn what_is_to_be_tried_again_keeps_its_key(premises: &impl Premises) {
    let store = premises.open().await;
    let line = [job_in_line("a", second(0)), job_in_line("a", second(0))];
    enqueue(&*store, line.clone()).await;
    assert_eq!(claim(&*store, "w", 0, 10).await, [line[0].id]);
    let later = Change::RetryJob { job: line[0].id, lease: "w".into(), due: second(50) };
    store.commit(unit(later)).await.unwrap();
    assert_eq!(claim(&*store, "w", 49, 10).await, []);
    assert_eq!(
        store.next_due(&Lane::Runs, &Room::any(1)).await.unwrap(),
        Some(second(50)),
        "the second waits for its end"
    );
    assert_eq!(store.line("a", second(1)).await.unwrap(), [line[0].run, line[1].run]);
    assert_eq!(claim(&*store, "w", 50, 10).await, [line[0].id]);
    // All leases are freed at a start: still the one that was begun goes first.
    store.free_all_leases().await.unwrap();
    assert_eq!(claim(&*store, "v", 51, 10).await, [line[0].id]);
    // Dropped: its run was cancelled.
    let dropped = Change::DropJobs { run: line[0].run, kind: JobKind::ExecuteRun };
    store.commit(unit(dropped)).await.unwrap();
    assert_eq!(claim(&*store, "v", 52, 10).await, [line[1].id]);
}

pub async fn what_is_not_yet_due_keeps_nobody_waiting(premises: &impl Premises) {
    let store = premises.open().await;
    let line = [job_in_line("a", second(100)), job_in_line("a", second(0)), job_in_line("a", second(0))];
    for job in &line {
        enqueue(&*store, [job.clone()]).await;
    }
    assert_eq!(store.next_due(&Lane::Runs, &Room::any(1)).await.unwrap(), Some(second(0)));
    assert_eq!(store.line("a", second(10)).await.unwrap(), [line[1].run, line[2].run]);
    assert_eq!(claim(&*store, "w", 10, 10).await, [line[1].id]);
    // When its time has come it goes before those that were enqueued after it, once the one under way is done.
    assert_eq!(
        store.next_due(&Lane::Runs, &Room::any(1)).await.unwrap(),
        Some(second(70)),
        "the lease on the one under way"
    );
    assert!(store.extend_lease(line[1].id, "w", second(500)).await.unwrap());
    assert_eq!(claim(&*store, "w", 100, 10).await, []);
    store.commit(finish(&line[1], "w")).await.unwrap();
    assert_eq!(claim(&*store, "w", 100, 10).await, [line[0].id]);
    store.commit(finish(&line[0], "w")).await.unwrap();
    assert_eq!(claim(&*store, "w", 100, 10).await, [line[2].id]);
}

pub async fn many_claimers_never_hold_two_of_a_key(premises: &impl Premises) {
    let store = premises.open().await;
    let jobs: Vec<Job> =
        (0..60).map(|number| job_in_line(&format!("key {}", number % 3), second(0))).collect();
    for job in &jobs {
        enqueue(&*store, [job.clone()]).await;
    }
    let claimers = (0..6).map(|number| {
        let store = Arc::clone(&store);
        async move {
            let (lease, mut done) = (format!("worker {number}"), Vec::new());
            while store.next_due(&Lane::Runs, &Room::any(1)).await.unwrap().is_some() {
                let held = store
                    .claim_jobs(&Lane::Runs, &lease, second(1), second(900), &Room::any(2))
                    .await
                    .unwrap();
                let keys: HashSet<_> = held.iter().map(|job| job.key.clone()).collect();
                assert_eq!(keys.len(), held.len(), "two of one key at once");
                for job in held {
                    let line = store.line(job.key.as_deref().unwrap(), second(1)).await.unwrap();
                    assert_eq!(line[0], job.run, "it was first in its line");
                    store.commit(finish(&job, &lease)).await.unwrap();
                    done.push(job.id);
                }
            }
            done
        }
    });
    let done: Vec<JobId> = at_once(claimers).await.into_iter().flatten().collect();
    assert_eq!(done.iter().collect::<HashSet<_>>().len(), 60);
    assert_eq!(done.len(), 60);
}

pub async fn the_end_of_one_wakes_the_next_of_its_key(premises: &impl Premises) {
    let store = premises.open().await;
    let line = [job_in_line("a", second(0)), job_in_line("a", second(0))];
    enqueue(&*store, line.clone()).await;
    claim(&*store, "w", 0, 1).await;
    let mut wakes = store.wakes();
    store.commit(finish(&line[0], "w")).await.unwrap();
    assert_eq!(wakes.recv().await.unwrap(), Wake::Job);
    claim(&*store, "w", 0, 1).await;
    store.commit(unit(Change::DropJobs { run: line[1].run, kind: JobKind::ExecuteRun })).await.unwrap();
    assert_eq!(wakes.recv().await.unwrap(), Wake::Job);
}

/// Room for `jobs`, and so much behind `a`.
fn room(jobs: usize, behind_a: usize) -> Room {
    Room { behind: [("a".to_owned(), behind_a)].into(), ..Room::any(jobs) }
}

pub async fn who_has_no_room_behind_a_bulkhead_is_given_others(premises: &impl Premises) {
    let store = premises.open().await;
    let of_a: Vec<Job> = (0..300).map(|number| job_behind("a", second(number))).collect();
    enqueue(&*store, of_a.clone()).await;
    let others = [job_behind("b", second(400)), job_due(second(500)), job_behind("", second(600))];
    enqueue(&*store, others.clone()).await;
    let claim = async |room: Room| {
        let jobs = store.claim_jobs(&Lane::Runs, "w", second(900), second(990), &room).await.unwrap();
        assert!(jobs.iter().all(|job| job.attempts == 1));
        jobs
    };
    // Oldest first, but no more of each than there is room for.
    let two = claim(room(4, 2)).await;
    assert_eq!(ids(&two), [of_a[0].id, of_a[1].id, others[0].id, others[1].id]);
    assert_eq!(two[0].bulkhead.as_deref(), Some("a"));
    assert_eq!(two[3].bulkhead, None);
    let last = claim(room(4, 0)).await;
    assert_eq!((ids(&last), &last[0].bulkhead), (vec![others[2].id], &None), "an empty word is none");
    assert_eq!(claim(room(4, 0)).await, []);
    assert_eq!(ids(&claim(Room::any(1)).await), [of_a[2].id], "in order still");
    let closed = Room { free: 0, behind_others: 0, ..room(9, 3) };
    enqueue(&*store, [job_behind("c", second(0)), job_due(second(0))]).await;
    assert_eq!(ids(&claim(closed).await), [of_a[3].id, of_a[4].id, of_a[5].id]);
}

pub async fn what_there_is_no_room_for_is_not_due(premises: &impl Premises) {
    let store = premises.open().await;
    let due = async |room: Room| store.next_due(&Lane::Runs, &room).await.unwrap();
    enqueue(&*store, [job_behind("a", second(10)), job_behind("b", second(20)), job_due(second(30))]).await;
    assert_eq!(due(room(1, 1)).await, Some(second(10)));
    assert_eq!(due(room(1, 0)).await, Some(second(20)));
    assert_eq!(due(Room { behind_others: 0, ..room(1, 0) }).await, Some(second(30)));
    assert_eq!(due(Room { behind_others: 0, free: 0, ..room(1, 0) }).await, None);
    // What is held counts as what waits does: its lease runs out.
    assert_eq!(claim(&*store, "w", 10, 1).await.len(), 1);
    assert_eq!(due(room(1, 1)).await, Some(second(20)));
    assert_eq!(claim(&*store, "w", 20, 9).await.len(), 1);
    assert_eq!(claim(&*store, "w", 30, 9).await.len(), 1);
    assert_eq!((due(room(1, 1)).await, due(room(1, 0)).await), (Some(second(70)), Some(second(80))));
}

pub async fn a_bulkhead_lets_nobody_past_in_a_line(premises: &impl Premises) {
    let store = premises.open().await;
    let in_line = |bulkhead: &str, due| Job { key: Some("k".into()), ..job_behind(bulkhead, second(due)) };
    let line = [in_line("a", 0), in_line("b", 0), in_line("a", 0)];
    for job in &line {
        enqueue(&*store, [job.clone()]).await;
    }
    // The first has no room: who stands behind it in the line waits, whatever his own bulkhead.
    let now = (second(5), second(65));
    let claim = async |room| store.claim_jobs(&Lane::Runs, "w", now.0, now.1, &room).await.unwrap();
    assert_eq!(claim(room(9, 0)).await, []);
    assert_eq!(store.next_due(&Lane::Runs, &room(9, 0)).await.unwrap(), None);
    for job in &line {
        assert_eq!(ids(&claim(room(9, 9)).await), [job.id]);
        assert_eq!(claim(room(9, 9)).await, []);
        store.commit(finish(job, "w")).await.unwrap();
    }
}
