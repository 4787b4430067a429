//! Schemas of the document rewritten to stand alone: `#/components/schemas/Topic` becomes `#/$defs/Topic`, and all
//! that is used comes along. A schema that contains itself stays recursive; one that *is* itself is refused.
//!
//! What a reference leads to is rewritten once for the whole document, however many operations use it. In others' documents
//! what cannot be understood of a schema is left out of the check, with a warning: their service checks it again.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    mem,
    rc::Rc,
};

use serde_json::{Map, Value, json};

use crate::redact::may_hide;

use super::{
    Strictness,
    dialect::{self, Dialect},
    discriminator, extension,
    finding::Findings,
    keyword::{Keyword, is_annotation, is_in_place, keyword},
    place::{At, kind},
    reference,
};

/// Values one input schema may consist of; a document cannot make the gateway hold more by repeating references.
const MOST_VALUES: usize = 100_000;
/// Definitions one input schema may use; what compiles it walks from one into the next.
const MOST_DEFINITIONS: usize = 500;
/// The same in others' documents: more than a Pod of Kubernetes takes (117). Some lead from each thing to all others, and every command
/// line would fetch that with every action.
const MOST_OF_OTHERS: usize = 150;

/// What is known of a document's schemas while its operations are read one after the other.
pub(super) struct Shared<'a> {
    document: &'a Value,
    dialect: Dialect,
    strictness: Strictness,
    /// Pointer in the document → name under `$defs`.
    names: HashMap<String, Rc<str>>,
    taken: HashSet<Rc<str>>,
    rewritten: HashMap<String, Rc<Definition<'a>>>,
}

/// A schema that something refers to, rewritten.
struct Definition<'a> {
    schema: Value,
    /// What it refers to itself.
    uses: Vec<At<'a>>,
    /// How many values it consists of.
    values: usize,
    findings: Findings,
}

impl<'a> Shared<'a> {
    pub(super) fn new(document: &'a Value, dialect: Dialect, strictness: Strictness) -> Self {
        let (names, taken, rewritten) = Default::default();
        Self { document, dialect, strictness, names, taken, rewritten }
    }

    /// The last word of the pointer, in letters that need no escaping in a reference.
    fn name_of(&mut self, pointer: &str) -> Rc<str> {
        if let Some(name) = self.names.get(pointer) {
            return Rc::clone(name);
        }
        let last = pointer.rsplit('/').next().unwrap_or_default();
        let plain: String = last
            .chars()
            .map(|letter| if letter.is_ascii_alphanumeric() || "._-".contains(letter) { letter } else { '_' })
            .collect();
        let mut name: Rc<str> = plain.as_str().into();
        let mut number = 2;
        while !self.taken.insert(Rc::clone(&name)) {
            name = format!("{plain}_{number}").into();
            number += 1;
        }
        self.names.insert(pointer.to_owned(), Rc::clone(&name));
        name
    }
}

/// The schemas of one operation's input.
pub(super) struct Schemas<'a, 's> {
    shared: &'s mut Shared<'a>,
    /// What is referred to, and was not looked at yet.
    used: Vec<At<'a>>,
    known: HashSet<String>,
    values: usize,
    room: usize,
}

/// The schema of one member of the input, and where what it says was said: here first, then where references led.
pub(super) struct MemberSchema<'a> {
    pub(super) schema: Map<String, Value>,
    pub(super) sources: Vec<At<'a>>,
}

/// What the schemas of an input need.
pub(super) struct Definitions {
    /// By name.
    pub(super) schemas: Map<String, Value>,
    /// The names of those that were not read, and take any value.
    pub(super) unread: BTreeSet<String>,
    /// How many values the whole consists of.
    pub(super) values: usize,
}

impl<'a, 's> Schemas<'a, 's> {
    /// For an input whose schema may consist of so many values, and of no more than any input's.
    pub(super) fn new(shared: &'s mut Shared<'a>, room: usize) -> Self {
        Self { shared, used: Vec::new(), known: HashSet::new(), values: 0, room: room.min(MOST_VALUES) }
    }

