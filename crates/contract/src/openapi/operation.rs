//! One operation of a document becomes one action.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::{
    action::{Action, ActionId, Effect, HttpBinding},
    digest::Digest,
};

use super::{
    body, command, cut, effect_of_method,
    extension::{self, OperationExtension},
    finding::Findings,
    merge, parameters, paths,
    place::At,
    schema::{Definitions, Schemas, Shared},
    servers, template, version,
};

/// Seconds a call may take when the document does not say.
const USUAL_TIMEOUT_SECONDS: u32 = 30;

/// Where an operation stands in a document.
pub(super) struct Found<'a> {
    pub(super) method: &'static str,
    pub(super) path: &'a str,
    pub(super) path_item: At<'a>,
    pub(super) at: At<'a>,
    /// Its `operationId`, or a name made from method and path.
    pub(super) id: String,
}

/// An action whose links to other operations are not checked yet.
pub(super) struct Draft {
    pub(super) action: Action,
    /// The operation in the document.
    pub(super) pointer: String,
    /// Where the options of a member are declared.
    pub(super) options_at: BTreeMap<String, String>,
    /// Its document chose the words of its command.
    pub(super) is_named: bool,
}

impl Found<'_> {
    /// In words.
    pub(super) fn what(&self) -> String {
        format!("`{} {}`", self.method, self.path)
    }
}

impl Draft {
    /// In words.
    pub(super) fn what(&self) -> String {
        format!("`{} {}`", self.action.http.method, self.action.http.path)
    }
}

/// Reads one operation, whose input may consist of `room` values; also says of how many it does.
pub(super) fn read<'a>(
    document: &'a Value,
    provider: &str,
    found: &Found<'a>,
    (shared, room): (&mut Shared<'a>, usize),
    findings: &mut Findings,
) -> (Draft, usize) {
    let at = &found.at;
    let path = paths::sent(found.path);
    let said = at
        .member("x-guichet")
        .map_or_else(OperationExtension::default, |said| extension::operation(&said, findings));

    let mut schemas = Schemas::new(shared, room);
    let mut members = parameters::members(document, &found.path_item, at, path, &mut schemas, findings);
    let body = body::read(document, at, found.method, &mut schemas, findings);
    members.extend(body.members);
    let Definitions { schemas, unread, values } = schemas.definitions(findings);
    let values = values + members.len();

    let names = merge::names(&members, findings);
    let mut options = BTreeMap::new();
    let mut options_at = BTreeMap::new();
    for (member, name) in members.iter_mut().zip(&names) {
        if let (Some((declared, pointer)), Some(name)) = (member.extension.options.take(), name) {
            options.insert(name.clone(), declared);
            options_at.insert(name.clone(), pointer);
        }
    }
    let (mut input, parameters) = merge::input(members, &names, schemas);
    cut::loosen(&mut input, &unread);
    check_what_names_members(&said, at, &input, findings);

    let effect = said.effect.unwrap_or_else(|| effect_of_method(found.method));
    if effect == Effect::Read && said.plan {
        findings.warn(
            at.below("x-guichet"),
            "a read has no plan; take `plan` out, or say what it changes with `effect`",
        );
    }
    let text = |name: &str| at.value.get(name).and_then(Value::as_str).filter(|text| !text.trim().is_empty());
    let tag = at.value.pointer("/tags/0").and_then(Value::as_str);
    let is_named = said.command.is_some();
    let mut action = Action {
        id: ActionId::new(provider, &found.id),
        provider: provider.to_owned(),
        operation: found.id.clone(),
        version: Digest::of_json(&Value::Null),
        command: said.command.unwrap_or_else(|| command::words(provider, tag, &found.id)),
        title: said
            .title
            .or_else(|| text("summary").map(str::to_owned))
            .unwrap_or_else(|| command::title(&found.id)),
        description: text("description").map(str::to_owned),
        effect,
        approval: said.approval,
        plan: said.plan,
        facts: said.facts,
        resource: said.resource,
        concurrency: said.concurrency,
        cool_down_seconds: said.cool_down_seconds.unwrap_or_default(),
        undo: said.undo,
        confirm: said.confirm,
        long: said.long || said.resumable,
        resumable: said.resumable,
        idempotent: said.idempotent,
        remembers: said.remembers,
        timeout_seconds: said.timeout_seconds.unwrap_or(USUAL_TIMEOUT_SECONDS),
        sensitive: said.sensitive,
        view: said.view,
        examples: said.examples,
        input,
        options,
        http: HttpBinding {
            method: found.method.to_owned(),
            path: path.to_owned(),
            parameters,
            media_type: body.media_type,
            server: servers::of_operation(at, &found.path_item),
        },
    };
    action.version = version::digest(&action);
    (Draft { action, pointer: at.pointer.clone(), options_at, is_named }, values)
}

fn check_what_names_members(said: &OperationExtension, at: &At<'_>, input: &Value, findings: &mut Findings) {
    let empty = Value::Object(Map::new());
    let extension = at.member("x-guichet").unwrap_or_else(|| At::new(&empty, at.below("x-guichet")));
    for (field, given) in [("resource", &said.resource), ("concurrency", &said.concurrency)] {
        if let Some(given) = given {
            template::check(field, given, &extension.below(field), input, findings);
        }
    }
    // An example that could not be read was told where it stands; the rest keep their order but not their number,
    // so each is found again by what it says.
    let places: Vec<At<'_>> = extension.member("examples").iter().flat_map(At::items).collect();
    for example in &said.examples {
        let place = places.iter().find(|place| {
            place.value.get("input") == Some(&example.input)
                && place.value.get("title").and_then(Value::as_str) == Some(example.title.as_str())
        });
        if let Some(place) = place {
            template::check_example(example, place, input, findings);
        }
    }
}
