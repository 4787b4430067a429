//! One machine's clock is set an hour ahead, or behind, while two gateways work on one PostgreSQL. Needs `libfaketime`.

use std::{fs, path::PathBuf, time::Duration};

use guichet_contract::{Clock as _, SystemClock};
use guichet_testkit::skipped;
use guichet_throwaway_postgres::Cluster;
use jiff::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    gateway::until,
    proof::{checkpoint, proven, told},
    replica::{Replica, on_postgres},
};

/// How long what is not known may take to be found out, with the lease of one that died.
const FOUND_OUT: Duration = Duration::from_secs(100);

/// The clock of one process, which a story sets.
struct FalseClock {
    folder: TempDir,
    library: PathBuf,
}

impl FalseClock {
    /// None where there is no such library, which is told.
    fn find() -> Option<Self> {
        let found = fs::read_dir("/usr/lib").ok()?.filter_map(Result::ok).find_map(|folder| {
            let library = folder.path().join("faketime/libfaketimeMT.so.1");
            library.is_file().then_some(library)
        });
        let Some(library) = found else {
            skipped("there is no libfaketime (Debian: apt-get install faketime)");
            return None;
        };
        let clock = Self { folder: tempfile::tempdir().unwrap(), library };
        clock.set(0);
        Some(clock)
    }

    /// So many seconds ahead; behind when negative.
    fn set(&self, seconds: i64) {
        let unfinished = self.folder.path().join("unfinished");
        fs::write(&unfinished, format!("{seconds:+}\n")).unwrap();
        fs::rename(unfinished, self.folder.path().join("offset")).unwrap();
    }

    /// For the process whose clock it is. What it measures by the time since its start is left as it is.
    fn environment(&self) -> Vec<(&'static str, String)> {
        let path = |path: PathBuf| path.to_str().unwrap().to_owned();
        vec![
            ("LD_PRELOAD", path(self.library.clone())),
            ("FAKETIME_TIMESTAMP_FILE", path(self.folder.path().join("offset"))),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            ("DONT_FAKE_MONOTONIC", "1".to_owned()),
        ]
    }
}

/// One replica's clock leaps so far while both are busy.
async fn leaps(seconds: i64) {
    let Some(clock) = FalseClock::find() else { return };
    let cluster = Cluster::start().unwrap();
    let gateway = on_postgres(&cluster, "").await;
    let mut replica = Replica::in_environment(&gateway, clock.environment()).await;
    let (dana, omar) = (gateway.sign_in("dana").await, gateway.sign_in("omar").await);
    let there = dana.at(&replica.address);
    let before = checkpoint(&dana).await;
    let mut runs = Vec::new();
    for number in 0..12 {
        let input = json!({"name": format!("busy-{number}"), "milliseconds": 4_000});
        let person = if number % 2 == 0 { &dana } else { &there };
        runs.push(person.submitted("things.slow-change", input).await);
    }
    until("all calls", || async {
        runs.iter().all(|run| gateway.providers.calls.of(run) == 1).then_some(())
    })
    .await;
    clock.set(seconds);
    let wrong = until("the wrong time in its log", || async {
        replica.log().lines().any(|line| off_by(line, seconds)).then_some(())
    });
    wrong.await;
    // All go by the database's clock: both take changes, nobody's lease looks run out, nothing expires too early.
    let waiting = there.submit("things.destroy-item", json!({"name": "waiting"})).await;
    for number in 0..6 {
        let person = if number % 2 == 0 { &dana } else { &there };
        assert_eq!(person.get("/readyz").await.status, 200);
        runs.push(person.submitted("things.change-item", json!({"name": format!("then-{number}")})).await);
    }
    for run in &runs {
        assert_eq!(dana.end_of(run).await["state"], "succeeded");
        assert_eq!(gateway.providers.calls.of(run), 1, "once, whatever the clock says");
    }
    let path = format!("/v1/runs/{}/approve", waiting.id());
    let approved = omar.post(&path, json!({"binding": waiting.body["binding"]})).await;
    assert_eq!(approved.status, 200, "four hours are not over: {}", approved.body);
    assert_eq!(there.end_of(&waiting.id()).await["state"], "succeeded");

    // And when it dies at work, its leases run out when they should.
    let mut left = Vec::new();
    for number in 0..8 {
        let input = json!({"name": format!("left-{number}"), "milliseconds": 2_000});
        left.push(there.submitted("things.slow-change", input).await);
    }
    until("all calls", || async {
        left.iter().all(|run| gateway.providers.calls.of(run) == 1).then_some(())
    })
    .await;
    replica.kill();
    for run in &left {
        assert_eq!(dana.end_at_last(run, FOUND_OUT).await, "succeeded");
        assert_eq!(gateway.providers.calls.of(run), 1, "never called again");
    }
    // It starts with the wrong time as well, and says so.
    replica.start().await;
    assert!(replica.log().contains("keep the machines' clocks together"), "{}", replica.log());
    let last = there.submitted("things.change-item", json!({"name": "last"})).await;
    assert_eq!(there.end_of(&last).await["state"], "succeeded");
    let records = proven(&there, &[before]).await;
    for run in runs.iter().chain(&left).chain([&last]) {
        assert_eq!(told(&records, run, "execute_run"), 1);
    }
    let now = SystemClock.now();
    for record in &records {
        let at: Timestamp = record["at"].as_str().unwrap().parse().unwrap();
        assert!((at.duration_since(now).as_secs()).abs() < 600, "a record of another hour: {record}");
    }
}

/// Whether this line was logged by a clock that is off by so many seconds, give or take a minute.
fn off_by(line: &str, seconds: i64) -> bool {
    let told: Value = serde_json::from_str(line).unwrap_or_default();
    let at = told["timestamp"].as_str().and_then(|at| at.parse::<Timestamp>().ok());
    at.is_some_and(|at| (at.duration_since(SystemClock.now()).as_secs() - seconds).abs() < 60)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_leaps_ahead_does_nothing_twice() {
    leaps(3_600).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_leaps_back_does_nothing_twice() {
    leaps(-3_600).await;
}
