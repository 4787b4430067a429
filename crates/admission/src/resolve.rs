//! A call on a provider's own path (`/providers/{name}/…`, row G4) becomes an action with a flat input.

use std::{collections::BTreeMap, sync::Arc};

use guichet_contract::{
    Problem,
    action::{Parameter, Place, Style},
    code, coerce,
};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use crate::world::{CompiledAction, World};

/// A call on a provider's own path.
pub struct RestCall<'a> {
    /// The provider's name.
    pub provider: &'a str,
    /// `GET`, `POST` …
    pub method: &'a str,
    /// The provider's own path, from `/`.
    pub path: &'a str,
    /// Decoded pairs of the query, in order.
    pub query: Vec<(String, String)>,
    /// The first header of this lower-case name, when it is text.
    pub header: &'a (dyn Fn(&str) -> Option<&'a str> + Sync),
}

/// What a path leads to. The body is read afterwards and only when the operation takes one.
#[derive(Debug, Clone)]
pub struct RestMatch {
    pub(crate) action: Arc<CompiledAction>,
    pub(crate) input: Map<String, Value>,
}

impl RestMatch {
    /// Whether the operation takes a JSON body.
    pub fn takes_body(&self) -> bool {
        self.action.action.http.parameters.iter().any(|p| matches!(p.place, Place::Body | Place::BodyMember))
    }
    /// The action's id.
    pub fn action_id(&self) -> &str {
        self.action.action.id.as_str()
    }
    /// The path template, for spans and metrics.
    pub fn path_template(&self) -> &str {
        &self.action.action.http.path
    }

    /// The flat input, with what the body holds. Members that the declaration does not know are kept: the schema
    /// refuses them by name.
    ///
    /// # Errors
    /// A body that is not what the operation takes.
    pub fn into_input(mut self, body: Option<Value>) -> Result<Value, Problem> {
        let parameters = &self.action.action.http.parameters;
        if let Some(whole) = parameters.iter().find(|parameter| parameter.place == Place::Body) {
            if let Some(body) = body {
                self.input.insert(whole.name.clone(), body);
            }
            return Ok(Value::Object(self.input));
        }
        match body {
            None => {}
            Some(Value::Object(members)) => {
                for (wire_name, value) in members {
                    let name = parameters
                        .iter()
                        .find(|p| p.place == Place::BodyMember && p.wire_name == wire_name)
                        .map_or(wire_name, |p| p.name.clone());
                    self.input.insert(name, value);
                }
            }
            Some(_) => {
                return Err(Problem::new(code::BAD_REQUEST, "the body of this operation is a JSON object"));
            }
        }
        Ok(Value::Object(self.input))
    }
}

