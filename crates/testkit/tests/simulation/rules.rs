//! People, policies and the provider's document of every story, made once for the process.

use std::{collections::BTreeMap, sync::OnceLock};

use guichet_admission::World;
use guichet_contract::PrincipalKind;
use guichet_identity::{User, Users};
use guichet_operations::reload_settings::{Source, Sources, build_world};
use serde_json::{Value, json};

use crate::steps::TIMEOUT;

pub(crate) const EVERYBODY: [&str; 5] = ["dana", "dan", "omar", "olga", "eve"];
/// Who tries to approve: mostly those who may.
pub(crate) const APPROVERS: [&str; 8] = ["omar", "olga", "dana", "omar", "olga", "dana", "dan", "eve"];
pub(crate) const REQUESTERS: [&str; 2] = ["dana", "dan"];

/// How long a request for approval holds, seconds.
pub(crate) const EXPIRES: u32 = 600;

const POLICY: &str = r#"
@id("everybody-reads")
permit (principal in Team::"everybody", action in Action::"read", resource);
@id("developers-act")
permit (principal in Team::"developers", action in [Action::"change", Action::"destroy"], resource);
@id("approvers-approve")
permit (principal in Team::"everybody", action == Action::"approve", resource);
@id("developers-look")
permit (principal in Team::"developers", action == Action::"view_run", resource);
@id("developers-break-glass")
permit (principal in Team::"developers", action == Action::"break_glass", resource);
@id("two-for-the-vault") @approval("the vault needs two") @by("team:ops") @count("2")
forbid (principal, action in Action::"destroy", resource) when { resource.path like "things/vault*" };
@id("think-again") @cool_down("20s")
forbid (principal, action in Action::"change", resource) when { resource.path like "things/cool*" };
"#;

/// The policies that are in force after a reload: another version, and nothing else.
const OTHER: &str = r#"@id("nobody") forbid (principal == Person::"nobody", action, resource);"#;

const REGISTRY: &str = "
teams:
  - {name: everybody, members: [eve]}
  - {name: developers, members: [dana, dan], parents: [everybody]}
  - {name: ops, members: [omar, olga, dana], parents: [everybody]}
resources:
  - {pattern: 'things/**', owner: ops}
";

fn operation(name: &str, more: &Value, keyed: bool) -> Value {
    let mut properties = json!({"name": {"type": "string"}});
    let mut required = json!(["name"]);
    if keyed {
        properties["key"] = json!({"type": "string"});
        required = json!(["name", "key"]);
    }
    let mut said = json!({"command": format!("things {name}"), "resource": "things/{name}"});
    for (field, value) in more.as_object().into_iter().flatten() {
        said[field] = value.clone();
    }
    json!({"post": {
        "operationId": name,
        "x-guichet": said,
        "requestBody": {"required": true, "content": {"application/json": {
            "schema": {"type": "object", "properties": properties, "required": required}
        }}},
        "responses": {"200": {"description": "Done.", "content": {"application/json": {"schema": {"type": "object"}}}}},
    }})
}

fn document() -> Value {
    let approved =
        json!({"effect": "destroy", "plan": true, "approval": {"by": "team:ops", "because": "it destroys"}});
    json!({"openapi": "3.1.0", "info": {"title": "Things", "version": "1"}, "paths": {
        "/change": operation("change", &json!({}), false),
        "/slow": operation("slow", &json!({"timeout": "45s"}), false),
        "/line": operation("line", &json!({"concurrency": "{key}", "timeout": "20s"}), true),
        "/destroy": operation("destroy", &approved, false),
        "/again": operation("again", &json!({"idempotent": true, "timeout": "60s"}), false),
        "/asked": operation("asked", &json!({"long": true, "remembers": true, "timeout": "40s"}), false),
        "/long": operation("long", &json!({"long": true, "timeout": "60s"}), false),
        "/steps": operation("steps", &json!({"resumable": true, "timeout": format!("{TIMEOUT}s")}), false),
    }})
}

fn build(policies: &[(&str, &str)]) -> World {
    let own = |texts: &[(&str, &str)]| -> Vec<(String, String)> {
        texts.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    };
    let sources = Sources {
        environment: "staging".to_owned(),
        policies: own(policies),
        registry: own(&[("registry.yaml", REGISTRY)]),
        documents: BTreeMap::from([("things".to_owned(), Source::read("things", &document(), false))]),
        approval_expires_seconds: EXPIRES,
        ..Sources::default()
    };
    let built = build_world(&sources).unwrap();
    assert!(built.refused.is_empty(), "{:?}", built.refused);
    assert_eq!(built.world.catalogue.published.actions.len(), 8, "{:?}", built.providers);
    built.world
}

/// The world before, or after, a reload.
pub(crate) fn world(other: bool) -> World {
    static WORLDS: OnceLock<[World; 2]> = OnceLock::new();
    let worlds = WORLDS.get_or_init(|| {
        [build(&[("rules.cedar", POLICY)]), build(&[("other.cedar", OTHER), ("rules.cedar", POLICY)])]
    });
    worlds[usize::from(other)].clone()
}

pub(crate) fn users() -> Users {
    Users::new(EVERYBODY.map(|name| User {
        name: name.to_owned(),
        password_hash: String::new(),
        kind: PrincipalKind::Person,
    }))
}

/// What this person's session is known by.
pub(crate) fn secret_of(person: &str) -> String {
    format!("gcs_{person}")
}
