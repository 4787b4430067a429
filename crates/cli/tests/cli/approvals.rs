//! Approvals and runs: the card, and a yes to exactly what it showed.

use guichet_contract::{BrokenGlass, Run, RunState, Schedule};
use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::{
    fake::{Fake, run_of},
    schedules::nightly,
};

fn waiting(fake: &Fake) -> Run {
    let input = json!({"identifier": "shop", "pid": 14024, "force": false});
    let mut run = run_of("postgres.cancel-query", &input, RunState::AwaitingApproval);
    run.reason = Some("blocks the checkout\u{202e}".to_owned());
    fake.part.lock().unwrap().run = Some(run.clone());
    run
}

#[test]
fn the_card_tells_all_that_an_approver_needs() {
    let fake = Fake::start();
    waiting(&fake);
    assert_snapshot!("card", fake.told("approvals show 1a2b3c4d"));
    assert_snapshot!("approvals_list", fake.told("approvals list"));
    assert_snapshot!("runs_list", fake.told("runs list"));
    assert_eq!(fake.seen("GET /v1/approvals?mine=true").len(), 1);
    // How long it takes to then changes by the day.
    fake.part.lock().unwrap().run.as_mut().unwrap().expires_at =
        Some("2126-11-21T12:00:00Z".parse().unwrap());
    let (_, out, _) = fake.run(&["approvals", "show", "1a2b3c4d"]);
    assert!(out.lines().any(|line| line.starts_with("Expires in  ") && line.contains(" d ")), "{out}");
}

#[test]
fn schedules_that_wait_stand_beside_the_runs() {
    let fake = Fake::start();
    waiting(&fake);
    // How long it takes to then changes by the day.
    let nightly = Schedule { expires_at: None, ..nightly() };
    fake.part.lock().unwrap().waiting_schedules.push(nightly);
    assert_snapshot!("approvals_list_with_a_schedule", fake.told("approvals list"));
    let (_, out, err) = fake.run(&["approvals", "list", "-o", "json"]);
    let whole: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&whole["schedules"][0]["name"], err.as_str()), (&json!("nightly"), ""));
}

#[test]
fn a_yes_carries_the_binding_that_was_shown() {
    let fake = Fake::start();
    let run = waiting(&fake);
    let (exit, _, err) = fake.run(&["approvals", "approve", "1a2b3c4d"]);
    assert_eq!(exit, 2, "without a terminal --yes is needed: {err}");
    let (exit, out, err) = fake.run(&["approvals", "approve", "1a2b3c4d", "--yes", "--reason", "fine"]);
    assert_eq!((exit, out.as_str()), (0, ""));
    assert!(
        err.contains("Cancel the query of pid 14024 on shop")
            && err.contains("approved: run 1a2b3c4d is queued")
    );
    let body = &fake.seen("POST /v1/runs/0199aaaa-bbbb-7ccc-8ddd-eeee1a2b3c4d/approve")[0].body;
    assert_eq!(*body, json!({"binding": run.binding, "reason": "fine"}));
}

#[test]
fn several_are_decided_each_by_itself() {
    let fake = Fake::start();
    waiting(&fake);
    let (exit, _, err) = fake.run(&["approvals", "approve", "00000000", "1a2b3c4d", "-y"]);
    assert_eq!(exit, 5, "{err}");
    assert!(err.contains("no run has the id 00000000") && err.contains("approved: run 1a2b3c4d"), "{err}");
}

#[test]
fn a_no_needs_a_reason() {
    let fake = Fake::start();
    waiting(&fake);
    assert_eq!(fake.run(&["approvals", "reject", "1a2b3c4d"]).0, 2);
    let (exit, out, _) = fake.run(&["approvals", "reject", "1a2b3c4d", "--reason", "not now", "-o", "json"]);
    assert_eq!(exit, 0);
    let run: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&run["state"], &run["decisions"][0]["reason"]), (&json!("rejected"), &json!("not now")));
}

#[test]
fn a_run_is_shown_and_withdrawn() {
    let fake = Fake::start();
    waiting(&fake);
    let (exit, out, _) = fake.run(&["runs", "show", "1a2b3c4d", "--verbose"]);
    assert!(exit == 0 && out.contains("Policy version"), "{out}");
    assert_eq!(fake.run(&["runs", "cancel", "1a2b3c4d", "--reason", "solved"]).0, 0);
    assert_eq!(fake.seen("POST /v1/runs/1a2b3c4d/cancel")[0].body, json!({"reason": "solved"}));
}

#[test]
fn what_an_emergency_went_without_stands_on_the_card() {
    let fake = Fake::start();
    let mut run = waiting(&fake);
    run.state = RunState::Queued;
    run.broken_glass = Some(BrokenGlass {
        skipped: run.approvals.clone(),
        waived_seconds: 600,
        review_due_at: "2026-11-22T08:00:00Z".parse().unwrap(),
    });
    fake.part.lock().unwrap().run = Some(run);
    assert_snapshot!("card_of_a_broken_glass", fake.told("runs show 1a2b3c4d"));
}
