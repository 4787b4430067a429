//! A JSON Schema read as flags: what one member of a flat input takes, and how its text becomes JSON.

use std::{collections::HashSet, fs};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use guichet_contract::{
    Action,
    action::{flag_name, required_members},
};
use serde_json::Value;

use crate::arguments::globals::RESERVED;

/// What a flag takes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    /// A whole number, within these bounds.
    Integer { minimum: Option<i64>, maximum: Option<i64> },
    /// Any number.
    Number,
    /// Present or not.
    Boolean,
    /// One of these.
    Enum(Vec<Value>),
    /// Repeated.
    Array(Box<Kind>),
    /// An object or anything else that only JSON can say; also `@FILE`.
    Json,
    /// A text as it is.
    Text,
    /// Bytes, as base64; also `@FILE`, whose bytes they are.
    Bytes,
    /// A text that does not belong on a command line: `@FILE` or `-` (standard input) only.
    Secret,
}

/// One member of the input, as a flag.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    /// Its name in the input.
    pub(crate) name: String,
    /// Its flag, without dashes.
    pub(crate) flag: String,
    /// The member's exact name, where that is taken too.
    pub(crate) alias: Option<String>,
    /// What it takes.
    pub(crate) kind: Kind,
    /// The action does nothing without it.
    pub(crate) required: bool,
    /// What the provider takes when it is absent.
    pub(crate) default: Option<Value>,
    /// For people.
    pub(crate) description: Option<String>,
    /// The gateway knows the values it can take now.
    pub(crate) live: bool,
}

impl Kind {
    /// Reads a schema, with `$ref`s into `root`.
    pub(crate) fn of(root: &Value, schema: &Value) -> Self {
        let schema = narrow(root, schema);
        if is_secret(schema) {
            return Self::Secret;
        }
        if let Some(values) = schema.get("enum").and_then(Value::as_array) {
            let values: Vec<Value> = values.iter().filter(|value| !value.is_null()).cloned().collect();
            if !values.is_empty() && values.iter().all(|value| !value.is_object() && !value.is_array()) {
                return Self::Enum(values);
            }
        }
        let bound = |name: &str| schema.get(name).and_then(Value::as_i64);
        match type_of(schema) {
            Some("integer") => Self::Integer { minimum: bound("minimum"), maximum: bound("maximum") },
            Some("number") => Self::Number,
            Some("boolean") => Self::Boolean,
            Some("string") if schema.get("contentEncoding").is_some_and(|said| said == "base64") => {
                Self::Bytes
            }
            Some("string") => Self::Text,
            Some("array") => match Self::of(root, schema.get("items").unwrap_or(&Value::Null)) {
                Self::Array(_) => Self::Json,
                item => Self::Array(Box::new(item)),
            },
            _ => Self::Json,
        }
    }

    /// What stands in the place of the value in help.
    pub(crate) fn value_name(&self) -> String {
        let name = match self {
            Self::Integer { .. } => "INTEGER",
            Self::Number => "NUMBER",
            Self::Boolean => "true|false",
            Self::Enum(_) => return self.words().join("|"),
            Self::Array(item) => return item.value_name(),
            Self::Json => "JSON|@FILE",
            Self::Text => "TEXT",
            Self::Bytes => "@FILE|BASE64",
            Self::Secret => "@FILE|-",
        };
        name.to_owned()
    }

