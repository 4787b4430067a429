//! The versions that are read, and what schemas of OpenAPI 3.0 say in other words than those of 3.1.
//!
//! Swagger 2.0 becomes 3.0 before anything is read (`swagger`); schemas of 3.0 become today's one by one, while they are
//! rewritten, so that all pointers stay those of the document.

use serde_json::{Map, Value, json};

use super::{
    finding::Finding,
    keyword::is_annotation,
    place::{At, kind},
};

/// Whose words a document's schemas are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// OpenAPI 3.0: an extended subset of JSON Schema's fifth draft.
    V30,
    /// OpenAPI 3.1: JSON Schema 2020-12.
    V31,
}

/// The version that a document names.
pub(super) fn of(root: &At<'_>) -> Result<Dialect, Finding> {
    if !root.value.is_object() {
        return Err(Finding::new(
            "",
            format!("an OpenAPI document is an object; this is {}", kind(root.value)),
        ));
    }
    if let Some(version) = root.value.get("swagger") {
        return Err(Finding::new(
            "/swagger",
            format!("this is a Swagger {version} document, and 2.0 is read; offer that, or OpenAPI 3.1"),
        ));
    }
    let is = |version: &str, wanted: &str| {
        version.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    match root.value.get("openapi").and_then(Value::as_str) {
        // What 3.2 adds to 3.1 is either optional or told where it stands.
        Some(version) if is(version, "3.1") || is(version, "3.2") => Ok(Dialect::V31),
        Some(version) if is(version, "3.0") => Ok(Dialect::V30),
        Some(version) => Err(Finding::new(
            "/openapi",
            format!(
                "this is an OpenAPI `{version}` document, and 2.0, 3.0 and 3.1 are read; offer one of these"
            ),
        )),
        None => Err(Finding::new(
            "",
            "`openapi` is missing: an OpenAPI document says `openapi: 3.1.0` (or `swagger: \"2.0\"`) at its top",
        )),
    }
}

/// Whether this keyword means something else in 3.0 than today, and is said again by [`modernise`].
pub(super) fn is_old(name: &str, value: &Value) -> bool {
    match name {
        "nullable" | "example" => true,
        // `required` names members; true and false are an older habit, and say nothing about the value itself.
        "exclusiveMinimum" | "exclusiveMaximum" | "required" => value.is_boolean(),
        "type" => value == "file",
        "items" => value.is_array(),
        _ => false,
    }
}

/// Says in today's words what `old` says in those of 3.0, in the schema that was made of the rest of it.
pub(super) fn modernise(schema: &mut Map<String, Value>, old: &Map<String, Value>) {
    for (limit, exclusive) in [("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")] {
        if old.get(exclusive) == Some(&Value::Bool(true))
            && let Some(bound) = schema.shift_remove(limit)
        {
            schema.insert(exclusive.to_owned(), bound);
        }
    }
    if old.get("type").is_some_and(|named| named == "file") {
        schema.insert("type".to_owned(), json!("string"));
        schema.insert("format".to_owned(), json!("binary"));
    }
    if let Some(example) = old.get("example") {
        schema.entry("examples").or_insert_with(|| json!([example]));
    }
    if old.get("nullable") == Some(&Value::Bool(true)) {
        allow_null(schema);
    }
}

fn allow_null(schema: &mut Map<String, Value>) {
    match schema.get_mut("type") {
        Some(Value::String(name)) if name != "null" => {
            let name = std::mem::take(name);
            schema.insert("type".to_owned(), json!([name, "null"]));
        }
        Some(Value::Array(names)) if !names.iter().any(|name| name == "null") => names.push(json!("null")),
        Some(_) => {}
        // Without a type of its own it is what its parts are; null is one thing more.
        None => {
            let (said, bound): (Map<_, _>, Map<_, _>) =
                std::mem::take(schema).into_iter().partition(|(name, _)| is_annotation(name));
            *schema = said;
            if !bound.is_empty() {
                schema.insert("anyOf".to_owned(), json!([bound, {"type": "null"}]));
            }
            return;
        }
    }
    if let Some(Value::Array(choices)) = schema.get_mut("enum")
        && !choices.contains(&Value::Null)
    {
        choices.push(Value::Null);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_3_0_become_today_s() {
        for (old, today) in [
            (json!({"type": "string", "nullable": true}), json!({"type": ["string", "null"]})),
            (json!({"type": "string", "nullable": false}), json!({"type": "string"})),
            (
                json!({"type": "string", "nullable": true, "enum": ["a"]}),
                json!({"type": ["string", "null"], "enum": ["a", null]}),
            ),
            (
                json!({"allOf": [{"type": "string"}], "nullable": true, "description": "d"}),
                json!({"description": "d", "anyOf": [{"allOf": [{"type": "string"}]}, {"type": "null"}]}),
            ),
            (json!({"nullable": true}), json!({})),
            (json!({"minimum": 1, "exclusiveMinimum": true}), json!({"exclusiveMinimum": 1})),
            (json!({"minimum": 1, "exclusiveMinimum": false}), json!({"minimum": 1})),
            (json!({"exclusiveMaximum": true}), json!({})),
            (json!({"type": "integer", "example": 5}), json!({"type": "integer", "examples": [5]})),
            (json!({"type": "file"}), json!({"type": "string", "format": "binary"})),
        ] {
            let members = old.as_object().unwrap();
            let mut schema: Map<String, Value> = members
                .iter()
                .filter(|(name, value)| !is_old(name, value))
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect();
            modernise(&mut schema, members);
            assert_eq!(Value::Object(schema), today, "{old}");
        }
    }
}
