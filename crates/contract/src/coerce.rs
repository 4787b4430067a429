//! Text from a query string or a flag as the JSON value its schema asks for.
//!
//! Nothing is rejected here: text that does not fit stays a string, so that validation names what is wrong with it.

use std::cell::Cell;

use serde_json::{Number, Value};

/// References and combinations inside one another that are followed.
const DEEPEST: u8 = 32;
/// Schemas looked at for one value: branches of branches of branches must not be able to keep a gateway busy.
const MOST_STEPS: u32 = 10_000;

/// One text as the value its schema asks for. `schema_root` is what `#/…` references start from.
///
/// A number, `true`, `false` or `null` becomes one only where the schema allows it; `null` never where it also
/// allows a string. A list or an object is taken as JSON text; where a list is asked for, any other text is its only
/// item.
pub fn coerce_text(schema_root: &Value, schema: &Value, text: &str) -> Value {
    Reader::new(schema_root).fit(schema, text, 0).unwrap_or_else(|| Value::from(text))
}

/// Texts that were given under one name, `?a=1&a=2`, as the value their schema asks for.
///
/// A list where it asks for a list, or where there are several, so that validation says that one was expected.
pub fn coerce_texts(schema_root: &Value, schema: &Value, texts: &[&str]) -> Value {
    if let [text] = texts {
        return coerce_text(schema_root, schema, text);
    }
    let reader = Reader::new(schema_root);
    let list = reader.list_schema(schema, 0).unwrap_or(schema);
    Value::Array(reader.items(list, texts, 0))
}

/// Reads texts against one schema document.
struct Reader<'s> {
    root: &'s Value,
    steps: Cell<u32>,
}

impl<'s> Reader<'s> {
    fn new(root: &'s Value) -> Self {
        Self { root, steps: Cell::new(0) }
    }

    /// Whether to go on.
    fn may_look(&self, depth: u8) -> bool {
        self.steps.set(self.steps.get() + 1);
        depth <= DEEPEST && self.steps.get() <= MOST_STEPS
    }

    /// `None` when the text is not what this schema asks for.
    fn fit(&self, schema: &Value, text: &str, depth: u8) -> Option<Value> {
        if !self.may_look(depth) {
            return None;
        }
        if let Some(target) = self.referenced(schema) {
            return self.fit(target, text, depth + 1);
        }
        if let Some(only) = schema.get("const") {
            return matching(only, text);
        }
        if let Some(choices) = schema.get("enum").and_then(Value::as_array) {
            return choices.iter().find_map(|choice| matching(choice, text));
        }
        let types = types(schema);
        if !types.is_empty() {
            return types
                .iter()
                .filter(|name| **name != "null")
                .find_map(|name| self.as_type(schema, name, text, depth))
                .or_else(|| (types.contains(&"null") && matches!(text, "null" | "")).then_some(Value::Null));
        }
        for combination in ["anyOf", "oneOf", "allOf"] {
            if let Some(branches) = schema.get(combination).and_then(Value::as_array) {
                let fitting = branches.iter().filter_map(|branch| self.fit(branch, text, depth + 1));
                return fitting.min_by_key(|value| rank(value, text));
            }
        }
        // Nothing is asked for: only what can be nothing but a list or an object is taken as one.
        container(text).or_else(|| Some(Value::from(text)))
    }

    fn as_type(&self, schema: &Value, name: &str, text: &str, depth: u8) -> Option<Value> {
        match name {
            "integer" => number(text).filter(|number| number.is_i64() || number.is_u64()).map(Value::Number),
            "number" => number(text).map(Value::Number),
            "boolean" => text.parse().ok().map(Value::Bool),
            "object" => container(text).filter(Value::is_object),
            "array" => {
                let is_string_too = types(schema).contains(&"string");
                container(text)
                    .filter(Value::is_array)
                    .or_else(|| (!is_string_too).then(|| Value::Array(self.items(schema, &[text], depth))))
            }
            "string" => Some(Value::from(text)),
            _ => None,
        }
    }

    fn items(&self, list: &Value, texts: &[&str], depth: u8) -> Vec<Value> {
        let first = list.get("prefixItems").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let rest = list.get("items").unwrap_or(&Value::Bool(true));
        let schema_of = |position: usize| first.get(position).unwrap_or(rest);
        let item = |(position, text): (usize, &&str)| {
            self.fit(schema_of(position), text, depth + 1).unwrap_or_else(|| Value::from(*text))
        };
        texts.iter().enumerate().map(item).collect()
    }

