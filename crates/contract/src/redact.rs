//! What may be seen of an input outside the call itself.

use serde_json::{Value, json};

/// What stands in place of a sensitive value.
pub const REDACTED: &str = "[redacted]";

/// How deep inputs and schemas are followed; beyond it everything is hidden.
const DEEPEST: u8 = 32;
/// How many schemas may speak of one value; beyond it the value is hidden.
const MOST_VOICES: usize = 256;

/// With these set to `false`, a schema takes no members but those it names.
const CLOSED: [&str; 2] = ["additionalProperties", "unevaluatedProperties"];

/// The input with every sensitive member replaced by [`REDACTED`].
///
/// A member is sensitive when any schema that speaks of it (through `$ref`, `allOf`, `anyOf`, `oneOf`, `if`/`then`/`else`,
/// `patternProperties`) says `writeOnly: true`, `format: password` or `x-guichet: {sensitive: true}`; in an input marked
/// `all_sensitive`, also when none says `x-guichet: {sensitive: false}`: a field that no one classified counts as
/// sensitive. So does a member that the schema forbids (`additionalProperties: false`).
pub fn redact_input(schema: &Value, input: &Value, all_sensitive: bool) -> Value {
    let voices = voices_of(schema, schema);
    redact(schema, &voices, input, all_sensitive, 0)
}

/// Whether [`redact_input`] could hide anything of an input that the schema takes. When it says no, a valid input need not
/// be gone through.
pub fn may_hide(schema: &Value) -> bool {
    match schema {
        Value::Object(members) => members.iter().any(|(name, member)| {
            matches!(name.as_str(), "writeOnly" | "format" | "sensitive" | "$dynamicRef" | "$recursiveRef")
                && *member != Value::Bool(false)
                && (name != "format" || member == "password")
                || may_hide(member)
        }),
        Value::Array(items) => items.iter().any(may_hide),
        _ => false,
    }
}

/// Whether [`redact_input`] could hide this member of an input, or something in it.
pub fn may_hide_member(schema: &Value, name: &str, all_sensitive: bool) -> bool {
    let voices = voices_of(schema, schema);
    let about: Vec<&Value> =
        schemas_of_member(&voices, name).into_iter().flat_map(|member| voices_of(schema, member)).collect();
    is_sensitive(&about, all_sensitive) || about.iter().any(|member| may_hide(member))
}

fn redact(root: &Value, voices: &[&Value], value: &Value, all_sensitive: bool, depth: u8) -> Value {
    if depth > DEEPEST || voices.len() > MOST_VOICES {
        return json!(REDACTED);
    }
    let shown = |about: Vec<&Value>, part: &Value, unclassified: bool| {
        let voices: Vec<&Value> = about.into_iter().flat_map(|schema| voices_of(root, schema)).collect();
        if is_sensitive(&voices, unclassified) {
            json!(REDACTED)
        } else {
            redact(root, &voices, part, all_sensitive, depth + 1)
        }
    };
    match value {
        Value::Object(members) => members
            .iter()
            .map(|(name, member)| {
                let about = schemas_of_member(voices, name);
                // A member that a closed schema does not know is a typing mistake, perhaps of a secret's name.
                let unknown = about.iter().all(|schema| schema.as_bool() == Some(false))
                    && voices.iter().any(|voice| {
                        CLOSED.iter().any(|keyword| voice.get(keyword) == Some(&Value::Bool(false)))
                    });
                (name.clone(), if unknown { json!(REDACTED) } else { shown(about, member, all_sensitive) })
            })
            .collect(),
        // An item belongs to a member that was classified above: it is hidden when a schema says so.
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(position, item)| shown(schemas_of_item(voices, position), item, false))
            .collect(),
        scalar => scalar.clone(),
    }
}

/// All schemas that speak of the same value: the schema, what it refers to, and its branches.
fn voices_of<'a>(root: &'a Value, schema: &'a Value) -> Vec<&'a Value> {
    let mut voices: Vec<&Value> = Vec::new();
    let mut open = vec![schema];
    while let Some(schema) = open.pop() {
        if voices.len() > MOST_VOICES || voices.iter().any(|voice| std::ptr::eq(*voice, schema)) {
            continue;
        }
        voices.push(schema);
        let pointer =
            schema.get("$ref").and_then(Value::as_str).and_then(|reference| reference.strip_prefix('#'));
        open.extend(pointer.and_then(|pointer| root.pointer(pointer)));
        for keyword in ["allOf", "anyOf", "oneOf"] {
            open.extend(schema.get(keyword).and_then(Value::as_array).into_iter().flatten());
        }
        open.extend(["if", "then", "else"].into_iter().filter_map(|keyword| schema.get(keyword)));
        open.extend(
            schema
                .get("dependentSchemas")
                .and_then(Value::as_object)
                .into_iter()
                .flat_map(|map| map.values()),
        );
    }
    voices
}

fn schemas_of_member<'a>(voices: &[&'a Value], name: &str) -> Vec<&'a Value> {
    let mut found = Vec::new();
    for voice in voices {
        found.extend(voice.get("properties").and_then(|properties| properties.get(name)));
        // Which pattern fits is not worth a regular expression here: all of them are heard.
        found.extend(
            voice
                .get("patternProperties")
                .and_then(Value::as_object)
                .into_iter()
                .flat_map(|map| map.values()),
        );
        found.extend(
            ["additionalProperties", "unevaluatedProperties"]
                .into_iter()
                .filter_map(|keyword| voice.get(keyword)),
        );
    }
    found
}

