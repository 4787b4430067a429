//! The disk of PostgreSQL is full: first its tables cannot grow, then its log cannot. Needs the right to mount.

use std::time::Duration;

use guichet_throwaway_postgres::Cluster;
use serde_json::json;
use tokio::time::sleep;

use crate::{
    disk::Disk,
    gateway::until,
    person::Person,
    proof::{checkpoint, proven},
    replica::on_postgres,
};

/// Enough for the empty database and some of its log. Its folder must be open to the user that the server runs as.
const ITS_DISK: &str = "size=128m,mode=0711";

/// What became of the changes somebody asked for.
struct Asked {
    accepted: Vec<String>,
    refused: String,
    /// PostgreSQL ended while it wrote these, and nobody could find out in time what it had written, as their answers say.
    unknown: Vec<String>,
}

/// Asks for changes until one is refused.
async fn until_refused(dana: &Person, stage: &str) -> Asked {
    let (mut accepted, mut unknown) = (Vec::new(), Vec::new());
    // What is asked for takes room.
    let padding = "x".repeat(400);
    for number in 0..5_000 {
        let name = format!("{stage}-{number}-{padding}");
        let answer = dana.submit("things.change-item", json!({"name": name})).await;
        if answer.status == 503 {
            assert_eq!(answer.code(), "store-unavailable", "{}", answer.body);
            let text = answer.body.to_string();
            if text.contains("it is not known whether the store has written this") {
                unknown.push(name);
                continue;
            }
            assert!(text.contains("nothing was changed") && text.contains("nothing was done"), "{text}");
            return Asked { accepted, refused: name, unknown };
        }
        assert_eq!(answer.status, 202, "{}", answer.body);
        accepted.push(name);
    }
    panic!("the disk is full, and {} changes were accepted", accepted.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_databases_disk_is_full_nothing_is_lost_and_it_goes_on() {
    let Some(disk) = Disk::of(ITS_DISK) else { return };
    let cluster = Cluster::start_in(disk.path()).unwrap();
    let gateway = on_postgres(&cluster, "").await;
    let (dana, omar) = (gateway.sign_in("dana").await, gateway.sign_in("omar").await);
    let waiting = dana.submit("things.destroy-item", json!({"name": "waiting"})).await;
    let before = checkpoint(&dana).await;

    // Its tables cannot grow, while its log has a file of its own to go on in.
    cluster.sql("SELECT pg_switch_wal(); CREATE TABLE begun (); DROP TABLE begun").unwrap();
    let filler = disk.fill();
    let tables = until_refused(&dana, "tables").await;
    assert!(tables.unknown.is_empty(), "{:?}: PostgreSQL was there all the time", tables.unknown);
    assert_eq!(dana.state(&waiting.id()).await, "awaiting_approval", "what is there can be read");
    gateway.logged(&["disk is full", "free some space"]).await;
    drop(filler);
    let after = dana.submitted("things.change-item", json!({"name": "after"})).await;
    assert_eq!(dana.end_of(&after).await["state"], "succeeded", "without a restart");

    // Its log cannot grow: PostgreSQL ends itself, as it must.
    let running =
        dana.submitted("things.slow-change", json!({"name": "running", "milliseconds": 1_500})).await;
    until("the call", || async { (gateway.providers.calls.of(&running) == 1).then_some(()) }).await;
    let filler = disk.fill();
    for _ in 0..20 {
        // It takes a new file of the log; at some point there is none left to take.
        if cluster
            .sql("CREATE TABLE IF NOT EXISTS grown (); DROP TABLE grown; SELECT pg_switch_wal()")
            .is_err()
        {
            break;
        }
    }
    until("it tells", || async { (!dana.is_ready().await).then_some(()) }).await;
    let log = until_refused(&dana, "log").await;
    sleep(Duration::from_secs(2)).await;
    drop(filler);
    until("it is ready", || async {
        if !cluster.is_up() {
            // Whoever looks after the database starts it again; it may have been on its way down a moment ago.
            let _ = cluster.start_again();
        }
        dana.is_ready().await.then_some(())
    })
    .await;

    let approve = format!("/v1/runs/{}/approve", waiting.id());
    let approved = omar.post(&approve, json!({"binding": waiting.body["binding"]})).await;
    assert_eq!(approved.status, 200, "{}", approved.body);
    for run in dana.all("/v1/runs").await {
        let id = run["id"].as_str().unwrap();
        let ended = dana.end_of(id).await;
        assert_eq!(ended["state"], "succeeded", "{ended}");
        assert_eq!(gateway.providers.calls.of(id), 1);
    }
    let accepted = || tables.accepted.iter().chain(&log.accepted).map(String::as_str);
    for name in accepted().chain(["waiting", "running", "after"]) {
        assert_eq!(gateway.providers.effects.count(name), 1, "{name}");
    }
    for name in [&tables.refused, &log.refused] {
        assert_eq!(gateway.providers.effects.count(name), 0, "{name} was refused");
    }
    let written = log.unknown.iter().filter(|name| gateway.providers.effects.count(name) == 1).count();
    assert_eq!(
        dana.all("/v1/runs").await.len(),
        accepted().count() + 3 + written,
        "what was refused left no run"
    );
    proven(&dana, &[before]).await;
    drop((gateway, cluster));
    drop(disk);
}
