//! Several replicas on one database.

use std::{
    collections::HashSet,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use guichet_contract::{EventKind, RunState};

use super::{Database, PostgresStore};
use crate::{
    Change, Job, Lane, Store, UnitOfWork, Wake,
    conformance::fixtures::*,
    postgres::{jobs, runs},
};

async fn two(database: &Database) -> [Arc<PostgresStore>; 2] {
    [Arc::new(database.store().await), Arc::new(database.store().await)]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_ledger_has_one_order_whoever_writes() {
    let database = Database::fresh();
    let stores = two(&database).await;
    // A reader that looks all the time never sees a hole.
    let watching = tokio::spawn({
        let store = Arc::clone(&stores[0]);
        async move {
            let mut seen = 0;
            while seen < 1_200 {
                let leaves = store.leaves(seen, 5_000).await.unwrap();
                assert!(leaves.iter().map(|(index, _)| *index).eq(seen..seen + leaves.len() as u64));
                seen += leaves.len() as u64;
            }
        }
    });
    let writers = (0..24).map(|writer: usize| {
        let store = Arc::clone(&stores[writer % 2]);
        async move {
            for step in 0..50 {
                let record = numbered_record(writer * 100 + step);
                if writer.is_multiple_of(3) {
                    store.append_soon(record).await.unwrap();
                } else {
                    store.commit(UnitOfWork::new().append_record(record)).await.unwrap();
                }
            }
        }
    });
    at_once(writers).await;
    watching.await.unwrap();
    assert_eq!(stores[1].record_count().await.unwrap(), 1_200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_job_is_claimed_by_two_replicas() {
    let database = Database::fresh();
    let stores = two(&database).await;
    let jobs = (0..200).map(|_| job_due(second(0))).fold(UnitOfWork::new(), UnitOfWork::enqueue_job);
    stores[0].commit(jobs).await.unwrap();
    let claimers = (0..8).map(|number: usize| {
        let store = Arc::clone(&stores[number % 2]);
        async move {
            let (lease, mut held) = (format!("worker {number}"), Vec::new());
            loop {
                let jobs = store
                    .claim_jobs(&Lane::Runs, &lease, second(1), second(900), &Room::any(3))
                    .await
                    .unwrap();
                if jobs.is_empty() {
                    return held;
                }
                held.extend(jobs.into_iter().map(|job| job.id));
            }
        }
    });
    let claimed: Vec<_> = at_once(claimers).await.into_iter().flatten().collect();
    assert_eq!((claimed.len(), claimed.iter().collect::<HashSet<_>>().len()), (200, 200));
}

/// A claim alone waits for no disk: its connection is as it was for whoever uses it next.
#[tokio::test]
async fn what_follows_a_claim_waits_for_the_disk() {
    let database = Database::fresh();
    let store = database.store().await;
    store.commit(UnitOfWork::new().enqueue_job(job_due(second(0)))).await.unwrap();
    let claimed = store.claim_jobs(&Lane::Runs, "a", second(1), second(900), &Room::any(9)).await.unwrap();
    assert_eq!(claimed.len(), 1);
    let rows = store.rows("SELECT current_setting('synchronous_commit')", &[]).await.unwrap();
    assert_eq!(rows[0].get::<_, String>(0), "on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_one_commits_wakes_the_other_once() {
    let database = Database::fresh();
    let [ours, theirs] = two(&database).await;
    let (mut here, mut there) = (ours.wakes(), theirs.wakes());
    let run = run_in(RunState::Queued);
    let mut watching = [ours.wakes_of(run.id), theirs.wakes_of(run.id)];
    let work = UnitOfWork::new()
        .insert_run(run.clone())
        .append_event(run.id, second(0), EventKind::Log { line: "x".into() })
        .append_record(numbered_record(0))
        .enqueue_job(job_due(second(0)));
    ours.commit(work).await.unwrap();
    for wakes in [&mut here, &mut there] {
        let mut missing = vec![Wake::Job, Wake::Record];
        while !missing.is_empty() {
            let wake = tokio::time::timeout(Duration::from_secs(30), wakes.recv()).await.unwrap().unwrap();
            missing.retain(|awaited| *awaited != wake);
            assert_eq!(theirs.events(run.id, 0, 9).await.unwrap().len(), 1, "woken, it is there to be read");
        }
    }
    for watching in &mut watching {
        tokio::time::timeout(Duration::from_secs(30), watching.next()).await.unwrap().unwrap();
    }
    // Its own notification comes back to it before the next one, and wakes nobody twice.
    theirs.commit(UnitOfWork::new().append_record(numbered_record(1))).await.unwrap();
    let wake = tokio::time::timeout(Duration::from_secs(30), here.recv()).await.unwrap().unwrap();
    assert_eq!(wake, Wake::Record);
    assert!(here.try_recv().is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_did_not_hear_looks_anew() {
    let database = Database::fresh();
    let store = database.store().await;
    let mut wakes = store.wakes();
    database.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND query LIKE 'LISTEN%'",
    );
    let wake = tokio::time::timeout(Duration::from_secs(30), wakes.recv()).await.unwrap().unwrap();
    assert_eq!(wake, Wake::Anything);
}

/// Each replica's batches hold many runs at once, in another order than the other's.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn replicas_that_cross_each_other_lose_nothing() {
    let database = Database::fresh();
    let stores = two(&database).await;
    let runs: Vec<_> = (0..40).map(|_| run_in(RunState::Running)).collect();
    let insert = runs.iter().cloned().fold(UnitOfWork::new(), UnitOfWork::insert_run);
    stores[0].commit(insert).await.unwrap();
    let writers = (0..400).map(|number: usize| {
        let store = Arc::clone(&stores[number % 2]);
        let place = if number.is_multiple_of(2) { number } else { 400 - number };
        let (run, other) = (runs[place % 40].id, runs[(place + number) % 40].id);
        let line = EventKind::Log { line: number.to_string() };
        let work = UnitOfWork::new().append_event(run, second(1), line.clone());
        let work = work.append_event(other, second(1), line).append_record(numbered_record(number));
        async move { store.commit(work).await }
    });
    for answer in at_once(writers).await {
        answer.unwrap();
    }
    let mut events = 0;
    for run in &runs {
        let told = stores[1].events(run.id, 0, 1_000).await.unwrap();
        assert!(told.iter().map(|event| event.seq).eq(1..=told.len() as u64));
        events += told.len();
    }
    assert_eq!(events, 800);
    assert_eq!(stores[1].record_count().await.unwrap(), 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_the_last_decisions_on_two_replicas_one_counts() {
    let database = Database::fresh();
    let stores = two(&database).await;
    for _ in 0..20 {
        let run = run_in(RunState::AwaitingApproval);
        stores[0].commit(UnitOfWork::new().insert_run(run.clone())).await.unwrap();
        let racers = (0..4).map(|number: usize| {
            let store = Arc::clone(&stores[number % 2]);
            let decision = yes_by(&format!("approver {number}"));
            let work = unit(Change::AddDecision { run: run.id, seen: 0, decision })
                .with(moved(run.id, RunState::AwaitingApproval, RunState::Queued))
                .enqueue_job(job_due(second(0)));
            async move { store.commit(work).await }
        });
        assert_eq!(wins(at_once(racers).await), 1);
        assert_eq!(stores[1].run(run.id).await.unwrap().unwrap().decisions.len(), 1);
    }
}

/// Jobs of few keys are enqueued and claimed at both at once, by clocks that differ: a job that is due for one is not yet for
/// the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_replicas_never_hold_two_of_a_key() {
    let database = Database::fresh();
    let stores = two(&database).await;
    let held: Arc<Mutex<HashSet<String>>> = Arc::default();
    let enqueuers = (0..4).map(|number: usize| {
        let store = Arc::clone(&stores[number % 2]);
        async move {
            for step in 0..30 {
                let due = second(if step % 5 == 0 { 2 } else { 0 });
                let job = job_in_line(&format!("key {}", step % 2), due);
                store.commit(UnitOfWork::new().enqueue_job(job)).await.unwrap();
            }
            0_usize
        }
    });
    let claimers = (0..6).map(|number: usize| {
        let (store, held) = (Arc::clone(&stores[number % 2]), Arc::clone(&held));
        async move {
            let (lease, mut done, mut idle) = (format!("worker {number}"), 0_usize, 0);
            let now = second(if number.is_multiple_of(2) { 1 } else { 2 });
            while idle < 40 {
                let jobs =
                    store.claim_jobs(&Lane::Runs, &lease, now, second(900), &Room::any(4)).await.unwrap();
                idle = if jobs.is_empty() { idle + 1 } else { 0 };
                for job in jobs {
                    let key = job.key.clone().unwrap();
                    assert!(held.lock().unwrap().insert(key.clone()), "two of {key} at once");
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    held.lock().unwrap().remove(&key);
                    let finish = Change::FinishJob { job: job.id, lease: lease.clone() };
                    store.commit(unit(finish)).await.unwrap();
                    done += 1;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            done
        }
    });
    let all: Vec<Pin<Box<dyn Future<Output = usize> + Send>>> =
        enqueuers.map(|task| Box::pin(task) as _).chain(claimers.map(|task| Box::pin(task) as _)).collect();
    assert_eq!(at_once(all).await.into_iter().sum::<usize>(), 120);
    assert_eq!(database.sql("SELECT count(*) FROM jobs"), "0");
}

/// What many do alike goes as one statement; who is wrong is refused, and nobody else.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn among_many_only_who_is_wrong_is_refused() {
    let database = Database::fresh();
    let store = Arc::new(database.store().await);
    let runs: Vec<_> = (0..120).map(|_| run_in(RunState::Queued)).collect();
    let lives =
        runs.clone().into_iter().enumerate().map(|(number, run)| {
            let store = Arc::clone(&store);
            async move {
                let said = || EventKind::Log { line: format!("run {number}") };
                let job = Job { run: run.id, ..job_due(second(0)) };
                let submitted = UnitOfWork::new()
                    .insert_run(run.clone())
                    .append_event(run.id, second(0), said())
                    .enqueue_job(job.clone());
                store.commit(submitted).await.unwrap();
                let begun = unit(moved(run.id, RunState::Queued, RunState::Running))
                    .append_event(run.id, second(1), said())
                    .append_event(run.id, second(1), said());
                store.commit(begun.clone()).await.unwrap();
                // Each tenth is begun a second time, and each tenth finishes a job that it does not hold.
                let again =
                    if number % 10 == 0 { conflict(store.commit(begun).await) } else { String::new() };
                let finish = unit(Change::FinishJob { job: job.id, lease: "nobody".to_owned() })
                    .append_event(run.id, second(2), said());
                let not_held =
                    if number % 10 == 5 { conflict(store.commit(finish).await) } else { String::new() };
                (number, again, not_held)
            }
        });
    for (number, again, not_held) in at_once(lives).await {
        let run = runs[number].id;
        let wanted = format!("run {run} (expected queued, found running)");
        assert!(number % 10 != 0 || again.contains(&wanted), "{again}");
        assert!(number % 10 != 5 || not_held.contains("not held under the lease `nobody`"), "{not_held}");
        let events = store.events(run, 0, 9).await.unwrap();
        let lines: Vec<u64> = events.into_iter().map(|event| event.seq).collect();
        assert_eq!(lines, [1, 2, 3], "of run {number}");
    }
    assert_eq!(database.sql("SELECT count(*) FROM jobs"), "120");
}

/// Planned while there are no jobs, and still good when the table is full of those that were done.
#[tokio::test]
async fn who_finishes_a_job_finds_it_by_its_index() {
    let database = Database::fresh();
    drop(database.store().await);
    let session = database.somebody().await;
    session.batch_execute("SET plan_cache_mode = force_generic_plan").await.unwrap();
    for (statement, index) in
        [(jobs::HOLD, "jobs_pkey"), (jobs::FINISH, "jobs_pkey"), (runs::MOVE, "runs_pkey")]
    {
        let nothing = vec!["'{}'"; statement.matches("[]").count()].join(", ");
        session.batch_execute(&format!("PREPARE it AS {statement}")).await.unwrap();
        let said = session.simple_query(&format!("EXPLAIN (COSTS OFF) EXECUTE it({nothing})")).await.unwrap();
        let plan = format!("{said:?}");
        assert!(plan.contains(&format!("Index Scan using {index}")), "{plan}");
        session.batch_execute("DEALLOCATE it").await.unwrap();
    }
}

#[tokio::test]
async fn ten_thousand_behind_a_full_bulkhead_cost_a_claim_nothing() {
    let database = Database::fresh();
    drop(database.store().await);
    database.sql(
        "INSERT INTO jobs (id, kind, run, lane, due, attempts, bulkhead)
         SELECT gen_random_uuid(), 'execute_run', gen_random_uuid(), 'runs', n, 0, 'full' FROM generate_series(1, 10000) n
         UNION ALL SELECT gen_random_uuid(), 'execute_run', gen_random_uuid(), 'runs', 20000, 0, 'open'",
    );
    database.sql("VACUUM ANALYZE jobs");
    let room = "'runs', '{\"\",full}', '{9,0}', 9, 9";
    for (statement, values) in
        [(jobs::CLAIM, format!("{room}, 30000, 'me', 40000")), (jobs::NEXT_DUE, room.to_owned())]
    {
        let plan = database.sql(&format!(
            "SET plan_cache_mode = force_generic_plan; PREPARE it AS {statement};
             EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF, SUMMARY OFF) EXECUTE it({values})"
        ));
        assert!(!plan.contains("Seq Scan on jobs"), "{plan}");
        let pages = plan.split("shared hit=").nth(1).unwrap();
        let pages: u32 = pages.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap();
        assert!(pages < 60, "ten thousand jobs are about 300 pages: {plan}");
    }
    assert_eq!(database.sql("SELECT string_agg(bulkhead, ' ') FROM jobs WHERE lease = 'me'"), "open");
}
