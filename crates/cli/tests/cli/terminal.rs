//! On a terminal: a picker for what is missing, a question before what cannot be undone.
#![cfg(unix)]

use std::{process::Command, time::Duration};

use expectrl::{Eof, Expect as _, session::OsSession};
use guichet_contract::{Clock as _, Problem, SystemClock, code};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::fake::{Fake, event};

/// `guichet …` on a terminal of 80 columns. The time-out is for a test that would hang, nothing else.
fn on_terminal(fake: &Fake, arguments: &[&str]) -> OsSession {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("guichet"));
    command
        .env_clear()
        .env("TERM", "xterm-256color")
        .env("XDG_CONFIG_HOME", fake.home().join("config"))
        .env("XDG_CACHE_HOME", fake.home().join("cache"))
        .args(arguments);
    let mut session = OsSession::spawn(command).unwrap();
    session.set_expect_timeout(Some(Duration::from_mins(1)));
    session
}

fn exit_code(mut session: OsSession) -> Option<i32> {
    // A terminal whose last program has ended answers with an error as well.
    let ended = session.expect(Eof);
    assert!(!matches!(ended, Err(expectrl::Error::ExpectTimeout)), "guichet does not end");
    match session.get_process().wait().unwrap() {
        expectrl::process::unix::WaitStatus::Exited(_, code) => Some(code),
        _ => None,
    }
}

#[test]
fn what_is_missing_is_picked_by_some_of_its_letters() {
    let fake = Fake::start();
    let mut session = on_terminal(&fake, &["rds", "cancel-query", "--reason", "checkout", "--no-wait"]);
    session.expect("--identifier:").unwrap();
    session.expect("billing (primary)").unwrap();
    session.send("shp").unwrap();
    session.send("\r").unwrap();
    session.expect("--pid:").unwrap();
    session.expect("14024 update orders").unwrap();
    session.send("sel\r").unwrap();
    session.expect("awaiting approval").unwrap();
    assert_eq!(exit_code(session), Some(10));
    let asked = fake.seen("POST /v1/actions/postgres.cancel-query/options/pid");
    assert_eq!(
        asked[0].body,
        json!({"input": {"identifier": "shop"}}),
        "the first answer narrows the second"
    );
    let submitted = fake.seen("POST /v1/actions/postgres.cancel-query/runs");
    assert_eq!(submitted[0].body["input"], json!({"identifier": "shop", "pid": 7}));
}

#[test]
fn what_cannot_be_undone_is_asked_after_the_plan_was_shown() {
    let fake = Fake::start();
    let mut session = on_terminal(&fake, &["rds", "drop-index", "--index", "orders_state_idx"]);
    session.expect("Drop the index orders_state_idx on shop").unwrap();
    session.expect("Do this in staging?").unwrap();
    session.send("n\r").unwrap();
    session.expect("nothing was done").unwrap();
    assert_eq!(exit_code(session), Some(7));
    assert_eq!(fake.seen("POST /v1/actions/postgres.drop-index/runs").len(), 0);
}

#[test]
fn a_change_that_wants_it_and_a_broken_glass_are_asked_about() {
    let fake = Fake::start();
    let cancel =
        ["rds", "cancel-query", "--identifier", "shop", "--pid", "7", "--reason", "stuck", "--no-wait"];
    let mut session = on_terminal(&fake, &[&cancel[..], &["--break-glass"]].concat());
    session.expect("Do this in staging, without the approvals it needs?").unwrap();
    session.send("n\r").unwrap();
    assert_eq!(exit_code(session), Some(7));
    // Of a read there is no plan: what is typed is shown.
    let glass = ["rds", "queries", "--identifier", "vault", "--reason", "stuck", "--break-glass"];
    let mut session = on_terminal(&fake, &glass);
    session.expect("guichet rds queries --identifier vault").unwrap();
    session.expect("without the approvals it needs?").unwrap();
    session.send("n\r").unwrap();
    assert_eq!(exit_code(session), Some(7));
    {
        let mut part = fake.part.lock().unwrap();
        let actions = &mut part.catalogue.as_mut().unwrap().actions;
        actions
            .iter_mut()
            .filter(|action| action.operation == "cancel-query")
            .for_each(|action| std::sync::Arc::make_mut(action).confirm = true);
    }
    std::fs::remove_file(fake.cache("catalogue.jsonl")).unwrap();
    let mut session = on_terminal(&fake, &cancel);
    session.expect("Cancel the query of pid").unwrap();
    session.expect("Do this in staging?").unwrap();
    session.send("n\r").unwrap();
    assert_eq!(exit_code(session), Some(7));
    assert_eq!(
        fake.seen("POST /v1/actions/postgres.").iter().filter(|seen| seen.line.ends_with("/runs")).count(),
        0
    );
    let mut session = on_terminal(&fake, &[&cancel[..], &["--yes", "--break-glass"]].concat());
    session.expect("awaiting approval").unwrap();
    assert_eq!(exit_code(session), Some(10));
}

