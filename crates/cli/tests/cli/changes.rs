//! Changes: submitted once, waited for, told as they end.

use guichet_contract::{Outcome, Problem, Run, RunState, Verdict, code};
use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::fake::{Fake, decision, ended, event, run_of};

const CANCEL: [&str; 6] = ["rds", "cancel-query", "--identifier", "shop", "--pid", "14024"];

fn cancel_run() -> Run {
    run_of("postgres.cancel-query", &json!({"identifier": "shop", "pid": 14024}), RunState::AwaitingApproval)
}

/// An approved run: waits, is approved, runs, ends. The connection is cut twice on the way.
fn play_approval(fake: &Fake, outcome: Outcome, state: RunState) {
    let mut run = ended(cancel_run(), state, Some(outcome));
    run.decisions.push(decision("mona", Verdict::Approve, None));
    let approved = serde_json::to_value(decision("mona", Verdict::Approve, None)).unwrap();
    let mut part = fake.part.lock().unwrap();
    part.connections.push_back(event(1, &json!({"kind": "state", "state": "awaiting_approval"})));
    part.connections.push_back(format!(
        "{}{}{}: keep-alive\n\nid: 5\nevent: log\ndata: {{\"cut",
        event(2, &json!({"kind": "decision", "decision": approved})),
        event(3, &json!({"kind": "state", "state": "queued"})),
        event(4, &json!({"kind": "log", "line": "pg_cancel_backend(14024)\u{1b}[2J"})),
    ));
    part.connections.push_back(format!(
        "{}{}{}",
        // Told twice, as a gateway may after a restart.
        event(4, &json!({"kind": "log", "line": "pg_cancel_backend(14024)"})),
        event(5, &json!({"kind": "progress", "percent": 50.0, "message": "waiting for the backend"})),
        event(6, &json!({"kind": "state", "state": state})),
    ));
    part.run_at_the_end = Some(run);
}

#[test]
fn a_run_is_followed_through_cut_connections_to_its_end() {
    let fake = Fake::start();
    play_approval(&fake, Outcome::succeeded(json!({"cancelled": true})), RunState::Succeeded);
    let arguments = [&CANCEL[..], &["--approval-description", "blocks the checkout"]].concat();
    let (exit, out, err) = fake.run(&arguments);
    assert_snapshot!("a_run_to_its_end", format!("exit {exit}\n--- out\n{out}--- err\n{err}"));
    let connections = fake.seen("GET /v1/runs/0199aaaa-bbbb-7ccc-8ddd-eeee1a2b3c4d/events");
    let resumed: Vec<Option<&str>> = connections
        .iter()
        .map(|seen| seen.headers.get("last-event-id").map(|id| id.to_str().unwrap()))
        .collect();
    assert_eq!(resumed, [None, Some("1"), Some("4")]);
    assert_eq!(
        fake.seen("POST /v1/actions/postgres.cancel-query/runs")[0].body,
        json!({"input": {"identifier": "shop", "pid": 14024}, "reason": "blocks the checkout"})
    );
}

#[test]
fn steps_pauses_and_a_cancel_are_told_as_they_come() {
    let fake = Fake::start();
    let mut part = fake.part.lock().unwrap();
    part.connections.push_back(event(1, &json!({"kind": "state", "state": "running"})));
    let told = [
        json!({"kind": "step", "name": "create bucket", "state": "began"}),
        json!({"kind": "step", "name": "create bucket", "state": "done", "result": {"id": 7}}),
        json!({"kind": "waiting", "name": "settle", "until": "2031-05-06T07:08:09Z"}),
        json!({"kind": "step", "name": "copy", "state": "began"}),
        json!({"kind": "step", "name": "copy", "state": "failed", "result": "the disk is full\u{1b}[2J"}),
        json!({"kind": "cancel_asked", "by": "dana"}),
        json!({"kind": "state", "state": "cancelled"}),
    ];
    let told = (2..).zip(&told).map(|(number, told)| event(number, told)).collect();
    part.connections.push_back(told);
    part.run_at_the_end = Some(ended(cancel_run(), RunState::Cancelled, Some(Outcome::cancelled(None))));
    drop(part);
    let (exit, out, err) = fake.run(&CANCEL);
    // How long it still takes changes by the day.
    assert!(err.contains("settle: waiting until 2031-05-06 07:08:09Z"), "{err}");
    let err: Vec<&str> = err.lines().filter(|line| !line.contains("settle")).collect();
    assert_snapshot!("steps_of_a_run", format!("exit {exit}\n--- out\n{out}--- err\n{}", err.join("\n")));
}

#[test]
fn an_answer_lost_on_the_way_makes_no_second_run() {
    let fake = Fake::start();
    fake.part.lock().unwrap().submissions.extend([None, None]);
    let (exit, out, err) = fake.run(&[&CANCEL[..], &["--no-wait", "-o", "json"]].concat());
    assert_eq!(exit, 10, "{err}");
    let seen = fake.seen("POST /v1/actions/postgres.cancel-query/runs");
    let keys: Vec<_> = seen.iter().map(|seen| seen.headers["idempotency-key"].clone()).collect();
    assert_eq!(keys.len(), 3);
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    let run: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(run["idempotency_key"], keys[0].to_str().unwrap());
}

