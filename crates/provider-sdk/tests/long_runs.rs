//! Steps, sleeps, compensations and cancelling, on the bench.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use guichet_provider_sdk::{
    ActionError, Context, NoInput, Provider,
    bench::{Bench, LongRun},
    provider, with,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

#[derive(Deserialize, JsonSchema)]
struct Build {
    /// What is built: a step of this name fails.
    #[serde(default)]
    breaks_at: String,
    /// What cannot be undone.
    #[serde(default)]
    stays: String,
    /// Milliseconds between the second and the third step.
    #[serde(default)]
    pause: u64,
}

/// What was done, by all processes together.
#[derive(Clone)]
struct World {
    done: Arc<Mutex<Vec<String>>>,
    gate: Arc<Semaphore>,
}

impl World {
    fn new() -> Self {
        Self { done: Arc::default(), gate: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)) }
    }
    fn does(&self, what: &str) {
        self.done.lock().unwrap().push(what.to_owned());
    }
    fn done(&self) -> Vec<String> {
        self.done.lock().unwrap().clone()
    }
    fn provider(&self) -> Provider {
        provider("builder").action("build", with(self, build)).resumable().timeout("4h").done()
    }
    fn bench(&self) -> Bench {
        Bench::new(self.provider()).unwrap()
    }
}

async fn build(world: World, context: Context, build: Build) -> Result<Value, ActionError> {
    let mut made = Vec::new();
    for (number, name) in ["a", "b", "c"].into_iter().enumerate() {
        if number == 2 && build.pause > 0 {
            context.sleep("settle", Duration::from_millis(build.pause)).await?;
        }
        let (undone, stays) = (world.clone(), build.stays.clone());
        context.undo(name, move || async move {
            if stays == name {
                return Err(ActionError::conflict(format!("{name} is in use")));
            }
            undone.does(&format!("undo {name}"));
            Ok(())
        })?;
        let key = context.key(name);
        let result: String = context
            .step(name, || async {
                let _ = world.gate.acquire().await?;
                if build.breaks_at == name {
                    return Err(ActionError::refused(format!("{name} breaks")));
                }
                world.does(name);
                Ok(key.rsplit('/').next().unwrap_or_default().to_owned())
            })
            .await?;
        made.push(result);
    }
    Ok(json!(made))
}

#[tokio::test]
async fn each_step_takes_a_call_and_is_done_once() {
    let world = World::new();
    let mut run = LongRun::new("build", json!({}));
    let outcome = run.to_its_end(&world.bench()).await.unwrap();
    assert_eq!(outcome, json!({"status": "succeeded", "result": ["a", "b", "c"]}));
    assert_eq!(world.done(), ["a", "b", "c"]);
    assert_eq!((run.done(), run.calls), (vec!["a", "b", "c"], 4));
}

#[tokio::test]
async fn another_process_goes_on_after_the_last_step() {
    let world = World::new();
    let mut run = LongRun::new("build", json!({"pause": 0}));
    for calls in 1..=4 {
        // Each call meets a process that never heard of the run.
        let outcome = run.call(&world.bench()).await.unwrap().unwrap();
        assert_eq!(outcome["status"], if calls < 4 { "noted" } else { "succeeded" });
    }
    assert_eq!(world.done(), ["a", "b", "c"]);
}

#[tokio::test]
async fn a_step_that_was_not_handed_back_is_told_again_by_who_did_it_and_done_again_by_another() {
    let world = World::new();
    let bench = world.bench();
    let mut run = LongRun::new("build", json!({}));
    let _ = run.call(&bench).await.unwrap();
    // The gateway died before it was durable.
    run.journal.clear();
    let _ = run.call(&bench).await.unwrap();
    assert_eq!((run.done(), world.done()), (vec!["a", "a"], vec!["a".to_owned()]));
    run.journal.clear();
    let _ = run.call(&world.bench()).await.unwrap();
    assert_eq!(world.done(), ["a", "a"], "at least once");
}

