//! From a Rust type to the JSON Schema of a flat input.

use std::borrow::Cow;

use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

/// The generator of one provider's document: named types land in `components/schemas`.
pub(crate) fn generator() -> SchemaGenerator {
    let mut settings = SchemaSettings::draft2020_12();
    settings.meta_schema = None;
    settings.definitions_path = Cow::Borrowed("/components/schemas");
    settings.into_generator()
}

/// The schema of an input type: an object, written out in place so that a declaration can add to its members.
pub(crate) fn of_input<I: JsonSchema>(generator: &mut SchemaGenerator) -> Result<Map<String, Value>, String> {
    let mut schema = I::json_schema(generator).to_value();
    for _ in 0..8 {
        let Some(name) = schema.get("$ref").and_then(Value::as_str).and_then(|r| r.rsplit('/').next()) else {
            break;
        };
        match generator.definitions().get(name) {
            Some(target) => schema = target.clone(),
            None => break,
        }
    }
    object(schema).map_err(|why| format!("its input type `{}` {why}", I::schema_name()))
}

/// The schema of an input that is known as a schema alone.
pub(crate) fn of_value(schema: Value) -> Result<Map<String, Value>, String> {
    object(schema).map_err(|why| format!("the schema of its input {why}"))
}

fn object(schema: Value) -> Result<Map<String, Value>, String> {
    let Value::Object(mut schema) = schema else { return Err("is no object".to_owned()) };
    if schema.get("type").and_then(Value::as_str) != Some("object") {
        return Err("is not a struct with named fields: its `type` must be `object`".to_owned());
    }
    let _ = schema.remove("title");
    let _ = schema.remove("description");
    schema.entry("properties").or_insert_with(|| json!({}));
    let composed = ["allOf", "anyOf", "oneOf", "unevaluatedProperties"];
    if !composed.iter().any(|keyword| schema.contains_key(*keyword)) {
        // A misspelt member must be told, not dropped.
        schema.entry("additionalProperties").or_insert(Value::Bool(false));
    }
    schema.values_mut().for_each(bound_integers);
    Ok(schema)
}

/// Writes the bounds of Rust's integers as JSON Schema says them: `format: int32` alone refuses nothing, and a
/// number that does not fit must be refused where the person types it.
pub(crate) fn bound_integers(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(bound_integers),
        Value::Object(members) => {
            let bounds: Option<(i64, i64)> = match members.get("format").and_then(Value::as_str) {
                Some("int8") => Some((i8::MIN.into(), i8::MAX.into())),
                Some("int16") => Some((i16::MIN.into(), i16::MAX.into())),
                Some("int32") => Some((i32::MIN.into(), i32::MAX.into())),
                Some("uint32") => Some((0, u32::MAX.into())),
                _ => None,
            };
            if let Some((least, most)) = bounds {
                members.entry("minimum").or_insert_with(|| json!(least));
                members.entry("maximum").or_insert_with(|| json!(most));
            }
            members.values_mut().for_each(bound_integers);
        }
        _ => {}
    }
}

/// The schema that `schema` stands for, through references to `components/schemas`.
pub(crate) fn resolve<'a>(schema: &'a Value, definitions: &'a Map<String, Value>) -> &'a Value {
    let mut schema = schema;
    for _ in 0..16 {
        let Some(name) = schema.get("$ref").and_then(Value::as_str).and_then(|r| r.rsplit('/').next()) else {
            return schema;
        };
        match definitions.get(name) {
            Some(target) => schema = target,
            None => return schema,
        }
    }
    schema
}

/// Whether a schema says plainly that a value may be of this type.
pub(crate) fn takes(schema: &Value, kind: &str, definitions: &Map<String, Value>, depth: u8) -> bool {
    let schema = resolve(schema, definitions);
    let named = match schema.get("type") {
        Some(Value::String(name)) => name == kind,
        Some(Value::Array(names)) => names.iter().any(|name| name == kind),
        _ => kind == "object" && schema.get("properties").is_some(),
    };
    let mut branches = ["anyOf", "oneOf", "allOf"]
        .into_iter()
        .filter_map(|keyword| schema.get(keyword).and_then(Value::as_array))
        .flatten();
    named || (depth < 8 && branches.any(|branch| takes(branch, kind, definitions, depth + 1)))
}

/// Removes `null` from what a schema allows: in a path or a query, what is absent is null.
pub(crate) fn without_null(schema: &mut Value) {
    let Some(members) = schema.as_object_mut() else { return };
    if let Some(Value::Array(kinds)) = members.get_mut("type") {
        kinds.retain(|kind| kind != "null");
        if let [only] = kinds.as_slice() {
            let only = only.clone();
            let _ = members.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(values)) = members.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    if members.get("default").is_some_and(Value::is_null) {
        let _ = members.remove("default");
    }
    let Some(Value::Array(branches)) = members.get_mut("anyOf") else { return };
    branches.retain(|branch| branch.get("type").and_then(Value::as_str) != Some("null"));
    if let [Value::Object(only)] = branches.as_slice() {
        let only = only.clone();
        let _ = members.remove("anyOf");
        members.extend(only);
    }
}
