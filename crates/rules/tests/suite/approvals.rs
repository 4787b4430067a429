//! Who can lift what, and what nobody can remove.

use guichet_contract::{Action, Approvers, Principal, PrincipalKind, approval::all_lifted};
use guichet_rules::{ApproveQuestion, Decision, LiftRefusal, Policies};
use serde_json::json;

use crate::world::{Kept, action, ask, catalogue_of, kept, load, now, person, policies, registry};

const SHOP: &str = "postgres/shop";
const OPEN: &str = "@id(\"all\") permit (principal, action, resource);\n";

fn asking(declared: serde_json::Value) -> Action {
    let mut asking = action("postgres.terminate-backend");
    asking.approval = Some(serde_json::from_value(declared).unwrap());
    asking
}

fn with(action: &Action, text: &str) -> Policies {
    load(&[("a.cedar", text)], &catalogue_of(vec![action.clone()]), &registry()).unwrap()
}

fn waiting(policies: &Policies, requester: &Principal, action: &Action, resource: &str) -> Kept {
    kept(requester, action, resource, "staging", ask(policies, requester, action, resource, "staging"))
}

#[test]
fn what_a_provider_declares_is_a_condition_like_any_other() {
    let action =
        asking(json!({"by": "owner", "count": 2, "because": "it ends a session", "expires_seconds": 7200}));
    let Decision::NeedsApproval { conditions, policies, .. } =
        ask(&with(&action, OPEN), &person("dana"), &action, SHOP, "staging")
    else {
        panic!("not asked");
    };
    assert_eq!(policies, ["all"]);
    assert_eq!(conditions.len(), 1);
    let condition = &conditions[0];
    assert_eq!(condition.policy, "provider:postgres.terminate-backend");
    assert_eq!(
        (condition.by.clone(), condition.teams.as_slice()),
        (Approvers::Owner, ["dba".to_owned()].as_slice())
    );
    assert_eq!((condition.count, condition.expires_seconds), (2, 7200));
    assert_eq!(condition.to_string(), "it ends a session: 2 people of team dba");
}

#[test]
fn files_cannot_remove_what_a_provider_declares() {
    let action = asking(json!({"by": "team:dba"}));
    // No text permits more than this one, and the approval stands.
    for text in [
        OPEN,
        "@id(\"x\") permit (principal, action == Action::\"postgres.terminate-backend\", resource);",
        "@id(\"x\") permit (principal, action, resource) unless { principal in Team::\"reporting\" };",
    ] {
        let decision = ask(&with(&action, text), &person("dana"), &action, SHOP, "staging");
        assert!(
            matches!(&decision, Decision::NeedsApproval { conditions, .. } if conditions.len() == 1),
            "{decision:?}"
        );
    }
    let taken = "@id(\"provider:postgres.terminate-backend\") permit (principal, action, resource);";
    assert!(load(&[("a.cedar", taken)], &catalogue_of(vec![action.clone()]), &registry()).is_err());
    // Files can add.
    let stricter =
        format!("{OPEN}@id(\"hard\") forbid (principal, action in Action::\"destroy\", resource);");
    assert!(matches!(
        ask(&with(&action, &stricter), &person("dana"), &action, SHOP, "staging"),
        Decision::Refused { .. }
    ));
}

#[test]
fn a_declaration_stays_within_limits_and_has_defaults() {
    let action = asking(json!({"by": "owner", "count": 0, "expires_seconds": 1}));
    let policies = with(&action, OPEN);
    let lifting = policies.rule("provider:postgres.terminate-backend").unwrap().lifting.clone().unwrap();
    assert_eq!((lifting.count, lifting.expires_seconds), (1, 60));
    assert_eq!(lifting.because, "Do terminate-backend");
    let policies = with(&asking(json!({"by": "owner"})), OPEN);
    let lifting = policies.rule("provider:postgres.terminate-backend").unwrap().lifting.clone().unwrap();
    assert_eq!((lifting.count, lifting.expires_seconds), (1, 14_400));
}

#[test]
fn who_can_lift() {
    let action = asking(json!({"by": "owner"}));
    let approve = "@id(\"approve\") permit (principal in Team::\"developers\", action == Action::\"approve\", resource);";
    let act = "@id(\"act\") permit (principal, action in Action::\"destroy\", resource);";
    let open = with(&action, &format!("{act}{approve}"));
    let dana = person("dana");
    let omar = person("omar");
    let run = waiting(&open, &dana, &action, SHOP);
    let agent_of = |person: &Principal| Principal { agent: Some("assistant".to_owned()), ..person.clone() };
    let account = |person: &Principal| Principal { kind: PrincipalKind::ServiceAccount, ..person.clone() };

    assert_eq!(open.can_lift(&omar, &run.waiting(), now()).unwrap(), ["provider:postgres.terminate-backend"]);
    assert_eq!(open.can_lift(&dana, &run.waiting(), now()), Err(LiftRefusal::OwnRun));
    assert_eq!(open.can_lift(&agent_of(&omar), &run.waiting(), now()), Err(LiftRefusal::Agent));
    assert_eq!(open.can_lift(&agent_of(&dana), &run.waiting(), now()), Err(LiftRefusal::Agent));
    assert!(
        open.can_lift(&account(&omar), &run.waiting(), now())
            .unwrap_err()
            .to_string()
            .contains("only people decide")
    );
    assert!(
        open.can_lift(&person("rita"), &run.waiting(), now())
            .unwrap_err()
            .to_string()
            .contains("in none of the teams")
    );

    // What an agent of omar asked for, omar asked for.
    let by_agent = waiting(&open, &agent_of(&omar), &action, SHOP);
    assert_eq!(open.can_lift(&omar, &by_agent.waiting(), now()), Err(LiftRefusal::OwnRun));

    // In the team, but no policy lets them approve; or one forbids it.
    let closed = with(&action, act);
    let Err(LiftRefusal::NotAnApprover { sentence, policies }) =
        closed.can_lift(&omar, &run.waiting(), now())
    else {
        panic!()
    };
    assert_eq!(
        sentence,
        "no policy permits omar to approve `postgres.terminate-backend` on `postgres/shop` in staging"
    );
    assert_eq!(policies, [""; 0]);
    let forbidding = with(
        &action,
        &format!(
            "{act}{approve}@id(\"not-omar\") forbid (principal == Person::\"omar\", action == Action::\"approve\", resource) when {{ context.effect == \"destroy\" && context.requester == \"dana\" && context.action like \"postgres.*\" && context has because }};"
        ),
    );
    let Err(LiftRefusal::NotAnApprover { policies, .. }) = forbidding.can_lift(&omar, &run.waiting(), now())
    else {
        panic!()
    };
    assert_eq!(policies, ["not-omar"]);
}

