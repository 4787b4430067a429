//! Everything is recorded: every endpoint of the gateway's own document and every operation of a provider, called by
//! someone who is signed in, leaves at least one record of its trace.

use std::collections::{BTreeMap, BTreeSet};

use guichet_testkit::{Effects, bench::Person, patience::until};
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{POLICY, setup, start};

/// What leaves no record, and why. May only shrink: one that leaves a record must go from this list.
const EXCEPTIONS: [(&str, &str); 8] = [
    ("GET /healthz", "asked every second by whoever runs the gateway; says `ok` and nothing else"),
    ("GET /readyz", "asked every second by whoever runs the gateway; says yes or why not"),
    ("GET /metrics", "asked every few seconds by a collector; numbers without names of people or things"),
    ("GET /v1/keys", "public keys, fetched by providers; the same for everybody"),
    ("GET /v1/openapi.json", "this very document; the same for everybody, part of the release"),
    ("GET /v1/event-schemas", "the types of events; the same for everybody, part of the release"),
    (
        "GET /v1/event-schemas/{type}",
        "what an event of a type says; the same for everybody, part of the release",
    ),
    ("GET /v1/ledger/key", "a public key; the same for everybody"),
];

/// Waits until all that was handed over before is written, and says how many records there are of this trace.
#[expect(clippy::unwrap_used, reason = "a story that cannot go on has failed")]
async fn records_of(auditor: &Person, trace: &str) -> usize {
    // A refusal waits for the disk, and stands behind all that was handed over before it.
    let refused = auditor.get("/v1/actions/no.such-action").await.unwrap();
    assert_eq!(refused.code(), "unknown-action", "{}", refused.body);
    let found = auditor.get(&format!("/v1/records?trace={trace}")).await.unwrap();
    assert_eq!(found.status, 200, "{}", found.body);
    found.body["items"].as_array().unwrap().len()
}

/// What a caller would send to an endpoint of the gateway.
fn filled(path: &str, ids: &BTreeMap<&str, String>) -> String {
    ids.iter().fold(path.to_owned(), |path, (name, value)| path.replace(&format!("{{{name}}}"), value))
}

