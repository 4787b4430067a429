//! Runs that take long: what is done is done once, whoever dies meanwhile; they sleep, stop, and are asked after.

use std::time::Duration;

use guichet_testkit::{Bench, Builder, Effects, Front, LeapingClock, Mortal, bench::Person};
use serde_json::{Value, json};

use crate::world::setup;

struct Site {
    bench: Bench,
    builder: Builder,
    process: Mortal,
    front: Front,
    dana: Person,
    clock: LeapingClock,
}

#[expect(clippy::unwrap_used, reason = "a story that cannot begin has failed")]
async fn site_under(policy: &str) -> Site {
    let (builder, clock) = (Builder::default(), LeapingClock::default());
    let process = Mortal::born(provider(&builder, &clock), &builder.keys).await.unwrap();
    let front = Front::before(&process.url()).await.unwrap();
    let setup = setup(&Effects::default())
        .provider_at("builder", &front.url)
        .clock(&clock)
        .policy("more.cedar", policy);
    let bench = setup.start().await.unwrap();
    builder.believe(&bench).await.unwrap();
    let dana = bench.sign_in("dana").await.unwrap();
    Site { bench, builder, process, front, dana, clock }
}

async fn site() -> Site {
    site_under("").await
}

fn provider(builder: &Builder, clock: &LeapingClock) -> guichet_provider_sdk::Provider {
    builder.provider().one_process().clock(std::sync::Arc::new(clock.clone()))
}

#[expect(clippy::unwrap_used, clippy::panic, reason = "a story that cannot go on has failed")]
impl Site {
    async fn submit(&self, action: &str, input: Value) -> String {
        let run = self.dana.submit(action, input).await.unwrap().body;
        run["id"].as_str().unwrap_or_else(|| panic!("no run: {run}")).to_owned()
    }

    async fn run(&self, id: &str) -> Value {
        self.dana.get(&format!("/v1/runs/{id}")).await.unwrap().body
    }

