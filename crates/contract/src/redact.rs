//! What may be seen of an input outside the call itself.

use serde_json::{Value, json};

/// What stands in place of a sensitive value.
pub const REDACTED: &str = "[redacted]";

/// The input with every sensitive member replaced by [`REDACTED`].
///
/// A member is sensitive when its schema says `writeOnly: true`, `format: password` or
/// `x-guichet: {sensitive: true}`; in an input marked `all_sensitive`, also when its schema does not say
/// `x-guichet: {sensitive: false}`: a field that no one classified counts as sensitive. Looks through local
/// `$ref`s, objects and arrays.
pub fn redact_input(schema: &Value, input: &Value, all_sensitive: bool) -> Value {
    redact(schema, schema, input, all_sensitive, 0)
}

fn redact(root: &Value, schema: &Value, value: &Value, all_sensitive: bool, depth: u8) -> Value {
    if depth > 32 {
        return json!(REDACTED);
    }
    let schema = resolve(root, schema);
    match value {
        Value::Object(members) => {
            let properties = schema.get("properties");
            members
                .iter()
                .map(|(name, member)| {
                    let member_schema = properties
                        .and_then(|properties| properties.get(name))
                        .or_else(|| schema.get("additionalProperties"))
                        .map_or(&Value::Null, |member_schema| resolve(root, member_schema));
                    let shown = if is_sensitive(member_schema, all_sensitive) {
                        json!(REDACTED)
                    } else {
                        redact(root, member_schema, member, all_sensitive, depth + 1)
                    };
                    (name.clone(), shown)
                })
                .collect()
        }
        Value::Array(items) => {
            let item_schema = schema.get("items").unwrap_or(&Value::Null);
            if is_sensitive(resolve(root, item_schema), false) {
                return json!(REDACTED);
            }
            items.iter().map(|item| redact(root, item_schema, item, all_sensitive, depth + 1)).collect()
        }
        scalar => scalar.clone(),
    }
}

fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let mut schema = schema;
    for _ in 0..16 {
        let Some(pointer) = schema.get("$ref").and_then(Value::as_str).and_then(|r| r.strip_prefix('#')) else {
            return schema;
        };
        match root.pointer(pointer) {
            Some(target) => schema = target,
            None => return schema,
        }
    }
    schema
}

fn is_sensitive(schema: &Value, all_sensitive: bool) -> bool {
    match schema.pointer("/x-guichet/sensitive").and_then(Value::as_bool) {
        Some(said) => said,
        None => {
            all_sensitive
                || schema.get("writeOnly").and_then(Value::as_bool) == Some(true)
                || schema.get("format").and_then(Value::as_str) == Some("password")
        }
    }
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
            },
            "$defs": {"Key": {"type": "string", "writeOnly": true}},
        });
        let input = json!({"name": "a", "password": "p", "key": "k", "nested": {"pin": 1, "city": "Lyon"},
            "list": [{"token": "t", "x": 1}]});
        assert_eq!(
            redact_input(&schema, &input, false),
            json!({"name": "a", "password": REDACTED, "key": REDACTED,
                "nested": {"pin": REDACTED, "city": "Lyon"}, "list": [{"token": REDACTED, "x": 1}]})
        );
    }

    #[test]
    fn in_a_sensitive_input_what_no_one_classified_is_hidden() {
        let schema = json!({"properties": {"open": {"x-guichet": {"sensitive": false}}, "other": {}}});
        assert_eq!(
            redact_input(&schema, &json!({"open": 1, "other": 2, "undeclared": 3}), true),
            json!({"open": 1, "other": REDACTED, "undeclared": REDACTED})
        );
    }
}
