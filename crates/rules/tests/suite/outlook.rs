//! What is said before the input is known holds for every input.

use guichet_contract::{Answer, Principal, Surface};
use guichet_rules::{Decision, Foresight, Policies, Prospect, Question};
use serde_json::json;

use crate::world::{action, person, policies};

const POLICY: &str = r#"
@id("read") permit (principal, action in Action::"read", resource);
@id("change") permit (principal in Team::"developers", action in Action::"change", resource);
@id("owner-change") permit (principal, action in Action::"change", resource) when { principal in resource.owner };
@id("pid-1") @description("pid 1 is holy") forbid (principal, action == Action::"postgres.cancel-query", resource)
  when { context.input.pid == 1 };
@id("shop-only") permit (principal == Person::"stranger", action in Action::"destroy", resource in Resource::"postgres/shop");
@id("destroy-two") @approval("it destroys") @by("owner") forbid (principal, action in Action::"destroy", resource);
@id("reason") forbid (principal in Team::"reporting", action in Action::"change", resource) unless { context has reason };
@id("shop-two") @approval("it is the shop") @by("owner") forbid (principal == Person::"omar", action == Action::"postgres.terminate-backend", resource)
  when { context.input.identifier == "shop" };
@id("omar") permit (principal == Person::"omar", action in Action::"destroy", resource);
@id("say-why") @reason("what broke") forbid (principal == Person::"dana", action == Action::"postgres.activity", resource in Resource::"postgres/shop");
@id("say-why-too") @reason("what broke") @ticket("why") forbid (principal == Person::"stranger", action == Action::"postgres.activity", resource);
@id("together") @approval("it is read") @by("owner") @reason("what broke") forbid (principal == Person::"rita", action == Action::"postgres.activity", resource);
@id("no-mcp") @description("not by agents") forbid (principal, action in Action::"destroy", resource) when { context.surface == "mcp" };
"#;

fn answer(decision: &Decision) -> Answer {
    match decision {
        Decision::Allowed { .. } => Answer::Allowed,
        Decision::NeedsApproval { .. } => Answer::NeedsApproval,
        Decision::Refused { .. } => Answer::Refused,
    }
}

fn foresee(
    policies: &Policies,
    who: &Principal,
    what: &str,
    on: Option<&str>,
    surface: Surface,
) -> Foresight {
    policies.foresee(&Prospect {
        principal: who,
        action: &action(what),
        resource: on,
        environment: "staging",
        surface,
    })
}

#[test]
fn what_is_said_beforehand_holds_for_every_call() {
    let policies = policies(POLICY);
    let mut decided = 0;
    let mut open = 0;
    for who in ["dana", "rita", "omar", "stranger"].map(person) {
        for what in ["postgres.activity", "postgres.cancel-query", "postgres.terminate-backend"] {
            for surface in [Surface::Cli, Surface::Mcp] {
                for known in [None, Some("postgres/shop"), Some("postgres/elsewhere")] {
                    let foreseen = foresee(&policies, &who, what, known, surface);
                    let mut found = std::collections::BTreeSet::new();
                    let resources =
                        known.map_or(vec!["postgres/shop", "postgres/elsewhere"], |one| vec![one]);
                    for resource in resources {
                        for (pid, reason) in [(1, None), (2, None), (1, Some("why")), (2, Some("why"))] {
                            let decision = policies.authorize(&Question {
                                principal: &who,
                                action: &action(what),
                                input: &json!({"identifier": "shop", "pid": pid}),
                                resource,
                                environment: "staging",
                                surface,
                                reason,
                                plan: None,
                                now: crate::world::now(),
                            });
                            found.insert(answer(&decision));
                        }
                    }
                    match &foreseen {
                        Foresight::Decided(decision) => {
                            decided += 1;
                            assert_eq!(found, [answer(decision)].into(), "{} {what} {known:?}", who.name);
                        }
                        Foresight::Depends(on) => {
                            open += 1;
                            assert!(!on.is_empty());
                        }
                    }
                }
            }
        }
    }
    assert!(decided > 30 && open > 10, "{decided} decided, {open} open");
}

#[test]
fn an_outlook_says_why() {
    let policies = policies(POLICY);
    let look = |who: &str, what: &str, surface| {
        let outlook = policies.outlook(&Prospect {
            principal: &person(who),
            action: &action(what),
            resource: None,
            environment: "staging",
            surface,
        });
        (outlook.answer, outlook.because.unwrap_or_default())
    };
    let said = |answer, because: &str| (answer, because.to_owned());
    assert_eq!(look("omar", "postgres.activity", Surface::Cli), said(Answer::Allowed, ""));
    let writes = look("stranger", "postgres.activity", Surface::Cli);
    assert_eq!(writes, said(Answer::Depends, "depends on the reason that is given"));
    let where_and_why = look("dana", "postgres.activity", Surface::Cli);
    let because = "depends on what it acts on and on the reason that is given";
    assert_eq!(where_and_why, said(Answer::Depends, because));
    assert_eq!(look("rita", "postgres.activity", Surface::Cli), said(Answer::NeedsApproval, "it is read"));
    let depends = look("dana", "postgres.cancel-query", Surface::Cli);
    assert_eq!(depends, said(Answer::Depends, "depends on its input"));
    let stranger = look("stranger", "postgres.cancel-query", Surface::Cli);
    assert_eq!(stranger, said(Answer::Depends, "depends on its input and on what it acts on"));
    let nobody = look("dana", "postgres.terminate-backend", Surface::Cli);
    let sentence = "no policy permits dana to do `postgres.terminate-backend` in staging";
    assert_eq!(nobody, said(Answer::Refused, sentence));
    let in_any_case = look("omar", "postgres.terminate-backend", Surface::Cli);
    assert_eq!(in_any_case, said(Answer::NeedsApproval, "it destroys"), "one approval or two");
    let agents = look("stranger", "postgres.terminate-backend", Surface::Mcp);
    assert_eq!(agents, said(Answer::Refused, "not by agents"));
}
