//! What waits for people while the world goes on: owners and teams change, clocks are set, providers go and come back, and
//! ten thousand others wait too.

#![expect(clippy::unwrap_used, reason = "a story that cannot begin or go on has failed")]

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use guichet_testkit::{Bench, Effects, LeapingClock, bench::Person, patience::until};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::world::{REGISTRY, reloaded, setup};

const TWO: &str = r#"
@id("two-for-the-vault") @approval("the vault needs two") @by("team:ops") @count("2")
forbid (principal, action in Action::"destroy", resource) when { resource.path like "things/vault*" };
@id("its-owner") @approval("it is somebody's own") @by("owner")
forbid (principal, action in Action::"change", resource) when { resource.path like "things/own*" };
"#;

async fn waits(person: &Person, action: &str, name: &str) -> String {
    let answer = person.submit(action, json!({"name": name})).await.unwrap();
    assert_eq!(answer.body["state"], "awaiting_approval", "{}", answer.body);
    answer.body["id"].as_str().unwrap().to_owned()
}

async fn approve(person: &Person, run: &str) -> guichet_testkit::bench::Answer {
    person.post(&format!("/v1/runs/{run}/approve"), json!({})).await.unwrap()
}

async fn reload_registry(bench: &Bench, watcher: &Person, yaml: &str) {
    reloaded(bench, watcher, "registry/registry.yaml", yaml).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resource_that_changes_its_owner_is_not_given_away_by_the_old_one() {
    let effects = Effects::default();
    let bench = setup(&effects).policy("two.cedar", TWO).start().await.unwrap();
    let (dana, omar) = (bench.sign_in("dana").await.unwrap(), bench.sign_in("omar").await.unwrap());
    let run = waits(&dana, "things.change-item", "own-1").await;
    let sold = REGISTRY.replace("owner: ops", "owner: developers");
    assert_ne!(sold, REGISTRY);
    reload_registry(&bench, &dana, &sold).await;
    let late = approve(&omar, &run).await;
    assert!(!late.status.is_success(), "{}", late.body);
    let ended = dana.get(&format!("/v1/runs/{run}")).await.unwrap().body;
    assert_ne!(ended["state"], "succeeded", "{ended}");
    // Asked for again, it waits for whom it belongs to now.
    let again = waits(&dana, "things.change-item", "own-1").await;
    assert_eq!(approve(&omar, &again).await.status, 404, "it is not his to see any more");
    assert_eq!(approve(&bench.sign_in("dan").await.unwrap(), &again).await.status, 200);
    assert_eq!(dana.end_of(&again).await.unwrap()["state"], "succeeded");
    assert_eq!(effects.count("own-1"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_yes_of_somebody_who_left_the_team_does_not_count() {
    let effects = Effects::default();
    let bench = setup(&effects).policy("two.cedar", TWO).start().await.unwrap();
    let dan = bench.sign_in("dan").await.unwrap();
    let (omar, olga) = (bench.sign_in("omar").await.unwrap(), bench.sign_in("olga").await.unwrap());
    let run = waits(&dan, "things.destroy-item", "vault-1").await;
    assert_eq!(approve(&omar, &run).await.status, 200);
    let dana = bench.sign_in("dana").await.unwrap();
    reload_registry(&bench, &dana, &REGISTRY.replace("[omar, olga, dana]", "[olga, dana]")).await;
    approve(&olga, &run).await;
    let ended = dan.end_of(&run).await.unwrap();
    assert_eq!(ended["state"], "voided", "{ended}");
    assert_eq!(effects.count("vault-1"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_is_gone_is_waited_for_and_the_yes_is_kept() {
    let effects = Effects::default();
    let mut bench = setup(&effects).start().await.unwrap();
    let (dana, omar) = (bench.sign_in("dana").await.unwrap(), bench.sign_in("omar").await.unwrap());
    let run = waits(&dana, "things.destroy-item", "a").await;
    bench.stop_providers();
    // It goes when the last answer is out; until then a plan may still come.
    until("a provider that is gone", || async {
        (!dana.get("/v1/things/items").await.unwrap().status.is_success()).then_some(())
    })
    .await;
    let yes = approve(&omar, &run).await;
    assert_eq!(yes.status, 200, "{}", yes.body);
    until("the run in the queue", || async {
        let events = dana.get(&format!("/v1/records?run={run}")).await.unwrap().body;
        assert_eq!(effects.count("a"), 0, "{events}");
        let now = dana.get(&format!("/v1/runs/{run}")).await.unwrap().body;
        assert!(now["state"] == "queued" || now["state"] == "awaiting_approval", "{now}");
        (now["state"] == "queued").then_some(())
    })
    .await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(dana.get(&format!("/v1/runs/{run}")).await.unwrap().body["state"], "queued");
    bench.provider_again("things", effects.provider()).await.unwrap();
    assert_eq!(dana.end_of(&run).await.unwrap()["state"], "succeeded");
    assert_eq!(effects.count("a"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_set_back_or_ahead_neither_loses_nor_doubles_what_waits() {
    const HOUR: i64 = 3_600;
    let (effects, clock) = (Effects::default(), LeapingClock::default());
    let mut bench =
        setup(&effects).clock(&clock).config("[approval]\nexpires_seconds = 14400").start().await.unwrap();
    let (dana, omar) = (bench.sign_in("dana").await.unwrap(), bench.sign_in("omar").await.unwrap());
    let early = waits(&dana, "things.destroy-item", "early").await;
    clock.leap(-2 * HOUR);
    // What waited before waits on, what is asked for now waits too, and both are done once.
    let late = waits(&dana, "things.destroy-item", "late").await;
    for run in [&early, &late] {
        assert_eq!(approve(&omar, run).await.status, 200);
        assert_eq!(dana.end_of(run).await.unwrap()["state"], "succeeded");
    }
    // A gateway that starts at the earlier time goes on as well.
    let third = waits(&dana, "things.destroy-item", "third").await;
    bench.stop().await.unwrap();
    clock.leap(-HOUR);
    bench.start_again().await.unwrap();
    assert_eq!(approve(&omar, &third).await.status, 200);
    assert_eq!(dana.end_of(&third).await.unwrap()["state"], "succeeded");
    // Back to where it was and beyond the end of an approval: too late is too late, by the clock as it is.
    let fourth = waits(&dana, "things.destroy-item", "fourth").await;
    clock.leap(3 * HOUR + 5 * HOUR);
    let (dana, omar) = (bench.sign_in("dana").await.unwrap(), bench.sign_in("omar").await.unwrap());
    let overdue = approve(&omar, &fourth).await;
    assert_eq!((overdue.status.as_u16(), overdue.code()), (409, "approval-expired"), "{}", overdue.body);
    for (name, done) in [("early", 1), ("late", 1), ("third", 1), ("fourth", 0)] {
        assert_eq!(effects.count(name), done, "{name}");
    }
    // The trail is in the order of writing, whatever the clock said, and all of it is there.
    let all = dana.get("/v1/records?limit=500").await.unwrap().body;
    let indices: Vec<u64> =
        all["items"].as_array().unwrap().iter().map(|record| record["index"].as_u64().unwrap()).collect();
    assert!(indices.windows(2).all(|pair| pair[0] == pair[1] + 1), "a hole in the trail: {indices:?}");
    let executed = all["items"].as_array().unwrap().iter().filter(|record| record["verb"] == "execute_run");
    assert_eq!(executed.count(), 3, "{all}");
}

/// All pages of what waits.
async fn inbox(person: &Person) -> Vec<Value> {
    let (mut all, mut path) = (Vec::new(), "/v1/approvals?limit=500".to_owned());
    loop {
        let page = person.get(&path).await.unwrap().body;
        all.extend(page["items"].as_array().unwrap().iter().cloned());
        let Some(next) = page["next"].as_str() else { return all };
        path = format!("/v1/approvals?limit=500&cursor={next}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_runs_wait_and_any_of_them_is_found_and_decided() {
    const RUNS: usize = 10_000;
    const TASKS: usize = 32;
    let effects = Effects::default();
    let mut bench = setup(&effects)
        .config(&format!("[limits]\nrequests_per_second = 0\nopen_runs_per_principal = {RUNS}"))
        .start()
        .await
        .unwrap();
    let dana = Arc::new(bench.sign_in("dana").await.unwrap());
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let dana = Arc::clone(&dana);
        tasks.spawn(async move {
            let mut ids = Vec::new();
            for number in (task..RUNS).step_by(TASKS) {
                ids.push(waits(&dana, "things.destroy-item", &format!("item-{number}")).await);
            }
            ids
        });
    }
    let submitted: BTreeSet<String> = tasks.join_all().await.into_iter().flatten().collect();
    assert_eq!(submitted.len(), RUNS);
    let one_more = dana.submit("things.destroy-item", json!({"name": "one-more"})).await.unwrap();
    assert_eq!((one_more.status.as_u16(), one_more.code()), (429, "too-many-requests"), "{}", one_more.body);

    bench.stop().await.unwrap();
    bench.start_again().await.unwrap();
    let omar = bench.sign_in("omar").await.unwrap();
    let found = inbox(&omar).await;
    assert_eq!(found.len(), RUNS, "each once");
    let ids: BTreeSet<String> = found.iter().map(|run| run["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids, submitted);
    // Somebody else's work passes them by.
    let dan = bench.sign_in("dan").await.unwrap();
    let other = dan.submit("things.change-item", json!({"name": "other"})).await.unwrap().body;
    assert_eq!(dan.end_of(other["id"].as_str().unwrap()).await.unwrap()["state"], "succeeded");
    for run in found.iter().step_by(RUNS / 20) {
        let id = run["id"].as_str().unwrap();
        assert_eq!(approve(&omar, id).await.status, 200);
        assert_eq!(dana.end_of(id).await.unwrap()["state"], "succeeded");
        assert_eq!(effects.count(run["input"]["name"].as_str().unwrap()), 1);
    }
    assert_eq!(inbox(&omar).await.len(), RUNS - 20);
    let done: usize = (0..RUNS).map(|number| effects.count(&format!("item-{number}"))).sum();
    assert_eq!(done, 20);
}