/// Finds the operation.
///
/// # Errors
/// Unknown provider, unknown path, or a method that the path does not offer.
pub(crate) fn resolve_rest(world: &World, call: &RestCall<'_>) -> Result<RestMatch, Problem> {
    let Some(methods) = world.catalogue.paths.get(call.provider) else {
        return Err(Problem::new(
            code::UNKNOWN_PROVIDER,
            format!("no provider is called `{}`", call.provider),
        )
        .next("`guichet providers list` shows those there are"));
    };
    // HEAD is answered as GET without its body, as RFC 9110 has it.
    let method = if call.method == "HEAD" { "GET" } else { call.method };
    let found = methods.get(method).and_then(|router| router.at(call.path).ok());
    let Some(found) = found else {
        let others: Vec<&str> = methods
            .iter()
            .filter(|(_, router)| router.at(call.path).is_ok())
            .map(|(method, _)| method.as_str())
            .collect();
        return Err(if others.is_empty() {
            Problem::new(
                code::NOT_FOUND,
                format!("provider {} has no operation at {}", call.provider, call.path),
            )
            .next(format!("`guichet actions search {}` shows what it offers", call.provider))
        } else {
            Problem::new(code::METHOD_NOT_ALLOWED, format!("{} offers {} only", call.path, others.join(", ")))
                .allow(others)
        });
    };
    let action = Arc::clone(found.value);
    let schema = &action.action.input;
    let member = |name: &str| schema.get("properties").and_then(|p| p.get(name)).unwrap_or(&Value::Null);
    let mut input = Map::new();
    for parameter in &action.action.http.parameters {
        match parameter.place {
            Place::Path => {
                if let Some(text) = found.params.get(&parameter.wire_name) {
                    let text = percent_decode_str(text).decode_utf8_lossy();
                    input.insert(
                        parameter.name.clone(),
                        coerce::coerce_text(schema, member(&parameter.name), &text),
                    );
                }
            }
            Place::Header => {
                if let Some(text) = (call.header)(&parameter.wire_name.to_ascii_lowercase()) {
                    input.insert(
                        parameter.name.clone(),
                        coerce::coerce_text(schema, member(&parameter.name), text),
                    );
                }
            }
            Place::Cookie => {
                let cookies = (call.header)("cookie").unwrap_or_default().split(';');
                let mut pairs = cookies.filter_map(|pair| pair.trim().split_once('='));
                if let Some((_, text)) = pairs.find(|(name, _)| *name == parameter.wire_name) {
                    let text = percent_decode_str(text).decode_utf8_lossy();
                    let value = coerce::coerce_text(schema, member(&parameter.name), &text);
                    input.insert(parameter.name.clone(), value);
                }
            }
            Place::Query | Place::Body | Place::BodyMember => {}
        }
    }
    // Pairs of the query in their own names: one that nothing declares is kept and refused by the schema.
    let mut by_name: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, value) in &call.query {
        by_name.entry(name).or_default().push(value);
    }
    for parameter in action.action.http.parameters.iter().filter(|p| p.place == Place::Query) {
        let schema_of = member(&parameter.name);
        if let Some(object) =
            object_of(schema, schema_of, (parameter, &action.action.http.parameters), &mut by_name)
        {
            input.insert(parameter.name.clone(), object);
        }
    }
    for (wire_name, texts) in by_name {
        let parameter = action
            .action
            .http
            .parameters
            .iter()
            .find(|p| p.place == Place::Query && p.wire_name == wire_name);
        let name = parameter.map_or(wire_name, |p| p.name.as_str());
        let split: Vec<&str> = match (parameter, texts.as_slice()) {
            (Some(parameter), [one]) if !parameter.explode && takes_array(schema, member(name)) => {
                let between = match parameter.style {
                    Style::Spaces => ' ',
                    Style::Pipes => '|',
                    Style::Tabs => '\t',
                    _ => ',',
                };
                if parameter.style == Style::Json { vec![*one] } else { one.split(between).collect() }
            }
            _ => texts,
        };
        let value = coerce::coerce_texts(schema, member(name), &split);
        // What was written another way already (`filter[a]=1`, a part of the path) is not written over: the schema refuses the
        // second by name.
        let name = if input.contains_key(name) { format!("{name}, given twice") } else { name.to_owned() };
        input.insert(name, value);
    }
    Ok(RestMatch { action, input })
}

/// An object that was written as several pairs, taken out of them: `filter[name]=x`, or a pair for each of its members. A pair
/// that has no place in it (`filter[a][b]=2` beside `filter[a]=1`) is left where it is.
fn object_of(
    root: &Value,
    schema: &Value,
    (parameter, parameters): (&Parameter, &[Parameter]),
    by_name: &mut BTreeMap<&str, Vec<&str>>,
) -> Option<Value> {
    let is_deep = parameter.style == Style::DeepObject;
    let properties = meant(root, schema).get("properties").and_then(Value::as_object);
    let is_spread = parameter.explode && parameter.style == Style::Usual && properties.is_some();
    if !(is_deep || is_spread) {
        return None;
    }
    let key_of = |name: &str| -> Option<Vec<String>> {
        if !is_deep {
            let is_another =
                parameters.iter().any(|other| other.place == Place::Query && other.wire_name == name);
            return (properties?.contains_key(name) && !is_another).then(|| vec![name.to_owned()]);
        }
        let rest = name.strip_prefix(parameter.wire_name.as_str())?.strip_prefix('[')?.strip_suffix(']')?;
        Some(rest.split("][").map(str::to_owned).collect())
    };
    let keys: Vec<(&str, Vec<String>)> =
        by_name.keys().filter_map(|name| Some((*name, key_of(name)?))).collect();
    let mut object = Map::new();
    for (name, key) in keys {
        let Some((last, way)) = key.split_last() else { continue };
        let Some(here) = inside(&mut object, way) else { continue };
        let texts = by_name.remove(name).unwrap_or_default();
        let of_member = key.iter().fold(schema, |schema, part| {
            let properties = meant(root, schema).get("properties");
            properties.and_then(|properties| properties.get(part)).unwrap_or(&Value::Null)
        });
        here.insert(last.clone(), coerce::coerce_texts(root, of_member, &texts));
    }
    (!object.is_empty()).then_some(Value::Object(object))
}

