//! The digest of a declaration: what an approval is bound to. It covers all that decides what runs and who approves,
//! and no prose, so that a better description does not void what waits.

use serde_json::{Map, Value, json};

use crate::{action::Action, digest::Digest};

use super::keyword::{Keyword, is_prose, keyword};

/// The version of this action.
pub(super) fn digest(action: &Action) -> Digest {
    let mut declared = json!({
        "id": action.id,
        "effect": action.effect,
        "approval": action.approval,
        "plan": action.plan,
        "resource": action.resource,
        "concurrency": action.concurrency,
        "cool_down_seconds": action.cool_down_seconds,
        "long": action.long,
        "timeout_seconds": action.timeout_seconds,
        "sensitive": action.sensitive,
        "input": without_prose(&action.input),
        "options": action.options,
        "http": action.http,
    });
    // Named only where they are said, so that what others declare keeps the version it had.
    for (name, said) in [("resumable", action.resumable), ("idempotent", action.idempotent)] {
        if said {
            declared[name] = json!(true);
        }
    }
    if !action.facts.is_empty() {
        declared["facts"] = json!(action.facts);
    }
    Digest::of_json(&declared)
}

/// A schema without its words for people. A *property* called `description` stays: only keywords go.
fn without_prose(schema: &Value) -> Value {
    let Value::Object(members) = schema else { return schema.clone() };
    let mut bare = Map::new();
    for (name, value) in members.iter().filter(|(name, _)| !is_prose(name)) {
        let value = match keyword(name) {
            Keyword::Schema => without_prose(value),
            Keyword::SchemaMap => each(value),
            // `$defs` is dropped when a document is read, and made anew in the input.
            _ if name == "$defs" => each(value),
            Keyword::SchemaList => {
                Value::Array(value.as_array().into_iter().flatten().map(without_prose).collect())
            }
            _ => value.clone(),
        };
        bare.insert(name.clone(), value);
    }
    Value::Object(bare)
}

fn each(schemas: &Value) -> Value {
    let schemas = schemas.as_object().into_iter().flatten();
    Value::Object(schemas.map(|(name, schema)| (name.clone(), without_prose(schema))).collect())
}
