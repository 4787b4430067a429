//! Asking the policies, and what other policies would change.

use axum::{
    Json, Router,
    extract::{Path as Route, State},
    routing::{get, post},
};
use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::{
    fake::{Fake, Shared, run_id},
    offered::catalogue,
};

/// The gateway's part in this.
pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/v1/actions", get(list_actions))
        .route("/v1/actions/{action}", get(read_action))
        .route("/v1/policy/{question}", post(policy))
}

/// dana may do all but one.
fn offered(part: &Shared, action: &guichet_contract::Action) -> Value {
    let mut offered = json!(action);
    if let Some(since) = part.lock().unwrap().absent_since.filter(|_| action.provider == "demo") {
        offered["absent_since"] = json!(since);
    }
    offered["for_me"] = match action.id.as_str() {
        "postgres.drop-index" => {
            json!({"answer": "refused", "because": "indexes are frozen", "policies": ["frozen"]})
        }
        "postgres.cancel-query" => {
            json!({"answer": "needs_approval", "because": "cancelling someone's query"})
        }
        _ => json!({"answer": "allowed"}),
    };
    offered
}

async fn list_actions(State(part): State<Shared>) -> Json<Value> {
    let offered = catalogue().actions.iter().map(|action| offered(&part, action)).collect::<Vec<_>>();
    Json(json!({"items": offered, "next": null}))
}

async fn read_action(State(part): State<Shared>, Route(action): Route<String>) -> Json<Value> {
    Json(offered(&part, catalogue().action(&action).unwrap()))
}

fn told(id: &str, says: &str, line: u8) -> Value {
    json!({"id": id, "says": says, "place": format!("policy/rules.cedar:{line}"), "sentence": format!("Why {id} is.")})
}

fn approval() -> Value {
    json!({"policy": "cancelling", "because": "cancelling someone's query", "team": "dba", "chat": "#databases",
        "count": 2, "given": ["omar"], "people": ["olga", "omar"]})
}

async fn policy(Route(question): Route<String>, Json(asked): Json<Value>) -> Json<Value> {
    let version = guichet_contract::Digest::of_bytes(b"policy");
    let dana = json!({"kind": "person", "name": "dana", "teams": ["shop"]});
    let cancel = "postgres.cancel-query";
    Json(match question.as_str() {
        "explain" => json!({
            "answer": "needs_approval", "principal": dana, "action": cancel, "effect": "change",
            "run": asked.get("run").map(|_| run_id()), "resource": "postgres/shop", "owner": "shop",
            "environment": "staging", "surface": "cli", "policy_version": version, "approvals": [approval()],
            "decided_by": [told("developers-change", "permits", 3), told("cancelling", "waits_for", 9)],
            "did_not_hold": [told("frozen", "forbids", 14)], "notes": ["the policies have changed"],
        }),
        "who-can" => json!({
            "action": cancel, "resource": "postgres/shop", "environment": "staging", "asked": 40, "not_users": ["gone"],
            "policy_version": version, "able": [{"name": "dana", "kind": "person", "answer": "needs_approval",
                "policies": [told("developers-change", "permits", 3)], "waits_for": ["cancelling: 2 people of team dba"]}],
        }),
        "who-can-approve" => json!({
            "answer": "needs_approval", "requester": dana, "action": cancel, "approvals": [approval()],
            "able": [{"name": "olga", "lifts": ["cancelling"], "policies": ["dba-decide"]}],
        }),
        _ => json!({
            "since": "2026-11-14T08:00:00Z", "until": "2026-11-21T08:00:00Z", "now": version, "then": version,
            "replayed": 120, "unchanged": 118, "more": 0, "cannot_tell": [{"why": "the input is redacted", "records": 3}],
            "changes": [{"change": "newly_refused", "action": cancel, "principal": "dana", "kind": "person",
                "now": "allowed", "then": "refused", "records": 2, "example": {"index": 7, "at": "2026-11-20T08:00:00Z",
                "resource": "postgres/shop", "surface": "cli", "because": "it is frozen", "policies": ["frozen"]}}],
        }),
    })
}

#[test]
fn explain_policy_takes_a_run_or_an_action_with_its_own_flags() {
    let fake = Fake::start();
    let line = "policy explain rds cancel-query --identifier shop --pid 14024 --as dana";
    assert_snapshot!("explain", fake.told(line));
    let asked = json!({"action": "postgres.cancel-query", "as": "dana", "input": {"identifier": "shop", "pid": 14024}});
    assert_eq!(fake.seen("POST /v1/policy/explain")[0].body, asked);
    let (exit, out, _) = fake.run(&["policy", "explain", "1a2b3c4d", "--output", "json"]);
    assert_eq!(exit, 0);
    assert!(out.contains("\"answer\": \"needs_approval\""), "{out}");
    assert_eq!(fake.seen("POST /v1/policy/explain")[1].body, json!({"run": "1a2b3c4d"}));
    fake.run(&[
        "policy",
        "explain",
        "postgres.cancel-query",
        "--input",
        "{\"identifier\":\"shop\"}",
        "--reason",
        "why",
    ]);
    let asked = json!({"action": "postgres.cancel-query", "input": {"identifier": "shop"}, "reason": "why"});
    assert_eq!(fake.seen("POST /v1/policy/explain")[2].body, asked);
    fake.run(&["policy", "explain", "postgres.cancel-query"]);
    assert_eq!(fake.seen("POST /v1/policy/explain")[3].body, json!({"action": "postgres.cancel-query"}));
    let (exit, _, err) = fake.run(&["policy", "explain", "postgres.cancel-query", "--identifer", "shop"]);
    assert_eq!(exit, 2, "{err}");
    assert_eq!(fake.run(&["policy", "explain", "nothing"]).0, 5);
}

#[test]
fn who_can_and_who_can_approve_are_tables() {
    let fake = Fake::start();
    assert_snapshot!("who_can", fake.told("policy who-can postgres.cancel-query --resource postgres/shop"));
    let asked = json!({"action": "postgres.cancel-query", "resource": "postgres/shop"});
    assert_eq!(fake.seen("POST /v1/policy/who-can")[0].body, asked);
    assert_snapshot!("who_can_approve", fake.told("policy who-can-approve 1a2b3c4d"));
}

#[test]
fn simulate_policy_sends_the_folder_and_counts() {
    let fake = Fake::start();
    let folder = fake.home().join("new");
    std::fs::create_dir(&folder).unwrap();
    let path = folder.to_str().unwrap();
    let (exit, _, err) = fake.run(&["policy", "simulate", "--policy", path]);
    assert_eq!(exit, 2);
    assert!(err.contains("there is no *.cedar in this folder"), "{err}");
    std::fs::write(folder.join("a.cedar"), "permit (principal, action, resource);").unwrap();
    std::fs::write(folder.join("a.test.yaml"), "cases: []").unwrap();
    let (exit, out, err) = fake.run(&["policy", "simulate", "--policy", path, "--days", "30"]);
    assert_snapshot!("simulate", format!("exit {exit}\n--- out\n{out}--- err\n{err}"));
    let body = &fake.seen("POST /v1/policy/simulate")[0].body;
    assert_eq!((&body["days"], body["policies"].as_object().unwrap().len()), (&json!(30), 1), "{body}");
}
