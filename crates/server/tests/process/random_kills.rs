//! Ten kills at instants nobody chose, while changes are submitted and retried and approvals are given.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher as _, RandomState},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    gateway::{Gateway, until},
    person::Person,
    proof::{proven, told},
};

/// Marsaglia's xorshift64: chance enough to choose instants, without a dependency.
struct Chance(u64);

impl Chance {
    fn new(salt: u64) -> Self {
        Self(RandomState::new().hash_one(salt) | 1)
    }
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// Submits until it is acknowledged, however often the gateway dies meanwhile.
async fn acknowledged(dana: &Person, action: &str, body: &Value, key: &str) -> String {
    let path = format!("/v1/actions/{action}/runs");
    loop {
        match dana.call(Method::POST, &path, Some(body), &[("idempotency-key", key)]).await {
            Ok(answer) if matches!(answer.status.as_u16(), 200 | 202) => return answer.id(),
            // Others of mine are still open: the approver is not that quick.
            Ok(answer) if answer.code() == "too-many-requests" => {}
            Ok(answer) => panic!("{key}: {} {}", answer.status, answer.body),
            // Nobody there, or gone before it answered.
            Err(_) => {}
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// Key → run.
async fn submit_changes(dana: Person, number: u64, stop: Arc<AtomicBool>) -> BTreeMap<String, String> {
    let mut chance = Chance::new(number);
    let mut known = BTreeMap::new();
    while !stop.load(Ordering::Relaxed) {
        let key = format!("{number}-{}", known.len());
        let (action, input) = match chance.below(5) {
            0 => ("things.destroy-item", json!({"name": key})),
            1 | 2 => ("things.slow-change", json!({"name": key, "milliseconds": chance.below(150)})),
            _ => ("things.change-item", json!({"name": key})),
        };
        let body = json!({"input": input, "reason": "because"});
        let run = acknowledged(&dana, action, &body, &key).await;
        if chance.below(3) == 0 {
            assert_eq!(acknowledged(&dana, action, &body, &key).await, run, "one key, one run");
        }
        known.insert(key, run);
        sleep(Duration::from_millis(chance.below(20))).await;
    }
    known
}

async fn approve_all(omar: Person, stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::Relaxed) {
        if let Ok(waiting) = omar.call(Method::GET, "/v1/approvals?mine=true", None, &[]).await {
            for run in waiting.body["items"].as_array().into_iter().flatten() {
                let path = format!("/v1/runs/{}/approve", run["id"].as_str().unwrap());
                if let Ok(answer) =
                    omar.call(Method::POST, &path, Some(&json!({"binding": run["binding"]})), &[]).await
                {
                    // 409: an approval whose answer was lost in a kill was counted all the same.
                    assert!(matches!(answer.status.as_u16(), 200 | 409), "{}", answer.body);
                }
            }
        }
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_instant_nothing_acknowledged_is_lost_and_nothing_is_done_twice() {
    let mut gateway = Gateway::started("", "").await;
    let (dana, omar) = (gateway.sign_in("dana").await, gateway.sign_in("omar").await);
    let (enough, all_done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let submitters: Vec<_> = (0..3)
        .map(|number| tokio::spawn(submit_changes(dana.clone(), number, Arc::clone(&enough))))
        .collect();
    let approver = tokio::spawn(approve_all(omar, Arc::clone(&all_done)));
    let mut chance = Chance::new(99);
    let mut checkpoints = Vec::new();
    for _ in 0..10 {
        sleep(Duration::from_millis(100 + chance.below(1_200))).await;
        if let Ok(note) = dana.call(Method::GET, "/v1/ledger/checkpoint", None, &[]).await
            && let Some(text) = note.body.as_str()
        {
            checkpoints.push(text.to_owned());
        }
        gateway.kill();
        if chance.below(3) == 0 {
            // Also while it starts.
            gateway.spawn();
            sleep(Duration::from_millis(chance.below(400))).await;
            gateway.kill();
        }
        gateway.start().await;
    }
    enough.store(true, Ordering::Relaxed);
    let mut known = BTreeMap::new();
    for submitter in submitters {
        known.extend(submitter.await.unwrap());
    }
    until("the end of all runs", || async {
        let open = dana.get("/v1/runs?state=awaiting_approval,queued,running").await;
        open.body["items"].as_array()?.is_empty().then_some(())
    })
    .await;
    all_done.store(true, Ordering::Relaxed);
    approver.await.unwrap();

    let runs = dana.all("/v1/runs").await;
    let by_key: BTreeMap<&str, &Value> =
        runs.iter().map(|run| (run["idempotency_key"].as_str().unwrap(), run)).collect();
    assert_eq!(by_key.len(), runs.len(), "one key, one run");
    assert_eq!(
        known.keys().collect::<Vec<_>>(),
        by_key.keys().collect::<Vec<_>>(),
        "all that were acknowledged, no others"
    );
    let records = proven(&dana, &checkpoints).await;
    let mut states: BTreeMap<&str, usize> = BTreeMap::new();
    for (key, run) in &by_key {
        let (id, state) = (run["id"].as_str().unwrap(), run["state"].as_str().unwrap());
        assert_eq!(known[*key], id, "the run that was acknowledged");
        *states.entry(state).or_default() += 1;
        let (effects, calls) = (gateway.providers.effects.count(key), gateway.providers.calls.of(id));
        assert!(effects <= 1 && calls <= 1, "done {effects} times, called {calls} times: {run}");
        match state {
            "succeeded" => assert_eq!((effects, calls), (1, 1), "{run}"),
            "unknown" => assert_eq!(run["outcome"]["problem"]["code"], "gateway-stopped", "{run}"),
            other => panic!("nothing here ends as {other}: {run}"),
        }
        for verb in ["submit_run", "execute_run", "record_outcome"] {
            assert_eq!(told(&records, id, verb), 1, "{verb} of {run}");
        }
    }
    println!("{} runs over ten kills: {states:?}, {} older checkpoints", runs.len(), checkpoints.len());
    assert!(
        states.get("succeeded").is_some_and(|succeeded| *succeeded >= 10),
        "it was alive in between: {states:?}"
    );
}