fn schemas_of_item<'a>(voices: &[&'a Value], position: usize) -> Vec<&'a Value> {
    let mut found = Vec::new();
    for voice in voices {
        found.extend(voice.get("prefixItems").and_then(|items| items.get(position)));
        found.extend(
            ["items", "contains", "unevaluatedItems"].into_iter().filter_map(|keyword| voice.get(keyword)),
        );
    }
    found
}

fn is_sensitive(voices: &[&Value], unclassified: bool) -> bool {
    let said = |wanted: bool| {
        voices
            .iter()
            .any(|voice| voice.pointer("/x-guichet/sensitive").and_then(Value::as_bool) == Some(wanted))
    };
    if said(true) {
        return true;
    }
    if said(false) {
        return false;
    }
    unclassified
        || voices.iter().any(|voice| {
            voice.get("writeOnly").and_then(Value::as_bool) == Some(true)
                || voice.get("format").and_then(Value::as_str) == Some("password")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sensitive_members_are_hidden_at_every_depth() {
        let schema = json!({
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "password": {"type": "string", "format": "password"},
                "key": {"$ref": "#/$defs/Key"},
                "nested": {"type": "object", "properties": {"pin": {"writeOnly": true}, "city": {}}},
                "list": {"type": "array", "items": {"properties": {"token": {"x-guichet": {"sensitive": true}}}}},
                "keys": {"type": "array", "items": {"$ref": "#/$defs/Key"}},
            },
            "$defs": {"Key": {"type": "string", "writeOnly": true}},
        });
        let input = json!({"name": "a", "password": "p", "key": "k", "nested": {"pin": 1, "city": "Lyon"},
            "list": [{"token": "t", "x": 1}], "keys": ["k"]});
        assert_eq!(
            redact_input(&schema, &input, false),
            json!({"name": "a", "password": REDACTED, "key": REDACTED,
                "nested": {"pin": REDACTED, "city": "Lyon"}, "list": [{"token": REDACTED, "x": 1}], "keys": [REDACTED]})
        );
    }

    #[test]
    fn one_branch_that_says_so_is_enough() {
        let secret = json!({"properties": {"secret": {"writeOnly": true}}});
        for schema in [
            json!({"allOf": [{}, secret]}),
            json!({"anyOf": [{"properties": {"secret": {}}}, secret]}),
            json!({"oneOf": [{"$ref": "#/$defs/S"}], "$defs": {"S": secret}}),
            json!({"if": {}, "then": secret}),
            json!({"patternProperties": {"^sec": {"format": "password"}}}),
            json!({"properties": {"secret": {"allOf": [{"format": "password"}]}}}),
        ] {
            assert_eq!(
                redact_input(&schema, &json!({"secret": 1}), false),
                json!({"secret": REDACTED}),
                "{schema}"
            );
        }
    }

    #[test]
    fn a_mistyped_name_does_not_uncover_a_secret() {
        let schema = json!({"properties": {"password": {"format": "password"}, "name": {}}, "additionalProperties": false});
        let input = json!({"pasword": "hunter2", "name": "a"});
        assert_eq!(redact_input(&schema, &input, false), json!({"pasword": REDACTED, "name": "a"}));
        let open = json!({"properties": {"name": {}}});
        assert_eq!(redact_input(&open, &json!({"note": "b"}), false), json!({"note": "b"}));
    }

    #[test]
    fn in_a_sensitive_input_what_no_one_classified_is_hidden() {
        let schema = json!({"properties": {"open": {"x-guichet": {"sensitive": false}}, "other": {}}});
        assert_eq!(
            redact_input(&schema, &json!({"open": 1, "other": 2, "undeclared": 3}), true),
            json!({"open": 1, "other": REDACTED, "undeclared": REDACTED})
        );
    }

    #[test]
    fn where_nothing_is_marked_nothing_need_be_looked_for() {
        let plain = json!({"properties": {"a": {"type": "string", "format": "uuid"}, "b": {"$ref": "#/$defs/B"}},
            "$defs": {"B": {"type": "integer", "x-guichet": {"sensitive": false}}}, "additionalProperties": false});
        assert!(!may_hide(&plain));
        for mark in [
            json!({"format": "password"}),
            json!({"writeOnly": true}),
            json!({"x-guichet": {"sensitive": true}}),
            json!({"items": [{"allOf": [{"writeOnly": true}]}]}),
        ] {
            assert!(may_hide(&json!({"properties": {"a": {}}, "$defs": {"deep": mark}})), "{mark}");
        }
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        let schema = json!({"$ref": "#/$defs/T", "$defs": {"T": {"properties": {"next": {"$ref": "#/$defs/T"}, "pin": {"writeOnly": true}}}}});
        let mut input = json!({"pin": 1});
        for _ in 0..50 {
            input = json!({"next": input});
        }
        assert!(!redact_input(&schema, &input, false).to_string().contains("1}"));
    }
}
