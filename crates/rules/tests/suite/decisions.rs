//! Yes, no, and why.

use cedar_policy as cedar;
use guichet_contract::{Action, Plan, Principal, PrincipalKind, Surface};
use guichet_rules::{Decision, Policies, Question, Registry};
use serde_json::{Value, json};

use crate::world::{action, ask, catalogue, catalogue_of, input, load, now, person, policies, registry};

const PERMIT_ALL: &str = "@id(\"all\") permit (principal, action, resource);";
const SHOP: &str = "postgres/shop";

/// `yes by …`, `no: …`, or `wait for …`.
fn told(decision: &Decision) -> String {
    match decision {
        Decision::Allowed { policies, .. } => format!("yes by {}", policies.join(" ")),
        Decision::NeedsApproval { conditions, policies, .. } => {
            let asked: Vec<&str> = conditions.iter().map(|one| one.policy.as_str()).collect();
            format!("wait for {} by {}", asked.join(" "), policies.join(" "))
        }
        Decision::Refused { reasons } => {
            let why: Vec<&str> = reasons.iter().map(|one| one.policy.as_deref().unwrap_or("-")).collect();
            format!("no: {}", why.join(" "))
        }
    }
}

#[test]
fn what_decides() {
    let hard = "@id(\"hard\") forbid (principal, action, resource);";
    let soft = "@id(\"soft\") @approval(\"a\") @by(\"owner\") forbid (principal, action in Action::\"change\", resource);";
    let soft_two = "@id(\"soft2\") @approval(\"b\") @by(\"team:dba\") forbid (principal, action, resource);";
    let broken = "@id(\"broken\") forbid (principal, action == Action::\"postgres.cancel-query\", resource) when { context.input.pid * 9223372036854775807 == 1 };";
    let broken_permit = "@id(\"brokenpermit\") permit (principal, action == Action::\"postgres.cancel-query\", resource) when { context.input.pid * 9223372036854775807 == 1 };";
    let elsewhere =
        "@id(\"elsewhere\") forbid (principal, action == Action::\"postgres.activity\", resource);";
    let when = |condition: &str| {
        format!(
            "@id(\"when\") permit (principal, action == Action::\"postgres.cancel-query\", resource) when {{ {condition} }};"
        )
    };
    let table: Vec<(String, &str)> = vec![
        (String::new(), "no: -"),
        (PERMIT_ALL.to_owned(), "yes by all"),
        (hard.to_owned(), "no: hard"),
        (format!("{PERMIT_ALL}{hard}"), "no: hard"),
        (format!("{PERMIT_ALL}{soft}"), "wait for soft by all"),
        (format!("{PERMIT_ALL}{soft}{soft_two}"), "wait for soft soft2 by all"),
        // One that nobody can lift is enough, and only it is told.
        (format!("{PERMIT_ALL}{soft}{hard}"), "no: hard"),
        // A lifted forbid permits nothing.
        (soft.to_owned(), "no: -"),
        (format!("{PERMIT_ALL}{elsewhere}"), "yes by all"),
        // Fail closed, where Cedar would skip the policy.
        (format!("{PERMIT_ALL}{broken}"), "no: broken"),
        (format!("{PERMIT_ALL}{broken_permit}"), "no: brokenpermit"),
        (when("context.surface == \"cli\" && context.environment == \"staging\""), "yes by when"),
        (when("context.input.identifier == \"shop\" && context.input.pid > 41"), "yes by when"),
        (when("context.input has note"), "no: -"),
        (when("context has reason && context.reason like \"INC-*\""), "yes by when"),
        (when("principal.name == \"dana\" && principal is Person && !(principal has agent)"), "yes by when"),
        (when("principal in Team::\"developers\""), "yes by when"),
        (when("principal in resource.owner"), "no: -"),
        (when("resource.owner == Team::\"dba\" && resource.owner in Team::\"developers\""), "yes by when"),
        (when("resource in Resource::\"postgres\" && resource.path like \"postgres/*\""), "yes by when"),
        (when("resource in Resource::\"postgres/sh\""), "no: -"),
        ("@id(\"p\") permit (principal == Person::\"dana\", action in Action::\"provider:postgres\", resource);".to_owned(), "yes by p"),
        ("@id(\"p\") permit (principal == ServiceAccount::\"dana\", action, resource);".to_owned(), "no: -"),
        ("@id(\"p\") permit (principal, action in [Action::\"read\", Action::\"destroy\"], resource);".to_owned(), "no: -"),
    ];
    for (text, expected) in table {
        let decision = policies(&text).authorize(&Question {
            principal: &person("dana"),
            action: &action("postgres.cancel-query"),
            input: &input(),
            resource: SHOP,
            environment: "staging",
            surface: Surface::Cli,
            reason: Some("INC-7"),
            plan: None,
            now: now(),
        });
        assert_eq!(told(&decision), expected, "{text}\n{decision:?}");
    }
}

