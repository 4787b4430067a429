//! What a policy looks at: who asks, where and through what is known before a call; its input, its reason and its
//! resource only with it. Told from the policy's structure, so that a word in a description counts for nothing.

use std::collections::HashMap;

use cedar_policy::{Policy, PolicyId};
use serde_json::{Value, json};

/// What of the context is known before a call.
const KNOWN: [&str; 2] = ["environment", "surface"];

/// A policy that looks at what only a call brings.
#[derive(Debug)]
pub(crate) struct Reach {
    /// At the input or the reason.
    pub(crate) call: bool,
    /// At the resource.
    pub(crate) resource: bool,
    /// The policy without its conditions: whether it may concern somebody at all.
    pub(crate) scope: Policy,
    /// The same for any resource.
    pub(crate) any_resource: Policy,
}

/// By id, the policies that look at more than what is known before a call.
pub(crate) fn reaches<'a>(
    policies: impl Iterator<Item = (&'a str, &'a Policy)>,
) -> Result<HashMap<String, Reach>, String> {
    let mut found = HashMap::new();
    for (id, policy) in policies {
        let told =
            |error: &dyn std::fmt::Display| format!("the policy `{id}` cannot be looked through: {error}");
        let mut whole = policy.to_json().map_err(|error| told(&error))?;
        let conditions = whole["conditions"].take();
        let call = reads_call(&conditions);
        let resource = whole["resource"]["op"] != "All" || names(&conditions, "resource");
        if !call && !resource {
            continue;
        }
        whole["conditions"] = json!([]);
        let id_of = || Some(PolicyId::new(id));
        let scope = Policy::from_json(id_of(), whole.clone()).map_err(|error| told(&error))?;
        whole["resource"] = json!({"op": "All"});
        let any_resource = Policy::from_json(id_of(), whole).map_err(|error| told(&error))?;
        found.insert(id.to_owned(), Reach { call, resource, scope, any_resource });
    }
    Ok(found)
}

/// Whether an expression uses the context in any other way than for what is known.
fn reads_call(expression: &Value) -> bool {
    match expression {
        Value::Object(members) => {
            let known = |operator: &str| {
                members.get(operator).is_some_and(|access| {
                    access["left"] == json!({"Var": "context"})
                        && access["attr"].as_str().is_some_and(|attribute| KNOWN.contains(&attribute))
                })
            };
            if known(".") || known("has") {
                return false;
            }
            members.get("Var").is_some_and(|name| name == "context") || members.values().any(reads_call)
        }
        Value::Array(items) => items.iter().any(reads_call),
        _ => false,
    }
}

fn names(expression: &Value, variable: &str) -> bool {
    match expression {
        Value::Object(members) => {
            members.get("Var").is_some_and(|name| name == variable)
                || members.values().any(|member| names(member, variable))
        }
        Value::Array(items) => items.iter().any(|item| names(item, variable)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_policy_looks_at() {
        for (text, expected) in [
            ("permit (principal, action, resource);", None),
            ("@description(\"context.input of a resource\") permit (principal, action, resource);", None),
            ("permit (principal, action, resource) when { context.environment == \"x\" };", None),
            ("permit (principal, action, resource) when { context has surface };", None),
            ("permit (principal, action, resource) when { context.input.pid == 1 };", Some((true, false))),
            ("permit (principal, action, resource) unless { context has reason };", Some((true, false))),
            ("permit (principal, action, resource == Resource::\"a\");", Some((false, true))),
            (
                "forbid (principal, action, resource) unless { principal in resource.owner };",
                Some((false, true)),
            ),
        ] {
            let policy = Policy::parse(None, text).unwrap();
            let found = reaches([("x", &policy)].into_iter()).unwrap();
            assert_eq!(found.get("x").map(|reach| (reach.call, reach.resource)), expected, "{text}");
        }
    }
}