#[test]
fn a_reason_that_a_policy_wants_is_asked_for() {
    let fake = Fake::start();
    let wanted = || Some(Problem::new(code::REASON_REQUIRED, "a ticket is needed").next("like OPS-123"));
    fake.part.lock().unwrap().submissions.extend([wanted(), wanted()]);
    let drop = ["rds", "drop-index", "--index", "x", "--no-wait", "--yes"];
    let mut session = on_terminal(&fake, &drop);
    session.expect("a ticket is needed").unwrap();
    session.expect("Reason:").unwrap();
    session.expect("like OPS-123").unwrap();
    session.send("it is slow\r").unwrap();
    session.expect("a ticket is needed").unwrap();
    session.expect("Reason:").unwrap();
    session.send("OPS-7, it is slow\r").unwrap();
    session.expect("is queued").unwrap();
    assert_eq!(exit_code(session), Some(0));
    let seen = fake.seen("POST /v1/actions/postgres.drop-index/runs");
    let reasons: Vec<_> = seen.iter().map(|seen| seen.body["reason"].clone()).collect();
    assert_eq!(reasons, [json!(null), json!("it is slow"), json!("OPS-7, it is slow")]);
    // A program reads the answer.
    fake.part.lock().unwrap().submissions.push_back(wanted());
    let session = on_terminal(&fake, &[&drop[..], &["-o", "json"]].concat());
    assert_eq!(exit_code(session), Some(1));
}

#[test]
fn an_approver_sees_the_card_and_is_asked() {
    let fake = Fake::start();
    let (exit, _, _) =
        fake.run(&["rds", "cancel-query", "--identifier", "shop", "--pid", "14024", "--no-wait"]);
    assert_eq!(exit, 10);
    let mut session = on_terminal(&fake, &["approvals", "approve", "1a2b3c4d"]);
    session.expect("Cancel the query of pid 14024 on shop").unwrap();
    session.expect("Approve this in staging?").unwrap();
    session.send("y\r").unwrap();
    session.expect("is queued").unwrap();
    assert_eq!(exit_code(session), Some(0));
}

/// Follows a run that is half done and pauses until then; what comes after stands in these connections.
fn on_terminal_in_a_pause(fake: &Fake, until: Timestamp, then: &[String]) -> OsSession {
    let told = [
        json!({"kind": "state", "state": "running"}),
        json!({"kind": "progress", "percent": 50.0, "message": "300 objects copied"}),
        json!({"kind": "waiting", "name": "settle", "until": until}),
    ];
    let told = (1..).zip(&told).map(|(number, told)| event(number, told)).collect();
    fake.part.lock().unwrap().connections.extend([&[told], then].concat());
    let mut session = on_terminal(fake, &["rds", "drop-index", "--index", "x", "--yes"]);
    session.expect("settle: waiting until").unwrap();
    session
}

#[test]
fn a_pause_that_is_over_is_told_no_longer() {
    let fake = Fake::start();
    // At its end, though nothing is heard of what comes next.
    let until = SystemClock.now() + SignedDuration::from_secs(2);
    let mut session = on_terminal_in_a_pause(&fake, until, &[]);
    session.expect("300 objects copied").unwrap();
    session.send("\x03").unwrap();
    assert_eq!(exit_code(session), Some(130));
    // Before what was foreseen, when what comes next begins.
    let began = event(4, &json!({"kind": "step", "name": "delete the old one", "state": "began"}));
    let mut session = on_terminal_in_a_pause(&fake, "2131-05-06T07:08:09Z".parse().unwrap(), &[began]);
    session.expect("delete the old one").unwrap();
    session.expect("300 objects copied").unwrap();
    session.send("\x03").unwrap();
    assert_eq!(exit_code(session), Some(130));
}