    /// One text (of an array: one item) as JSON, or what is wrong with it.
    pub(crate) fn read(&self, text: &str) -> Result<Value, String> {
        match self {
            Self::Integer { minimum, maximum } => {
                let number: i64 =
                    text.trim().parse().map_err(|_| format!("`{text}` is not a whole number"))?;
                match (minimum, maximum) {
                    (Some(minimum), _) if number < *minimum => Err(format!("it is at least {minimum}")),
                    (_, Some(maximum)) if number > *maximum => Err(format!("it is at most {maximum}")),
                    _ => Ok(number.into()),
                }
            }
            Self::Number => {
                let value: Value =
                    serde_json::from_str(text.trim()).map_err(|_| format!("`{text}` is not a number"))?;
                if value.is_number() { Ok(value) } else { Err(format!("`{text}` is not a number")) }
            }
            Self::Boolean => match text.trim() {
                "true" | "yes" => Ok(true.into()),
                "false" | "no" => Ok(false.into()),
                _ => Err(format!("`{text}` is neither true nor false")),
            },
            Self::Enum(values) => values
                .iter()
                .find(|value| word(value) == text)
                .cloned()
                .ok_or_else(|| format!("it is one of {}", self.words().join(", "))),
            Self::Array(item) => item.read(text),
            Self::Json => {
                let text = match text.strip_prefix('@') {
                    Some(path) => fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?,
                    None => text.to_owned(),
                };
                serde_json::from_str(&text).map_err(|error| format!("it is not JSON: {error}"))
            }
            Self::Bytes => match text.strip_prefix('@') {
                Some(path) => {
                    let bytes = fs::read(path).map_err(|error| format!("{path}: {error}"))?;
                    Ok(STANDARD.encode(bytes).into())
                }
                None => Ok(text.into()),
            },
            // A secret is read later, by `read_secret`: a parser's error would repeat what was typed.
            Self::Text | Self::Secret => Ok(text.into()),
        }
    }

    /// The words of an enum.
    pub(crate) fn words(&self) -> Vec<String> {
        match self {
            Self::Enum(values) => values.iter().map(word).collect(),
            Self::Array(item) => item.words(),
            _ => Vec::new(),
        }
    }
}

fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A secret from where it may be: `@FILE` or `-`. The error does not repeat what was typed.
pub(crate) fn read_secret(text: &str) -> Result<String, String> {
    let read = match text.strip_prefix('@') {
        Some(path) => fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?,
        None if text == "-" => {
            std::io::read_to_string(std::io::stdin()).map_err(|error| format!("standard input: {error}"))?
        }
        None => {
            return Err("it is secret, and a command line is seen by others: \
                        write @FILE, or - for standard input"
                .to_owned());
        }
    };
    Ok(read.trim_end_matches(['\r', '\n']).to_owned())
}

/// The members of an action's input, required ones first, else in the order of the schema.
pub(crate) fn members(action: &Action) -> Vec<Member> {
    let root = &action.input;
    let required: HashSet<&str> = required_members(root).collect();
    let mut taken: HashSet<String> = RESERVED.iter().map(|name| (*name).to_owned()).collect();
    let mut members = Vec::new();
    let properties = root.get("properties").and_then(Value::as_object);
    for (name, schema) in properties.into_iter().flatten() {
        let kind = Kind::of(root, schema);
        let narrowed = narrow(root, schema);
        let Some(flag) = free_flag(name, &taken) else { continue };
        taken.insert(flag.clone());
        if kind == Kind::Boolean {
            taken.insert(format!("no-{flag}"));
        }
        let alias = (*name != flag && is_flag(name) && taken.insert(name.clone())).then(|| name.clone());
        let text = |member: &str| {
            let of = |schema: &Value| schema.get(member).and_then(Value::as_str).map(str::to_owned);
            of(schema).or_else(|| of(narrowed))
        };
        members.push(Member {
            required: required.contains(name.as_str()),
            default: schema.get("default").or_else(|| narrowed.get("default")).cloned(),
            description: text("description").or_else(|| text("title")),
            live: action.options.contains_key(name),
            name: name.clone(),
            flag,
            alias,
            kind,
        });
    }
    members.sort_by_key(|member| !member.required);
    members
}

