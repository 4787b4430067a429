//! What is done at set times: made with the flags of the action, shown in words, and a yes to exactly what was shown.

use axum::{
    Json, Router,
    extract::Path,
    http::StatusCode,
    routing::{get, post},
};
use guichet_contract::{Digest, Fired, Missed, Plan, RunState, Schedule, ScheduleId, ScheduleState, Surface};
use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::fake::{Fake, run_of};

/// One that waits for team dba.
pub(crate) fn nightly() -> Schedule {
    let input = json!({"identifier": "shop", "pid": 14024, "force": false});
    let run = run_of("postgres.cancel-query", &input, RunState::AwaitingApproval);
    let at = |text: &str| text.parse().unwrap();
    let mut schedule = Schedule {
        id: ScheduleId::of_run(run.id),
        name: "nightly".to_owned(),
        revision: 1,
        state: ScheduleState::AwaitingApproval,
        because: None,
        paused_by: None,
        expression: "0 3 * * 1-5".to_owned(),
        zone: "Europe/Paris".to_owned(),
        in_words: Some("at 03:00, Monday to Friday, Europe/Paris".to_owned()),
        missed: Missed::Skip,
        until: Some(at("2126-12-31T22:59:59Z")),
        action: run.action,
        action_version: run.action_version,
        command: run.command,
        title: run.title,
        effect: run.effect,
        environment: run.environment,
        requested_by: run.requested_by,
        surface: Surface::Cli,
        reason: Some("it blocks every night".to_owned()),
        input: run.input,
        resource: run.resource,
        owner: run.owner,
        plan: Some(Plan::new("Cancel the query of pid 14024 on shop").fact("user", "billing")),
        policy_version: run.policy_version,
        binding: Digest::of_bytes(b"all that is shown"),
        salt: None,
        approvals: run.approvals,
        decisions: Vec::new(),
        created_at: run.created_at,
        expires_at: Some(at("2026-11-21T12:00:00Z")),
        next_at: None,
        next: vec![at("2126-11-22T02:00:00Z"), at("2126-11-25T02:00:00Z")],
        last: None,
        last_run: None,
        trace_id: None,
    };
    schedule.command = vec!["rds".to_owned(), "cancel-query".to_owned()];
    schedule
}

/// One that is active and has a time behind it.
fn hourly() -> Schedule {
    let at = |text: &str| text.parse().unwrap();
    Schedule {
        name: "hourly".to_owned(),
        state: ScheduleState::Active,
        expression: "@hourly".to_owned(),
        zone: "UTC".to_owned(),
        in_words: Some("at minute 0 past every hour, UTC".to_owned()),
        approvals: Vec::new(),
        until: None,
        next_at: Some(at("2126-11-22T02:00:00Z")),
        last: Some(Fired {
            at: at("2126-11-22T01:00:00Z"),
            run: None,
            because: Some("run 1a2b3c4d of the time before has not ended: it is running".to_owned()),
        }),
        ..nightly()
    }
}

pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let one = async |Path(name): Path<String>| Json(if name == "hourly" { hourly() } else { nightly() });
    let verb = async |Path((name, verb)): Path<(String, String)>| {
        let state = match verb.as_str() {
            "approve" | "resume" => ScheduleState::Active,
            "reject" => ScheduleState::Rejected,
            _ => ScheduleState::Paused,
        };
        let before = if name == "hourly" { hourly() } else { nightly() };
        Json(Schedule { state, ..before })
    };
    Router::new()
        .route(
            "/v1/schedules",
            post(|| async { (StatusCode::CREATED, Json(nightly())) })
                .get(|| async { Json(json!({"items": [hourly(), nightly()], "next": null})) }),
        )
        .route("/v1/schedules/{schedule}", get(one).delete(one))
        .route("/v1/schedules/{schedule}/{verb}", post(verb))
}