    /// The part of a schema that asks for a list.
    fn list_schema(&self, schema: &'s Value, depth: u8) -> Option<&'s Value> {
        if !self.may_look(depth) {
            return None;
        }
        if let Some(target) = self.referenced(schema) {
            return self.list_schema(target, depth + 1);
        }
        if types(schema).contains(&"array") {
            return Some(schema);
        }
        ["anyOf", "oneOf", "allOf"]
            .iter()
            .filter_map(|combination| schema.get(combination)?.as_array())
            .flatten()
            .find_map(|branch| self.list_schema(branch, depth + 1))
    }

    /// What a `$ref` names; what stands beside it only narrows.
    fn referenced<'a>(&self, schema: &'a Value) -> Option<&'a Value>
    where
        's: 'a,
    {
        self.root.pointer(schema.get("$ref")?.as_str()?.strip_prefix('#')?)
    }
}

/// The types a schema asks for, the most particular first: `"80"` is an integer where integer or string is allowed.
fn types(schema: &Value) -> Vec<&str> {
    let named: Vec<&str> = match schema.get("type") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ if schema.get("properties").is_some() => vec!["object"],
        _ if schema.get("items").is_some() => vec!["array"],
        _ => Vec::new(),
    };
    let order = ["integer", "number", "boolean", "object", "array", "string", "null"];
    // A list takes any text as its only item, so it comes after a plain string unless the text is JSON.
    order.into_iter().filter(|name| named.contains(name)).collect()
}

/// A JSON number without white space around it.
fn number(text: &str) -> Option<Number> {
    if text.trim() != text {
        return None;
    }
    // A whole number too long for 64 bits would be read as a float and lose digits unseen.
    let number: Number = serde_json::from_str(text).ok()?;
    let whole = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    (!whole || !number.is_f64()).then_some(number)
}

/// A list or an object, as JSON text.
fn container(text: &str) -> Option<Value> {
    if !text.trim_start().starts_with(['[', '{']) {
        return None;
    }
    serde_json::from_str(text).ok()
}

/// Whether the text means this choice: a string as it is, anything else as its JSON text.
fn matching(choice: &Value, text: &str) -> Option<Value> {
    let fits = match choice {
        Value::String(word) => word == text,
        other => serde_json::from_str::<Value>(text).is_ok_and(|value| value == *other),
    };
    fits.then(|| choice.clone())
}

