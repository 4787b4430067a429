//! Two gateways on one PostgreSQL: whatever one begins the other can go on with, and when one dies the other takes over.

use std::time::Duration;

use guichet_throwaway_postgres::Cluster;
use reqwest::Method;
use serde_json::json;

use crate::{
    gateway::{Gateway, output_of, until},
    person::Person,
    proof::{checkpoint, proven, told},
    replica::{Replica, copy, database, on_postgres, serve},
};

async fn events(person: &Person, run: &str, after: &str) -> Vec<u64> {
    let path = format!("/v1/runs/{run}/events");
    let answer = person.call(Method::GET, &path, None, &[("last-event-id", after)]).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    let text = answer.body.as_str().unwrap_or_default().to_owned();
    text.lines().filter_map(|line| line.strip_prefix("id:")?.trim().parse().ok()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_begins_the_other_goes_on_with() {
    let cluster = Cluster::start().unwrap();
    let mut first = on_postgres(&cluster, "[limits]\nruns_at_once = 1\n").await;
    let second = Replica::of(&first).await;
    let dana = first.sign_in("dana").await;
    let dana_there = dana.at(&second.address);
    let omar_there = first.sign_in("omar").await.at(&second.address);

    // Asked for at one, agreed to at the other, followed at both.
    let run = dana.submit("things.destroy-item", json!({"name": "a"})).await;
    let id = run.id();
    let before = checkpoint(&dana).await;
    let following = tokio::spawn({
        let (dana, id) = (dana.clone(), id.clone());
        async move { dana.end_of(&id).await }
    });
    let approve = format!("/v1/runs/{id}/approve");
    let approved = omar_there.post(&approve, json!({"binding": run.body["binding"]})).await;
    assert_eq!(approved.status, 200, "{}", approved.body);
    assert_eq!(following.await.unwrap()["state"], "succeeded");
    let all = events(&dana, &id, "0").await;
    assert!(all.len() >= 3 && all.iter().copied().eq(1..=all.len() as u64), "{all:?}");
    assert_eq!(events(&dana_there, &id, "2").await, all[2..], "resumed at the other one");
    assert_eq!(first.providers.calls.of(&id), 1);

    // Nothing happens: hardly anything is asked of the database.
    let idle = cluster
        .sql_in("guichet", "CREATE EXTENSION pg_stat_statements; SELECT pg_stat_statements_reset() IS NULL");
    idle.unwrap();
    // What was done is sealed and indexed first.
    tokio::time::sleep(Duration::from_secs(4)).await;
    let asked = "SELECT coalesce(sum(calls), 0) FROM pg_stat_statements s
                 JOIN pg_roles r ON r.oid = s.userid AND r.rolname = 'guichet'";
    let count = || cluster.sql_in("guichet", asked).unwrap().parse::<u64>().unwrap();
    let at_first = count();
    tokio::time::sleep(Duration::from_secs(6)).await;
    let idle = count() - at_first;
    let which = "SELECT calls, left(query, 100) FROM pg_stat_statements ORDER BY calls DESC LIMIT 20";
    let which = cluster.sql_in("guichet", which).unwrap();
    assert!(idle < 12, "{idle} statements in 6 seconds of two idle gateways:\n{which}");

    // Both are busy, and one dies while more is queued: the other does it, once.
    let mut busy = Vec::new();
    for name in ["slow-1", "slow-2"] {
        let input = json!({"name": name, "milliseconds": 4_000});
        busy.push(dana.submitted("things.slow-change", input).await);
        until("it runs", || async { (dana.state(busy.last()?).await == "running").then_some(()) }).await;
    }
    let queued = dana.submitted("things.change-item", json!({"name": "queued"})).await;
    assert_eq!(dana_there.state(&queued).await, "queued", "one at a time, at each");
    first.kill();
    assert_eq!(dana_there.end_of(&queued).await["state"], "succeeded");
    let mut ends = Vec::new();
    for run in &busy {
        // That of the dead one is found when its lease has run out.
        ends.push(dana_there.end_of(run).await["state"].as_str().unwrap().to_owned());
        assert_eq!(first.providers.calls.of(run), 1, "never called again");
    }
    ends.sort();
    assert_eq!(ends, ["succeeded", "unknown"]);
    assert_eq!((first.providers.effects.count("queued"), first.providers.calls.of(&queued)), (1, 1));

    // One ledger, in one order, which its key proves.
    let records = proven(&dana_there, &[before]).await;
    for verb in ["submit_run", "execute_run", "record_outcome"] {
        assert_eq!(told(&records, &queued, verb), 1, "{verb}");
    }
    assert_eq!(told(&records, &id, "approve_run"), 1);

    // The dead one comes back and finds everything.
    first.start().await;
    assert_eq!(dana.state(&queued).await, "succeeded");
    for log in [first.log(), second.log()] {
        assert!(!log.contains(cluster.password()), "the password is in the log");
        assert!(!log.contains("executing statement"), "values of statements are in the log");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_with_other_keys_does_not_start() {
    let cluster = Cluster::start().unwrap();
    let first = on_postgres(&cluster, "[limits]\nruns_at_once = 1\n").await;
    let dana = first.sign_in("dana").await;
    checkpoint(&dana).await;
    let folder = tempfile::tempdir().unwrap();
    copy(["guichet.toml", "db.password", "policy", "registry"].map(|name| first.path(name)), folder.path());
    let refused = output_of(&mut serve(folder.path(), &["serve"]));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("replicas share their keys") && said.contains("ledger.key"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_moves_from_sqlite_to_postgres_with_all_it_has() {
    let cluster = Cluster::start().unwrap();
    let mut gateway = Gateway::started("", "").await;
    let (dana, omar) = (gateway.sign_in("dana").await, gateway.sign_in("omar").await);
    let waiting = dana.submit("things.destroy-item", json!({"name": "a"})).await;
    let id = waiting.id();
    let done = dana.submitted("things.change-item", json!({"name": "b"})).await;
    dana.end_of(&done).await;
    let before = checkpoint(&dana).await;
    let in_folder = |gateway: &Gateway, verb: &str, folder: &str| {
        let folder = gateway.path(folder);
        let output = gateway.output(&[verb, folder.to_str().unwrap(), "--config"]);
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    };
    let output = |gateway: &Gateway, verb: &str| in_folder(gateway, verb, "backup");
    gateway.ask_to_stop();
    assert!(gateway.ended().await.success());
    let (code, said) = output(&gateway, "backup");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("2 runs") && said.contains("keys"), "{said}");

    let store = database(&cluster, &gateway);
    gateway.with_tables(&store);
    let migrated = gateway.output(&["migrate", "--config"]);
    let said = String::from_utf8(migrated.stdout).unwrap();
    assert!(said.contains("brought forward by "), "{said}");
    let (code, said) = output(&gateway, "restore");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("2 runs") && said.contains("the ledger is proven"), "{said}");
    let (code, said) = output(&gateway, "restore");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("not empty") && !said.contains(cluster.password()), "{said}");

    gateway.start().await;
    let path = format!("/v1/runs/{id}/approve");
    let approved = omar.post(&path, json!({"binding": waiting.body["binding"]})).await;
    assert_eq!(approved.status, 200, "their sessions hold: {}", approved.body);
    assert_eq!(dana.end_of(&id).await["state"], "succeeded");
    assert_eq!(dana.state(&done).await, "succeeded");
    let records = proven(&dana, std::slice::from_ref(&before)).await;
    assert_eq!((told(&records, &done, "execute_run"), told(&records, &id, "execute_run")), (1, 1));

    // And back, from a backup that was made while it served.
    let between = checkpoint(&dana).await;
    let (code, said) = in_folder(&gateway, "backup", "back");
    assert_eq!(code, Some(0), "{said}");
    gateway.ask_to_stop();
    assert!(gateway.ended().await.success());
    gateway.with_tables("");
    std::fs::rename(gateway.path("data/guichet.sqlite"), gateway.path("the old one")).unwrap();
    let (code, said) = in_folder(&gateway, "restore", "back");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("the ledger is proven"), "{said}");
    gateway.start().await;
    assert_eq!(dana.state(&id).await, "succeeded");
    let again = dana.submitted("things.change-item", json!({"name": "c"})).await;
    assert_eq!(dana.end_of(&again).await["state"], "succeeded");
    let records = proven(&dana, &[before, between]).await;
    assert_eq!((told(&records, &id, "execute_run"), told(&records, &again, "execute_run")), (1, 1));
}
