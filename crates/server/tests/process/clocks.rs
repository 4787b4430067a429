//! One machine's clock is set an hour ahead, or behind, while two gateways work on one PostgreSQL. Needs `libfaketime`.

use std::{fs, path::PathBuf, time::Duration};

use guichet_throwaway_postgres::Cluster;
use serde_json::json;
use tempfile::TempDir;

use crate::{
    gateway::{until, until_within},
    person::Person,
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
    /// None where there is no such library, which is told loudly.
    fn find() -> Option<Self> {
        let found = fs::read_dir("/usr/lib").ok()?.filter_map(Result::ok).find_map(|folder| {
            let library = folder.path().join("faketime/libfaketimeMT.so.1");
            library.is_file().then_some(library)
        });
        let Some(library) = found else {
            println!(
                "SKIPPED: NOTHING WAS TESTED HERE. There is no libfaketime (Debian: apt-get install faketime)."
            );
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

/// How a run ended at last: one that is not known may still be found out.
async fn end_at_last(person: &Person, run: &str) -> String {
    until_within(FOUND_OUT, "the end of a run", || async {
        let state = person.state(run).await;
        (state != "running" && state != "queued" && state != "unknown").then_some(state)
    })
    .await
}

/// One replica's clock leaps so far while both are busy.
async fn leaps(seconds: i64) {
    let Some(clock) = FalseClock::find() else { return };
    let cluster = Cluster::start().unwrap();
    let gateway = on_postgres(&cluster, "").await;
    let replica = Replica::in_environment(&gateway, clock.environment()).await;
    let dana = gateway.sign_in("dana").await;
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
    // It says so to whoever looks after it, and a balancer sends it nothing more.
    let unready = until("it tells", || async {
        let ready = there.get("/readyz").await;
        (ready.status == 503).then_some(ready)
    })
    .await;
    assert_eq!(unready.code(), "clock-apart", "{}", unready.body);
    assert!(unready.body["next"].as_str().unwrap().contains("NTP"), "{}", unready.body);
    assert_eq!(dana.get("/readyz").await.status, 200);
    for number in 0..6 {
        runs.push(dana.submitted("things.change-item", json!({"name": format!("meanwhile-{number}")})).await);
    }
    let waiting = dana.submit("things.destroy-item", json!({"name": "waiting"})).await;
    for run in &runs {
        assert_eq!(end_at_last(&dana, run).await, "succeeded");
        assert_eq!(gateway.providers.calls.of(run), 1, "once, whatever the clock says");
    }
    assert_eq!(dana.state(&waiting.id()).await, "awaiting_approval", "four hours are not over");

    clock.set(0);
    until("it is ready", || async { (there.get("/readyz").await.status == 200).then_some(()) }).await;
    let last = there.submitted("things.change-item", json!({"name": "last"})).await;
    assert_eq!(end_at_last(&there, &last).await, "succeeded");
    let records = proven(&there, &[before]).await;
    for run in &runs {
        assert_eq!(told(&records, run, "execute_run"), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_leaps_ahead_does_nothing_twice() {
    leaps(3_600).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_leaps_back_does_nothing_twice() {
    leaps(-3_600).await;
}