#[test]
fn the_shortest_time_of_those_that_hold_counts_and_softens() {
    let limited = |id: &str, time: &str, scope: &str| {
        format!("@id(\"{id}\") @timeout(\"{time}\") forbid (principal, action{scope}, resource);")
    };
    let (hour, quarter) = (limited("hour", "1h", ""), limited("quarter", "15m", ""));
    let elsewhere = limited("elsewhere", "1m", " == Action::\"postgres.activity\"");
    for (texts, expected) in [
        (vec![], None),
        (vec![&hour, &elsewhere], Some(3_600)),
        (vec![&hour, &quarter, &elsewhere], Some(900)),
    ] {
        let text: String = [PERMIT_ALL].into_iter().chain(texts.into_iter().map(String::as_str)).collect();
        match ask(&policies(&text), &person("dana"), &action("postgres.cancel-query"), SHOP, "staging") {
            Decision::Allowed { timeout_seconds, .. } => assert_eq!(timeout_seconds, expected, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
    let hard = "@id(\"hard\") forbid (principal, action, resource);";
    let refused = policies(&format!("{PERMIT_ALL}{hour}{hard}"));
    let refused = ask(&refused, &person("dana"), &action("postgres.cancel-query"), SHOP, "staging");
    assert_eq!(told(&refused), "no: hard");
}

#[test]
fn the_effects_agree_with_cedar_itself() {
    // What one set gives in Cedar, our two sets must give, for every combination of these.
    let parts = [
        "@id(\"a\") permit (principal, action in Action::\"change\", resource);",
        "@id(\"b\") permit (principal in Team::\"checkout\", action, resource) when { context.environment == \"staging\" };",
        "@id(\"c\") forbid (principal, action in Action::\"destroy\", resource);",
        "@id(\"d\") forbid (principal, action, resource) unless { principal.name == \"dana\" };",
        "@id(\"e\") @approval(\"x\") @by(\"owner\") forbid (principal, action == Action::\"postgres.cancel-query\", resource);",
    ];
    let catalogue = catalogue();
    for chosen in 0..1_u32 << parts.len() {
        let text: String =
            parts.iter().enumerate().filter(|(n, _)| chosen >> n & 1 == 1).map(|(_, part)| *part).collect();
        let ours = policies(&text);
        let set: cedar::PolicySet = text.parse().unwrap();
        let (schema, _) =
            cedar::Schema::from_cedarschema_str(&guichet_rules::schema_text(&catalogue).unwrap()).unwrap();
        for name in ["dana", "omar"] {
            let who = person(name);
            for act in &catalogue.actions {
                let decision = ask(&ours, &who, act, SHOP, "staging");
                let theirs = cedar_decides(&set, &schema, &who, act);
                assert_eq!(decision.is_allowed(), theirs, "{text} {name} {}: {decision:?}", act.id);
            }
        }
    }
}

/// The same question by Cedar's own road: JSON in, checked against the schema.
fn cedar_decides(set: &cedar::PolicySet, schema: &cedar::Schema, who: &Principal, act: &Action) -> bool {
    let uid = |kind: &str, id: &str| -> cedar::EntityUid { format!("{kind}::{id:?}").parse().unwrap() };
    let teams: Vec<Value> = who.teams.iter().map(|team| json!({"type": "Team", "id": team})).collect();
    let entities = json!([
        {"uid": {"type": "Person", "id": who.name}, "attrs": {"name": who.name}, "parents": teams},
        {"uid": {"type": "Resource", "id": SHOP}, "attrs": {"path": SHOP, "owner": {"type": "Team", "id": "dba"}}, "parents": []},
    ]);
    let entities = cedar::Entities::from_json_value(entities, Some(schema)).unwrap();
    let action = uid("Action", act.id.as_str());
    let context = json!({"environment": "staging", "surface": "cli", "input": input(),
        "on_call": [], "office_hours": false});
    let context = cedar::Context::from_json_value(context, Some((schema, &action))).unwrap();
    let request =
        cedar::Request::new(uid("Person", &who.name), action, uid("Resource", SHOP), context, Some(schema))
            .unwrap();
    cedar::Authorizer::new().is_authorized(&request, set, &entities).decision() == cedar::Decision::Allow
}

#[test]
fn a_refusal_says_why_and_what_next() {
    let cancel = action("postgres.cancel-query");
    let dana = person("dana");
    let reason = |text: &str, resource: &str| match ask(&policies(text), &dana, &cancel, resource, "staging")
    {
        Decision::Refused { mut reasons } => reasons.remove(0),
        other => panic!("{other:?}"),
    };
    let none = reason("", SHOP);
    assert_eq!(
        none.sentence,
        "no policy permits dana to do `postgres.cancel-query` on `postgres/shop` in staging"
    );
    assert_eq!(none.next.unwrap(), "ask team dba, which owns it, or propose a policy that permits it");
    let unowned = reason("", "elsewhere");
    assert_eq!(unowned.next.unwrap(), "propose a policy that permits it; the registry names no owner to ask");
    let hard = reason(
        "@id(\"frozen\") @description(\"Nothing changes during the sale.\") @next(\"wait for Monday\") forbid (principal, action, resource);",
        SHOP,
    );
    assert_eq!(
        (hard.policy.as_deref(), hard.sentence.as_str(), hard.next.as_deref()),
        (Some("frozen"), "Nothing changes during the sale.", Some("wait for Monday"))
    );
    let bare = reason("@id(\"bare\") forbid (principal, action, resource);", SHOP);
    assert_eq!(bare.sentence, "the policy `bare` forbids it");
}

#[test]
fn what_cannot_be_asked_is_refused() {
    let policies = policies(PERMIT_ALL);
    let dana = person("dana");
    let refused = |action: &Action, input: &Value, resource: &str| {
        let question = Question {
            principal: &dana,
            action,
            input,
            resource,
            environment: "staging",
            surface: Surface::Rest,
            reason: None,
            plan: None,
            now: now(),
        };
        match policies.authorize(&question) {
            Decision::Refused { reasons } => reasons[0].sentence.clone(),
            other => panic!("{other:?}"),
        }
    };
    let cancel = action("postgres.cancel-query");
    assert!(refused(&action("other.thing"), &input(), SHOP).contains("do not know `other.thing`"));
    assert!(refused(&cancel, &json!({"identifier": "shop", "pid": u64::MAX}), SHOP).contains("`input.pid`"));
    assert!(refused(&cancel, &json!({"identifier": "shop"}), SHOP).contains("`input.pid` is missing"));
    assert!(refused(&cancel, &input(), "a//b").contains("empty segment"));
    assert!(refused(&cancel, &input(), &["a"; 17].join("/")).contains("16 segments"));
    assert!(
        !policies.may(&dana, "approve", SHOP, "staging").is_allowed(),
        "approve is asked with may_approve"
    );
    assert!(!policies.may(&dana, "postgres.activity", SHOP, "staging").is_allowed());
}

#[test]
fn nobody_is_in_the_team_that_stands_for_no_owner() {
    let policies =
        policies("@id(\"own\") permit (principal, action, resource) when { principal in resource.owner };");
    let cancel = action("postgres.cancel-query");
    let sly = Principal::person("sly").in_teams(["unowned"]);
    assert!(!ask(&policies, &sly, &cancel, "elsewhere", "staging").is_allowed());
    assert!(ask(&policies, &person("omar"), &cancel, SHOP, "staging").is_allowed());
    assert!(!ask(&policies, &person("omar"), &cancel, "elsewhere", "staging").is_allowed());
}

#[test]
fn a_team_of_the_identity_provider_brings_the_parents_of_the_registry() {
    let policies = policies("@id(\"p\") permit (principal in Team::\"developers\", action, resource);");
    let cancel = action("postgres.cancel-query");
    let new = Principal::person("new").in_teams(["checkout"]);
    assert!(ask(&policies, &new, &cancel, SHOP, "staging").is_allowed());
    let job = Principal { kind: PrincipalKind::CiJob, ..new };
    assert!(ask(&policies, &job, &cancel, SHOP, "staging").is_allowed());
    assert!(
        !ask(&policies, &Principal::person("x").in_teams(["elsewhere"]), &cancel, SHOP, "staging")
            .is_allowed()
    );
}

#[test]
fn agents_can_be_told_apart() {
    let policies = policies(
        "@id(\"p\") permit (principal, action, resource);\n@id(\"no-agents\") forbid (principal, action, resource) when { principal has agent };",
    );
    let cancel = action("postgres.cancel-query");
    let dana = person("dana");
    assert!(ask(&policies, &dana, &cancel, SHOP, "staging").is_allowed());
    let agent = Principal { agent: Some("assistant".to_owned()), ..dana };
    assert_eq!(told(&ask(&policies, &agent, &cancel, SHOP, "staging")), "no: no-agents");
}

#[test]
fn five_hundred_policies_and_fifty_actions() {
    let actions: Vec<Action> = (0..50).map(|n| action(&format!("p{}.a{n}", n % 5))).collect();
    let one = |n: usize| {
        let action = &actions[n % 50].id;
        format!(
            "@id(\"p{n}\") permit (principal in Team::\"checkout\", action == Action::\"{action}\", resource) when {{ context.input.pid == {n} }};\n"
        )
    };
    let text: Vec<String> = (0..500).map(one).collect();
    let text = text.concat();
    let policies = load(&[("many.cedar", &text)], &catalogue_of(actions.clone()), &registry()).unwrap();
    assert_eq!(policies.rules().count(), 500);
    assert_eq!(told(&ask(&policies, &person("dana"), &actions[42], SHOP, "staging")), "yes by p42");
    assert_eq!(told(&ask(&policies, &person("dana"), &actions[41], SHOP, "staging")), "no: -");
}

#[test]
fn an_empty_house_refuses_everything() {
    let nothing = load(&[], &catalogue(), &Registry::empty()).unwrap();
    for act in &catalogue().actions {
        assert!(!ask(&nothing, &Principal::person("anyone"), act, SHOP, "staging").is_allowed());
    }
    let empty: Result<Policies, _> = load(&[], &catalogue_of(Vec::new()), &Registry::empty());
    assert!(!empty.unwrap().may(&Principal::person("anyone"), "audit", SHOP, "staging").is_allowed());
}

#[test]
fn what_a_plan_tells_decides_where_the_action_declares_it() {
    let facts = json!({"written": {"type": "boolean"}, "lag": {"type": "integer"}});
    let facts = facts.as_object().unwrap().clone().into_iter().collect();
    let stop = Action { facts, ..action("postgres.terminate-backend") };
    let catalogue = catalogue_of(vec![stop.clone(), action("postgres.cancel-query")]);
    let with = |condition: &str| {
        let text = format!(
            "{PERMIT_ALL}\n@id(\"no\") forbid (principal, action in Action::\"destroy\", resource) when {{ {condition} }};"
        );
        load(&[("a.cedar", &text)], &catalogue, &registry())
    };
    let policies =
        with("context has plan && context.plan has written && context.plan.written && context.plan has lag && context.plan.lag > 5")
            .unwrap_or_else(|faults| panic!("{faults:#?}"));
    let ask = |plan: Option<&Plan>| {
        policies.authorize(&Question {
            principal: &person("dana"),
            action: &stop,
            input: &input(),
            resource: SHOP,
            environment: "staging",
            surface: Surface::Cli,
            reason: None,
            plan,
            now: now(),
        })
    };
    let plan = |written: bool, lag: Value| Plan::new("x").fact("written", written).moving_fact("lag", lag);
    assert_eq!(told(&ask(None)), "yes by all", "nothing was planned yet");
    assert_eq!(told(&ask(Some(&plan(true, json!(6))))), "no: no");
    assert_eq!(told(&ask(Some(&plan(true, json!(5))))), "yes by all", "each plan is asked about anew");
    assert_eq!(told(&ask(Some(&plan(false, json!(6))))), "yes by all");
    assert_eq!(told(&ask(Some(&Plan::new("x").fact("written", true).fact("other", 1)))), "yes by all");
    let Decision::Refused { reasons } = ask(Some(&plan(true, json!("many")))) else { panic!("it judged") };
    assert!(reasons[0].sentence.contains("`plan.lag` is not a whole number"), "{reasons:?}");
    // Where no policy reads the plan, it decides nothing, whether or not the same was asked before.
    let silent = with("principal has agent").unwrap_or_else(|faults| panic!("{faults:#?}"));
    for _ in 0..2 {
        let decision = silent.authorize(&Question {
            principal: &person("dana"),
            action: &stop,
            input: &input(),
            resource: SHOP,
            environment: "staging",
            surface: Surface::Cli,
            reason: None,
            plan: Some(&plan(true, json!("many"))),
            now: now(),
        });
        assert_eq!(told(&decision), "yes by all");
    }
    // A fact that nobody declares, and one that need not be there, are told when the policies are read.
    for wrong in ["context has plan && context.plan.writen", "context has plan && context.plan.written"] {
        assert!(with(wrong).is_err(), "{wrong}");
    }
}