#[test]
fn an_answer_lost_on_the_way_undoes_once() {
    let fake = Fake::start();
    fake.part.lock().unwrap().submissions.extend([None, None]);
    let (exit, out, err) = fake.run(&["runs", "undo", "1a2b3c4d", "--no-wait", "-o", "json"]);
    assert_eq!(exit, 0, "{err}");
    let seen = fake.seen("POST /v1/runs/1a2b3c4d/undo");
    let keys: Vec<_> = seen.iter().map(|seen| seen.headers["idempotency-key"].clone()).collect();
    assert_eq!(keys.len(), 3);
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    let run: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(run["idempotency_key"], keys[0].to_str().unwrap());
}

#[test]
fn a_reason_that_is_missing_is_told_where_nobody_can_be_asked() {
    let fake = Fake::start();
    let wanted = Problem::new(code::REASON_REQUIRED, "a ticket is needed").next("like OPS-123");
    fake.part.lock().unwrap().submissions.push_back(Some(wanted));
    let (exit, _, err) = fake.run(&["rds", "drop-index", "--index", "x"]);
    assert_eq!(exit, 1);
    assert!(err.contains("a ticket is needed") && err.contains("next: like OPS-123"), "{err}");
    assert_eq!(fake.seen("POST /v1/actions/postgres.drop-index/runs").len(), 1);
}

#[test]
fn a_refusal_is_not_sent_again() {
    let fake = Fake::start();
    fake.part.lock().unwrap().submissions.push_back(Some(Problem::new(code::REFUSED, "no")));
    assert_eq!(fake.run(&CANCEL).0, 4);
    assert_eq!(fake.seen("POST /v1/actions/postgres.cancel-query/runs").len(), 1);
}

#[test]
fn every_end_has_its_words_and_its_exit_code() {
    let failed = Problem::new(code::PROVIDER_FAILED, "the backend is gone");
    let silent = Problem::new(code::PROVIDER_SILENT, "no answer within 30 s");
    let mut rejected = ended(cancel_run(), RunState::Rejected, None);
    rejected.decisions.push(decision("mona", Verdict::Reject, Some("wait for the backup")));
    for (name, run, exit) in [
        ("end_failed", ended(cancel_run(), RunState::Failed, Some(Outcome::failed(failed))), 1),
        ("end_unknown", ended(cancel_run(), RunState::Unknown, Some(Outcome::unknown(silent))), 8),
        ("end_rejected", rejected, 6),
        ("end_expired", ended(cancel_run(), RunState::Expired, None), 6),
        ("end_voided", ended(cancel_run(), RunState::Voided, None), 6),
        ("end_cancelled", ended(cancel_run(), RunState::Cancelled, None), 7),
    ] {
        let fake = Fake::start();
        {
            let mut part = fake.part.lock().unwrap();
            part.run = Some(cancel_run());
            part.connections.push_back(event(1, &json!({"kind": "state", "state": run.state})));
            part.run_at_the_end = Some(run);
        }
        let told = fake.told("runs watch 1a2b3c4d");
        assert!(told.contains(&format!("\nexit {exit}\n")), "{name}: {told}");
        assert_snapshot!(name, told);
    }
}

#[test]
fn waiting_ends_when_told_and_the_run_goes_on() {
    let fake = Fake::start();
    let (exit, _, err) = fake.run(&[&CANCEL[..], &["--timeout", "1"]].concat());
    assert_eq!(exit, 10);
    assert!(err.contains("still waiting") && err.contains("guichet runs watch 1a2b3c4d"), "{err}");
    let (exit, out, err) = fake.run(&[&CANCEL[..], &["--no-wait"]].concat());
    assert_eq!((exit, out.as_str()), (10, ""));
    assert!(err.contains("next: guichet runs watch 1a2b3c4d"), "{err}");
    let (exit, _, _) = fake.run(&["rds", "drop-index", "--index", "x", "--no-wait"]);
    assert_eq!(exit, 0, "it waits for nobody");
}

#[cfg(unix)]
#[test]
fn leaving_says_that_the_run_goes_on() {
    use std::io::{BufRead as _, BufReader, Read as _};
    let fake = Fake::start();
    let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin!("guichet"))
        .args(CANCEL)
        .env_clear()
        .env("XDG_CONFIG_HOME", fake.home().join("config"))
        .env("XDG_CACHE_HOME", fake.home().join("cache"))
        .stdin(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut err = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("awaiting approval by") {
        line.clear();
        assert_ne!(err.read_line(&mut line).unwrap(), 0, "it ended before it waited");
    }
    std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let mut rest = String::new();
    err.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(rest.contains("goes on") && rest.contains("guichet runs watch 1a2b3c4d"), "{rest}");
}

#[test]
fn a_plan_changes_nothing() {
    let fake = Fake::start();
    assert_snapshot!("plan", fake.told("rds cancel-query --identifier shop --pid 14024 --plan"));
    let (_, out, _) = fake.run(&[&CANCEL[..], &["--plan", "-o", "json"]].concat());
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["decision"], "needs_approval");
    assert_eq!(fake.seen("POST /v1/actions/postgres.cancel-query/runs").len(), 0);
}
