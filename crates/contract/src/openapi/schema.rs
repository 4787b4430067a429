//! Schemas of the document rewritten to stand alone: `#/components/schemas/Topic` becomes `#/$defs/Topic`, and all
//! that is used comes along. A schema that contains itself stays recursive; one that *is* itself is refused.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{
    extension,
    finding::Findings,
    keyword::{Keyword, is_annotation, is_in_place, keyword},
    place::{At, kind},
    reference,
};

/// Values one input schema may consist of; a document cannot make the gateway hold more by repeating references.
const MOST_VALUES: usize = 100_000;
/// Definitions one input schema may use; what compiles it walks from one into the next.
const MOST_DEFINITIONS: usize = 500;

/// The schemas of one operation's input.
pub(super) struct Schemas<'a> {
    document: &'a Value,
    /// Pointer in the document → name under `$defs`.
    names: BTreeMap<String, String>,
    taken: BTreeSet<String>,
    waiting: Vec<(String, At<'a>)>,
    values: usize,
}

/// The schema of one member of the input, and where what it says was said: here first, then where references led.
pub(super) struct MemberSchema<'a> {
    pub(super) schema: Map<String, Value>,
    pub(super) sources: Vec<At<'a>>,
}

impl<'a> Schemas<'a> {
    pub(super) fn new(document: &'a Value) -> Self {
        Self { document, names: BTreeMap::new(), taken: BTreeSet::new(), waiting: Vec::new(), values: 0 }
    }

