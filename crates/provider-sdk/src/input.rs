//! The flat input of a call, put together again from path, query and body.
//!
//! The gateway checked one flat object, took its digest, and then spread its members over the request. Here
//! they are gathered; a text from path or query becomes what the member's schema asks for, by the same rules as
//! at the gateway (`contract::coerce`), and so the digest comes out the same.

use std::collections::HashMap;

use guichet_contract::{
    Digest, FieldError, Problem,
    action::{Parameter, Place},
    code,
    coerce::{coerce_text, coerce_texts},
};
use jsonschema::Validator;
use serde_json::{Map, Value, json};

use crate::schema::{resolve, takes};

/// How to put an action's input together, and what it must look like.
pub(crate) struct InputReader {
    places: HashMap<String, Place>,
    /// The input's schema with the document's named types.
    schema: Value,
    validator: Validator,
    has_body: bool,
    /// Members that the gateway's flat input calls otherwise: ours, theirs.
    renamed: Vec<(String, String)>,
}

impl InputReader {
    /// From the input's schema, the place of each member, and the document's named types.
    pub(crate) fn new(
        schema: &Map<String, Value>,
        place_of: impl Fn(&str) -> Place,
        definitions: &Map<String, Value>,
    ) -> Result<Self, String> {
        let mut places = HashMap::new();
        for (name, member) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let place = place_of(name);
            let of = |schema: &Value, kind: &str| takes(schema, kind, definitions, 0);
            let items = resolve(member, definitions).get("items").unwrap_or(&Value::Null);
            if matches!(place, Place::Path | Place::Query)
                && (of(member, "object") || of(items, "object") || of(items, "array"))
            {
                return Err(format!(
                    "member `{name}` is an object: it does not fit into a path or query; give the action a body"
                ));
            }
            if place == Place::Path && of(member, "array") {
                return Err(format!("member `{name}` is a list: it does not fit into a path"));
            }
            let _ = places.insert(name.clone(), place);
        }
        let has_body = places.values().any(|place| *place == Place::BodyMember);
        let mut whole = schema.clone();
        let _ = whole.insert("components".to_owned(), json!({"schemas": definitions}));
        let schema = Value::Object(whole);
        let validator = jsonschema::options()
            .with_pattern_options(jsonschema::PatternOptions::regex())
            .build(&schema)
            .map_err(|error| format!("its input schema cannot be used: {error}"))?;
        Ok(Self { places, schema, validator, has_body, renamed: Vec::new() })
    }

    /// Takes in how the gateway calls the members: one that would be a flag of the command line itself has
    /// another name there.
    pub(crate) fn known_as(mut self, parameters: &[Parameter]) -> Self {
        let renamed = parameters.iter().filter(|parameter| parameter.name != parameter.wire_name);
        self.renamed =
            renamed.map(|parameter| (parameter.wire_name.clone(), parameter.name.clone())).collect();
        self
    }

    /// The digest of the flat input as the gateway took it.
    pub(crate) fn digest(&self, input: &Value) -> Digest {
        if self.renamed.is_empty() {
            return Digest::of_json(input);
        }
        let theirs =
            |name: &String| self.renamed.iter().find(|(ours, _)| ours == name).map(|(_, theirs)| theirs);
        let members = input.as_object().into_iter().flatten();
        let flat: Map<String, Value> =
            members.map(|(name, value)| (theirs(name).unwrap_or(name).clone(), value.clone())).collect();
        Digest::of_json(&Value::Object(flat))
    }

    /// Whether the request's body belongs to the input.
    pub(crate) fn has_body(&self) -> bool {
        self.has_body
    }

    /// The flat input.
    pub(crate) fn gather<'a>(
        &self,
        path: impl Iterator<Item = (&'a str, String)>,
        query: &[(String, String)],
        body: &[u8],
    ) -> Result<Value, Box<Problem>> {
        let mut flat = self.body_members(body)?;
        for (name, text) in path {
            let _ = flat.insert(name.to_owned(), coerce_text(&self.schema, self.member(name), &text));
        }
        for (name, _) in query {
            if self.places.get(name) != Some(&Place::Query) {
                return Err(wrong(name, "there is no such member in the query"));
            }
            if flat.contains_key(name) {
                continue;
            }
            let texts: Vec<&str> =
                query.iter().filter(|(other, _)| other == name).map(|(_, text)| text.as_str()).collect();
            let _ = flat.insert(name.clone(), coerce_texts(&self.schema, self.member(name), &texts));
        }
        Ok(Value::Object(flat))
    }

    fn member(&self, name: &str) -> &Value {
        self.schema.get("properties").and_then(|members| members.get(name)).unwrap_or(&Value::Null)
    }

    fn body_members(&self, body: &[u8]) -> Result<Map<String, Value>, Box<Problem>> {
        if !self.has_body || body.is_empty() {
            return Ok(Map::new());
        }
        let value: Value = serde_json::from_slice(body)
            .map_err(|error| Problem::new(code::BAD_REQUEST, format!("the body is not JSON: {error}")))?;
        let Value::Object(members) = value else {
            return Err(Problem::new(code::INVALID_INPUT, "the body is not a JSON object").into());
        };
        for name in members.keys() {
            if self.places.get(name).is_some_and(|place| *place != Place::BodyMember) {
                return Err(wrong(name, "it belongs in the path or query, not in the body"));
            }
        }
        Ok(members)
    }

    /// Checks the flat input against the schema. Tells the first ten things that are wrong.
    pub(crate) fn validate(&self, input: &Value) -> Result<(), Box<Problem>> {
        let errors: Vec<FieldError> = self
            .validator
            .iter_errors(input)
            .take(10)
            .map(|error| FieldError {
                pointer: error.instance_path().to_string(),
                flag: None,
                // Masked: a wrong value may be a secret.
                message: error.masked().to_string(),
            })
            .collect();
        let Some(first) = errors.first() else { return Ok(()) };
        let place = if first.pointer.is_empty() { "the input" } else { &first.pointer };
        let detail = format!("{place}: {}", first.message);
        Err(Problem::new(code::INVALID_INPUT, detail).errors(errors).into())
    }
}

