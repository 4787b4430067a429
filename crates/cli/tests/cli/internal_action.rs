//! Actions by the names of their services and their own, with JSON.

use guichet_contract::{Outcome, RunState};
use insta::assert_snapshot;
use serde_json::json;

use crate::fake::{Fake, ended, event, run_of};

const EXECUTE: [&str; 6] =
    ["internal-action", "execute", "--service", "postgres", "--action", "cancel-query"];
const INPUT: &str = r#"{"identifier": "shop", "pid": 14024}"#;

fn play_a_run(fake: &Fake) {
    let asked = json!({"identifier": "shop", "pid": 14024});
    let run = run_of("postgres.cancel-query", &asked, RunState::AwaitingApproval);
    let outcome = Outcome::succeeded(json!({"cancelled": true}));
    let mut part = fake.part.lock().unwrap();
    part.connections.push_back(event(1, &json!({"kind": "state", "state": "succeeded"})));
    part.run_at_the_end = Some(ended(run, RunState::Succeeded, Some(outcome)));
}

#[test]
fn it_is_the_same_run_as_that_of_its_own_command() {
    let (one, other) = (Fake::start(), Fake::start());
    play_a_run(&one);
    play_a_run(&other);
    let by_name =
        one.run(&[&EXECUTE[..], &["--payload", INPUT, "--comment", "I need to… because…"]].concat());
    let own =
        ["rds", "cancel-query", "--identifier", "shop", "--pid", "14024", "--reason", "I need to… because…"];
    assert_eq!(by_name, other.run(&own));
    assert_eq!(by_name.0, 0, "{}", by_name.2);
    let submitted = |fake: &Fake| fake.seen("POST /v1/actions/postgres.cancel-query/runs")[0].body.clone();
    assert_eq!(submitted(&one), submitted(&other));
    assert_eq!(submitted(&one)["reason"], "I need to… because…");
}

#[test]
fn the_payload_comes_from_a_file_and_the_action_by_any_of_its_names() {
    let fake = Fake::start();
    let file = fake.home().join("payload.json");
    std::fs::write(&file, r#"{"text": "hi"}"#).unwrap();
    let payload = format!("@{}", file.display());
    for name in ["echo", "demo.echo"] {
        let line =
            ["internal-action", "execute", "--service", "demo", "--action", name, "--payload", &payload];
        let (exit, _, err) = fake.run(&line);
        assert_eq!(exit, 0, "{err}");
    }
    let seen = fake.seen("POST /v1/actions/demo.echo/runs");
    assert_eq!(seen.len(), 2);
    assert!(seen.iter().all(|seen| seen.body["input"] == json!({"text": "hi"})), "{}", seen[0].body);
}

#[test]
fn all_are_listed_by_service() {
    let fake = Fake::start();
    let (exit, out, err) = fake.run(&["internal-action", "list"]);
    assert_eq!(exit, 0, "{err}");
    assert_snapshot!("internal_actions", out);
    let (_, out, _) = fake.run(&["internal-action", "list", "--service", "demo", "-o", "json"]);
    let listed: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(listed[0]["id"], "demo.echo");
    assert_eq!(listed.as_array().unwrap().len(), 1);
}

#[test]
fn what_there_is_not_is_told_with_what_is_near() {
    let fake = Fake::start();
    let told = |service: &str, action: &str, payload: &str| {
        let line =
            ["internal-action", "execute", "--service", service, "--action", action, "--payload", payload];
        let (exit, out, err) = fake.run(&line);
        format!("exit {exit} {out}{err}")
    };
    let cases = [
        told("postgers", "cancel-query", "{}"),
        told("postgres", "cancel-qurey", "{}"),
        told("postgres", "cancel-query", "{"),
        told("postgres", "cancel-query", r#"{"pid": 1}"#),
    ];
    assert_snapshot!("internal_actions_unknown", cases.join("\n"));
}
