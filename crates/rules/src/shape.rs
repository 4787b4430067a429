//! What of an action's input the policies can see, and how a value becomes visible to them.
//!
//! Cedar is typed: text, whole numbers, booleans, sets and records. What JSON Schema can say beyond that (decimal
//! numbers, maps of free keys, real alternatives) is left out, in the schema and in the value alike.

use std::collections::BTreeMap;

use cedar_policy::RestrictedExpression;
use guichet_contract::{Action, Plan};
use serde_json::{Map, Value, json};

/// Levels of lists and objects that are followed: a schema may refer to itself.
const MAX_LEVELS: u8 = 8;

/// A type of Cedar.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Shape {
    Text,
    Integer,
    Boolean,
    Set(Box<Shape>),
    Record(BTreeMap<String, Member>),
}

/// What of one action policies can see.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Seen {
    /// Its input.
    pub(crate) input: Shape,
    /// What its plans tell, where they do: a record whose members may all be absent.
    pub(crate) plan: Option<Shape>,
}

impl Seen {
    pub(crate) fn of(action: &Action) -> Self {
        let facts = action.facts.iter().filter_map(|(name, schema)| {
            let (shape, _) = read(schema, schema, 0)?;
            Some((name.clone(), Member { shape, required: false }))
        });
        let facts: BTreeMap<String, Member> = facts.collect();
        let plan = (!facts.is_empty()).then_some(Shape::Record(facts));
        Self { input: Shape::of_input(&action.input), plan }
    }

    /// Of what takes no input.
    pub(crate) fn nothing() -> Self {
        Self { input: Shape::Record(BTreeMap::new()), plan: None }
    }

    /// The facts of a plan as policies see them; none where they see none.
    pub(crate) fn express_plan(&self, plan: &Plan) -> Result<Option<RestrictedExpression>, Unfit> {
        let Some(shape) = &self.plan else { return Ok(None) };
        let facts = plan.facts.iter().map(|fact| (fact.name.clone(), fact.value.clone()));
        shape.express_at("plan", &Value::Object(facts.collect())).map(Some)
    }
}

/// A member of a record.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Member {
    shape: Shape,
    required: bool,
}

/// A value that has not the shape its schema promised.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{member}` {why}")]
pub(crate) struct Unfit {
    member: String,
    why: &'static str,
}

impl Shape {
    /// Of an action's input: a record, empty when nothing of it can be shown.
    pub(crate) fn of_input(schema: &Value) -> Self {
        match read(schema, schema, 0) {
            Some((record @ Self::Record(_), _)) => record,
            _ => Self::Record(BTreeMap::new()),
        }
    }

    /// In the JSON form of a Cedar schema.
    pub(crate) fn to_schema(&self) -> Value {
        match self {
            Self::Text => json!({"type": "String"}),
            Self::Integer => json!({"type": "Long"}),
            Self::Boolean => json!({"type": "Boolean"}),
            Self::Set(element) => json!({"type": "Set", "element": element.to_schema()}),
            Self::Record(members) => {
                let attributes: Map<String, Value> = members
                    .iter()
                    .map(|(name, member)| {
                        let mut attribute = member.shape.to_schema();
                        attribute["required"] = Value::from(member.required);
                        (name.clone(), attribute)
                    })
                    .collect();
                json!({"type": "Record", "attributes": attributes})
            }
        }
    }

    /// The value as policies see it. What the shape does not name is left out.
    pub(crate) fn express(&self, value: &Value) -> Result<RestrictedExpression, Unfit> {
        self.express_at("input", value)
    }

