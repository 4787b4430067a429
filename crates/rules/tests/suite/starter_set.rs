//! The demo's policies and registry, as they stand in `demo/`, decide as they say; and of those in `policies/starter` what cases
//! beside policies cannot ask: the gateway's own verbs.

use crate::world::{action, ask, catalogue, kept, load, now};
use guichet_contract::{Principal, PrincipalKind};
use guichet_rules::{Decision, Policies, Registry};

fn starter(environment: &str) -> (Policies, Registry) {
    let registry = Registry::parse(&[
        ("teams.yaml".to_owned(), include_str!("../../../../demo/registry/teams.yaml").to_owned()),
        ("resources.yaml".to_owned(), include_str!("../../../../demo/registry/resources.yaml").to_owned()),
    ])
    .unwrap();
    let files = [
        ("permits.cedar", include_str!("../../../../demo/policy/permits.cedar")),
        ("approvals.cedar", include_str!("../../../../demo/policy/approvals.cedar")),
    ];
    let mut catalogue = catalogue();
    environment.clone_into(&mut catalogue.environment);
    (load(&files, &catalogue, &registry).unwrap(), registry)
}

fn person(registry: &Registry, name: &str) -> Principal {
    Principal::person(name).in_teams(registry.teams_of(name))
}

#[test]
fn it_loads_without_warnings() {
    let (policies, _) = starter("staging");
    assert_eq!(policies.warnings(), []);
    assert!(policies.rules().all(|rule| rule.description.is_some()));
}

#[test]
fn it_decides_as_told() {
    let checkout = "postgres/shop/applications/checkout-api";
    let reporting = "postgres/shop/applications/reporting-nightly";
    let database = "postgres/shop";
    // who, action, environment, resource → answer: yes, no, or `policy by team`
    let table = [
        ("dana", "postgres.activity", "staging", database, "yes"),
        ("stranger", "postgres.activity", "staging", database, "yes"),
        ("stranger", "postgres.cancel-query", "staging", checkout, "no"),
        ("dana", "postgres.cancel-query", "staging", checkout, "yes"),
        ("dana", "postgres.cancel-query", "staging", reporting, "another-teams-query by reporting x1 14400s"),
        ("dana", "postgres.cancel-query", "staging", database, "another-teams-query by dba x1 14400s"),
        ("rita", "postgres.cancel-query", "staging", reporting, "yes"),
        (
            "rita",
            "postgres.cancel-query",
            "staging",
            "postgres/other",
            "another-teams-query by nobody x1 14400s",
        ),
        ("dana", "postgres.terminate-backend", "staging", checkout, "destroying-in-staging by dba x1 14400s"),
        ("omar", "postgres.terminate-backend", "staging", database, "destroying-in-staging by dba x1 14400s"),
        (
            "dana",
            "postgres.terminate-backend",
            "production",
            checkout,
            "destroying-in-production by checkout x1 14400s",
        ),
        ("stranger", "postgres.terminate-backend", "production", checkout, "no"),
    ];
    for (who, act, environment, resource, expected) in table {
        let (policies, registry) = starter(environment);
        let decision = ask(&policies, &person(&registry, who), &action(act), resource, environment);
        let told = match &decision {
            Decision::Allowed { .. } => "yes".to_owned(),
            Decision::Refused { .. } => "no".to_owned(),
            Decision::NeedsApproval { conditions, .. } => conditions
                .iter()
                .map(|one| {
                    let team = one.teams.first().map_or("nobody", String::as_str);
                    format!("{} by {team} x{} {}s", one.policy, one.count, one.expires_seconds)
                })
                .collect::<Vec<_>>()
                .join(", "),
        };
        assert_eq!(told, expected, "{who} {act} {environment} {resource}: {decision:?}");
    }
}

#[test]
fn the_owner_lifts_what_another_team_asked_for() {
    let (policies, registry) = starter("staging");
    let resource = "postgres/shop/applications/reporting-nightly";
    let dana = person(&registry, "dana");
    let cancel = action("postgres.cancel-query");
    let run = kept(&dana, &cancel, resource, "staging", ask(&policies, &dana, &cancel, resource, "staging"));
    assert_eq!(
        policies.can_lift(&person(&registry, "rita"), &run.waiting(), now()).unwrap(),
        ["another-teams-query"]
    );
    let refusal = policies.can_lift(&person(&registry, "omar"), &run.waiting(), now()).unwrap_err();
    assert_eq!(refusal.to_string(), "omar is in none of the teams that can approve this run (reporting)");
    assert!(policies.may(&dana, "view_run", resource, "staging").is_allowed());
    assert!(policies.may(&dana, "audit", "guichet/records", "staging").is_allowed());
    assert!(
        !policies.may(&Principal::person("stranger"), "audit", "guichet/records", "staging").is_allowed()
    );
    assert!(policies.version().as_str().starts_with("sha256:"));
}

#[test]
fn who_owns_registers_and_frees_the_names_of_its_providers() {
    let registry = Registry::parse(&[
        (
            "teams.yaml".to_owned(),
            include_str!("../../../../policies/starter/registry/teams.yaml").to_owned(),
        ),
        (
            "resources.yaml".to_owned(),
            include_str!("../../../../policies/starter/registry/resources.yaml").to_owned(),
        ),
    ])
    .unwrap();
    let files = [
        ("permits.cedar", include_str!("../../../../policies/starter/policy/permits.cedar")),
        ("production.cedar", include_str!("../../../../policies/starter/policy/production.cedar")),
    ];
    let policies = load(&files, &catalogue(), &registry).unwrap();
    let of = |name: &str, kind: PrincipalKind, team: &str| Principal {
        kind,
        ..Principal::person(name).in_teams(registry.with_parents([&team.to_owned()]))
    };
    let (account, person, job) = (PrincipalKind::ServiceAccount, PrincipalKind::Person, PrincipalKind::CiJob);
    // verb, kind, team, resource → whether
    let table = [
        ("register_instance", account, "orders", "orders", true),
        ("register_instance", account, "payments", "orders", false),
        ("register_instance", account, "orders", "another", false),
        ("register_instance", person, "orders", "orders", false),
        ("register_instance", job, "orders", "orders", false),
        ("remove_provider", person, "orders", "orders", true),
        ("remove_provider", person, "payments", "orders", false),
        ("remove_provider", account, "orders", "orders", false),
    ];
    for (verb, kind, team, resource, expected) in table {
        for environment in ["staging", "production"] {
            let decision = policies.may(&of("robot", kind, team), verb, resource, environment);
            assert_eq!(decision.is_allowed(), expected, "{verb} {kind:?} {team} {resource}: {decision:?}");
        }
    }
}