#[test]
fn a_schedule_is_made_with_the_flags_of_its_action() {
    let fake = Fake::start();
    let (exit, out, err) = fake.run(&[
        "schedules",
        "create",
        "--at",
        "0 3 * * 1-5",
        "--zone",
        "Europe/Paris",
        "rds",
        "cancel-query",
        "--identifier",
        "shop",
        "--pid",
        "14024",
        "--no-force",
        "--name",
        "nightly",
        "--until=2126-12-31",
        "--reason",
        "it blocks every night",
    ]);
    assert_eq!((exit, out.as_str()), (0, ""), "{err}");
    assert!(err.contains("made: nightly waits for approval: guichet schedules approve nightly"), "{err}");
    assert!(err.contains("at 03:00, Monday to Friday, Europe/Paris"), "{err}");
    let body = &fake.seen("POST /v1/schedules")[0].body;
    assert_eq!(
        *body,
        json!({
            "name": "nightly", "action": "postgres.cancel-query",
            "input": {"identifier": "shop", "pid": 14024, "force": false}, "reason": "it blocks every night",
            "expression": "0 3 * * 1-5", "zone": "Europe/Paris", "missed": "skip", "until": "2126-12-31",
        })
    );
}

#[test]
fn what_is_missing_or_none_is_told_before_any_network() {
    let fake = Fake::start();
    for (line, told) in [
        ("schedules create rds cancel-query --identifier shop --pid 1", "--name is missing"),
        ("schedules create --name a rds cancel-query --identifier shop --pid 1", "--at is missing"),
        ("schedules create --name a --at @daily rds no-such", "there is no action `rds no-such`"),
        ("schedules create --name a --at @daily rds cancel-query --pid x", "--pid"),
        ("schedules create --name a --at @daily --missed twice rds cancel-query", "--missed"),
        ("schedules approve nightly", "there is no terminal"),
        ("schedules reject nightly", "--reason is missing"),
    ] {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (exit, _, err) = fake.run(&words);
        assert!(exit != 0 && err.contains(told), "{line}: {exit} {err}");
    }
    assert!(fake.seen("POST /v1/schedules").is_empty());
}

#[test]
fn schedules_are_shown_in_words() {
    let fake = Fake::start();
    assert_snapshot!("schedules_list", fake.told("schedules list"));
    assert_snapshot!("schedules_show", fake.told("schedules show nightly"));
    assert_snapshot!("schedules_show_active", fake.told("schedules show hourly"));
    assert_snapshot!("schedules_create_help", fake.told("schedules create --help"));
    let (exit, out, _) = fake.run(&["schedules", "create", "rds", "cancel-query", "--help"]);
    assert!(exit == 0 && out.contains("--pid <"), "the action's own flags: {exit} {out}");
    let (_, out, _) = fake.run(&["schedules", "show", "nightly", "-o", "json"]);
    let whole: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (&whole["expression"], &whole["next"][1]),
        (&json!("0 3 * * 1-5"), &json!("2126-11-25T02:00:00Z"))
    );
}

#[test]
fn a_yes_carries_the_binding_that_was_shown_and_the_rest_says_what_it_did() {
    let fake = Fake::start();
    let (exit, _, err) = fake.run(&["schedules", "approve", "nightly", "--yes", "--reason", "fine"]);
    assert!(
        exit == 0
            && err.contains("Cancel the query of pid 14024")
            && err.contains("approved: nightly is active"),
        "{err}"
    );
    let path = format!("POST /v1/schedules/{}/approve", nightly().id);
    assert_eq!(fake.seen(&path)[0].body, json!({"binding": nightly().binding, "reason": "fine"}));
    for (line, told) in [
        ("schedules reject nightly --reason no", "rejected: nightly"),
        ("schedules pause hourly", "halted: hourly makes no runs until it is resumed"),
        ("schedules resume hourly", "goes on: hourly, next Fri 2126-11-22 02:00 UTC"),
        ("schedules delete hourly", "removed: hourly; its runs and records stay"),
    ] {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (exit, _, err) = fake.run(&words);
        assert!(exit == 0 && err.contains(told), "{line}: {exit} {err}");
    }
}
