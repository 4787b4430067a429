//! Policies with their annotations: in force or refused with a place, and an answer is the same when asked again.
#![no_main]

use std::sync::LazyLock;

use guichet_contract::{Catalogue, Principal, Surface, openapi};
use guichet_rules::{Decision, Defaults, Policies, Question, Registry};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| {
    let document = json!({"openapi": "3.1.0", "info": {"title": "t", "version": "1"}, "paths": {"/things/{name}": {"delete": {
        "operationId": "destroy-thing", "responses": {},
        "x-guichet": {"resource": "things/{name}", "effect": "destroy"},
        "parameters": [
            {"name": "name", "in": "path", "required": true, "schema": {"type": "string"}},
            {"name": "count", "in": "query", "schema": {"type": "integer"}},
        ],
    }}}});
    let read = openapi::read("things", &document, openapi::Strictness::Strict);
    Catalogue::new("staging", read.map(|read| read.actions).unwrap_or_default())
});

static REGISTRY: LazyLock<Registry> = LazyLock::new(|| {
    let text = "teams: [{name: ops, members: [omar]}, {name: developers, members: [dana]}]\nresources: [{pattern: 'things/**', owner: ops}]";
    Registry::parse(&[("r.yaml".to_owned(), text.to_owned())]).unwrap_or_else(|_| Registry::empty())
});

fuzz_target!(|text: &str| {
    let files = [("a.cedar".to_owned(), text.to_owned())];
    let policies = match Policies::load(&files, &CATALOGUE.actions, &REGISTRY, Defaults::default()) {
        Ok(policies) => policies,
        Err(faults) => {
            assert!(!faults.is_empty() && faults.iter().all(|fault| fault.line >= 1 && fault.column >= 1));
            return;
        }
    };
    let dana = Principal::person("dana").in_teams(REGISTRY.teams_of("dana"));
    let input: Value = json!({"name": "a", "count": 7});
    for action in &CATALOGUE.actions {
        let question = Question {
            principal: &dana,
            action,
            input: &input,
            resource: "things/a",
            environment: "staging",
            surface: Surface::Rest,
            reason: Some("INC-1"),
            plan: None,
            now: jiff::Timestamp::UNIX_EPOCH,
        };
        let answer = policies.authorize(&question);
        assert_eq!(answer, policies.authorize(&question), "another answer to the same question");
        let permits = policies.rules().any(|rule| !rule.forbids);
        assert!(permits || matches!(answer, Decision::Refused { .. }), "allowed by nothing: {text}");
    }
});
