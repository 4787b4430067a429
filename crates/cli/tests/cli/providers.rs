//! Providers: listed, described, added, removed; and the actions of one that is not there.

use axum::{
    Json, Router,
    extract::{Path, Query},
    http::StatusCode,
    routing::{get, put},
};
use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::fake::Fake;

/// The part of the gateway that these tests need.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/v1/providers", get(|| async { Json(json!([demo(), kafka(), mail()])) }))
        .route("/v1/providers/{name}", get(one).delete(|| async { StatusCode::NO_CONTENT }))
        .route("/v1/providers/{name}/service", put(add))
}

fn demo() -> Value {
    json!({"name": "demo", "state": "serving", "operations": 2, "since": "2026-11-21T08:00:00Z", "warnings": []})
}

fn kafka() -> Value {
    json!({"name": "kafka", "state": "unreachable", "operations": 0, "since": "2026-11-21T08:00:00Z",
        "problem": "connection refused", "warnings": ["no title"]})
}

fn mail() -> Value {
    let refused = "/paths/~1elsewhere/get: `elsewhere` is answered by http://127.0.0.2:9, and only https://mail.internal is called";
    json!({"name": "mail", "state": "ready", "operations": 2, "since": "2026-11-21T08:00:00Z",
        "warnings": [refused, "/info/title: the document has no title"], "refused": [refused], "owner": "dana", "instances": [],
        "service": {"openapi": "https://mail.internal:443/openapi.json", "url": "https://mail.internal:443/api",
            "credential": "mail", "overlay": "overlay: 1.0.0"}})
}

async fn one(Path(name): Path<String>) -> Json<Value> {
    Json(if name == "mail" { mail() } else { demo() })
}

async fn add(
    Path(name): Path<String>,
    Query(query): Query<Vec<(String, String)>>,
    Json(body): Json<Value>,
) -> Json<Value> {
    Json(json!({
        "provider": name, "became": "added", "dry_run": query.iter().any(|(name, _)| name == "dry_run"),
        "openapi": body["openapi"], "url": body["url"].as_str().unwrap_or("https://mail.internal:443/api"),
        "document": format!("sha256:{}", "0".repeat(64)),
        "operations": [{"command": ["mail", "mails", "list"], "effect": "read", "title": "List mails"},
            {"command": ["mail", "mails", "send"], "effect": "change", "title": "Send\u{1b}[2J a mail"}],
        "refused": ["/paths/~1elsewhere/get: it is answered elsewhere"], "warnings": [],
    }))
}

#[test]
fn providers_are_listed_and_described_with_what_is_wrong() {
    let fake = Fake::start();
    assert_snapshot!("providers_list", fake.told("providers list"));
    assert_snapshot!("providers_describe", fake.told("providers describe mail"));
}

#[test]
fn a_service_is_added_after_a_look_and_removed() {
    let fake = Fake::start();
    let add = "providers add mail --openapi https://mail.internal/openapi.json";
    assert_snapshot!("providers_add_dry", fake.told(&format!("{add} --dry-run")));
    assert_eq!(fake.seen("PUT /v1/providers/mail/service?dry_run=true").len(), 1);
    assert_snapshot!(
        "providers_add",
        fake.told(&format!("{add} --credential mail --url https://mail.internal/api"))
    );
    let sent = fake.seen("PUT /v1/providers/mail/service");
    let body = &sent.last().unwrap().body;
    assert_eq!(
        *body,
        json!({"openapi": "https://mail.internal/openapi.json", "url": "https://mail.internal/api", "credential": "mail"})
    );
    let (exit, _, err) =
        fake.run(&["providers", "add", "mail", "--openapi", "x", "--overlay", "no-such-file"]);
    assert!(exit != 0 && err.contains("no-such-file"), "{exit}: {err}");
    let (exit, out, _) = fake.run(&["providers", "add", "mail", "--openapi", "x", "--output", "json"]);
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (exit, &told["became"], told["operations"].as_array().unwrap().len()),
        (0, &json!("added"), 2)
    );
    let (exit, _, err) = fake.run(&["providers", "remove", "mail"]);
    assert!(exit == 0 && err.contains("nobody's again"), "{exit}: {err}");
}

#[test]
fn actions_of_a_provider_that_is_not_there_are_marked() {
    let fake = Fake::start();
    fake.part.lock().unwrap().absent_since = Some("2026-11-21T08:00:00Z");
    let listed = fake.told("actions list");
    assert!(listed.contains("PROVIDER"), "{listed}");
    let marked: Vec<&str> =
        listed.lines().filter(|line| line.contains("not there since 2026-11-21")).collect();
    assert!(marked.len() == 1 && marked[0].contains("demo echo"), "{listed}");
    let shown = fake.told("actions show demo echo");
    assert!(shown.contains("not there since 2026-11-21"), "{shown}");
}
