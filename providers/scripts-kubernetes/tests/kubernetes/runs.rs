//! Runs that end as they should: by themselves, by their time, by somebody's wish.

use std::time::{Duration, Instant};

use guichet_provider_sdk::bench::LongRun;
use guichet_testkit::patience::until;
use kube::api::ListParams;
use serde_json::json;

use crate::stage::{Stage, detail, is_alive, lines, since, world};

const ECHO: &str = r#"#!/usr/bin/env python3
# /// guichet
# title = "Say what arrives"
# args = ["--to={to}", "--", "{words}"]
# secrets = ["API_TOKEN"]
# [input.to]
# [input.words]
# [input.pin]
# sensitive = true
# ///
import json, os, sys
print("the token is", os.environ["API_TOKEN"], flush=True)
print("TRACES")
print(json.dumps({"arguments": sys.argv[1:], "input": json.load(sys.stdin), "environment": dict(os.environ), "user": os.getuid(), "folder": os.getcwd()}))
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_typed_arrives_and_no_value_is_in_the_job() {
    let Some(world) = world() else { return };
    let stage = Stage::set(world, "typed", &[("say-it.py", ECHO)]).await;
    let words = "a 'b' \"c\"\n$(touch /tmp/pwned) `id` $(PATH) $$(HOME) ; \\ ü";
    let input = json!({"to": "x y", "words": words, "pin": "9753-1"});
    let bench = stage.provider().await;
    let mut run = LongRun::new("say-it", input.clone());
    assert_eq!(
        run.call(&bench).await.unwrap().unwrap()["status"],
        "noted",
        "it is written down before it is begun"
    );
    let shown =
        serde_json::to_string(&stage.jobs().list(&ListParams::default()).await.unwrap().items).unwrap();
    assert!(!shown.contains("s3cr3t") && !shown.contains("9753-1"), "{shown}");
    assert_eq!(stage.count().await, (1, 0, 1), "laid down, not begun");
    let outcome = run.to_its_end(&bench).await.unwrap();
    assert_eq!(outcome["status"], "succeeded", "{outcome}");
    let result = &outcome["result"];
    assert_eq!(result["arguments"], json!(["--to=x y", "--", words]));
    assert_eq!(result["input"]["words"], words);
    let environment = result["environment"].as_object().unwrap();
    assert_eq!((&environment["INPUT_WORDS"], &environment["GUICHET_RUN"]), (&json!(words), &json!(run.id)));
    assert_eq!(
        (&environment["API_TOKEN"], &environment["INPUT_PIN"]),
        (&json!("[redacted]"), &json!("[redacted]"))
    );
    assert_eq!((&result["user"], &result["folder"]), (&json!(65_532), &environment["HOME"]));
    assert_eq!(lines(&run)[0], "the token is [redacted]");
    assert_eq!(stage.count().await, (1, 1, 0), "the Secret is gone, the Job stays as memory");
    let text = format!("{:?}", run.told);
    assert!(!text.contains("s3cr3t") && !text.contains("9753-1"), "{text}");
}

const REFUSES: &str = r#"#!/bin/bash
# /// guichet
# title = "Refuse"
# ///
echo "on the way"
echo "no such topic: orders" >&2
exit 3
"#;

const LIST: &str = r#"#!/bin/bash
# /// guichet
# title = "List"
# effect = "read"
# [input.prefix]
# default = "x"
# ///
echo "[{\"name\": \"$INPUT_PREFIX-1\"}]"
"#;

const DRY: &str = r#"#!/bin/bash
# /// guichet
# title = "Scale"
# plan = "--dry-run"
# [input.to]
# type = "integer"
# ///
if [ "$1" = "--dry-run" ]; then
  echo "{\"sentence\": \"Scale from 2 to $INPUT_TO\", \"facts\": []}"
  exit
fi
echo scaled
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_exit_code_decides_and_looks_leave_nothing() {
    let Some(world) = world() else { return };
    let stage =
        Stage::set(world, "codes", &[("refuse.sh", REFUSES), ("list.sh", LIST), ("scale.sh", DRY)]).await;
    let (run, outcome) = stage.run("refuse", json!({})).await;
    assert_eq!(outcome["status"], "failed", "{outcome}");
    assert!(detail(&outcome).starts_with("refuse.sh ended with exit code 3; its last words:"), "{outcome}");
    assert!(detail(&outcome).contains("no such topic: orders"), "{outcome}");
    let mut told = lines(&run);
    told.sort();
    assert_eq!(told, ["no such topic: orders", "on the way"]);
    let bench = stage.provider().await;
    assert_eq!(bench.call("list", json!({"prefix": "a"})).await.unwrap(), json!([{"name": "a-1"}]));
    let plan = bench.plan("scale", json!({"to": 5})).await.unwrap();
    assert_eq!(plan.sentence, "Scale from 2 to 5");
    assert!(plan.facts.iter().any(|fact| fact.name == "image" && fact.value == "tools"), "{plan:?}");
    until("the Jobs of looks to be gone", || async {
        let (jobs, pods, secrets) = stage.count().await;
        ((jobs, pods, secrets) == (1, 1, 0)).then_some(())
    })
    .await;
}

