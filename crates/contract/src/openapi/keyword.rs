//! The keywords of JSON Schema 2020-12 as OpenAPI 3.1 uses them: which hold schemas, which are plain values and of
//! which kind, and which cannot travel into a flat input.

use std::collections::HashSet;

use serde_json::Value;

/// What stands under a keyword.
pub(super) enum Keyword {
    /// One schema.
    Schema,
    /// Schemas by name.
    SchemaMap,
    /// A list of schemas.
    SchemaList,
    /// `$ref`.
    Reference,
    /// `x-guichet`.
    Extension,
    /// Of no use in an input.
    Dropped,
    /// Cannot be taken; with the reason and what to do.
    Refused(&'static str),
    /// A plain value, which the function accepts, and what it should be.
    Plain(fn(&Value) -> bool, &'static str),
}

/// What stands under this keyword. An unknown one is kept as it is: JSON Schema lets it mean nothing.
pub(super) fn keyword(name: &str) -> Keyword {
    match name {
        "items"
        | "additionalProperties"
        | "unevaluatedItems"
        | "unevaluatedProperties"
        | "contains"
        | "propertyNames"
        | "not"
        | "if"
        | "then"
        | "else"
        | "contentSchema" => Keyword::Schema,
        "properties" | "patternProperties" | "dependentSchemas" => Keyword::SchemaMap,
        "allOf" | "anyOf" | "oneOf" | "prefixItems" => Keyword::SchemaList,
        "$ref" => Keyword::Reference,
        "x-guichet" => Keyword::Extension,
        // Definitions are gathered anew from what is used; the others speak of documents, not of inputs.
        "$defs" | "definitions" | "$schema" | "$comment" | "$vocabulary" | "$anchor" | "xml"
        | "externalDocs" | "discriminator" => Keyword::Dropped,
        "$id" => Keyword::Refused("`$id` changes what the references below it mean; take it out"),
        "$dynamicRef" | "$dynamicAnchor" | "$recursiveRef" | "$recursiveAnchor" => {
            Keyword::Refused("dynamic references are not read; use a plain `$ref`")
        }
        "type" => Keyword::Plain(
            is_type,
            "one of null, boolean, object, array, number, integer, string, or a list of them, each once",
        ),
        "enum" | "examples" => Keyword::Plain(Value::is_array, "a list"),
        "required" => Keyword::Plain(is_texts, "a list of names, each once"),
        "dependentRequired" => Keyword::Plain(is_texts_by_name, "lists of names, by name"),
        "minLength" | "maxLength" | "minItems" | "maxItems" | "minProperties" | "maxProperties"
        | "minContains" | "maxContains" => Keyword::Plain(is_count, "a whole number, 0 or more"),
        "minimum" | "maximum" => Keyword::Plain(Value::is_number, "a number"),
        "exclusiveMinimum" | "exclusiveMaximum" => {
            Keyword::Plain(Value::is_number, "a number (true and false are OpenAPI 3.0's way)")
        }
        "multipleOf" => Keyword::Plain(is_positive, "a number above 0"),
        "pattern" | "format" | "title" | "description" => Keyword::Plain(Value::is_string, "a text"),
        "uniqueItems" | "readOnly" | "writeOnly" | "deprecated" => {
            Keyword::Plain(Value::is_boolean, "true or false")
        }
        other if other.starts_with("x-") => Keyword::Dropped,
        _ => Keyword::Plain(|_| true, ""),
    }
}

/// Says something about a value and constrains nothing: may stand beside a `$ref` without changing what is valid.
pub(super) fn is_annotation(name: &str) -> bool {
    matches!(
        name,
        "description"
            | "title"
            | "summary"
            | "default"
            | "example"
            | "examples"
            | "deprecated"
            | "readOnly"
            | "writeOnly"
            | "xml"
            | "externalDocs"
            | "discriminator"
            | "$comment"
    ) || name.starts_with("x-")
}

/// Words for people only: neither what is valid nor what is sent depends on them.
pub(super) fn is_prose(name: &str) -> bool {
    matches!(name, "description" | "title" | "example" | "examples" | "deprecated")
}

/// Applies to the same value as the schema that contains it, so a circle of these never ends.
pub(super) fn is_in_place(name: &str) -> bool {
    matches!(name, "allOf" | "anyOf" | "oneOf" | "not" | "if" | "then" | "else" | "dependentSchemas")
}

fn is_type(value: &Value) -> bool {
    let known = |name: &Value| {
        matches!(
            name.as_str(),
            Some("null" | "boolean" | "object" | "array" | "number" | "integer" | "string")
        )
    };
    match value {
        Value::Array(names) => !names.is_empty() && names.iter().all(known) && are_unique(names),
        name => known(name),
    }
}

fn is_texts(value: &Value) -> bool {
    value.as_array().is_some_and(|items| items.iter().all(Value::is_string) && are_unique(items))
}

fn are_unique(items: &[Value]) -> bool {
    let mut seen = HashSet::new();
    items.iter().all(|item| seen.insert(item.as_str()))
}

fn is_texts_by_name(value: &Value) -> bool {
    value.as_object().is_some_and(|members| members.values().all(is_texts))
}

fn is_count(value: &Value) -> bool {
    value.as_u64().is_some()
}

fn is_positive(value: &Value) -> bool {
    value.as_f64().is_some_and(|number| number > 0.0)
}