    async fn until(&self, what: &str, is_so: impl Fn(&Value) -> bool, id: &str) -> Value {
        for _ in 0..2_400 {
            let run = self.run(id).await;
            if is_so(&run) {
                return run;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("waited in vain until {what}: {}", self.run(id).await);
    }

    async fn until_done(&self, count: usize) {
        for _ in 0..10_000 {
            if self.builder.done().len() >= count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("waited in vain for {count} steps: {:?}", self.builder.done());
    }

    async fn born_again(&mut self) {
        let (builder, clock) = (self.builder.clone(), self.clock.clone());
        self.process.born_again(|| provider(&builder, &clock), &self.builder.keys).await.unwrap();
    }

    async fn events(&self, id: &str) -> String {
        self.dana.get(&format!("/v1/runs/{id}/events")).await.unwrap().body.to_string()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_dies_goes_on_after_its_last_step() {
    let mut site = site().await;
    let id = site.submit("builder.build", json!({"name": "a", "steps": 4, "step_milliseconds": 300})).await;
    site.until_done(2).await;
    // In the midst of the third step.
    tokio::time::sleep(Duration::from_millis(100)).await;
    site.process.kill();
    tokio::time::sleep(Duration::from_millis(300)).await;
    site.born_again().await;
    let run = site.dana.end_of(&id).await.unwrap();
    assert_eq!(run["state"], "succeeded", "{run}");
    assert_eq!(run["outcome"]["result"], json!({"built": "a"}));
    assert_eq!(site.builder.done(), ["a 1", "a 2", "a 3", "a 4"]);
    assert!(site.events(&id).await.contains("the provider is called again in"), "it is told");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sleep_holds_nothing_and_outlives_everybody() {
    let mut site = site().await;
    let id =
        site.submit("builder.build", json!({"name": "a", "steps": 2, "sleep_milliseconds": 3_600_000})).await;
    // The 10 minutes of the action end before the hour does.
    let id_too_long = id;
    site.until("it waits", |run| run["waits_until"].is_string(), &id_too_long).await;
    let id =
        site.submit("builder.build", json!({"name": "b", "steps": 2, "sleep_milliseconds": 300_000})).await;
    let waits = site.until("it waits", |run| run["waits_until"].is_string(), &id).await;
    assert_eq!(waits["state"], "running");
    let calls = site.builder.attempts();
    site.bench.stop().await.unwrap();
    site.process.kill();
    site.born_again().await;
    site.bench.start_again().await.unwrap();
    site.builder.believe(&site.bench).await.unwrap();
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(site.builder.attempts(), calls, "nobody calls while it sleeps");
    assert_eq!(site.run(&id).await["waits_until"], waits["waits_until"]);
    site.clock.leap(301);
    // Whatever wakes the worker lets it look at the clock.
    let other = site.submit("builder.build", json!({"name": "c", "steps": 1})).await;
    assert_eq!(site.dana.end_of(&other).await.unwrap()["state"], "succeeded");
    let run = site.dana.end_of(&id).await.unwrap();
    assert_eq!((&run["state"], run.get("waits_until")), (&json!("succeeded"), None), "{run}");
    assert_eq!(site.builder.done().iter().filter(|done| done.starts_with('b')).count(), 2);
    site.clock.leap(400);
    let other = site.submit("builder.build", json!({"name": "d", "steps": 1})).await;
    assert_eq!(site.dana.end_of(&other).await.unwrap()["state"], "succeeded");
    let run = site.dana.end_of(&id_too_long).await.unwrap();
    assert_eq!(run["state"], "unknown", "{run}");
    assert!(run["outcome"]["problem"]["detail"].as_str().unwrap().contains("within the 600 s"), "{run}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_undoes_what_was_done_in_reverse() {
    let site = site().await;
    let id = site.submit("builder.build", json!({"name": "a", "steps": 3, "breaks_at": 3})).await;
    let run = site.dana.end_of(&id).await.unwrap();
    assert_eq!(
        (&run["state"], &run["outcome"]["problem"]["detail"]),
        (&json!("failed"), &json!("a 3 breaks"))
    );
    assert_eq!(site.builder.done(), ["a 1", "a 2", "undo a 3", "undo a 2", "undo a 1"]);
    assert!(site.events(&id).await.contains("undo step 2"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_is_confirmed_by_the_provider() {
    let mut site = site().await;
    let cancel = async |site: &Site, id: &str| {
        let path = format!("/v1/runs/{id}/cancel");
        site.dana.post(&path, json!({"reason": "the wrong one"})).await.unwrap()
    };
    // At work, resumable and not.
    for (action, name) in [("builder.build", "a"), ("builder.paint", "b")] {
        let before = site.builder.done().len();
        let id = site.submit(action, json!({"name": name, "steps": 9, "step_milliseconds": 300})).await;
        site.until_done(before + 1).await;
        let asked = cancel(&site, &id).await;
        assert_eq!(asked.status, 200, "{}", asked.body);
        assert_eq!(asked.body["cancel_asked"]["by"], "dana");
        let run = site.dana.end_of(&id).await.unwrap();
        assert_eq!(
            (&run["state"], &run["outcome"]["status"]),
            (&json!("cancelled"), &json!("cancelled")),
            "{run}"
        );
        let done = site.builder.done();
        let undone = done.iter().filter(|done| done.starts_with("undo")).count();
        assert!(undone >= 1 && done.last().unwrap().ends_with(" 1"), "{done:?}");
    }
    // Asleep.
    let id =
        site.submit("builder.build", json!({"name": "c", "steps": 2, "sleep_milliseconds": 500_000})).await;
    site.until("it waits", |run| run["waits_until"].is_string(), &id).await;
    assert_eq!(cancel(&site, &id).await.status, 200);
    assert_eq!(site.dana.end_of(&id).await.unwrap()["state"], "cancelled");
    // Not confirmed: nobody is there.
    let id = site.submit("builder.build", json!({"name": "d", "steps": 2, "step_milliseconds": 400})).await;
    site.until("it runs", |run| run["state"] == "running", &id).await;
    site.process.kill();
    assert_eq!(cancel(&site, &id).await.status, 200);
    let again = cancel(&site, &id).await;
    assert_eq!(again.status, 409);
    assert!(again.body["detail"].as_str().unwrap().contains("has not confirmed it"), "{}", again.body);
    assert_eq!(site.run(&id).await["state"], "running");
    site.born_again().await;
    assert_eq!(site.dana.end_of(&id).await.unwrap()["state"], "cancelled");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idempotent_call_that_was_cut_off_is_made_again() {
    let mut site = site().await;
    let id = site.submit("builder.knock", json!({"name": "a", "steps": 1, "step_milliseconds": 600})).await;
    site.until("it runs", |run| run["state"] == "running", &id).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    site.process.kill();
    site.born_again().await;
    let run = site.dana.end_of(&id).await.unwrap();
    assert_eq!(run["state"], "succeeded", "{run}");
    assert_eq!((site.builder.done(), site.builder.attempts()), (vec!["a 1".to_owned()], 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_could_say_is_asked_and_never_done_again() {
    let mut site = site().await;
    // Its process dies at work: another knows nothing, and says since when.
    let lost = site.submit("builder.paint", json!({"name": "a", "steps": 1, "step_milliseconds": 800})).await;
    site.until("it runs", |run| run["state"] == "running", &lost).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    site.process.kill();
    assert_eq!(site.dana.end_of(&lost).await.unwrap()["state"], "unknown");
    site.born_again().await;
    site.clock.leap(8 * 60);
    let other = site.submit("builder.build", json!({"name": "b", "steps": 1})).await;
    assert_eq!(site.dana.end_of(&other).await.unwrap()["state"], "succeeded");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(
        site.run(&lost).await["state"],
        "unknown",
        "a memory that is younger than the call says nothing"
    );
    assert!(site.builder.done().iter().all(|done| done != "a 1"), "nothing is done again");
    let records = site.dana.get("/v1/records?verb=reconcile_run").await.unwrap().body;
    assert_eq!(records["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_connection_finds_its_run_again() {
    let site = site().await;
    let id = site.submit("builder.build", json!({"name": "a", "steps": 3, "step_milliseconds": 500})).await;
    site.until_done(1).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    site.front.cut(false);
    let run = site.dana.end_of(&id).await.unwrap();
    assert_eq!(run["state"], "succeeded", "{run}");
    assert_eq!(site.builder.done(), ["a 1", "a 2", "a 3"]);
    assert_eq!(site.builder.attempts(), 1, "the handler at work was joined");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_became_of_a_run_is_told_by_its_provider() {
    let site = site().await;
    let mut unknown = Vec::new();
    for (name, breaks_at, swallowed) in [("a", 0, false), ("b", 1, false), ("c", 0, true)] {
        site.front.cut(swallowed);
        // A memory that is hardly older than the call says nothing.
        site.clock.leap(10);
        let paint = json!({"name": name, "steps": 1, "step_milliseconds": 400, "breaks_at": breaks_at});
        let id = site.submit("builder.paint", paint).await;
        if !swallowed {
            site.until("it runs", |run| run["state"] == "running", &id).await;
            tokio::time::sleep(Duration::from_millis(150)).await;
            site.front.cut(false);
        }
        assert_eq!(site.dana.end_of(&id).await.unwrap()["state"], "unknown");
        unknown.push(id);
    }
    site.front.cut(false);
    site.clock.leap(75);
    let other = site.submit("builder.build", json!({"name": "d", "steps": 1})).await;
    assert_eq!(site.dana.end_of(&other).await.unwrap()["state"], "succeeded");
    for (id, state, detail) in [
        (&unknown[0], "succeeded", ""),
        (&unknown[1], "failed", "b 1 breaks"),
        (&unknown[2], "failed", "the provider was asked, and never received it: it was not done"),
    ] {
        let run = site.until("it is settled", |run| run["state"] != "unknown", id).await;
        assert_eq!(run["state"], state, "{run}");
        assert_eq!(run["outcome"]["problem"]["detail"].as_str().unwrap_or_default(), detail);
    }
    assert_eq!(site.builder.attempts(), 3, "two that were cut off, and one that was not");
    let records = site.dana.get("/v1/records?verb=reconcile_run").await.unwrap().body;
    assert_eq!(records["items"].as_array().unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_gives_it_less_time() {
    let policy = r#"
@id("not-all-night") @timeout("1h")
forbid (principal, action in Action::"change", resource);
@id("in-a-hurry") @timeout("30s")
forbid (principal, action == Action::"builder.build", resource == Resource::"things/short");
"#;
    let site = site_under(policy).await;
    let mut runs = Vec::new();
    for (name, limit) in [("short", json!(30)), ("long", Value::Null)] {
        let build = json!({"name": name, "steps": 2, "sleep_milliseconds": 60_000});
        let id = site.submit("builder.build", build).await;
        let run = site.until("it waits", |run| run["waits_until"].is_string(), &id).await;
        assert_eq!(run["timeout_seconds"], limit, "an hour is more than the action takes: {run}");
        runs.push(id);
    }
    site.clock.leap(61);
    let other = site.submit("builder.build", json!({"name": "c", "steps": 1})).await;
    assert_eq!(site.dana.end_of(&other).await.unwrap()["state"], "succeeded");
    let short = site.dana.end_of(&runs[0]).await.unwrap();
    assert_eq!(short["state"], "unknown", "{short}");
    assert!(short["outcome"]["problem"]["detail"].as_str().unwrap().contains("within the 30 s"), "{short}");
    assert_eq!(site.dana.end_of(&runs[1]).await.unwrap()["state"], "succeeded");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_a_provider_that_cannot_be_read_waits_no_longer_than_the_run_may_take() {
    let policy =
        "@id(\"short\") @timeout(\"90s\") forbid (principal, action, resource == Resource::\"things/a\");";
    let mut site = site_under(policy).await;
    // Longer than a gateway that stops waits for it.
    let id =
        site.submit("builder.paint", json!({"name": "a", "steps": 1, "step_milliseconds": 24_000})).await;
    site.until("it is called for", |_| site.builder.attempts() == 1, &id).await;
    // As a replica that has just started, while the provider is away.
    site.bench.stop().await.unwrap();
    site.front.cut(true);
    std::fs::remove_dir_all(site.bench.folder().join("data/documents")).unwrap();
    site.bench.start_again().await.unwrap();
    let stop = site.dana.post(&format!("/v1/runs/{id}/cancel"), json!({})).await.unwrap();
    let told = stop.body.to_string();
    assert_eq!((stop.status.as_u16(), stop.code()), (502, "provider-unreachable"), "{told}");
    assert!(told.contains("whether this run can be stopped is not known"), "{told}");
    assert!(told.contains("it goes on when its provider is back"), "{told}");
    site.bench.stop().await.unwrap();
    site.clock.leap(90);
    site.bench.start_again().await.unwrap();
    let run = site.dana.end_of(&id).await.unwrap();
    assert_eq!(run["state"], "unknown", "{run}");
    let told = run["outcome"]["problem"].to_string();
    assert!(told.contains("in the time that it may take") && told.contains("in part or whole"), "{told}");
    // Its provider is asked what became of it when it can be read, though it could not be when that was written.
    site.bench.stop().await.unwrap();
    site.front.cut(false);
    site.clock.leap(10);
    site.bench.start_again().await.unwrap();
    site.until("its provider was asked", |run| run["state"] == "succeeded", &id).await;
    assert_eq!(site.builder.done(), ["a 1"]);
}