/// What must come to its end here: a refusal leaves a record of its own, whatever the verb does.
const SUCCEED: [&str; 20] = [
    "read_provider",
    "list_deliveries",
    "read_delivery",
    "replay_delivery",
    "ping_channel",
    "create_schedule",
    "list_schedules",
    "read_schedule",
    "approve_schedule",
    "reject_schedule",
    "pause_schedule",
    "resume_schedule",
    "delete_schedule",
    "comment_run",
    "close_review",
    "explain_policy",
    "explain_policy_by_name",
    "who_can",
    "who_can_approve",
    "simulate_policy",
];
/// Who may go on without approvals: else there is nothing to review.
const BREAK_GLASS: &str = "@id(\"developers-break-glass\")
permit (principal in Team::\"developers\", action == Action::\"break_glass\", resource);";

fn body_of(operation: &str) -> Option<Value> {
    Some(match operation {
        "sign_in" => json!({"user": "eve", "password": guichet_testkit::bench::PASSWORD}),
        "create_token" => json!({"name": "a script", "expires_in_seconds": 3600, "scopes": ["read"]}),
        "plan_run" | "submit_run" => json!({"input": {"name": "a"}, "reason": "a test"}),
        "list_options" => json!({"input": {}}),
        "approve_run" => json!({"binding": "sha256:0000"}),
        "reject_run" | "reject_schedule" => json!({"reason": "no"}),
        "cancel_run" | "approve_schedule" | "pause_schedule" | "resume_schedule" | "replay_delivery"
        | "ping_channel" => json!({}),
        "comment_run" => json!({"text": "is there a backup?"}),
        "close_review" => json!({"words": "right, and quick"}),
        "explain_policy" | "who_can" | "who_can_approve" => {
            json!({"action": "things.destroy-item", "input": {"name": "a"}})
        }
        "add_provider" => json!({"openapi": "http://127.0.0.1:9/openapi.json"}),
        "create_schedule" => daily("things.change-item", "by-dana"),
        "simulate_policy" => json!({"policies": {"rules.cedar": POLICY}, "days": 1}),
        _ => return None,
    })
}

fn daily(action: &str, name: &str) -> Value {
    json!({"name": name, "action": action, "input": {"name": "a"}, "reason": "a test", "expression": "@daily",
        "until": "2999-12-31"})
}

/// One that this operation can be called on: dan's, which dana may approve, or dana's own.
#[expect(clippy::unwrap_used, reason = "a story that cannot go on has failed")]
async fn schedule_for(dan: &Person, dana: &Person, operation: &str) -> String {
    let name = operation.replace('_', "-");
    let (person, action, until) = match operation {
        "approve_schedule" | "reject_schedule" => (dan, "things.destroy-item", soon()),
        "read_schedule" | "pause_schedule" | "resume_schedule" | "delete_schedule" => {
            (dana, "things.change-item", "2999-12-31".to_owned())
        }
        _ => return name,
    };
    let mut body = daily(action, &name);
    body["until"] = json!(until);
    let made = person.post("/v1/schedules", body).await.unwrap();
    assert_eq!(made.status, 201, "{}", made.body);
    if operation == "resume_schedule" {
        let paused = dana.post(&format!("/v1/schedules/{name}/pause"), json!({})).await.unwrap();
        assert_eq!(paused.status, 200, "{}", paused.body);
    }
    name
}

/// What was told of this run.
#[expect(clippy::unwrap_used, reason = "a story that cannot go on has failed")]
async fn delivery_of(auditor: &Person, run: &str) -> String {
    until("what was told", || async {
        let found = auditor.get(&format!("/v1/deliveries?run={run}&state=delivered")).await.unwrap();
        found.body["items"][0]["id"].as_str().map(str::to_owned)
    })
    .await
}

/// In a hundred days.
fn soon() -> String {
    let now = guichet_contract::Clock::now(&guichet_contract::SystemClock);
    (now + jiff::SignedDuration::from_hours(2_400)).to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_endpoint_and_every_operation_leaves_a_record() {
    let effects = Effects::default();
    let channel = "[[notify]]\nname = \"log\"\nkind = \"console\"\n";
    let bench = setup(&effects).policy("glass.cedar", BREAK_GLASS).config(channel).start().await.unwrap();
    let auditor = bench.sign_in("dan").await.unwrap();
    let document = auditor.get("/v1/openapi.json").await.unwrap().body;
    let mut endpoints = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, described) in methods.as_object().unwrap() {
            let operation = described["operationId"].as_str().unwrap().to_owned();
            endpoints.push((method.to_uppercase(), path.clone(), operation));
        }
    }
    // The last one ends the session.
    endpoints.sort_by_key(|(_, _, operation)| operation == "sign_out");
    let dana = bench.sign_in("dana").await.unwrap();
    assert!(endpoints.len() >= 30, "the document lists all endpoints: {endpoints:?}");
    let (mut silent, mut succeed) = (Vec::new(), BTreeSet::from(SUCCEED));
    let mut exceptions: BTreeSet<&str> = EXCEPTIONS.iter().map(|(call, _)| *call).collect();
    for (method, path, operation) in endpoints {
        let run = dana.submit("things.destroy-item", json!({"name": "a"})).await.unwrap();
        assert_eq!(run.status, 202, "{}", run.body);
        let mut run = run.body["id"].as_str().unwrap().to_owned();
        if operation == "close_review" {
            // Another's, that dana could have said yes to.
            let body = json!({"input": {"name": "a"}, "reason": "it burns", "break_glass": true});
            let broken = auditor.post("/v1/actions/things.destroy-item/runs", body).await.unwrap();
            assert_eq!(broken.status, 202, "{}", broken.body);
            broken.body["id"].as_str().unwrap().clone_into(&mut run);
        }
        if operation == "follow_run" {
            // A stream ends with its run.
            dana.call(Method::POST, &format!("/v1/runs/{run}/cancel"), Some(json!({}))).await.unwrap();
        }
        let delivery = delivery_of(&auditor, &run).await;
        let schedule = schedule_for(&auditor, &dana, &operation).await;
        let ids = BTreeMap::from([
            ("run", run),
            ("delivery", delivery),
            ("channel", "log".to_owned()),
            ("type", "dev.guichet.run_ended".to_owned()),
            ("action", "things.change-item".to_owned()),
            ("token", "0192f0c1-0000-7000-8000-000000000000".to_owned()),
            ("member", "name".to_owned()),
            ("schedule", schedule),
            ("path", "0/000".to_owned()),
            ("provider", "things".to_owned()),
        ]);
        let mut called = filled(&path, &ids);
        if operation == "explain_policy_by_name" {
            called.push_str("?action=things.change-item");
        }
        // One simulation at a time in a process, and other stories are told in this one.
        let answer = until(&operation, || async {
            let answer = dana.call(method.parse().unwrap(), &called, body_of(&operation)).await.unwrap();
            (operation != "simulate_policy" || answer.code() != "too-many-requests").then_some(answer)
        })
        .await;
        assert_ne!(answer.status.as_u16(), 405, "{method} {called}");
        if succeed.remove(operation.as_str()) {
            assert!(answer.status.is_success(), "{method} {called}: {}", answer.body);
        }
        let trace = answer.headers["guichet-trace"].to_str().unwrap();
        let records = records_of(&auditor, trace).await;
        let call = format!("{method} {path}");
        if exceptions.remove(call.as_str()) {
            assert_eq!(records, 0, "{call} leaves a record now: take it from the exceptions");
        } else {
            silent.extend((records == 0).then(|| format!("{call} ({})", answer.status)));
        }
    }
    assert!(succeed.is_empty(), "no endpoints: {succeed:?}");
    assert!(silent.is_empty(), "these left no record: {silent:?}");
    assert!(exceptions.is_empty(), "exceptions that are no endpoints: {exceptions:?}");

    let catalogue = auditor.get("/v1/catalogue").await.unwrap().body;
    let actions = catalogue["actions"].as_array().unwrap();
    assert!(actions.len() >= 5);
    let dana = bench.sign_in("dana").await.unwrap();
    for action in actions {
        let id = action["id"].as_str().unwrap();
        let operation = action["operation"].as_str().unwrap();
        let input = if operation == "slow-change" {
            json!({"name": "b", "milliseconds": 0})
        } else if operation == "line-change" {
            json!({"key": "k", "name": "b", "milliseconds": 0})
        } else if operation == "list-items" {
            json!({})
        } else {
            json!({"name": "b"})
        };
        let read = action["effect"] == "read";
        let path = if read {
            format!("/providers/things/{operation}")
        } else {
            format!("/providers/things/actions/{operation}")
        };
        let own = if read { dana.get(&path).await } else { dana.post(&path, input.clone()).await };
        let calls = [own, dana.submit(id, input.clone()).await, dana.submit(id, json!({"no": "such"})).await];
        for answer in calls {
            let answer = answer.unwrap();
            assert_ne!(answer.status.as_u16(), 404, "{path}: {}", answer.body);
            let trace = answer.headers["guichet-trace"].to_str().unwrap();
            assert!(records_of(&auditor, trace).await > 0, "{id} ({}) left no record", answer.status);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_to_no_verb_is_recorded_without_what_was_sent() {
    let (bench, _) = start().await;
    let auditor = bench.sign_in("dan").await.unwrap();
    let dana = bench.sign_in("dana").await.unwrap();
    let nobody = bench.nobody().unwrap();
    let secret = json!({"user": {"hunter2": "hunter2"}, "password": "hunter2"});
    let calls = [
        (nobody.post("/v1/session", secret.clone()).await, "POST /v1/session", "bad-request"),
        (dana.post("/v1/tokens", secret).await, "POST /v1/tokens", "bad-request"),
        (dana.get("/v1/records?hunter2=hunter2").await, "GET /v1/records", "bad-request"),
        (dana.get("/v1/runs?limit=0").await, "GET /v1/runs", "bad-request"),
        (dana.get("/v1/runs?cursor=hunter2").await, "GET /v1/runs", "bad-request"),
        (dana.get("/v1/hunter2").await, "GET (none)", "not-found"),
        (dana.call(Method::PATCH, "/v1/tokens", None).await, "PATCH /v1/tokens", "method-not-allowed"),
        (
            dana.post("/providers/things/actions/change-item", json!(["hunter2"])).await,
            "POST /providers/{provider}/{*path}",
            "bad-request",
        ),
    ];
    for (answer, route, code) in calls {
        let answer = answer.unwrap();
        assert_eq!(answer.code(), code, "{route}: {}", answer.body);
        let trace = answer.headers["guichet-trace"].to_str().unwrap();
        assert!(records_of(&auditor, trace).await > 0, "{route}");
        let found =
            auditor.get(&format!("/v1/records?trace={trace}&verb=refuse_request")).await.unwrap().body;
        let record = &found["items"][0];
        assert_eq!(
            (record["detail"].as_str(), record["problem"].as_str()),
            (Some(route), Some(code)),
            "{found}"
        );
        let who = record["principal"]["name"].as_str();
        assert_eq!(who, (route != "POST /v1/session").then_some("dana"), "{found}");
    }
    let all = auditor.get("/v1/records?limit=500").await.unwrap().body.to_string();
    assert!(!all.contains("hunter2"), "what was sent is not recorded: {all}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_gateway_does_itself_is_recorded() {
    let (bench, _) = start().await;
    let dan = bench.sign_in("dan").await.unwrap();
    let started = dan.get("/v1/records?verb=start_gateway").await.unwrap().body;
    assert_eq!(started["items"].as_array().unwrap().len(), 1, "{started}");
    let registered = dan.get("/v1/records?verb=register_provider").await.unwrap().body;
    assert!(
        registered["items"][0]["detail"].as_str().unwrap().starts_with("provider things, document sha256:"),
        "{registered}"
    );
    // A policy that cannot be read, then one that can.
    let file = bench.folder().join("policy/more.cedar");
    for (text, verdict) in [("permit (", "failed"), ("// nothing", "allowed")] {
        std::fs::write(&file, text).unwrap();
        let path = format!("/v1/records?verb=reload_settings&verdict={verdict}");
        let mut found = Value::Null;
        for _ in 0..1_000 {
            found = dan.get(&path).await.unwrap().body;
            if !found["items"].as_array().unwrap().is_empty() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        assert!(!found["items"].as_array().unwrap().is_empty(), "{verdict}");
    }
}
