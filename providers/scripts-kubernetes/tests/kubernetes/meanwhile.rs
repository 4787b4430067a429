//! What changes while a run lies there or goes on: its secrets, its file, the wish for it, the way to its log.

use guichet_contract::{Clock as _, SystemClock};
use guichet_provider_scripts_kubernetes::{Cluster, sweep};
use guichet_provider_sdk::bench::LongRun;
use guichet_testkit::patience::until;
use jiff::SignedDuration;
use kube::api::ListParams;
use serde_json::{Value, json};

use crate::{
    deaths::{COUNTS, remembered},
    stage::{Stage, detail, lines, world},
};

/// A run that is laid down, and what another process would be called with.
async fn laid(stage: &Stage, operation: &str) -> LongRun {
    let mut run = LongRun::new(operation, json!({}));
    assert_eq!(run.call(&stage.provider().await).await.unwrap().unwrap()["status"], "noted");
    run
}

const TELLS: &str = r#"#!/bin/bash
# /// guichet
# title = "Tell"
# secrets = ["API_TOKEN"]
# ///
echo "the token is $API_TOKEN"
echo "{\"token\": \"$API_TOKEN\"}"
echo told > TRACES/told
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_says_whose_secret_was_changed_meanwhile_is_not_shown() {
    let Some(world) = world() else { return };
    let stage = Stage::set(world, "rotated", &[("tell.sh", TELLS)]).await;
    let mut run = laid(&stage, "tell").await;
    std::fs::write(stage.folder.path().join("token.secret"), "an0ther-t0ken\n").unwrap();
    let outcome = run.to_its_end(&stage.provider().await).await.unwrap();
    assert_eq!((&outcome["status"], &outcome["result"]), (&json!("succeeded"), &Value::Null), "{outcome}");
    assert_eq!(stage.trace("told").unwrap(), "told\n");
    let told = lines(&run);
    assert!(told.len() == 1 && told[0].contains("have changed since it was begun"), "{told:?}");
    let recalled = remembered(&stage.provider().await, "tell", &run.id).await;
    assert_eq!(recalled["outcome"]["status"], "succeeded", "{recalled}");
    let all = format!("{outcome}{recalled}{:?}", run.told);
    assert!(!all.contains("s3cr3t-t0ken"), "{all}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_will_not_do_it_takes_back_what_another_laid_down() {
    let Some(world) = world() else { return };
    let stage = Stage::set(world, "takenback", &[("count.sh", COUNTS)]).await;
    let run = laid(&stage, "count").await;
    // Who laid it down dies before that is durable; the next one finds another file.
    stage.write("count.sh", &format!("{COUNTS}echo more\n"));
    let bench = stage.provider().await;
    stage.write("count.sh", COUNTS);
    let mut again = LongRun::new("count", json!({}));
    again.id.clone_from(&run.id);
    let outcome = again.to_its_end(&bench).await.unwrap();
    assert!(detail(&outcome).contains("is not what was planned and approved"), "{outcome}");
    stage.until_nothing_is_left().await;
    assert_eq!(stage.trace("effects"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_calls_for_any_more_is_swept() {
    let Some(world) = world() else { return };
    let stage = Stage::set(world, "swept", &[("count.sh", COUNTS), ("tell.sh", TELLS)]).await;
    let ended = laid(&stage, "tell").await.to_its_end(&stage.provider().await).await.unwrap();
    assert_eq!(ended["status"], "succeeded");
    let _laid = laid(&stage, "count").await;
    let cluster = Cluster::connect(&stage.settings().1).await.unwrap();
    let now = SystemClock.now();
    assert_eq!(sweep(&cluster, now).await, Ok(0), "its run may still be called for");
    assert_eq!(sweep(&cluster, now + SignedDuration::from_hours(2)).await, Ok(1));
    until("the one that has ended to be left", || async { (stage.count().await == (1, 1, 0)).then_some(()) })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_ended_before_it_was_cancelled_has_succeeded() {
    let Some(world) = world() else { return };
    let stage = Stage::set(world, "toolate", &[("count.sh", COUNTS)]).await;
    let mut run = laid(&stage, "count").await;
    let first = stage.provider().await;
    tokio::select! {
        ended = run.call(&first) => panic!("{ended:?}"),
        _ = stage.until_trace("told") => {}
    }
    std::fs::write(stage.traces.path().join("go-on"), "").unwrap();
    until("it to end", || async {
        let jobs = stage.jobs().list(&ListParams::default()).await.unwrap().items;
        (jobs[0].status.as_ref()?.succeeded? == 1).then_some(())
    })
    .await;
    let mut cancelled = LongRun::new("count", json!({}));
    (cancelled.id, cancelled.journal, cancelled.cancelled) = (run.id.clone(), run.journal.clone(), true);
    let outcome = cancelled.to_its_end(&stage.provider().await).await.unwrap();
    assert_eq!(
        (&outcome["status"], &outcome["result"]),
        (&json!("succeeded"), &json!({"lines": 6})),
        "{outcome}"
    );
    assert_eq!(stage.count().await, (1, 1, 0), "it stays as memory");
}

const EARLY: &str = r#"#!/bin/bash
# /// guichet
# title = "Say more than one thing"
# ///
echo '{"early": 1}'
echo more
echo '{"late": 2}'
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_log_that_breaks_off_on_its_way_no_earlier_line_is_the_result() {
    let Some(world) = world() else { return };
    let stage = Stage::set(world, "brokenoff", &[("say.sh", EARLY)]).await;
    world.kubelet.break_off("brokenoff", true);
    let mut run = laid(&stage, "say").await;
    assert_eq!(
        run.call(&stage.provider().await).await.unwrap(),
        None,
        "it ended, and its result is not known"
    );
    let recalled = remembered(&stage.provider().await, "say", &run.id).await;
    assert_eq!(recalled, json!({"known": false}));
    world.kubelet.break_off("brokenoff", false);
    let recalled = remembered(&stage.provider().await, "say", &run.id).await;
    assert_eq!(recalled["outcome"]["result"], json!({"late": 2}), "{recalled}");
}