    fn express_at(&self, at: &str, value: &Value) -> Result<RestrictedExpression, Unfit> {
        let unfit = |why| Unfit { member: at.to_owned(), why };
        match self {
            Self::Text => value
                .as_str()
                .map(|text| RestrictedExpression::new_string(text.to_owned()))
                .ok_or_else(|| unfit("is not text")),
            Self::Integer => whole(value)
                .map(RestrictedExpression::new_long)
                .ok_or_else(|| unfit("is not a whole number of 64 bits")),
            Self::Boolean => value
                .as_bool()
                .map(RestrictedExpression::new_bool)
                .ok_or_else(|| unfit("is not true or false")),
            Self::Set(element) => {
                let items = value.as_array().ok_or_else(|| unfit("is not a list"))?;
                let items: Result<Vec<_>, _> =
                    items.iter().map(|item| element.express_at(at, item)).collect();
                Ok(RestrictedExpression::new_set(items?))
            }
            Self::Record(members) => {
                let given = match value {
                    Value::Object(given) => Some(given),
                    Value::Null if members.values().all(|member| !member.required) => None,
                    _ => return Err(unfit("is not an object")),
                };
                let mut shown = Vec::with_capacity(members.len());
                for (name, member) in members {
                    match given.and_then(|given| given.get(name)) {
                        None | Some(Value::Null) if member.required => {
                            return Err(Unfit { member: format!("{at}.{name}"), why: "is missing" });
                        }
                        None | Some(Value::Null) => {}
                        Some(value) => {
                            let value = member.shape.express_at(&format!("{at}.{name}"), value)?;
                            shown.push((name.clone(), value));
                        }
                    }
                }
                RestrictedExpression::new_record(shown).map_err(|_| unfit("has a member twice"))
            }
        }
    }
}

/// JSON Schema counts 2.0 as an integer; so does this, as far as a double is exact.
fn whole(value: &Value) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    value.as_i64().or_else(|| {
        let number = value.as_f64().filter(|_| value.is_f64())?;
        let exact = number.fract() == 0.0 && number.abs() <= EXACT;
        #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53, checked above")]
        exact.then_some(number as i64)
    })
}

/// The shape, and whether null is allowed as well. None: cannot be shown.
fn read(schema: &Value, root: &Value, level: u8) -> Option<(Shape, bool)> {
    if level > MAX_LEVELS {
        return None;
    }
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let target = root.pointer(reference.strip_prefix('#')?)?;
        return read(target, root, level + 1);
    }
    for word in ["anyOf", "oneOf"] {
        if let Some(branches) = schema.get(word).and_then(Value::as_array) {
            return read_branches(branches, root, level);
        }
    }
    if let Some([only]) = schema.get("allOf").and_then(Value::as_array).map(Vec::as_slice) {
        return read(only, root, level + 1);
    }
    let (kind, nullable) = kind_of(schema)?;
    let shape = match kind {
        "string" => Shape::Text,
        "integer" => Shape::Integer,
        "boolean" => Shape::Boolean,
        "array" => match read(schema.get("items")?, root, level + 1)? {
            (element, false) => Shape::Set(Box::new(element)),
            (_, true) => return None,
        },
        "object" => {
            let required: Vec<&str> = guichet_contract::action::required_members(schema).collect();
            let members = schema.get("properties")?.as_object()?.iter().filter_map(|(name, member)| {
                let (shape, nullable) = read(member, root, level + 1)?;
                let required = required.contains(&name.as_str()) && !nullable;
                Some((name.clone(), Member { shape, required }))
            });
            Shape::Record(members.collect())
        }
        _ => return None,
    };
    Some((shape, nullable))
}

/// Alternatives can be shown when they are one shape, with or without null.
fn read_branches(branches: &[Value], root: &Value, level: u8) -> Option<(Shape, bool)> {
    let is_null = |branch: &&Value| branch.get("type").and_then(Value::as_str) == Some("null");
    let mut nullable = branches.iter().any(|branch| is_null(&branch));
    let mut one: Option<Shape> = None;
    for branch in branches.iter().filter(|branch| !is_null(branch)) {
        let (shape, also_null) = read(branch, root, level + 1)?;
        nullable |= also_null;
        if one.as_ref().is_some_and(|known| *known != shape) {
            return None;
        }
        one = Some(shape);
    }
    one.map(|shape| (shape, nullable))
}

