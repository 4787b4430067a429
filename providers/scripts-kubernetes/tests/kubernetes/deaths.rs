//! Something dies in the midst of a run: the provider, the API server, the node. Never is there a second Job.

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::Duration,
};

use guichet_provider_sdk::bench::LongRun;
use guichet_testkit::{Setup, patience::until};
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::stage::{Stage, detail, lines, world};

pub(crate) const COUNTS: &str = r#"#!/bin/bash
# /// guichet
# title = "Count"
# timeout = "3m"
# ///
echo began >> TRACES/effects
for i in 1 2 3; do echo "line $i"; sleep 0.05; done
echo "told" > TRACES/told
while [ ! -e "TRACES/go-on" ]; do sleep 0.1; done
for i in 4 5 6; do echo "line $i"; done
echo '{"lines": 6}'
"#;

fn counted() -> Vec<String> {
    (1..=6).map(|number| format!("line {number}")).collect()
}

/// The provider's own program.
struct Provider {
    child: Child,
}

impl Provider {
    fn start(stage: &Stage, port: u16, keys: &str) -> Self {
        let log = std::fs::File::create(stage.folder.path().join("provider.log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_guichet-provider-scripts-kubernetes"))
            .env("GUICHET_SCRIPTS_SETTINGS", stage.folder.path().join("scripts.toml"))
            .env("GUICHET_LISTEN", format!("127.0.0.1:{port}"))
            .env("GUICHET_PUBLIC_KEYS", keys)
            .stdout(log)
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        Self { child }
    }

    /// SIGKILL.
    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.kill();
    }
}