    /// The schema of a member. A reference is replaced by what it names, under what was said beside it: whoever
    /// reads a member (the flag's type, whether it is sensitive) then need not follow it.
    pub(super) fn member(&mut self, at: &At<'a>, findings: &mut Findings) -> MemberSchema<'a> {
        let document = self.shared.document;
        let mut sources = vec![at.clone()];
        let mut here = at.clone();
        while is_bare_reference(here.value) && sources.len() <= reference::LONGEST_CHAIN {
            match reference::step(document, &here) {
                Ok(Some(next)) if sources.iter().all(|source| source.pointer != next.pointer) => {
                    sources.push(next.clone());
                    here = next;
                }
                // A circle or a wrong pointer: told by `resolve` in full.
                _ => break,
            }
        }
        if let Err(fault) = reference::resolve(document, &here) {
            findings.doubt(fault.pointer, fault.message);
            let schema = Map::from_iter([("x-guichet".to_owned(), json!({"sensitive": true}))]);
            return MemberSchema { schema, sources };
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

    /// All definitions that what was rewritten so far needs.
    pub(super) fn definitions(mut self, findings: &mut Findings) -> Definitions {
        let mut definitions = Map::new();
        let mut origin: BTreeMap<String, String> = BTreeMap::new();
        let most = if findings.is_strict() { MOST_DEFINITIONS } else { MOST_OF_OTHERS };
        let (mut met, mut unread) = (0, BTreeSet::new());
        while !self.used.is_empty() {
            // The nearest first; of those that are as near, in an order that is the same however a document is written down.
            let mut near = mem::take(&mut self.used);
            near.sort_by(|one, other| one.pointer.cmp(&other.pointer));
            for at in near {
                met += 1;
                let name = self.shared.name_of(&at.pointer).to_string();
                origin.insert(name.clone(), at.pointer.clone());
                let definition = (met <= most).then(|| self.definition(&at));
                let definition = definition.filter(|read| self.values + read.values <= self.room);
                let Some(definition) = definition else {
                    // Those that follow beyond the limit say nothing new.
                    if met <= most {
                        self.told_too_large(&at.pointer, findings);
                    } else if met == most + 1 {
                        findings.doubt(&at.pointer, beyond(most));
                    }
                    definitions.insert(name.clone(), unchecked());
                    unread.insert(name);
                    continue;
                };
                self.values += definition.values;
                findings.take(&definition.findings);
                definition.uses.iter().for_each(|used| self.need(used));
                definitions.insert(name, definition.schema.clone());
            }
        }
        break_circles(&mut definitions, &origin, findings);
        definitions.sort_keys();
        Definitions { schemas: definitions, unread, values: self.values }
    }

    /// What stands here, rewritten once for all.
    fn definition(&mut self, at: &At<'a>) -> Rc<Definition<'a>> {
        if let Some(known) = self.shared.rewritten.get(&at.pointer) {
            return Rc::clone(known);
        }
        let mut findings = Findings::new(self.shared.strictness);
        let mut alone = Schemas::new(&mut *self.shared, MOST_VALUES);
        let schema = alone.rewrite(at, true, &mut findings);
        let (uses, values) = (alone.used, alone.values);
        let definition = Rc::new(Definition { schema, uses, values, findings });
        self.shared.rewritten.insert(at.pointer.clone(), Rc::clone(&definition));
        definition
    }

    fn need(&mut self, at: &At<'a>) {
        if self.known.insert(at.pointer.clone()) {
            self.used.push(at.clone());
        }
    }

    /// `deep`: below a member, where `x-guichet` may still say `sensitive`; a member's own is read by its caller.
    fn rewrite(&mut self, at: &At<'a>, deep: bool, findings: &mut Findings) -> Value {
        if !self.weigh(1, &at.pointer, findings) {
            return unchecked();
        }
        let members = match at.value {
            Value::Bool(said) => return Value::Bool(*said),
            Value::Object(members) => members,
            other => {
                findings.doubt(
                    &at.pointer,
                    format!("a schema is an object, true or false; this is {}", kind(other)),
                );
                return unchecked();
            }
        };
        let is_old = self.shared.dialect == Dialect::V30;
        let mut schema = Map::new();
        // Something was said of the value, or of a part of it, that is not read: it might have been that it is a secret.
        let mut is_lost = false;
        for (name, value) in members {
            let keyword = keyword(name);
            if matches!(keyword, Keyword::Dropped) || is_old && dialect::is_old(name, value) {
                is_lost |= is_old && holds_schemas(name) && !is_nothing(value);
                continue;
            }
            let place = || At::new(value, at.below(name));
            match keyword {
                Keyword::Schema => {
                    schema.insert(name.clone(), self.rewrite(&place(), true, findings));
                }
                Keyword::SchemaMap if value.is_object() => {
                    let each = place()
                        .members()
                        .map(|(name, place)| (name.to_owned(), self.rewrite(&place, true, findings)));
                    schema.insert(name.clone(), Value::Object(each.collect()));
                }
                Keyword::SchemaList if value.as_array().is_some_and(|list| !list.is_empty()) => {
                    let each = place().items().map(|place| self.rewrite(&place, true, findings));
                    schema.insert(name.clone(), Value::Array(each.collect()));
                }
                Keyword::SchemaMap => {
                    is_lost |= !is_nothing(value);
                    findings.doubt(at.below(name), format!("`{name}` is an object of schemas"));
                }
                Keyword::SchemaList => {
                    is_lost |= !is_nothing(value);
                    findings
                        .doubt(at.below(name), format!("`{name}` is a list of schemas, with one or more"));
                }
                Keyword::Reference => match self.reference(at, findings) {
                    Some(target) => {
                        schema.insert(name.clone(), Value::from(target));
                    }
                    None => is_lost = true,
                },
                Keyword::Extension if deep => {
                    if let Some(said) = extension::deep_sensitive(&place(), findings) {
                        schema.insert(name.clone(), json!({"sensitive": said}));
                    }
                }
                Keyword::Extension | Keyword::Dropped => {}
                Keyword::Refused(why) => {
                    is_lost |= name.ends_with("Ref");
                    findings.doubt(at.below(name), why);
                }
                Keyword::Plain(..) if name == "nullable" => findings.warn(
                    at.below(name),
                    "`nullable` is OpenAPI 3.0's and means nothing in 3.1; write `type: [string, \"null\"]`",
                ),
                Keyword::Plain(fits, _) if fits(value) => {
                    if self.weigh(weight(value), &at.pointer, findings) {
                        schema.insert(name.clone(), value.clone());
                    } else {
                        is_lost = true;
                    }
                }
                Keyword::Plain(_, should) => {
                    is_lost |= name == "writeOnly";
                    findings.doubt(
                        at.below(name),
                        format!("`{name}` should be {should}; this is {}", kind(value)),
                    );
                }
            }
        }
        if members.contains_key("discriminator") {
            discriminator::narrow(&mut schema, members);
        }
        if is_old {
            dialect::modernise(&mut schema, members);
        }
        if is_lost {
            // What its author says in words that are read goes before.
            schema.entry("x-guichet").or_insert_with(|| json!({"sensitive": true}));
        }
        keep_marks_of_secrecy(&mut schema);
        Value::Object(schema)
    }

    /// `#/$defs/…` for the reference at this place.
    fn reference(&mut self, at: &At<'a>, findings: &mut Findings) -> Option<String> {
        match reference::step(self.shared.document, at) {
            Ok(target) => {
                let target = target?;
                self.need(&target);
                Some(format!("#/$defs/{}", self.shared.name_of(&target.pointer)))
            }
            Err(fault) => {
                findings.doubt(fault.pointer, fault.message);
                None
            }
        }
    }

    /// Counts; once over the limit, nothing more is taken.
    fn weigh(&mut self, weight: usize, pointer: &str, findings: &mut Findings) -> bool {
        let before = self.values;
        self.values = before.saturating_add(weight);
        if before <= self.room && self.values > self.room {
            self.told_too_large(pointer, findings);
        }
        self.values <= self.room
    }

    fn told_too_large(&self, pointer: &str, findings: &mut Findings) {
        let message = if self.room == MOST_VALUES {
            format!("the schema of the input has more than {MOST_VALUES} values; make the operation smaller")
        } else {
            "the document is too large to read all of its schemas; split it".to_owned()
        };
        findings.doubt(pointer, format!("{message}. What is beyond is not checked, and hidden in records"));
    }
}

fn beyond(most: usize) -> String {
    format!(
        "the input leads to more than {most} schemas; make the operation smaller. Values that are farther in are not checked, \
         and hidden in records"
    )
}

/// Takes any value. Nobody read whether it is a secret, so it is treated as one.
fn unchecked() -> Value {
    json!({"x-guichet": {"sensitive": true}})
}

/// Whether schemas stand under this keyword.
fn holds_schemas(name: &str) -> bool {
    matches!(keyword(name), Keyword::Schema | Keyword::SchemaMap | Keyword::SchemaList)
}

/// Says nothing, in the wrong form: some write an empty object as an empty list.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        other => other.is_null(),
    }
}

/// A schema that is made of itself takes no value at all. In others' documents that is a base that lists what is made of it:
/// the list goes. Where something in it is a secret, the whole is one from then on.
fn break_circles(
    definitions: &mut Map<String, Value>,
    origin: &BTreeMap<String, String>,
    findings: &mut Findings,
) {
    let circles = circles(definitions);
    if circles.is_empty() {
        return;
    }
    for (name, is_secret) in circles {
        findings.doubt(
            origin.get(&name).cloned().unwrap_or_default(),
            "this schema is made of itself (through `$ref`, `allOf`, `anyOf` or the like, with no property or item \
             between), so no value can be checked against it; break the circle",
        );
        if let Some(Value::Object(schema)) = definitions.get_mut(&name) {
            schema.retain(|keyword, _| !CHOICES.contains(&keyword.as_str()));
            if is_secret {
                schema.insert("x-guichet".to_owned(), json!({"sensitive": true}));
                keep_marks_of_secrecy(schema);
            }
        }
    }
    for name in endless(definitions) {
        definitions.insert(name, unchecked());
    }
}

/// What goes of a schema that is made of itself.
const CHOICES: [&str; 2] = ["oneOf", "anyOf"];

/// The definitions that are made of themselves, and whether something of what goes is a secret.
fn circles(definitions: &Map<String, Value>) -> Vec<(String, bool)> {
    let is_secret = |name: &String| {
        let schema = definitions.get(name);
        let lost = CHOICES.iter().filter_map(|choices| schema?.get(choices));
        lost.into_iter().any(|choices| leads_to_secrets(definitions, choices))
    };
    let with_secrecy = |name: String| {
        let is_secret = is_secret(&name);
        (name, is_secret)
    };
    endless(definitions).into_iter().map(with_secrecy).collect()
}

/// Whether these schemas, or any that they refer to, have a mark of secrecy.
fn leads_to_secrets(definitions: &Map<String, Value>, schemas: &Value) -> bool {
    let (mut open, mut seen) = (vec![schemas], BTreeSet::new());
    while let Some(value) = open.pop() {
        if may_hide(value) {
            return true;
        }
        let mut named = Vec::new();
        references(value, &mut named);
        let new = named.into_iter().filter(|name| seen.insert(*name));
        open.extend(new.filter_map(|name| definitions.get(name)));
    }
    false
}

/// The definitions that are referred to anywhere in this.
pub(super) fn references<'s>(value: &'s Value, named: &mut Vec<&'s str>) {
    match value {
        Value::Object(members) => {
            let own = members.get("$ref").and_then(Value::as_str);
            named.extend(own.and_then(|reference| reference.strip_prefix("#/$defs/")));
            members.values().for_each(|member| references(member, named));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, named)),
        _ => {}
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

/// The definitions that are referred to about the same value.
pub(super) fn in_place_references<'s>(schema: &'s Value, targets: &mut BTreeSet<&'s str>) {
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