/// The one type a schema names, beside null; for `enum` and `const` without one, that of the values.
fn kind_of(schema: &Value) -> Option<(&str, bool)> {
    match schema.get("type") {
        Some(Value::String(kind)) => Some((kind, false)),
        Some(Value::Array(kinds)) => {
            let kinds: Vec<&str> = kinds.iter().filter_map(Value::as_str).collect();
            let nullable = kinds.contains(&"null");
            let mut others = kinds.into_iter().filter(|kind| *kind != "null");
            match (others.next(), others.next()) {
                (Some(kind), None) => Some((kind, nullable)),
                _ => None,
            }
        }
        _ => {
            let constant = schema.get("const").map(std::slice::from_ref);
            let values = constant.or_else(|| schema.get("enum")?.as_array().map(Vec::as_slice))?;
            let nullable = values.iter().any(Value::is_null);
            let mut kinds = values.iter().filter(|value| !value.is_null()).map(kind_of_value);
            let first = kinds.next()??;
            kinds.all(|kind| kind == Some(first)).then_some((first, nullable))
        }
    }
}

fn kind_of_value(value: &Value) -> Option<&'static str> {
    match value {
        Value::String(_) => Some("string"),
        Value::Bool(_) => Some("boolean"),
        Value::Number(number) if number.is_i64() => Some("integer"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_shown_is_shown() {
        let schema = json!({
            "type": "object",
            "required": ["name", "count", "maybe", "mode", "tags", "at"],
            "properties": {
                "name": {"type": "string"},
                "count": {"type": "integer"},
                "on": {"type": "boolean"},
                "maybe": {"type": ["string", "null"]},
                "either": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
                "mode": {"enum": ["a", "b"]},
                "documented": {"oneOf": [{"const": "x"}, {"const": "y"}]},
                "tags": {"type": "array", "items": {"type": "string"}},
                "at": {"$ref": "#/$defs/Place"},
                "ratio": {"type": "number"},
                "free": {"type": "object", "additionalProperties": {"type": "string"}},
                "mixed": {"oneOf": [{"type": "string"}, {"type": "integer"}]},
                "tree": {"$ref": "#/$defs/Tree"}
            },
            "$defs": {
                "Place": {"type": "object", "required": ["x"], "properties": {"x": {"type": "integer"}}},
                "Tree": {"anyOf": [{"$ref": "#/$defs/Tree"}]}
            }
        });
        let shape = Shape::of_input(&schema);
        let shown = shape.to_schema();
        let attributes = shown["attributes"].as_object().unwrap();
        let expected = json!({
            "at": {"type": "Record", "attributes": {"x": {"type": "Long", "required": true}}, "required": true},
            "count": {"type": "Long", "required": true},
            "documented": {"type": "String", "required": false},
            "either": {"type": "Long", "required": false},
            "maybe": {"type": "String", "required": false},
            "mode": {"type": "String", "required": true},
            "name": {"type": "String", "required": true},
            "on": {"type": "Boolean", "required": false},
            "tags": {"type": "Set", "element": {"type": "String"}, "required": true}
        });
        assert_eq!(attributes, expected.as_object().unwrap());
    }

    #[test]
    fn a_value_that_does_not_fit_is_named() {
        let shape = Shape::of_input(&json!({
            "type": "object", "required": ["n"],
            "properties": {"n": {"type": "integer"}, "deep": {"type": "object", "properties": {"t": {"type": "string"}}}}
        }));
        for (value, message) in [
            (json!({}), "`input.n` is missing"),
            (json!({"n": u64::MAX}), "`input.n` is not a whole number of 64 bits"),
            (json!({"n": 1.5}), "`input.n` is not a whole number of 64 bits"),
            (json!({"n": 1, "deep": {"t": 2}}), "`input.deep.t` is not text"),
            (json!([]), "`input` is not an object"),
        ] {
            assert_eq!(shape.express(&value).unwrap_err().to_string(), message);
        }
        for value in [json!({"n": 2.0}), json!({"n": i64::MIN, "other": 1.5}), json!({"n": 1, "deep": null})]
        {
            assert!(shape.express(&value).is_ok(), "{value}");
        }
    }

    #[test]
    fn an_input_that_is_no_object_shows_nothing() {
        let shape = Shape::of_input(&json!({"type": "string"}));
        assert_eq!(shape, Shape::Record(BTreeMap::new()));
        assert!(shape.express(&json!({})).is_ok());
    }
}