/// The object at the end of this way, made where nothing is; none where something else is.
fn inside<'o>(object: &'o mut Map<String, Value>, way: &[String]) -> Option<&'o mut Map<String, Value>> {
    way.iter().try_fold(object, |here, part| {
        here.entry(part.clone()).or_insert_with(|| Value::Object(Map::new())).as_object_mut()
    })
}

/// References after one another that are followed.
const MOST_REFERENCES: usize = 32;

/// The schema itself, or the one that its `$ref` leads to.
fn meant<'s>(root: &'s Value, schema: &'s Value) -> &'s Value {
    let mut schema = schema;
    for _ in 0..MOST_REFERENCES {
        let pointer = schema.get("$ref").and_then(Value::as_str).and_then(|text| text.strip_prefix('#'));
        let Some(target) = pointer.and_then(|pointer| root.pointer(pointer)) else { break };
        schema = target;
    }
    schema
}

/// Whether the schema asks for an array: then one comma-separated text stands for several values.
fn takes_array(root: &Value, schema: &Value) -> bool {
    match meant(root, schema).get("type") {
        Some(Value::String(kind)) => kind == "array",
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "array"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What the pairs of a query become for one parameter, and which are left.
    fn object(schema: &Value, parameter: &Value, query: &[(&str, &str)]) -> (Value, Vec<String>) {
        let mut given = json!({"name": "filter", "wire_name": "filter", "place": "query"});
        given.as_object_mut().unwrap().extend(parameter.as_object().unwrap().clone());
        let parameter: Parameter = serde_json::from_value(given).unwrap();
        let mut by_name: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (name, value) in query {
            by_name.entry(name).or_default().push(value);
        }
        let all = [parameter.clone()];
        let found = object_of(schema, &schema["properties"]["filter"], (&parameter, &all), &mut by_name);
        (found.unwrap_or(Value::Null), by_name.keys().map(|name| (*name).to_owned()).collect())
    }

    fn by_reference() -> Value {
        json!({
            "properties": {"filter": {"$ref": "#/$defs/Named"}},
            "$defs": {
                "Named": {"$ref": "#/$defs/Filter"},
                "Filter": {"type": "object", "properties": {
                    "a": {"type": "integer"},
                    "name": {"type": "string"},
                    "size": {"$ref": "#/$defs/Size"}
                }},
                "Size": {"type": "object", "properties": {"most": {"type": "integer"}}},
                "Itself": {"$ref": "#/$defs/Itself"}
            }
        })
    }

    #[test]
    fn a_pair_that_has_no_place_loses_nothing() {
        let deep = json!({"style": "deep_object"});
        let (found, left) =
            object(&by_reference(), &deep, &[("filter[a]", "1"), ("filter[a][b]", "2"), ("other", "x")]);
        assert_eq!(found, json!({"a": 1}));
        assert_eq!(left, ["filter[a][b]", "other"], "the schema refuses these by name");
    }

    #[test]
    fn members_are_found_behind_references_and_inside_one_another() {
        let schema = by_reference();
        let pairs = [("filter[a]", "1"), ("filter[name]", "7"), ("filter[size][most]", "9")];
        let expected = json!({"a": 1, "name": "7", "size": {"most": 9}});
        assert_eq!(object(&schema, &json!({"style": "deep_object"}), &pairs), (expected, Vec::new()));
        let spread = object(&schema, &json!({"explode": true}), &[("a", "1"), ("b", "2")]);
        assert_eq!(spread, (json!({"a": 1}), vec!["b".to_owned()]));
        assert_eq!(
            meant(&schema, &schema["$defs"]["Itself"])["$ref"],
            "#/$defs/Itself",
            "a circle ends somewhere"
        );
        assert!(takes_array(&json!({"$defs": {"L": {"type": "array"}}}), &json!({"$ref": "#/$defs/L"})));
    }
}