const POLICY: &str = r#"
@id("all")
permit (principal, action, resource);
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_provider_finds_its_job_again_and_the_run_goes_on() {
    let Some(world) = world() else { return };
    let stage = Stage::set(world, "killed", &[("count.sh", COUNTS)]).await;
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let registry = "teams:\n  - {name: developers, members: [dana]}\n";
    let platform = Setup::new().person("dana").policy("all.cedar", POLICY).registry(registry);
    let platform =
        platform.provider_at("scripts", &format!("http://127.0.0.1:{port}")).start().await.unwrap();
    let dana = platform.sign_in("dana").await.unwrap();
    let keys = dana.get("/v1/keys").await.unwrap().body;
    let keys: Vec<&str> =
        keys["keys"].as_array().unwrap().iter().filter_map(|key| key["public"].as_str()).collect();
    let keys = keys.join(",");
    let mut provider = Provider::start(&stage, port, &keys);
    let run = until("the scripts to be known", || async {
        let answer = dana.submit("scripts.count", json!({})).await.unwrap();
        answer.body["id"].as_str().map(str::to_owned)
    })
    .await;
    stage.until_trace("told").await;
    // What was told is noted once a second.
    until("it to be noted up to where its log was told", || async {
        let jobs = stage.jobs().list(&ListParams::default()).await.unwrap().items;
        jobs[0].metadata.annotations.as_ref()?.contains_key("guichet/told").then_some(())
    })
    .await;
    sleep(Duration::from_millis(1_500)).await;
    provider.kill();
    sleep(Duration::from_millis(500)).await;
    let _provider = Provider::start(&stage, port, &keys);
    std::fs::write(stage.traces.path().join("go-on"), "").unwrap();
    let end: Value = dana.end_of(&run).await.unwrap();
    assert_eq!(end["state"], "succeeded", "{end}");
    assert_eq!(end["outcome"]["result"], json!({"lines": 6}), "{end}");
    assert_eq!(stage.trace("effects").unwrap(), "began\n", "one effect");
    assert_eq!(stage.count().await, (1, 1, 0), "one Job, one pod");
    let told = dana.get(&format!("/v1/runs/{run}/events")).await.unwrap().body.to_string();
    for line in counted() {
        assert_eq!(told.matches(&line).count(), 1, "{line}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_server_is_killed_and_no_line_is_told_twice() {
    let Some(world) = world() else { return };
    let mut stage = Stage::alone(world, "restarted", &[("count.sh", COUNTS)]).await;
    let bench = stage.provider().await;
    let mut run = LongRun::new("count", json!({}));
    assert_eq!(run.call(&bench).await.unwrap().unwrap()["status"], "noted");
    let restarted = async {
        stage.until_trace("told").await;
        sleep(Duration::from_secs(1)).await;
        stage.whole_plane().unwrap().kill_api_server().unwrap();
        std::fs::write(stage.traces.path().join("go-on"), "").unwrap();
        sleep(Duration::from_millis(500)).await;
        tokio::task::block_in_place(|| stage.whole_plane().unwrap().start_api_server()).unwrap();
    };
    let (outcome, ()) = tokio::join!(run.to_its_end(&bench), restarted);
    let outcome = outcome.unwrap();
    assert_eq!(outcome["result"], json!({"lines": 6}), "{outcome}");
    assert_eq!(lines(&run), counted());
    assert_eq!(stage.trace("effects").unwrap(), "began\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_that_are_called_for_one_run_have_one_job() {
    let Some(world) = world() else { return };
    let stage = Stage::set(world, "twice", &[("count.sh", COUNTS)]).await;
    std::fs::write(stage.traces.path().join("go-on"), "").unwrap();
    let (mut one, mut other) = (LongRun::new("count", json!({})), LongRun::new("count", json!({})));
    other.id.clone_from(&one.id);
    let (bench, second) = (stage.provider().await, stage.provider().await);
    let (first, again) = tokio::join!(one.to_its_end(&bench), other.to_its_end(&second));
    for outcome in [first.unwrap(), again.unwrap()] {
        assert_eq!(outcome["result"], json!({"lines": 6}), "{outcome}");
    }
    assert_eq!(stage.trace("effects").unwrap(), "began\n", "one effect");
    assert_eq!(stage.count().await, (1, 1, 0));

    // A third one, which never heard of it, is asked what became of it.
    let asked = stage.provider().await;
    let recalled = remembered(&asked, "count", &one.id).await;
    assert_eq!(
        (&recalled["known"], &recalled["outcome"]["status"]),
        (&json!(true), &json!("succeeded")),
        "{recalled}"
    );
    assert_eq!(recalled["outcome"]["result"], json!({"lines": 6}), "{recalled}");
}

pub(crate) async fn remembered(
    bench: &guichet_provider_sdk::bench::Bench,
    operation: &str,
    id: &str,
) -> Value {
    let request = bench
        .request(operation, &json!({}), |call| call.as_run(id).header("guichet-mode", "outcome"))
        .unwrap();
    let response = bench.send(request).await;
    let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
    serde_json::from_slice(&body).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_laid_down_and_never_begun_is_not_done() {
    let Some(world) = world() else { return };
    let stage = Stage::set(world, "laid", &[("count.sh", COUNTS)]).await;
    let bench = stage.provider().await;
    let mut run = LongRun::new("count", json!({}));
    assert_eq!(run.call(&bench).await.unwrap().unwrap()["status"], "noted");
    // Nobody calls again; another process is asked.
    let recalled = remembered(&stage.provider().await, "count", &run.id).await;
    assert_eq!(recalled["outcome"]["status"], "failed", "{recalled}");
    assert!(detail(&recalled["outcome"]).contains("never begun; nothing was run"), "{recalled}");
    stage.until_nothing_is_left().await;
    let unheard = remembered(&stage.provider().await, "count", "0199aaaa-0000-7000-8000-000000000000").await;
    assert_eq!(unheard, json!({"known": false}), "nothing is claimed of what nobody knows");
    assert_eq!(stage.trace("effects"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_somebody_removed_is_unknown_and_not_begun_again() {
    let Some(world) = world() else { return };
    let stage = Stage::set(world, "removed", &[("count.sh", COUNTS)]).await;
    let bench = stage.provider().await;
    let mut run = LongRun::new("count", json!({}));
    assert_eq!(run.call(&bench).await.unwrap().unwrap()["status"], "noted");
    let removed = async {
        stage.until_trace("told").await;
        let jobs = stage.jobs().list(&ListParams::default()).await.unwrap().items;
        let name = jobs[0].metadata.name.clone().unwrap();
        let _ = stage.jobs().delete(&name, &kube::api::DeleteParams::background()).await.unwrap();
    };
    let (ended, ()) = tokio::join!(run.call(&bench), removed);
    assert_eq!(ended.unwrap(), None, "no outcome: nobody knows how far it came");
    let mut again = LongRun::new("count", json!({}));
    (again.id, again.journal) = (run.id.clone(), run.journal.clone());
    assert_eq!(again.call(&stage.provider().await).await.unwrap(), None);
    assert_eq!(stage.trace("effects").unwrap(), "began\n");
    stage.until_nothing_is_left().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_was_suspended_by_somebody_is_not_begun_again() {
    let Some(world) = world() else { return };
    let stage = Stage::set(world, "suspended", &[("count.sh", &COUNTS.replace("\"3m\"", "\"20s\""))]).await;
    let bench = stage.provider().await;
    let mut run = LongRun::new("count", json!({}));
    assert_eq!(run.call(&bench).await.unwrap().unwrap()["status"], "noted");
    let suspended = async {
        stage.until_trace("told").await;
        let jobs = stage.jobs().list(&ListParams::default()).await.unwrap().items;
        let name = jobs[0].metadata.name.clone().unwrap();
        let change = Patch::Merge(json!({"spec": {"suspend": true}}));
        let _ = stage.jobs().patch(&name, &PatchParams::default(), &change).await.unwrap();
    };
    let (outcome, ()) = tokio::join!(run.call(&bench), suspended);
    // Its pod was ended by the cluster: that is an end that was seen.
    assert_ne!(outcome.unwrap().unwrap_or_default()["status"], "succeeded");
    // Who is called for it later finds it as it was before it was begun, but for the mark that it was; and would not end soon.
    std::fs::write(stage.traces.path().join("go-on"), "").unwrap();
    let mut again = LongRun::new("count", json!({}));
    (again.id, again.journal) = (run.id.clone(), run.journal.clone());
    let outcome = again.call(&stage.provider().await).await.unwrap().unwrap_or_default();
    assert_ne!(outcome["status"], "succeeded", "{outcome}");
    assert!(!detail(&outcome).contains("nothing was run"), "it was, once: {outcome}");
    assert_eq!(stage.trace("effects").unwrap(), "began\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_run_whose_node_is_cut_off_nobody_claims_anything() {
    let Some(world) = world() else { return };
    let stage = Stage::set(world, "cutoff", &[("count.sh", &COUNTS.replace("\"3m\"", "\"6s\""))]).await;
    let bench = stage.provider().await;
    let mut run = LongRun::new("count", json!({}));
    assert_eq!(run.call(&bench).await.unwrap().unwrap()["status"], "noted");
    let cut_off = async {
        stage.until_trace("told").await;
        world.kubelet.cut_off("cutoff", true);
    };
    let (ended, ()) = tokio::join!(run.call(&bench), cut_off);
    assert_eq!(ended.unwrap(), None, "its time is over, and nobody saw that it ended");
    let recalled = remembered(&stage.provider().await, "count", &run.id).await;
    assert_eq!(recalled, json!({"known": true, "under_way": true}));
    // The node comes back, ends what it has to end, and says so.
    world.kubelet.cut_off("cutoff", false);
    let recalled = until("its end to be known", || async {
        let recalled = remembered(&stage.provider().await, "count", &run.id).await;
        (!recalled["outcome"].is_null()).then_some(recalled)
    })
    .await;
    assert!(detail(&recalled["outcome"]).contains("did not end within its 6 s"), "{recalled}");
    assert_eq!(stage.trace("effects").unwrap(), "began\n");
}