/// Which of several fitting values is meant, the least first: a string fits nearly everywhere, a list takes any text
/// as its only item, and `null` is meant where nothing else can be.
fn rank(value: &Value, text: &str) -> u8 {
    match value {
        Value::String(_) => 1,
        Value::Array(_) if !text.trim_start().starts_with('[') => 2,
        Value::Null => 3,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn text_becomes_what_the_schema_asks_for() {
        let root = json!({"$defs": {
            "Port": {"type": "integer"},
            "Tree": {"type": "array", "items": {"$ref": "#/$defs/Tree"}},
            "Itself": {"$ref": "#/$defs/Itself"},
        }});
        for (schema, text, expected) in [
            (json!({"type": "integer"}), "80", json!(80)),
            (json!({"type": "integer"}), "-80", json!(-80)),
            (json!({"type": "integer"}), "18446744073709551615", json!(u64::MAX)),
            (json!({"type": "integer"}), "18446744073709551616", json!("18446744073709551616")),
            (json!({"type": "integer"}), "8.5", json!("8.5")),
            (json!({"type": "integer"}), "007", json!("007")),
            (json!({"type": "integer"}), " 8", json!(" 8")),
            (json!({"type": "integer"}), "", json!("")),
            (json!({"type": "number"}), "8.5", json!(8.5)),
            (json!({"type": "number"}), "8", json!(8)),
            (json!({"type": "number"}), "1e400", json!("1e400")),
            (json!({"type": "number"}), "NaN", json!("NaN")),
            (json!({"type": "boolean"}), "true", json!(true)),
            (json!({"type": "boolean"}), "yes", json!("yes")),
            (json!({"type": "string"}), "80", json!("80")),
            (json!({"type": "string"}), "null", json!("null")),
            (json!({"type": ["string", "null"]}), "null", json!("null")),
            (json!({"type": ["integer", "null"]}), "null", Value::Null),
            (json!({"type": ["integer", "null"]}), "", Value::Null),
            (json!({"type": ["integer", "null"]}), "7", json!(7)),
            (json!({"type": ["string", "integer"]}), "80", json!(80)),
            (json!({"type": ["string", "integer"]}), "http", json!("http")),
            (json!({"anyOf": [{"type": "string"}, {"type": "integer"}]}), "80", json!(80)),
            (json!({"oneOf": [{"type": "null"}, {"type": "string"}]}), "null", json!("null")),
            (json!({"anyOf": [{"type": "integer"}, {"type": "null"}]}), "null", Value::Null),
            (json!({"allOf": [{"type": "integer"}, {"minimum": 1}]}), "80", json!(80)),
            (json!({"anyOf": [{"type": "array"}, {"type": "integer"}]}), "5", json!(5)),
            (
                json!({"anyOf": [{"type": "array", "items": {"type": "integer"}}, {"type": "integer"}]}),
                "[5]",
                json!([5]),
            ),
            (json!({"enum": [1, "two", null, true]}), "1", json!(1)),
            (json!({"enum": [1, "two", null, true]}), "two", json!("two")),
            (json!({"enum": [1, "two", null, true]}), "null", Value::Null),
            (json!({"enum": [1, "two", null, true]}), "three", json!("three")),
            (json!({"enum": ["1", 2]}), "1", json!("1")),
            (json!({"const": 5}), "5", json!(5)),
            (json!({"$ref": "#/$defs/Port"}), "80", json!(80)),
            (json!({"$ref": "#/$defs/Port", "description": "a port"}), "80", json!(80)),
            (json!({"$ref": "#/$defs/Missing"}), "80", json!("80")),
            (json!({"$ref": "#/$defs/Itself"}), "80", json!("80")),
            (json!({"type": "object"}), r#"{"a": [1]}"#, json!({"a": [1]})),
            (json!({"type": "object"}), "{a", json!("{a")),
            (json!({"properties": {"a": {}}}), "{}", json!({})),
            (json!({"type": "array", "items": {"type": "integer"}}), "[1,2]", json!([1, 2])),
            (json!({"type": "array", "items": {"type": "integer"}}), "1", json!([1])),
            (json!({"type": "array", "items": {"type": "integer"}}), "one", json!(["one"])),
            (json!({}), "80", json!("80")),
            (json!({}), r#"{"a": 1}"#, json!({"a": 1})),
            (json!(true), "x", json!("x")),
        ] {
            assert_eq!(coerce_text(&root, &schema, text), expected, "{text:?} for {schema}");
        }
        // Lists in lists without end are cut off somewhere, not followed.
        assert!(coerce_text(&root, &json!({"$ref": "#/$defs/Tree"}), "a").is_array());
    }

    #[test]
    fn repeated_texts_become_a_list() {
        let root = json!({"$defs": {"Ports": {"type": "array", "items": {"type": "integer"}}}});
        for (schema, texts, expected) in [
            (json!({"$ref": "#/$defs/Ports"}), &["1", "2"][..], json!([1, 2])),
            (json!({"anyOf": [{"type": "null"}, {"$ref": "#/$defs/Ports"}]}), &["1", "2"], json!([1, 2])),
            (json!({"$ref": "#/$defs/Ports"}), &["1"], json!([1])),
            (json!({"$ref": "#/$defs/Ports"}), &[], json!([])),
            (
                json!({"type": "array", "prefixItems": [{"type": "boolean"}]}),
                &["true", "true"],
                json!([true, "true"]),
            ),
            (json!({"type": "integer"}), &["1"], json!(1)),
            // One too many: a list, so that validation says that one number was expected.
            (json!({"type": "integer"}), &["1", "2"], json!(["1", "2"])),
        ] {
            assert_eq!(coerce_texts(&root, &schema, texts), expected, "{texts:?} for {schema}");
        }
    }

    #[test]
    fn branches_of_branches_do_not_keep_it_busy() {
        // Each level doubles the ways: 2^30 without a limit.
        let mut definitions = serde_json::Map::new();
        for level in 0..30 {
            let next = json!({"$ref": format!("#/$defs/L{}", level + 1)});
            definitions.insert(format!("L{level}"), json!({"anyOf": [next, next]}));
        }
        let root = json!({"$defs": definitions});
        assert_eq!(coerce_text(&root, &json!({"$ref": "#/$defs/L0"}), "a"), json!("a"));
    }
}