const HANGS: &str = r#"#!/bin/bash
# /// guichet
# title = "Hang"
# timeout = "10m"
# [input.mark]
# ///
sleep "$INPUT_MARK" &
setsid bash -c 'trap "sleep 0.3; echo tidied > TRACES/apart; exit" TERM; echo > TRACES/there; sleep "1$INPUT_MARK" & wait' &
disown
while [ ! -e TRACES/there ]; do sleep 0.05; done
trap 'echo tidied; exit 1' TERM
echo begun > TRACES/begun
sleep "2$INPUT_MARK" &
wait
echo "went on" > TRACES/went-on
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_cancelled_ends_and_its_pod_is_gone() {
    let Some(world) = world() else { return };
    let stage = Stage::set(world, "cancelled", &[("hang.sh", HANGS)]).await;
    let bench = stage.provider().await;
    let mut run = LongRun::new("hang", json!({"mark": "48713"}));
    assert_eq!(run.call(&bench).await.unwrap().unwrap()["status"], "noted");
    let going = async { run.to_its_end(&bench).await.unwrap() };
    let cancelled = async {
        stage.until_trace("begun").await;
        // Another call of the same run says that it shall stop, as a gateway does.
        let id = run_id(&stage).await;
        let mut second = LongRun::new("hang", json!({"mark": "48713"}));
        (second.id, second.cancelled) = (id, true);
        second.journal.insert("lay the job down".to_owned(), journaled(&stage).await);
        second.to_its_end(&stage.provider().await).await.unwrap()
    };
    let (_, outcome) = tokio::join!(going, cancelled);
    assert_eq!(outcome["status"], "cancelled", "{outcome}");
    let (_, pods, secrets) = stage.count().await;
    assert_eq!((pods, secrets), (0, 0));
    stage.until_nothing_is_left().await;
    for mark in ["48713", "148713", "248713"] {
        assert!(!is_alive(mark), "{mark} lives");
    }
    assert_eq!(stage.trace("went-on"), None);
    assert_eq!(stage.trace("apart").as_deref(), Some("tidied\n"), "who left its group was told, too");
}

async fn run_id(stage: &Stage) -> String {
    let jobs = stage.jobs().list(&ListParams::default()).await.unwrap();
    jobs.items[0].metadata.annotations.as_ref().unwrap()["guichet/run"].clone()
}

async fn journaled(stage: &Stage) -> serde_json::Value {
    let jobs = stage.jobs().list(&ListParams::default()).await.unwrap();
    json!(jobs.items[0].metadata.uid)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_takes_too_long_is_ended() {
    let Some(world) = world() else { return };
    let stubborn = HANGS.replace("\"10m\"", "\"3s\"").replace("'echo tidied; exit 1'", "'echo tidied'");
    let stage = Stage::set(world, "late", &[("hang.sh", &stubborn)]).await;
    let begun = Instant::now();
    let (run, outcome) = stage.run("hang", json!({"mark": "58713"})).await;
    assert_eq!(outcome["status"], "failed", "{outcome}");
    assert!(detail(&outcome).contains("did not end within its 3 s"), "{outcome}");
    assert!(since(begun) < Duration::from_secs(35), "{:?}", since(begun));
    assert!(lines(&run).contains(&"tidied".to_owned()), "its last words: {:?}", lines(&run));
    for mark in ["58713", "158713", "258713"] {
        assert!(!is_alive(mark), "{mark} lives");
    }
    let (_, _, secrets) = stage.count().await;
    assert_eq!(secrets, 0);
}

const MEETS: &str = r#"#!/bin/bash
# /// guichet
# title = "Meet another"
# timeout = "2m"
# [input.own]
# [input.other]
# ///
echo here > "TRACES/$INPUT_OWN"
while [ ! -e "TRACES/$INPUT_OTHER" ]; do sleep 0.1; done
echo "{\"met\": \"$INPUT_OTHER\"}"
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_run_at_once() {
    let Some(world) = world() else { return };
    let stage = Stage::set(world, "twoatonce", &[("meet.sh", MEETS)]).await;
    let (one, other) = tokio::join!(
        stage.run("meet", json!({"own": "a", "other": "b"})),
        stage.run("meet", json!({"own": "b", "other": "a"})),
    );
    assert_eq!((&one.1["result"], &other.1["result"]), (&json!({"met": "b"}), &json!({"met": "a"})));
    assert_eq!(stage.count().await, (2, 2, 0));
}