#[tokio::test]
async fn a_journal_that_the_token_does_not_name_is_refused() {
    let world = World::new();
    let bench = world.bench();
    let request = bench
        .request("build", &json!({}), |call| call.header("guichet-journal", "body"))
        .unwrap()
        .map(|_| axum::body::Body::from(json!({"input": {}, "journal": {"a": "forged"}}).to_string()));
    assert_eq!(bench.send(request).await.status(), 401);
    assert!(world.done().is_empty());
}

#[tokio::test]
async fn a_failure_undoes_in_reverse_and_says_what_stays() {
    let world = World::new();
    let mut run = LongRun::new("build", json!({"breaks_at": "c", "stays": "a"}));
    let outcome = run.to_its_end(&world.bench()).await.unwrap();
    assert_eq!(outcome["status"], "failed");
    assert_eq!(outcome["problem"]["detail"], "c breaks; NOT undone: a (a is in use)");
    assert_eq!(world.done(), ["a", "b", "undo c", "undo b"]);
}

#[tokio::test]
async fn undoing_goes_on_in_another_process_and_tries_nothing_again() {
    let world = World::new();
    let mut run = LongRun::new("build", json!({"breaks_at": "c"}));
    let first = world.bench();
    while !run.journal.contains_key("undo c") {
        let _ = run.call(&first).await.unwrap();
    }
    // In the next process `c` would succeed: it is not tried.
    let second = world.bench();
    let outcome = run.to_its_end(&second).await.unwrap();
    assert_eq!(outcome["problem"]["detail"], "c breaks");
    assert_eq!(world.done(), ["a", "b", "undo c", "undo b", "undo a"]);
}

#[tokio::test]
async fn undoing_goes_on_in_another_process_also_of_what_came_after_a_pause() {
    let world = World::new();
    let mut run = LongRun::new("build", json!({"breaks_at": "c", "pause": 300}));
    let first = world.bench();
    while !run.journal.contains_key("guichet: undoing") {
        if run.call(&first).await.unwrap().is_some_and(|outcome| outcome["status"] == "waiting") {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }
    let outcome = run.to_its_end(&world.bench()).await.unwrap();
    assert_eq!(outcome["problem"]["detail"], "c breaks");
    assert_eq!(world.done(), ["a", "b", "undo c", "undo b", "undo a"]);
}

#[tokio::test]
async fn what_another_process_does_not_come_by_again_is_told_as_not_undone() {
    let world = World::new();
    let mut run = LongRun::new("build", json!({"breaks_at": "c"}));
    let first = world.bench();
    while !run.journal.contains_key("guichet: undoing") {
        let _ = run.call(&first).await.unwrap();
    }
    // As if the handler had been changed in between.
    run.journal["guichet: undoing"]["undo"].as_array_mut().unwrap().push(json!("z"));
    let outcome = run.to_its_end(&world.bench()).await.unwrap();
    assert_eq!(outcome["problem"]["detail"], "c breaks; NOT undone: z (not come by again)");
}

#[tokio::test]
async fn a_sleep_ends_the_call_and_is_over_once() {
    let world = World::new();
    let mut run = LongRun::new("build", json!({"pause": 600}));
    let outcome = run.to_its_end(&world.bench()).await.unwrap();
    assert_eq!((&outcome["status"], &outcome["name"]), (&json!("waiting"), &json!("settle")));
    assert_eq!(world.done(), ["a", "b"]);
    // Too early: it waits on, until the same moment.
    let again = run.to_its_end(&world.bench()).await.unwrap();
    assert_eq!(again["until"], outcome["until"]);
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(run.to_its_end(&world.bench()).await.unwrap()["status"], "succeeded");
    assert_eq!(world.done(), ["a", "b", "c"]);
}

#[tokio::test]
async fn a_cancelled_sleeper_wakes_and_undoes() {
    let world = World::new();
    let mut run = LongRun::new("build", json!({"pause": 3_600_000}));
    assert_eq!(run.to_its_end(&world.bench()).await.unwrap()["status"], "waiting");
    run.cancelled = true;
    let outcome = run.to_its_end(&world.bench()).await.unwrap();
    assert_eq!(outcome, json!({"status": "cancelled", "problem": null}));
    assert_eq!(world.done(), ["a", "b", "undo b", "undo a"]);
}

#[tokio::test]
async fn a_cancel_reaches_a_handler_at_work_before_its_next_step() {
    let world = World { gate: Arc::new(Semaphore::new(0)), ..World::new() };
    let bench = world.bench();
    let mut run = LongRun::new("build", json!({}));
    // The call is cut off while the first step is under way.
    let cut = tokio::time::timeout(Duration::from_millis(100), run.call(&bench)).await;
    assert!(cut.is_err());
    run.cancelled = true;
    let opened = world.gate.clone();
    drop(tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        opened.add_permits(100);
    }));
    assert_eq!(run.to_its_end(&bench).await.unwrap()["status"], "cancelled");
    assert_eq!(world.done(), ["a", "undo b", "undo a"]);
}

