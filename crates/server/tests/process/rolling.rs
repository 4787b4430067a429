//! Several gateways on one PostgreSQL, while they are restarted, told new rules, split by what they do, and while the
//! database is away.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use guichet_throwaway_postgres::Cluster;
use serde_json::json;

use crate::{
    gateway::{Gateway, until},
    person::{Address, Person},
    proof::{proven, told},
    replica::{Replica, on_postgres},
    rules::{POLICY, REGISTRY},
};

/// What every balancer does: asks each gateway now and then whether it is ready, and sends requests to those that were.
struct Balancer {
    gateways: Vec<Person>,
    ready: Vec<AtomicBool>,
    turn: AtomicUsize,
}

impl Balancer {
    fn over(person: &Person, addresses: &[&Address]) -> Arc<Self> {
        let gateways: Vec<Person> = addresses.iter().map(|address| person.at(address)).collect();
        let ready = gateways.iter().map(|_| AtomicBool::new(true)).collect();
        let balancer = Arc::new(Self { gateways, ready, turn: AtomicUsize::new(0) });
        for number in 0..addresses.len() {
            let balancer = Arc::clone(&balancer);
            tokio::spawn(async move {
                loop {
                    let asked = balancer.gateways[number].is_ready().await;
                    balancer.ready[number].store(asked, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            });
        }
        balancer
    }

    fn any(&self) -> &Person {
        let count = self.gateways.len();
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut turns = (first..first + count).map(|turn| turn % count);
        let ready = turns.find(|number| self.ready[*number].load(Ordering::Relaxed));
        &self.gateways[ready.expect("one of them is ready")]
    }

    async fn until_ready(&self, number: usize) {
        until("it is ready", || async { self.ready[number].load(Ordering::Relaxed).then_some(()) }).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_are_restarted_one_after_the_other_and_no_request_fails() {
    let cluster = Cluster::start().unwrap();
    let mut first = on_postgres(&cluster, "[limits]\nfarewell_seconds = 2\n").await;
    let mut second = Replica::of(&first).await;
    let dana = first.sign_in("dana").await;
    let balancer = Balancer::over(&dana, &[first.address(), &second.address]);
    let stop = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..3)
        .map(|caller: usize| {
            let (balancer, stop) = (Arc::clone(&balancer), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut runs = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let input = json!({"name": format!("{caller}-{}", runs.len())});
                    // Each of these fails the test when it is not answered, or not with what was asked for.
                    runs.push(balancer.any().submitted("things.change-item", input).await);
                    balancer.any().run(&runs[0]).await;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                runs
            })
        })
        .collect();
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        first.ask_to_stop();
        assert!(first.ended().await.success());
        first.start().await;
        balancer.until_ready(0).await;
        assert!(second.stopped().await.success());
        second.start().await;
        balancer.until_ready(1).await;
    }
    stop.store(true, Ordering::Relaxed);
    let mut runs = Vec::new();
    for caller in callers {
        runs.extend(caller.await.unwrap());
    }
    assert!(runs.len() > 60, "{} runs", runs.len());
    for run in &runs {
        assert_eq!(dana.end_of(run).await["state"], "succeeded");
        assert_eq!(first.providers.calls.of(run), 1);
    }
    let records = proven(&dana, &[]).await;
    assert_eq!(records.iter().filter(|record| record["verb"] == "execute_run").count(), runs.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn some_serve_and_others_work() {
    let cluster = Cluster::start().unwrap();
    let mut first = on_postgres(&cluster, "").await;
    let serving = Replica::doing(&first, &["serve", "--no-work"]).await;
    let mut working = Replica::doing(&first, &["work"]).await;
    let dana = first.sign_in("dana").await.at(&serving.address);
    first.ask_to_stop();
    assert!(first.ended().await.success());

    let done = dana.submitted("things.change-item", json!({"name": "a"})).await;
    assert_eq!(dana.end_of(&done).await["state"], "succeeded", "asked for at one, performed by the other");
    // It answers who looks after it, and nobody else.
    let there = dana.at(&working.address);
    assert_eq!(there.get("/readyz").await.status, 200);
    assert_eq!(there.get("/metrics").await.status, 200);
    let refused = there.submit("things.change-item", json!({"name": "b"})).await;
    assert_eq!((refused.status.as_u16(), refused.code()), (404, "not-found"), "{}", refused.body);

    working.kill();
    let waiting = dana.submitted("things.change-item", json!({"name": "c"})).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(dana.state(&waiting).await, "queued", "nobody works");
    working.start().await;
    assert_eq!(dana.end_of(&waiting).await["state"], "succeeded");
    let records = proven(&dana, &[]).await;
    assert_eq!((told(&records, &done, "execute_run"), told(&records, &waiting, "execute_run")), (1, 1));

    // One file has one process.
    let alone = Gateway::prepared("", "").await;
    for verb in [&["work", "--config"][..], &["serve", "--no-work", "--config"]] {
        let refused = alone.output(verb);
        let said = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(1), "{said}");
        assert!(said.contains("[store] postgres"), "{said}");
    }
}

const FROZEN: &str = r#"@id("frozen") @description("a is frozen") @next("ask ops")
forbid (principal, action in Action::"change", resource == Resource::"things/a");
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_changed_in_the_shared_files_is_in_force_everywhere() {
    let cluster = Cluster::start().unwrap();
    let first = on_postgres(&cluster, "").await;
    let second = Replica::sharing(&first).await;
    let dana = first.sign_in("dana").await;
    let both = [dana.clone(), dana.at(&second.address)];
    let omar_there = first.sign_in("omar").await.at(&second.address);
    let waiting = dana.submit("things.destroy-item", json!({"name": "b"})).await;

    first.write("policy/rules.cedar", &format!("{POLICY}{FROZEN}"));
    for person in &both {
        let refused = until("the new policy", || async {
            let answer = person.submit("things.change-item", json!({"name": "a"})).await;
            (answer.status != 202).then_some(answer)
        })
        .await;
        assert_eq!((refused.code(), &refused.body["policies"]), ("refused", &json!(["frozen"])));
    }
    // What was asked for under the old ones at one is not agreed to under the new ones at the other.
    let path = format!("/v1/runs/{}/approve", waiting.id());
    let approved = omar_there.post(&path, json!({"binding": waiting.body["binding"]})).await;
    assert_ne!(approved.status, 200, "{}", approved.body);
    assert_eq!(dana.state(&waiting.id()).await, "voided");

    first.write("registry/registry.yaml", &REGISTRY.replace("owner: ops", "owner: developers"));
    for person in &both {
        until("the new owner", || async {
            let plan = person.submit("things.change-item", json!({"name": "c"})).await;
            (plan.body["owner"] == "developers").then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_database_is_away_nothing_is_half_done_and_then_it_goes_on() {
    let cluster = Cluster::start().unwrap();
    let first = on_postgres(&cluster, "").await;
    let second = Replica::of(&first).await;
    let dana = first.sign_in("dana").await;
    let there = dana.at(&second.address);
    let under_way =
        dana.submitted("things.slow-change", json!({"name": "slow", "milliseconds": 3_000})).await;
    until("the call", || async { (first.providers.calls.of(&under_way) == 1).then_some(()) }).await;

    cluster.stop().unwrap();
    let ready = first.nobody().get("/readyz").await;
    assert_eq!((ready.status.as_u16(), ready.code()), (503, "store-unavailable"), "{}", ready.body);
    let refused = there.submit("things.change-item", json!({"name": "a"})).await;
    assert_eq!((refused.status.as_u16(), refused.code()), (503, "store-unavailable"), "{}", refused.body);
    tokio::time::sleep(Duration::from_secs(3)).await;
    cluster.start_again().unwrap();

    for person in [&dana, &there] {
        until("it is ready", || async { (person.get("/readyz").await.status == 200).then_some(()) }).await;
        let run = person.submitted("things.change-item", json!({"name": "b"})).await;
        assert_eq!(person.end_of(&run).await["state"], "succeeded");
    }
    assert_eq!(
        there.end_of(&under_way).await["state"],
        "succeeded",
        "its end was told when somebody listened"
    );
    assert_eq!(first.providers.effects.count("a"), 0);
    assert_eq!(first.providers.effects.count("b"), 2);
    let records = proven(&dana, &[]).await;
    assert_eq!(told(&records, &under_way, "record_outcome"), 1);
    // It looked for the database again and again, and not without a pause.
    for log in [first.log(), second.log()] {
        let warnings = log.lines().filter(|line| line.contains("connecting again")).count();
        assert!((1..60).contains(&warnings), "{warnings} tries");
        assert!(!log.contains(cluster.password()), "the password is in the log");
    }
}