    /// The schema of a member. A reference is replaced by what it names, under what was said beside it: whoever
    /// reads a member (the flag's type, whether it is sensitive) then need not follow it.
    pub(super) fn member(&mut self, at: &At<'a>, findings: &mut Findings) -> MemberSchema<'a> {
        let mut sources = vec![at.clone()];
        let mut here = at.clone();
        while is_bare_reference(here.value) && sources.len() <= reference::LONGEST_CHAIN {
            match reference::step(self.document, &here) {
                Ok(Some(next)) if sources.iter().all(|source| source.pointer != next.pointer) => {
                    sources.push(next.clone());
                    here = next;
                }
                // A circle or a wrong pointer: told by `resolve` in full.
                _ => break,
            }
        }
        if let Err(fault) = reference::resolve(self.document, &here) {
            findings.add(fault);
            return MemberSchema { schema: Map::new(), sources };
        }
        let mut schema = match self.rewrite(&here, false, findings) {
            Value::Object(schema) => schema,
            Value::Bool(false) => Map::from_iter([("not".to_owned(), json!({}))]),
            _ => Map::new(),
        };
        schema.extend(annotations(&sources));
        keep_marks_of_secrecy(&mut schema);
        MemberSchema { schema, sources }
    }

    /// All definitions that what was rewritten so far needs, and how many values the whole consists of.
    pub(super) fn definitions(mut self, findings: &mut Findings) -> (Map<String, Value>, usize) {
        let mut definitions = Map::new();
        let mut origin: BTreeMap<String, String> = BTreeMap::new();
        while let Some((name, at)) = self.waiting.pop() {
            let schema = self.rewrite(&at, true, findings);
            origin.insert(name.clone(), at.pointer);
            definitions.insert(name, schema);
        }
        for name in endless(&definitions) {
            let pointer = origin.get(&name).cloned().unwrap_or_default();
            findings.fault(
                pointer,
                "this schema is made of itself (through `$ref`, `allOf`, `anyOf` or the like, with no property or item \
                 between), so no value can be checked against it; break the circle",
            );
        }
        definitions.sort_keys();
        (definitions, self.values)
    }

    /// `deep`: below a member, where `x-guichet` may still say `sensitive`; a member's own is read by its caller.
    fn rewrite(&mut self, at: &At<'a>, deep: bool, findings: &mut Findings) -> Value {
        if !self.weigh(1, &at.pointer, findings) {
            return json!({});
        }
        let members = match at.value {
            Value::Bool(said) => return Value::Bool(*said),
            Value::Object(members) => members,
            other => {
                findings.fault(
                    &at.pointer,
                    format!("a schema is an object, true or false; this is {}", kind(other)),
                );
                return json!({});
            }
        };
        let mut schema = Map::new();
        for (name, value) in members {
            let place = At::new(value, at.below(name));
            match keyword(name) {
                Keyword::Schema => {
                    schema.insert(name.clone(), self.rewrite(&place, true, findings));
                }
                Keyword::SchemaMap if value.is_object() => {
                    let each = place
                        .members()
                        .map(|(name, place)| (name.to_owned(), self.rewrite(&place, true, findings)));
                    schema.insert(name.clone(), Value::Object(each.collect()));
                }
                Keyword::SchemaList if value.as_array().is_some_and(|list| !list.is_empty()) => {
                    let each = place.items().map(|place| self.rewrite(&place, true, findings));
                    schema.insert(name.clone(), Value::Array(each.collect()));
                }
                Keyword::SchemaMap => {
                    findings.fault(place.pointer, format!("`{name}` is an object of schemas"));
                }
                Keyword::SchemaList => {
                    findings.fault(place.pointer, format!("`{name}` is a list of schemas, with one or more"));
                }
                Keyword::Reference => {
                    if let Some(target) = self.definition(at, findings) {
                        schema.insert(name.clone(), Value::from(target));
                    }
                }
                Keyword::Extension if deep => {
                    if let Some(said) = extension::deep_sensitive(&place, findings) {
                        schema.insert(name.clone(), json!({"sensitive": said}));
                    }
                }
                Keyword::Extension | Keyword::Dropped => {}
                Keyword::Refused(why) => findings.fault(place.pointer, why),
                Keyword::Plain(..) if name == "nullable" => findings.warn(
                    place.pointer,
                    "`nullable` is OpenAPI 3.0's and means nothing in 3.1; write `type: [string, \"null\"]`",
                ),
                Keyword::Plain(fits, _) if fits(value) => {
                    if self.weigh(weight(value), &place.pointer, findings) {
                        schema.insert(name.clone(), value.clone());
                    }
                }
                Keyword::Plain(_, should) => {
                    findings.fault(
                        place.pointer,
                        format!("`{name}` should be {should}; this is {}", kind(value)),
                    );
                }
            }
        }
        keep_marks_of_secrecy(&mut schema);
        Value::Object(schema)
    }

    /// `#/$defs/…` for the reference at this place.
    fn definition(&mut self, at: &At<'a>, findings: &mut Findings) -> Option<String> {
        let target = match reference::step(self.document, at) {
            Ok(target) => target?,
            Err(fault) => {
                findings.add(fault);
                return None;
            }
        };
        if let Some(name) = self.names.get(&target.pointer) {
            return Some(format!("#/$defs/{name}"));
        }
        if self.names.len() == MOST_DEFINITIONS {
            findings.fault(
                &at.pointer,
                format!("the input uses more than {MOST_DEFINITIONS} schemas; make the operation smaller"),
            );
            return None;
        }
        let name = self.free_name(&target.pointer);
        self.names.insert(target.pointer.clone(), name.clone());
        self.waiting.push((name.clone(), target));
        Some(format!("#/$defs/{name}"))
    }

    /// The last word of the pointer, in letters that need no escaping in a reference.
    fn free_name(&mut self, pointer: &str) -> String {
        let last = pointer.rsplit('/').next().unwrap_or_default();
        let plain: String = last
            .chars()
            .map(|letter| if letter.is_ascii_alphanumeric() || "._-".contains(letter) { letter } else { '_' })
            .collect();
        let mut name = plain.clone();
        let mut number = 2;
        while !self.taken.insert(name.clone()) {
            name = format!("{plain}_{number}");
            number += 1;
        }
        name
    }

    /// Counts; once over the limit, nothing more is taken.
    fn weigh(&mut self, weight: usize, pointer: &str, findings: &mut Findings) -> bool {
        let before = self.values;
        self.values = before.saturating_add(weight);
        if before <= MOST_VALUES && self.values > MOST_VALUES {
            findings.fault(
                pointer,
                format!(
                    "the schema of the input has more than {MOST_VALUES} values; make the operation smaller"
                ),
            );
        }
        self.values <= MOST_VALUES
    }
}

/// What was said beside references, the nearest last, so that it wins.
fn annotations<'s>(sources: &'s [At<'_>]) -> impl Iterator<Item = (String, Value)> + 's {
    sources.iter().rev().skip(1).flat_map(|source| {
        source.members().filter_map(|(name, place)| match keyword(name) {
            Keyword::Plain(fits, _) if is_annotation(name) && fits(place.value) => {
                Some((name.to_owned(), place.value.clone()))
            }
            _ => None,
        })
    })
}

/// A reference with at most words beside it.
fn is_bare_reference(value: &Value) -> bool {
    value.as_object().is_some_and(|members| {
        members.contains_key("$ref") && members.keys().all(|name| name == "$ref" || is_annotation(name))
    })
}

/// Who redacts follows a `$ref` and forgets what stood beside it; a mark of secrecy must not be lost that way.
pub(super) fn keep_marks_of_secrecy(schema: &mut Map<String, Value>) {
    let marked = schema.get("writeOnly") == Some(&Value::Bool(true))
        || schema.get("format").and_then(Value::as_str) == Some("password")
        || schema.get("x-guichet").and_then(|said| said.get("sensitive")) == Some(&Value::Bool(true));
    if marked && let Some(reference) = schema.shift_remove("$ref") {
        let part = json!({"$ref": reference});
        match schema.get_mut("allOf") {
            Some(Value::Array(parts)) => parts.push(part),
            _ => {
                schema.insert("allOf".to_owned(), json!([part]));
            }
        }
    }
}

/// Names of definitions that lie on, or only lead into, a circle of references that apply in place.
fn endless(definitions: &Map<String, Value>) -> Vec<String> {
    let mut leads_to: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, schema) in definitions {
        let mut targets = BTreeSet::new();
        in_place_references(schema, &mut targets);
        leads_to.insert(name, targets);
    }
    // Takes away what leads nowhere until nothing more can go: what stays goes round (Kahn's way, no recursion).
    loop {
        let ends: Vec<&str> = leads_to
            .iter()
            .filter(|(_, targets)| targets.iter().all(|target| !leads_to.contains_key(target)))
            .map(|(name, _)| *name)
            .collect();
        if ends.is_empty() {
            return leads_to.into_keys().map(str::to_owned).collect();
        }
        for name in ends {
            leads_to.remove(name);
        }
    }
}

fn in_place_references<'s>(schema: &'s Value, targets: &mut BTreeSet<&'s str>) {
    let Value::Object(members) = schema else { return };
    for (name, value) in members {
        if name == "$ref" {
            targets.extend(value.as_str().and_then(|reference| reference.strip_prefix("#/$defs/")));
        } else if is_in_place(name) {
            match value {
                Value::Array(parts) => parts.iter().for_each(|part| in_place_references(part, targets)),
                Value::Object(parts) if name == "dependentSchemas" => {
                    parts.values().for_each(|part| in_place_references(part, targets));
                }
                part => in_place_references(part, targets),
            }
        }
    }
}

/// How many values a value consists of.
fn weight(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(weight).sum::<usize>(),
        Value::Object(members) => 1 + members.values().map(weight).sum::<usize>(),
        _ => 1,
    }
}
