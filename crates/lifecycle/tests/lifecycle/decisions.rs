//! Each refusal a person can meet when they decide, and the ways a decision counts.

use crate::people::{at, binding, person, run};
use guichet_contract::{Principal, PrincipalKind, RunState, Verdict};
use guichet_lifecycle::{DecisionError, Event, decide};

fn policies(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn the_last_yes_lifts_and_the_ones_before_wait() {
    let mut run = run(&[("data", 2), ("owner", 1)]);
    let shown = run.binding.clone();
    for (name, lifts, event) in
        [("bea", &["data"][..], None), ("carl", &["data"], None), ("dora", &["owner"], Some(Event::Lifted))]
    {
        let (decision, followed) =
            decide(&run, &person(name), Verdict::Approve, policies(lifts), Some(&shown), None, at(10))
                .unwrap();
        assert_eq!(followed, event, "{name}");
        assert_eq!((decision.by.as_str(), &decision.lifts), (name, &policies(lifts)));
        run.decisions.push(decision);
    }
}

#[test]
fn one_person_may_lift_several_conditions_at_once_but_counts_once_in_each() {
    let run = run(&[("data", 1), ("owner", 1)]);
    let lifts = policies(&["data", "owner", "data", "of another run"]);
    let (decision, event) =
        decide(&run, &person("bea"), Verdict::Approve, lifts, None, None, at(10)).unwrap();
    assert_eq!(decision.lifts, policies(&["data", "owner"]));
    assert_eq!(event, Some(Event::Lifted));
}

#[test]
fn one_no_ends_it_whatever_was_shown_but_a_yes_is_not_taken_back() {
    let mut run = run(&[("data", 2)]);
    let stale = binding("of an older plan");
    let reject = |run: &guichet_contract::Run, lifts: &[&str]| {
        let why = Some("it is in use".to_owned());
        decide(run, &person("bea"), Verdict::Reject, policies(lifts), Some(&stale), why, at(11))
    };
    let (no, event) = reject(&run, &["data"]).unwrap();
    assert_eq!(event, Some(Event::Rejected));
    assert_eq!((no.lifts, no.reason.as_deref()), (Vec::new(), Some("it is in use")));
    assert_eq!(reject(&run, &[]).unwrap_err(), DecisionError::NotAnApprover);

    let (yes, _) =
        decide(&run, &person("bea"), Verdict::Approve, policies(&["data"]), None, None, at(10)).unwrap();
    run.decisions.push(yes);
    let error = reject(&run, &["data"]).unwrap_err();
    assert_eq!(error, DecisionError::AlreadyDecided { by: "bea".to_owned(), at: at(10) });
    assert!(error.to_string().ends_with("another approver can reject it or its requester cancel it"));
}

#[test]
fn each_refusal_is_met_and_says_why() {
    let decide_as =
        |by: &Principal, lifts: &[&str], shown: &str, moment: i64, change: fn(&mut guichet_contract::Run)| {
            let mut run = run(&[("data", 2)]);
            change(&mut run);
            decide(&run, by, Verdict::Approve, policies(lifts), Some(&binding(shown)), None, at(moment))
                .unwrap_err()
        };
    let as_is = |_: &mut guichet_contract::Run| {};
    let bea = person("bea");

    let error = decide_as(&bea, &["data"], "shown", 10, |run| run.state = RunState::Cancelled);
    assert_eq!(error, DecisionError::NotWaiting { state: RunState::Cancelled });
    assert_eq!(error.to_string(), "this run does not wait for a decision: it is cancelled");

    assert_eq!(decide_as(&bea, &["data"], "shown", 101, as_is), DecisionError::Expired { at: at(100) });
    let shorter = |run: &mut guichet_contract::Run| run.approvals[0].expires_at = at(50);
    assert_eq!(decide_as(&bea, &["data"], "shown", 51, shorter), DecisionError::Expired { at: at(50) });

    let twice = |run: &mut guichet_contract::Run| {
        let (yes, _) =
            decide(run, &person("bea"), Verdict::Approve, policies(&["data"]), None, None, at(9)).unwrap();
        run.decisions.push(yes);
    };
    let error = decide_as(&bea, &["data"], "shown", 10, twice);
    assert_eq!(error, DecisionError::AlreadyDecided { by: "bea".to_owned(), at: at(9) });

    assert_eq!(decide_as(&person("anna"), &["data"], "shown", 10, as_is), DecisionError::OwnRun);

    let agent = Principal { agent: Some("assistant".to_owned()), ..person("bea") };
    assert_eq!(decide_as(&agent, &["data"], "shown", 10, as_is), DecisionError::AgentCannotApprove);
    for kind in [PrincipalKind::ServiceAccount, PrincipalKind::CiJob] {
        let machine = Principal { kind, ..person("deployer") };
        assert_eq!(decide_as(&machine, &["data"], "shown", 10, as_is), DecisionError::AgentCannotApprove);
    }

    let error = decide_as(&bea, &["data"], "something else", 10, as_is);
    assert_eq!(
        error,
        DecisionError::BindingChanged { shown: binding("something else"), now: binding("shown") }
    );
    assert!(error.to_string().contains(binding("something else").short()), "{error}");

    assert_eq!(decide_as(&bea, &[], "shown", 10, as_is), DecisionError::NotAnApprover);
    assert_eq!(decide_as(&bea, &["of another run"], "shown", 10, as_is), DecisionError::NotAnApprover);
    let ownerless = |run: &mut guichet_contract::Run| run.approvals[0].teams.clear();
    assert_eq!(decide_as(&bea, &["data"], "shown", 10, ownerless), DecisionError::NotAnApprover);
}

#[test]
fn the_last_moment_still_counts_and_a_lifted_condition_no_longer_presses() {
    let mut run = run(&[("data", 1), ("owner", 1)]);
    run.approvals[0].expires_at = at(20);
    let (yes, event) =
        decide(&run, &person("bea"), Verdict::Approve, policies(&["data"]), None, None, at(20)).unwrap();
    assert_eq!(event, None);
    run.decisions.push(yes);
    // `data` was lifted in time; only `owner`, which has until 100, is still open.
    let late =
        decide(&run, &person("carl"), Verdict::Approve, policies(&["owner"]), None, None, at(100)).unwrap();
    assert_eq!(late.1, Some(Event::Lifted));
}

#[test]
fn a_person_decides_on_what_their_namesake_machine_asked_for() {
    let mut run = run(&[("data", 1)]);
    run.requested_by = Principal { kind: PrincipalKind::CiJob, ..person("bea") };
    let lifted =
        decide(&run, &person("bea"), Verdict::Approve, policies(&["data"]), None, None, at(10)).unwrap();
    assert_eq!(lifted.1, Some(Event::Lifted));
}

#[test]
fn a_yes_of_the_requester_found_in_the_store_does_not_count() {
    let mut run = run(&[("data", 2)]);
    let (mut forged, _) =
        decide(&run, &person("bea"), Verdict::Approve, policies(&["data"]), None, None, at(9)).unwrap();
    forged.by = "anna".to_owned();
    run.decisions.push(forged);
    let (_, event) =
        decide(&run, &person("bea"), Verdict::Approve, policies(&["data"]), None, None, at(10)).unwrap();
    assert_eq!(event, None);
}
