//! On a terminal: a picker for what is missing, a question before what cannot be undone.
#![cfg(unix)]

use std::{process::Command, time::Duration};

use expectrl::{Eof, Expect as _, session::OsSession};
use serde_json::json;

use crate::fake::Fake;

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
    let _ = session.expect(Eof);
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