/// `--pid`; where a flag of every command has that name already, `--input-timeout`.
fn free_flag(name: &str, taken: &HashSet<String>) -> Option<String> {
    let flag = flag_name(name);
    let flag = if flag.is_empty() { "member".to_owned() } else { flag };
    let prefixed = format!("input-{flag}");
    let exact = name.to_owned();
    [flag, prefixed, exact].into_iter().find(|flag| is_flag(flag) && !taken.contains(flag))
}

fn is_flag(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('-')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// Follows `$ref`, and `anyOf: [X, null]` to X.
fn narrow<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let mut schema = schema;
    for _ in 0..16 {
        if let Some(pointer) = schema.get("$ref").and_then(Value::as_str).and_then(|r| r.strip_prefix('#')) {
            match root.pointer(pointer) {
                Some(target) => schema = target,
                None => return schema,
            }
            continue;
        }
        let alternatives = schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Value::as_array);
        let mut real = alternatives.into_iter().flatten().filter(|one| type_of(one) != Some("null"));
        match (real.next(), real.next()) {
            (Some(only), None) => schema = only,
            _ => return schema,
        }
    }
    schema
}

fn type_of(schema: &Value) -> Option<&str> {
    match schema.get("type")? {
        Value::String(name) => Some(name),
        Value::Array(names) => {
            let mut real = names.iter().filter_map(Value::as_str).filter(|name| *name != "null");
            match (real.next(), real.next()) {
                (Some(only), None) => Some(only),
                _ => None,
            }
        }
        _ => None,
    }
}

fn is_secret(schema: &Value) -> bool {
    schema.get("format").and_then(Value::as_str) == Some("password")
        || (type_of(schema) == Some("string")
            && (schema.get("writeOnly").and_then(Value::as_bool) == Some(true)
                || schema.pointer("/x-guichet/sensitive").and_then(Value::as_bool) == Some(true)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn schemas_become_kinds() {
        let root = json!({"$defs": {"Size": {"type": "string", "enum": ["small", "large"]}}});
        let size = || Kind::Enum(vec![json!("small"), json!("large")]);
        for (schema, kind) in [
            (json!({"type": "integer", "minimum": 1}), Kind::Integer { minimum: Some(1), maximum: None }),
            (json!({"type": ["integer", "null"]}), Kind::Integer { minimum: None, maximum: None }),
            (json!({"type": "number"}), Kind::Number),
            (json!({"type": "boolean"}), Kind::Boolean),
            (json!({"$ref": "#/$defs/Size"}), size()),
            (json!({"anyOf": [{"$ref": "#/$defs/Size"}, {"type": "null"}]}), size()),
            (json!({"type": "array", "items": {"$ref": "#/$defs/Size"}}), Kind::Array(Box::new(size()))),
            (json!({"type": "array", "items": {"type": "array"}}), Kind::Json),
            (json!({"type": "object"}), Kind::Json),
            (json!({}), Kind::Json),
            (json!({"type": "string", "format": "password"}), Kind::Secret),
            (json!({"type": "string", "format": "date"}), Kind::Text),
        ] {
            assert_eq!(Kind::of(&root, &schema), kind, "{schema}");
        }
    }

    #[test]
    fn texts_become_json_of_that_kind() {
        let integer = Kind::Integer { minimum: Some(1), maximum: Some(9) };
        assert_eq!(integer.read("7"), Ok(json!(7)));
        assert!(integer.read("10").is_err());
        assert!(integer.read("7.5").is_err());
        assert_eq!(Kind::Number.read("7.5"), Ok(json!(7.5)));
        assert!(Kind::Number.read("\"7\"").is_err());
        assert_eq!(Kind::Enum(vec![json!(15), json!(16)]).read("16"), Ok(json!(16)));
        assert_eq!(Kind::Json.read("{\"a\":[1]}"), Ok(json!({"a": [1]})));
        assert_eq!(Kind::Text.read("007"), Ok(json!("007")));
        assert!(read_secret("hunter2").is_err_and(|why| !why.contains("hunter2")));
    }
}
