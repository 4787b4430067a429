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
        input.insert(name.to_owned(), coerce::coerce_texts(schema, member(name), &split));
    }
    Ok(RestMatch { action, input })
}

/// An object that was written as several pairs, taken out of them: `filter[name]=x`, or a pair for each of its members.
fn object_of(
    root: &Value,
    schema: &Value,
    (parameter, parameters): (&Parameter, &[Parameter]),
    by_name: &mut BTreeMap<&str, Vec<&str>>,
) -> Option<Value> {
    let properties = schema.get("properties").and_then(Value::as_object);
    let is_deep = parameter.style == Style::DeepObject;
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
        let texts = by_name.remove(name).unwrap_or_default();
        let (last, way) = key.split_last()?;
        let mut here = &mut object;
        for part in way {
            let inner = here.entry(part.clone()).or_insert_with(|| Value::Object(Map::new()));
            here = inner.as_object_mut()?;
        }
        let of_member = properties.filter(|_| way.is_empty()).and_then(|properties| properties.get(last));
        here.insert(last.clone(), coerce::coerce_texts(root, of_member.unwrap_or(&Value::Null), &texts));
    }
    (!object.is_empty()).then_some(Value::Object(object))
}

/// Whether the schema asks for an array: then one comma-separated text stands for several values.
fn takes_array(root: &Value, schema: &Value) -> bool {
    let schema =
        match schema.get("$ref").and_then(Value::as_str).and_then(|reference| reference.strip_prefix('#')) {
            Some(pointer) => root.pointer(pointer).unwrap_or(schema),
            None => schema,
        };
    match schema.get("type") {
        Some(Value::String(kind)) => kind == "array",
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "array"),
        _ => false,
    }
}
