//! The digest of a declaration: what an approval is bound to. It covers all that decides what runs and who approves,
//! and no prose, so that a better description does not void what waits.

use serde_json::{Map, Value, json};

use crate::{
    action::Action,
    digest::{Digest, write_canonical, write_items, write_members},
};

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
    // The input is most of it, and is written where it stands.
    let input = "input".to_owned();
    let members = declared.as_object().into_iter().flatten().chain([(&input, &action.input)]);
    let mut text = String::new();
    write_members(members, &mut text, |name, value, out| {
        if name == "input" { write_bare(value, out) } else { write_canonical(value, out) }
    });
    Digest::of_bytes(text.as_bytes())
}

/// A schema without its words for people. A *property* called `description` stays: only keywords go.
fn write_bare(schema: &Value, out: &mut String) {
    let Value::Object(members) = schema else { return write_canonical(schema, out) };
    let kept = members.iter().filter(|(name, _)| !is_prose(name));
    write_members(kept, out, |name, value, out| match keyword(name) {
        Keyword::Schema => write_bare(value, out),
        Keyword::SchemaMap => write_each(value, out),
        // `$defs` is dropped when a document is read, and made anew in the input.
        _ if name == "$defs" => write_each(value, out),
        Keyword::SchemaList => write_items(value.as_array().map_or(&[], Vec::as_slice), out, write_bare),
        _ => write_canonical(value, out),
    });
}

fn write_each(schemas: &Value, out: &mut String) {
    let none = Map::new();
    let schemas = schemas.as_object().unwrap_or(&none);
    write_members(schemas.iter(), out, |_, schema, out| write_bare(schema, out));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::canonical_json;

    #[test]
    fn words_for_people_go_and_properties_that_are_called_so_stay() {
        let schema = json!({
            "type": "object", "title": "T", "description": "d", "required": ["title"],
            "properties": {
                "title": {"type": "string", "description": "said \"so\"", "examples": [1]},
                "description": {"type": ["string", "null"], "deprecated": true},
                "list": {"items": {"title": "x", "anyOf": [{"description": "y", "const": {"title": 1}}, true]}},
            },
            "$defs": {"title": {"description": "z", "pattern": "^\\d+\u{1}ä$", "x-guichet": {"title": "kept"}}},
            "allOf": [], "additionalProperties": {"title": "gone"},
        });
        let bare = json!({
            "type": "object", "required": ["title"],
            "properties": {
                "title": {"type": "string"},
                "description": {"type": ["string", "null"]},
                "list": {"items": {"anyOf": [{"const": {"title": 1}}, true]}},
            },
            "$defs": {"title": {"pattern": "^\\d+\u{1}ä$", "x-guichet": {"title": "kept"}}},
            "allOf": [], "additionalProperties": {},
        });
        let mut text = String::new();
        write_bare(&schema, &mut text);
        assert_eq!(text, canonical_json(&bare));
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), bare);
    }
}