fn wrong(member: &str, message: &str) -> Box<Problem> {
    let pointer = format!("/{}", member.replace('~', "~0").replace('/', "~1"));
    let problem = Problem::new(code::INVALID_INPUT, format!("{pointer}: {message}"));
    Box::new(problem.errors(vec![FieldError { pointer, flag: None, message: message.to_owned() }]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn reader() -> InputReader {
        let schema = json!({
            "type": "object", "additionalProperties": false, "required": ["id"],
            "properties": {
                "id": {"type": "string"}, "pid": {"type": "integer"}, "ratio": {"type": ["number", "null"]},
                "all": {"type": "boolean"}, "tags": {"type": "array", "items": {"type": "integer"}},
                "size": {"$ref": "#/components/schemas/Size"},
                "either": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
            },
        });
        let definitions = json!({"Size": {"type": "string", "enum": ["1", "2"]}});
        let place = |name: &str| if name == "id" { Place::Path } else { Place::Query };
        InputReader::new(schema.as_object().unwrap(), place, definitions.as_object().unwrap()).unwrap()
    }

    fn gather(path: &str, query: &[(&str, &str)]) -> Result<Value, Box<Problem>> {
        let query: Vec<_> = query.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let reader = reader();
        let flat = reader.gather([("id", path.to_owned())].into_iter(), &query, b"")?;
        reader.validate(&flat).map(|()| flat)
    }

    #[test]
    fn texts_become_what_their_schema_says() {
        for (query, expected) in [
            (vec![("pid", "14024")], json!({"id": "7", "pid": 14024})),
            (vec![("ratio", "0.5"), ("all", "true")], json!({"id": "7", "ratio": 0.5, "all": true})),
            (vec![("ratio", "5")], json!({"id": "7", "ratio": 5})),
            (vec![("tags", "1"), ("tags", "2")], json!({"id": "7", "tags": [1, 2]})),
            (vec![("size", "1")], json!({"id": "7", "size": "1"})),
            (vec![("either", "12")], json!({"id": "7", "either": 12})),
            (vec![("either", "x12")], json!({"id": "7", "either": "x12"})),
            (vec![("tags", "1")], json!({"id": "7", "tags": [1]})),
        ] {
            assert_eq!(gather("7", &query).unwrap(), expected);
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (query, pointer) in [
            (vec![("pid", "abc")], "/pid"),
            (vec![("pid", "1"), ("pid", "2")], "/pid"),
            (vec![("all", "yes")], "/all"),
            (vec![("size", "3")], "/size"),
            (vec![("tags", "x")], "/tags/0"),
            (vec![("nonsense", "1")], "/nonsense"),
            (vec![("id", "8")], "/id"),
        ] {
            let problem = gather("7", &query).unwrap_err();
            assert_eq!((problem.status, problem.errors[0].pointer.as_str()), (422, pointer), "{query:?}");
        }
    }
}