async fn twice(context: Context) -> Result<Value, ActionError> {
    let _: i32 = context.step("same", || async { Ok(1) }).await?;
    let _: i32 = context.step("same", || async { Ok(2) }).await?;
    Ok(Value::Null)
}

async fn large(context: Context) -> Result<Value, ActionError> {
    context.step("large", || async { Ok("x".repeat(70_000)) }).await.map(|text| json!(text))
}

#[tokio::test]
async fn names_are_unique_and_results_small() {
    let provider = provider("odd")
        .action("twice", |context: Context, _: guichet_provider_sdk::NoInput| twice(context))
        .resumable()
        .action("large", |context: Context, _: guichet_provider_sdk::NoInput| large(context))
        .resumable()
        .done();
    let bench = Bench::new(provider).unwrap();
    let detail = async |operation| {
        let outcome = LongRun::new(operation, json!({})).to_its_end(&bench).await.unwrap();
        outcome["problem"]["detail"].as_str().unwrap().to_owned()
    };
    assert_eq!(detail("twice").await, "two steps of this run are named `same`");
    assert!(detail("large").await.contains("its result has 70002 bytes"));
}

/// No JSON can say it.
#[derive(JsonSchema)]
struct Unwritable {}

impl serde::Serialize for Unwritable {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("there are no words for it"))
    }
}

async fn odd(world: World, context: Context, _: NoInput) -> Result<Unwritable, ActionError> {
    if context.operation() == "build" {
        let undone = world.clone();
        context.undo("a", async move || {
            undone.does("undo a");
            Ok(())
        })?;
        context.step("a", async || Ok(())).await?;
    }
    world.does(context.operation());
    Ok(Unwritable {})
}

#[tokio::test]
async fn a_result_that_is_no_json_is_unknown_and_of_a_resumable_action_a_failure() {
    let world = World::new();
    let provider = provider("odd")
        .action("look", with(&world, odd))
        .read()
        .action("change", with(&world, odd))
        .action("build", with(&world, odd))
        .resumable()
        .done();
    let bench = Bench::new(provider).unwrap();
    let problem = bench.call("change", json!({})).await.unwrap_err();
    assert_eq!(problem.code, "provider-silent", "it is done, and this says that it is not: {problem:?}");
    let problem = bench.call("look", json!({})).await.unwrap_err();
    assert_eq!((problem.status, problem.code.as_str()), (500, "provider-failed"), "{problem:?}");
    let outcome = LongRun::new("build", json!({})).to_its_end(&bench).await.unwrap();
    assert_eq!(outcome["status"], "failed", "{outcome}");
    assert!(outcome["problem"]["detail"].as_str().unwrap().starts_with("done, but the result"), "{outcome}");
    assert_eq!(world.done(), ["change", "look", "build", "undo a"]);
}

