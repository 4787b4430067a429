//! Providers that hang keep their own runs waiting, and nobody else's.

#![expect(clippy::unwrap_used, reason = "a story that cannot begin or go on has failed")]

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use guichet_provider_sdk::{ActionError, Context, Provider, provider};
use guichet_testkit::{Effects, bench::Person, patience::until};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Semaphore;

use crate::world::setup;

#[derive(Deserialize, JsonSchema)]
struct Item {
    /// Name of the item.
    name: String,
}

/// What hangs until it is let go.
#[derive(Clone)]
pub(crate) struct Stuck {
    gate: Arc<Semaphore>,
    begun: Arc<AtomicUsize>,
    ended: Arc<AtomicUsize>,
}

impl Stuck {
    pub(crate) fn new() -> Self {
        Self { gate: Arc::new(Semaphore::new(0)), begun: Arc::default(), ended: Arc::default() }
    }

    pub(crate) fn provider(&self, name: &str) -> Provider {
        let stuck = self.clone();
        let hang = move |_: Context, item: Item| {
            let stuck = stuck.clone();
            async move {
                stuck.begun.fetch_add(1, SeqCst);
                drop(stuck.gate.acquire().await);
                stuck.ended.fetch_add(1, SeqCst);
                Ok::<_, ActionError>(json!({"done": item.name}))
            }
        };
        provider(name)
            .action("hang", hang)
            .long()
            .timeout("30m")
            .command(format!("{name} hang"))
            .resource("things/{name}")
            .done()
    }

    pub(crate) fn let_go(&self) {
        self.gate.add_permits(1_000);
    }

    pub(crate) fn under_way(&self) -> usize {
        self.begun.load(SeqCst) - self.ended.load(SeqCst)
    }
}

pub(crate) async fn submit(person: &Person, action: &str, runs: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for number in 0..runs {
        let answer = person.submit(action, json!({"name": format!("{number}")})).await.unwrap();
        assert_eq!(answer.body["state"], "queued", "{}", answer.body);
        ids.push(answer.body["id"].as_str().unwrap().to_owned());
    }
    ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_providers_that_hang_with_two_hundred_runs_each_keep_nobody_else_waiting() {
    const RUNS: usize = 200;
    let (effects, stuck) = (Effects::default(), [Stuck::new(), Stuck::new()]);
    let bench = setup(&effects)
        .provider("stuck-a", stuck[0].provider("stuck-a"))
        .provider("stuck-b", stuck[1].provider("stuck-b"))
        .config(&format!("[limits]\nrequests_per_second = 0\nopen_runs_per_principal = {}", 2 * RUNS))
        .start()
        .await
        .unwrap();
    let (dana, dan) = (bench.sign_in("dana").await.unwrap(), bench.sign_in("dan").await.unwrap());
    let mut hanging = submit(&dana, "stuck-a.hang", RUNS).await;
    // Three providers have six bulkheads, with two places of their own each; the other 52 are shared.
    until("54 that hang", || async { (stuck[0].under_way() == 52 + 2).then_some(()) }).await;
    hanging.extend(submit(&dana, "stuck-b.hang", RUNS).await);
    until("two of the other that hang", || async { (stuck[1].under_way() == 2).then_some(()) }).await;

    let others = submit(&dan, "things.change-item", 50).await;
    for run in &others {
        assert_eq!(dan.end_of(run).await.unwrap()["state"], "succeeded");
    }
    assert_eq!(effects.order().len(), 50);
    assert_eq!(stuck.each_ref().map(|stuck| stuck.ended.load(SeqCst)), [0, 0]);
    let in_all = stuck.iter().map(Stuck::under_way).sum::<usize>();
    assert!(in_all < 64, "{in_all} hang: there is room for the others");
    let waiting = dana.get("/v1/runs?state=queued&limit=500").await.unwrap().body;
    assert_eq!(waiting["items"].as_array().unwrap().len(), 2 * RUNS - in_all, "the others wait");

    for stuck in &stuck {
        stuck.let_go();
    }
    for run in &hanging {
        assert_eq!(dana.end_of(run).await.unwrap()["state"], "succeeded");
    }
    assert_eq!(stuck.each_ref().map(|stuck| stuck.begun.load(SeqCst)), [RUNS, RUNS], "each was done once");
}
