//! A small catalogue and short ways to ask, for the tests of this room.

use guichet_contract::{Action, Approval, Catalogue, Digest, Principal, Surface};
use guichet_rules::{Decision, Defaults, Fault, Policies, Question, Registry, Waiting};
use jiff::Timestamp;
use serde_json::{Value, json};

pub(crate) fn input() -> Value {
    json!({"identifier": "shop", "pid": 42})
}

pub(crate) fn action(id: &str) -> Action {
    let (provider, operation) = id.split_once('.').unwrap();
    let effect = match operation {
        "terminate-backend" => "destroy",
        "cancel-query" => "change",
        _ => "read",
    };
    serde_json::from_value(json!({
        "id": id, "provider": provider, "operation": operation, "version": Digest::of_bytes(id.as_bytes()),
        "command": [provider, operation], "title": format!("Do {operation}"), "effect": effect,
        "timeout_seconds": 30, "resource": "postgres/{identifier}",
        "input": {
            "type": "object", "required": ["identifier", "pid"], "additionalProperties": false,
            "properties": {
                "identifier": {"type": "string"},
                "pid": {"type": "integer"},
                "note": {"type": "string"},
                "ratio": {"type": "number"}
            }
        },
        "http": {"method": "POST", "path": "/x", "parameters": []}
    }))
    .unwrap()
}

pub(crate) fn catalogue() -> Catalogue {
    catalogue_of(
        ["postgres.activity", "postgres.cancel-query", "postgres.terminate-backend"].map(action).to_vec(),
    )
}

pub(crate) fn catalogue_of(actions: Vec<Action>) -> Catalogue {
    Catalogue::new("staging", actions)
}

/// dana in checkout, rita in reporting, omar in dba, all three in developers; dba owns the shop.
pub(crate) fn registry() -> Registry {
    let text = "
teams:
  - {name: developers}
  - {name: checkout, members: [dana], parents: [developers]}
  - {name: reporting, members: [rita], parents: [developers]}
  - {name: dba, members: [omar], parents: [developers]}
resources:
  - {pattern: 'postgres/shop/**', owner: dba}
  - {pattern: 'postgres/shop/applications/checkout*', owner: checkout}
";
    Registry::parse(&[("registry.yaml".to_owned(), text.to_owned())]).unwrap()
}

pub(crate) fn files(files: &[(&str, &str)]) -> Vec<(String, String)> {
    files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

pub(crate) fn load(
    texts: &[(&str, &str)],
    catalogue: &Catalogue,
    registry: &Registry,
) -> Result<Policies, Vec<Fault>> {
    Policies::load(&files(texts), &catalogue.actions, registry, Defaults::default())
}

/// Policies of one text, on the small catalogue and registry.
pub(crate) fn policies(text: &str) -> Policies {
    load(&[("a.cedar", text)], &catalogue(), &registry()).unwrap_or_else(|faults| panic!("{faults:#?}"))
}

pub(crate) fn person(name: &str) -> Principal {
    Principal::person(name).in_teams(registry().teams_of(name))
}

pub(crate) fn ask(
    policies: &Policies,
    principal: &Principal,
    action: &Action,
    resource: &str,
    environment: &str,
) -> Decision {
    policies.authorize(&Question {
        principal,
        action,
        input: &input(),
        resource,
        environment,
        surface: Surface::Cli,
        reason: None,
        plan: None,
        now: now(),
    })
}

/// A Friday, ten to four in the afternoon in Berlin.
pub(crate) fn now() -> Timestamp {
    "2026-01-02T14:50:00Z".parse().unwrap()
}

/// What somebody asked for, and what it waits for.
pub(crate) struct Kept {
    requester: Principal,
    action: Action,
    resource: String,
    environment: String,
    pub(crate) approvals: Vec<Approval>,
}

impl Kept {
    pub(crate) fn waiting(&self) -> Waiting<'_> {
        Waiting {
            requester: &self.requester,
            action: self.action.id.as_str(),
            effect: self.action.effect,
            resource: &self.resource,
            environment: &self.environment,
            approvals: &self.approvals,
        }
    }
}

/// Waits for what a decision asked for.
pub(crate) fn kept(
    requester: &Principal,
    action: &Action,
    resource: &str,
    environment: &str,
    decision: Decision,
) -> Kept {
    let Decision::NeedsApproval { conditions, .. } = decision else { panic!("{decision:?}") };
    let now: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
    Kept {
        requester: requester.clone(),
        action: action.clone(),
        resource: resource.to_owned(),
        environment: environment.to_owned(),
        approvals: conditions.into_iter().map(|one| one.into_approval(now)).collect(),
    }
}
