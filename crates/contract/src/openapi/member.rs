//! One member of the flat input while it is being put together: from a parameter or from the body.

use serde_json::{Map, Value, json};

use crate::action::{Place, Style};

use super::{
    extension::MemberExtension,
    finding::Findings,
    place::At,
    schema::{Schemas, keep_marks_of_secrecy},
};

/// When a member must be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needed {
    Always,
    /// When any other member of an optional body is given.
    WithBody,
    No,
}

/// A member of the flat input, not yet named.
#[derive(Debug)]
pub(super) struct Member {
    /// Where it is declared.
    pub(super) pointer: String,
    pub(super) wire_name: String,
    pub(super) place: Place,
    pub(super) needed: Needed,
    pub(super) explode: bool,
    pub(super) style: Style,
    /// The media type of a part.
    pub(super) content_type: Option<String>,
    pub(super) schema: Map<String, Value>,
    pub(super) extension: MemberExtension,
}

impl Member {
    /// From where it is declared and where its schema stands. `also`: an object that may bear an `x-guichet` of
    /// its own and comes before the schema's (a parameter).
    pub(super) fn new<'a>(
        (place, wire_name, needed): (Place, &str, Needed),
        declared: &At<'a>,
        schema: Option<&At<'a>>,
        schemas: &mut Schemas<'a, '_>,
        findings: &mut Findings,
    ) -> Self {
        let mut extension = MemberExtension::default();
        let own = schema.is_none_or(|schema| schema.pointer != declared.pointer).then_some(declared);
        let read = schema.map(|schema| schemas.member(schema, findings));
        let (schema, sources) = read.map_or_else(Default::default, |read| (read.schema, read.sources));
        for said in own.into_iter().chain(&sources).filter_map(|source| source.member("x-guichet")) {
            super::extension::member(&said, &mut extension, findings);
        }
        let mut member = Self {
            pointer: declared.pointer.clone(),
            wire_name: wire_name.to_owned(),
            place,
            needed,
            explode: false,
            style: Style::Usual,
            content_type: None,
            schema,
            extension,
        };
        if let Some(said) = member.extension.sensitive {
            member.mark_sensitive(said);
        }
        member
    }

    /// A part of the path that nothing declares: a text.
    pub(super) fn undeclared(name: &str, operation: &At<'_>) -> Self {
        Self {
            pointer: operation.pointer.clone(),
            wire_name: name.to_owned(),
            place: Place::Path,
            needed: Needed::Always,
            explode: false,
            style: Style::Usual,
            content_type: None,
            schema: Map::from_iter([("type".to_owned(), json!("string"))]),
            extension: MemberExtension::default(),
        }
    }

    /// Says in the schema whether the value is to be hidden wherever it is shown.
    pub(super) fn mark_sensitive(&mut self, sensitive: bool) {
        self.extension.sensitive = Some(sensitive);
        self.schema.insert("x-guichet".to_owned(), json!({"sensitive": sensitive}));
        keep_marks_of_secrecy(&mut self.schema);
    }

    /// Whether its values are files, or lists of them.
    pub(super) fn is_binary(&self) -> bool {
        let said = only_choice(&self.schema).map_or(&self.schema, |(_, choice)| choice);
        let of_items = said.get("items").and_then(Value::as_object);
        is_binary(said) || types_of(said).contains(&"array") && of_items.is_some_and(is_binary)
    }

    /// Takes bytes, which stand in the input as base64. One that may be left out says so by being left out.
    pub(super) fn take_bytes(&mut self) {
        self.style = Style::Bytes;
        if let Some((choices, choice)) = only_choice(&self.schema) {
            let choice = choice.clone();
            self.schema.shift_remove(choices);
            let hides = |said: &Value| *said == true || said.get("sensitive") == Some(&Value::Bool(true));
            for (word, said) in choice {
                if hides(&said) || !self.schema.contains_key(&word) {
                    self.schema.insert(word, said);
                }
            }
        }
        let is_list = self.types().contains(&"array");
        if is_list && let Some(items) = self.schema.get_mut("items").and_then(Value::as_object_mut) {
            as_base64(items);
        } else {
            as_base64(&mut self.schema);
        }
    }

    /// The types its values may have, as far as its schema says so plainly.
    pub(super) fn types(&self) -> Vec<&str> {
        types_of(&self.schema)
    }
}

fn types_of(schema: &Map<String, Value>) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ if schema.contains_key("properties") => vec!["object"],
        _ if schema.contains_key("items") => vec!["array"],
        _ => {
            let choices = CHOICES.iter().find_map(|choices| schema.get(*choices)?.as_array());
            let each = choices.into_iter().flatten().map(|choice| choice.as_object().map(types_of));
            let known: Option<Vec<_>> = each.map(|types| types.filter(|types| !types.is_empty())).collect();
            known.unwrap_or_default().concat()
        }
    }
}

/// Keywords under which one of several schemas is to hold.
const CHOICES: [&str; 2] = ["anyOf", "oneOf"];

/// The schema that is left beside null, and the keyword under which it stands: `anyOf: [X, {type: null}]`.
fn only_choice(schema: &Map<String, Value>) -> Option<(&'static str, &Map<String, Value>)> {
    let is_something = |choice: &&Value| choice.get("type").is_none_or(|named| named != "null");
    CHOICES.iter().find_map(|choices| {
        let listed = schema.get(*choices)?.as_array()?;
        let mut left = listed.iter().filter(is_something);
        let only = left.next()?.as_object()?;
        left.next().is_none().then_some((*choices, only))
    })
}

fn is_binary(schema: &Map<String, Value>) -> bool {
    schema.get("format").is_some_and(|format| format == "binary")
        || schema.contains_key("contentMediaType") && !schema.contains_key("contentEncoding")
}

fn as_base64(schema: &mut Map<String, Value>) {
    for said in ["format", "minLength", "maxLength", "pattern", "contentMediaType"] {
        schema.shift_remove(said);
    }
    schema.insert("type".to_owned(), json!("string"));
    schema.insert("contentEncoding".to_owned(), json!("base64"));
}

/// The word for a place in a name that was taken: `body_name`.
pub(super) fn place_word(place: Place) -> &'static str {
    match place {
        Place::Path => "path",
        Place::Query => "query",
        Place::Header => "header",
        Place::Cookie => "cookie",
        Place::BodyMember | Place::Body => "body",
    }
}