#[tokio::test]
async fn who_asks_what_became_of_a_run_begins_nothing() {
    let world = World::new();
    let bench = Bench::new(world.provider().one_process()).unwrap();
    let ask = async |id: &str, mode: &str| {
        let request =
            bench.request("build", &json!({}), |call| call.as_run(id).header("guichet-mode", mode)).unwrap();
        guichet_provider_sdk::bench::result_of(bench.send(request).await).await.unwrap()
    };
    let unheard = ask("never", "outcome").await;
    assert_eq!(unheard["known"], false);
    assert!(unheard["remembers_since"].is_string());
    let mut run = LongRun::new("build", json!({}));
    let _ = run.call(&bench).await.unwrap();
    assert_eq!(ask(&run.id, "outcome").await, json!({"known": true, "under_way": true}));
    let _ = run.to_its_end(&bench).await.unwrap();
    assert_eq!(ask(&run.id, "outcome").await["outcome"]["status"], "succeeded");
    assert_eq!(ask("another", "cancel").await["known"], false);
    assert_eq!(world.done(), ["a", "b", "c"]);
}

#[tokio::test]
async fn a_process_that_ends_leaves_the_next_step_to_another() {
    let world = World::new();
    let first = world.bench();
    let mut run = LongRun::new("build", json!({}));
    let _ = run.call(&first).await.unwrap();
    // It waits to be told that `a` is durable, which would take five minutes.
    assert_eq!(first.stop(Duration::from_secs(5)).await, 0);
    assert_eq!(run.call(&first).await.unwrap(), None, "who still calls it is cut off");
    assert_eq!(run.to_its_end(&world.bench()).await.unwrap()["status"], "succeeded");
    assert_eq!(world.done(), ["a", "b", "c"]);
}

#[derive(Deserialize, JsonSchema)]
struct Many {
    /// Steps.
    steps: usize,
    /// Whether each is a pause instead, of an hour.
    pauses: bool,
    /// How many of them can be undone.
    undos: usize,
}

async fn many(world: World, context: Context, many: Many) -> Result<Value, ActionError> {
    for number in 0..many.steps {
        if number < many.undos {
            let undone = world.clone();
            context.undo(number.to_string(), move || async move {
                undone.does("undo");
                Ok(())
            })?;
        }
        if many.pauses {
            context.sleep(format!("pause {number}"), Duration::from_hours(1)).await?;
        } else {
            context.step(format!("step {number}"), || async { Ok(()) }).await?;
        }
    }
    Ok(json!(many.steps))
}

/// A run of which so much is behind it.
fn with_behind(many: &Value, count: usize) -> LongRun {
    let mut run = LongRun::new("many", many.clone());
    for number in 0..count {
        let (name, result) = if many["pauses"] == true {
            (format!("pause {number}"), json!({"until": "2020-01-01T00:00:00Z"}))
        } else {
            (format!("step {number}"), Value::Null)
        };
        let _ = run.journal.insert(name, result);
    }
    run
}

#[tokio::test]
async fn what_a_journal_has_no_room_for_is_not_begun_and_what_was_done_is_undone() {
    let world = World::new();
    let provider = provider("builder").action("many", with(&world, many)).resumable().timeout("4h").done();
    let bench = Bench::new(provider).unwrap();
    for pauses in [false, true] {
        let wanted = json!({"steps": 1_000, "pauses": pauses, "undos": 0});
        let all = with_behind(&wanted, 1_000).to_its_end(&bench).await.unwrap();
        assert_eq!(all["status"], "succeeded", "a thousand have room: {all}");
        let wanted = json!({"steps": 1_001, "pauses": pauses, "undos": 0});
        let full = with_behind(&wanted, 1_000).to_its_end(&bench).await.unwrap();
        assert_eq!(full["status"], "failed", "{full}");
        let told = full["problem"].to_string();
        assert!(told.contains("has room for 1000 steps") && told.contains("do more in one step"), "{told}");
    }
    // Room is kept for what undoes: 500 steps can be undone by 499 others, after the one that says that it failed.
    let wanted = json!({"steps": 600, "pauses": false, "undos": 600});
    let mut run = with_behind(&wanted, 495);
    let undone = run.to_its_end(&bench).await.unwrap();
    assert_eq!(undone["status"], "failed", "{undone}");
    let told = undone["problem"].to_string();
    assert!(told.contains("is not begun") && !told.contains("NOT undone"), "{told}");
    assert!(run.journal.len() <= 1_000, "{} in all", run.journal.len());
    assert_eq!(world.done().len(), run.journal.keys().filter(|name| name.starts_with("undo ")).count());
}
