//! The flat input of a call, put together again from path, query and body.
//!
//! The gateway checked one flat object, took its digest, and then spread its members over the request. Here
//! they are gathered; a text from path or query becomes a number or a boolean where the member's schema says
//! so, and so the digest comes out the same. A member that is null may be left out of path and query.

use std::collections::HashMap;

use guichet_contract::{FieldError, Problem, action::Place, code};
use jsonschema::Validator;
use serde_json::{Map, Number, Value};

use crate::schema::{Kinds, resolve};

/// How to put an action's input together, and what it must look like.
pub(crate) struct InputReader {
    members: HashMap<String, Member>,
    validator: Validator,
    has_body: bool,
}

struct Member {
    place: Place,
    kinds: Kinds,
    items: Kinds,
}

impl InputReader {
    /// From the input's schema, the place of each member, and the document's named types.
    pub(crate) fn new(
        schema: &Map<String, Value>,
        place_of: impl Fn(&str) -> Place,
        definitions: &Map<String, Value>,
    ) -> Result<Self, String> {
        let mut members = HashMap::new();
        for (name, member) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let kinds = Kinds::of(member, definitions);
            let items = resolve(member, definitions)
                .get("items")
                .map_or(Kinds { string: true, ..Kinds::default() }, |items| Kinds::of(items, definitions));
            let place = place_of(name);
            if matches!(place, Place::Path | Place::Query) && (kinds.object || items.object || items.array) {
                return Err(format!(
                    "member `{name}` is an object: it does not fit into a path or query; give the action a body"
                ));
            }
            if place == Place::Path && kinds.array {
                return Err(format!("member `{name}` is a list: it does not fit into a path"));
            }
            members.insert(name.clone(), Member { place, kinds, items });
        }
        let has_body = members.values().any(|member| member.place == Place::BodyMember);
        let mut whole = schema.clone();
        let _ = whole.insert("components".to_owned(), serde_json::json!({"schemas": definitions}));
        let validator = jsonschema::options()
            .with_pattern_options(jsonschema::PatternOptions::regex())
            .build(&Value::Object(whole))
            .map_err(|error| format!("its input schema cannot be used: {error}"))?;
        Ok(Self { members, validator, has_body })
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
            let kinds = self.members.get(name).map(|member| member.kinds).unwrap_or_default();
            let _ = flat.insert(name.to_owned(), read_text(&text, kinds));
        }
        for (name, text) in query {
            match self.members.get(name).filter(|member| member.place == Place::Query) {
                None => return Err(wrong(name, "there is no such member in the query")),
                Some(member) if member.kinds.array => {
                    let item = read_text(text, member.items);
                    match flat.entry(name.as_str()).or_insert_with(|| Value::Array(Vec::new())) {
                        Value::Array(items) => items.push(item),
                        other => *other = item,
                    }
                }
                Some(member) => {
                    if flat.insert(name.clone(), read_text(text, member.kinds)).is_some() {
                        return Err(wrong(name, "it is given twice"));
                    }
                }
            }
        }
        Ok(Value::Object(flat))
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
            if self.members.get(name).is_some_and(|member| member.place != Place::BodyMember) {
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

/// A text as the kind its schema asks for; as it is when it cannot be read so (the schema will tell).
fn read_text(text: &str, kinds: Kinds) -> Value {
    if (kinds.integer || kinds.number)
        && let Ok(number) = serde_json::from_str::<Number>(text)
    {
        return Value::Number(number);
    }
    match text {
        "true" if kinds.boolean => Value::Bool(true),
        "false" if kinds.boolean => Value::Bool(false),
        _ => Value::String(text.to_owned()),
    }
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