#[test]
fn no_policy_lets_requesters_and_agents_approve() {
    // The most open text there is.
    let policies = policies(OPEN);
    let (dana, omar) = (person("dana"), person("omar"));
    let agent = Principal { agent: Some("assistant".to_owned()), ..omar.clone() };
    let job = Principal { kind: PrincipalKind::CiJob, ..omar.clone() };
    for (approver, expected) in [(&omar, true), (&dana, false), (&agent, false), (&job, false)] {
        let decision = policies.may_approve(&ApproveQuestion {
            approver,
            requester: &dana,
            action: "postgres.cancel-query",
            effect: guichet_contract::Effect::Change,
            resource: SHOP,
            environment: "staging",
            because: None,
            now: now(),
        });
        assert_eq!(decision.is_allowed(), expected, "{approver:?}: {decision:?}");
    }
}

#[test]
fn without_an_owner_nobody_can_lift_and_it_says_so() {
    let action = asking(json!({"by": "owner", "because": "it ends a session"}));
    let policies = with(&action, OPEN);
    let run = waiting(&policies, &person("dana"), &action, "postgres/other");
    assert!(run.approvals[0].teams.is_empty());
    // Not even who claims the team that stands for no owner.
    for approver in [person("omar"), Principal::person("sly").in_teams(["unowned"])] {
        let refusal = policies.can_lift(&approver, &run.waiting(), now()).unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "nobody can approve this run: the registry names no owner of postgres/other"
        );
    }
    let Decision::NeedsApproval { conditions, .. } =
        ask(&policies, &person("dana"), &action, "postgres/other", "staging")
    else {
        panic!("not asked");
    };
    assert!(conditions[0].to_string().ends_with("the registry names none, so nobody can approve it"));
}

#[test]
fn each_lifts_only_what_is_theirs() {
    let action = asking(json!({"by": "team:reporting"}));
    let text = format!(
        "{OPEN}@id(\"mine\") @approval(\"x\") @by(\"team:dba\") @count(\"2\") @expires(\"1h30m\") forbid (principal, action in Action::\"destroy\", resource);"
    );
    let policies = with(&action, &text);
    let run = waiting(&policies, &person("dana"), &action, SHOP);
    assert_eq!(run.approvals.len(), 2);
    assert_eq!(policies.can_lift(&person("omar"), &run.waiting(), now()).unwrap(), ["mine"]);
    assert_eq!(
        policies.can_lift(&person("rita"), &run.waiting(), now()).unwrap(),
        ["provider:postgres.terminate-backend"]
    );
    let both = Principal::person("both").in_teams(["dba", "reporting"]);
    assert_eq!(
        policies.can_lift(&both, &run.waiting(), now()).unwrap(),
        ["mine", "provider:postgres.terminate-backend"]
    );
    let mine = run.approvals.iter().find(|approval| approval.policy == "mine").unwrap();
    assert_eq!(mine.count, 2);
    assert_eq!(mine.expires_at.to_string(), "2026-01-02T04:34:05Z");
    assert!(!all_lifted(&run.approvals, &[]));
}

#[test]
fn a_verb_of_the_gateway_waits_for_nobody() {
    let text = format!(
        "{OPEN}@id(\"soft\") @approval(\"x\") @by(\"owner\") forbid (principal, action == Action::\"audit\", resource);"
    );
    let decision = policies(&text).may(&person("dana"), "audit", SHOP, "staging");
    assert!(
        matches!(&decision, Decision::Refused { reasons } if reasons[0].policy.as_deref() == Some("soft")),
        "{decision:?}"
    );
}

#[test]
fn a_run_that_waits_for_nothing_is_not_lifted() {
    let action = asking(json!({"by": "owner"}));
    let policies = with(&action, OPEN);
    let mut run = waiting(&policies, &person("dana"), &action, SHOP);
    run.approvals.clear();
    assert_eq!(
        policies.can_lift(&person("omar"), &run.waiting(), now()).unwrap_err().to_string(),
        "this run waits for no approval"
    );
}
