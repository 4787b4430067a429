//! The body of an operation: the members of an object become members of the input, whatever the object is written as (JSON,
//! a form, several parts); anything else becomes the one member `body`.
//!
//! An object is only taken apart when nothing is lost by it: one that allows further members, or that is bound by
//! `oneOf`, `if` and the like, stays whole.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use crate::action::{Place, Style};

use super::{
    finding::Findings,
    keyword::is_annotation,
    media::{self, Kind},
    member::{Member, Needed},
    place::{At, kind},
    reference,
    schema::Schemas,
};

/// `allOf` inside `allOf`.
const DEEPEST: usize = 16;

/// The body as members of the input, and what it is written as when that is not `application/json`.
#[derive(Default)]
pub(super) struct Body {
    pub(super) members: Vec<Member>,
    pub(super) media_type: Option<String>,
}

/// Reads the body of an operation.
pub(super) fn read<'a>(
    document: &'a Value,
    operation: &At<'a>,
    method: &str,
    schemas: &mut Schemas<'a, '_>,
    findings: &mut Findings,
) -> Body {
    let Some(body) = operation.member("requestBody") else { return Body::default() };
    let body = match reference::resolve(document, &body) {
        Ok(body) => body,
        Err(fault) => {
            findings.doubt(fault.pointer, fault.message);
            return Body::default();
        }
    };
    let required = body.value.get("required") == Some(&Value::Bool(true));
    if matches!(method, "GET" | "HEAD") {
        let message = format!("a {method} with a body means nothing (RFC 9110 §9.3.1)");
        if required {
            findings.doubt(&body.pointer, format!("{message}; use POST, with `effect: read`"));
        } else {
            findings.doubt(&body.pointer, format!("{message}; the body is left out of the input"));
            return Body::default();
        }
    }
    let Some((media_type, media)) = chosen(&body, findings) else { return Body::default() };
    let kind = media::kind(media_type);
    let schema = media.member("schema");
    let parts = schema.as_ref().filter(|_| kind.has_members()).and_then(|schema| {
        let mut parts = Parts::default();
        (parts.take(document, schema, 0) && parts.is_complete()).then_some(parts)
    });
    let mut members = if let Some(parts) = parts {
        let mut members = parts.members(document, required, schemas, findings);
        if kind != Kind::Json {
            for member in &mut members {
                as_field(member, kind, &media, findings);
            }
        }
        members
    } else {
        let needed = if required { Needed::Always } else { Needed::No };
        let mut member =
            Member::new((Place::Body, "body", needed), &media, schema.as_ref(), schemas, findings);
        match kind {
            Kind::Json | Kind::Form | Kind::Parts => {}
            Kind::Text => member.schema = text(&member),
            Kind::Bytes => member.take_bytes(),
        }
        vec![member]
    };
    if let ([member], Some(description)) =
        (members.as_mut_slice(), body.value.get("description").filter(|value| value.is_string()))
        && member.place == Place::Body
    {
        member.schema.entry("description").or_insert_with(|| description.clone());
    }
    let media_type = (kind != Kind::Json || !media::is_plain_json(media_type)).then(|| media_type.to_owned());
    Body { members, media_type }
}

/// A body that is not JSON is written as it is: whatever its schema says of its inside is its service's to check.
fn text(member: &Member) -> serde_json::Map<String, Value> {
    let mut schema: serde_json::Map<String, Value> = member
        .schema
        .iter()
        .filter(|(name, _)| is_annotation(name))
        .map(|(n, v)| (n.clone(), v.clone()))
        .collect();
    for kept in ["x-guichet", "writeOnly"] {
        schema.extend(member.schema.get(kept).map(|said| (kept.to_owned(), said.clone())));
    }
    schema.shift_remove("default");
    schema.insert("type".to_owned(), Value::from("string"));
    schema
}

/// How one field of a form, or one part, is written.
fn as_field(member: &mut Member, kind: Kind, media: &At<'_>, findings: &mut Findings) {
    let encoding = media.member("encoding").and_then(|encoding| encoding.member(&member.wire_name));
    let said = |name: &str| encoding.as_ref().and_then(|encoding| encoding.value.get(name));
    let content_type = said("contentType").and_then(Value::as_str);
    // Of one that may be anything it is seen when it is written: only an object is JSON then.
    let is_object = member.types().contains(&"object") || member.types().is_empty();
    member.explode = said("explode").and_then(Value::as_bool).unwrap_or(true);
    if kind == Kind::Parts {
        if member.is_binary() {
            member.take_bytes();
        } else if content_type.is_some_and(media::is_json) || content_type.is_none() && is_object {
            member.style = Style::Json;
        }
        // Several names stand for "any of these"; the first is as good as another.
        member.content_type =
            content_type.map(|names| names.split(',').next().unwrap_or(names).trim().to_owned());
        return;
    }
    // What is JSON by the document's word is JSON whatever its value.
    let is_json = content_type.is_some_and(media::is_json);
    member.style = match said("style").and_then(Value::as_str) {
        Some("deepObject") => Style::DeepObject,
        Some("spaceDelimited") => Style::Spaces,
        Some("pipeDelimited") => Style::Pipes,
        Some("tabDelimited") => Style::Tabs,
        None if is_json || is_object => Style::Json,
        None | Some("form") => Style::Usual,
        Some(style) => {
            let pointer = encoding.as_ref().map_or_else(String::new, |encoding| encoding.below("style"));
            findings.doubt(pointer, format!("style `{style}` is none of a form; its usual one is used"));
            Style::Usual
        }
    };
    if member.style == Style::Json && is_json {
        member.content_type = content_type.map(str::to_owned);
    }
    if !said("explode").is_some_and(Value::is_boolean) && member.style != Style::Usual {
        member.explode = false;
    }
}

/// Which of the kinds of body the operation takes is written: JSON when there is a choice.
fn chosen<'a>(body: &At<'a>, findings: &mut Findings) -> Option<(&'a str, At<'a>)> {
    let Some(content) = body.member("content").filter(|content| content.value.is_object()) else {
        findings.doubt(&body.pointer, "a request body has `content`, an object of media types");
        return None;
    };
    let found = content.members().min_by_key(|(name, _)| media::rank(name));
    match found {
        Some((name, media)) if media.value.is_object() => Some((name, media)),
        Some((_, media)) => {
            findings
                .doubt(&media.pointer, format!("a media type is an object; this is {}", kind(media.value)));
            None
        }
        None => {
            findings.doubt(&content.pointer, "the body is of no kind; say `application/json` or another");
            None
        }
    }
}

/// An object schema taken apart.
#[derive(Default)]
struct Parts<'a> {
    members: Vec<(&'a str, At<'a>)>,
    /// Name → what stands under it.
    by_name: HashMap<&'a str, &'a Value>,
    required: HashSet<&'a str>,
    sensitive: bool,
    /// Parts of an `allOf` already taken: a second time adds nothing.
    seen: HashSet<String>,
}

impl<'a> Parts<'a> {
    /// `false` when the schema is no plain object, so that it must stay whole.
    fn take(&mut self, document: &'a Value, schema: &At<'a>, depth: usize) -> bool {
        let mut here = schema.clone();
        for _ in 0..DEEPEST {
            self.sensitive |= is_marked_sensitive(here.value);
            if !self.seen.insert(here.pointer.clone()) {
                return true;
            }
            match reference::step(document, &here) {
                Ok(Some(target)) if only_annotations_beside_reference(here.value) => here = target,
                Ok(None) => break,
                _ => return false,
            }
        }
        let Value::Object(keywords) = here.value else { return false };
        let whole = keywords.iter().any(|(name, value)| match name.as_str() {
            "type" => value != "object",
            "additionalProperties" | "unevaluatedProperties" => *value != Value::Bool(false),
            "properties" => !value.is_object(),
            "required" | "allOf" => !value.is_array(),
            "$defs" | "definitions" | "$schema" | "$anchor" => false,
            other => !is_annotation(other),
        });
        // Beside or inside an `allOf`, `additionalProperties: false` forbids what the other parts have.
        let closed_part = keywords.contains_key("additionalProperties")
            && (depth > 0 || keywords.contains_key("allOf"))
            || depth > 0 && keywords.contains_key("unevaluatedProperties");
        if whole || closed_part || depth > DEEPEST {
            return false;
        }
        for (name, place) in here.member("properties").iter().flat_map(At::members) {
            match self.by_name.insert(name, place.value) {
                Some(other) if other != place.value => return false,
                Some(_) => {}
                None => self.members.push((name, place)),
            }
        }
        let required = keywords.get("required").and_then(Value::as_array).into_iter().flatten();
        self.required.extend(required.filter_map(Value::as_str));
        here.member("allOf").iter().flat_map(At::items).all(|part| self.take(document, &part, depth + 1))
    }

    /// Whether the members found are all there is to say.
    fn is_complete(&self) -> bool {
        !self.members.is_empty() && self.required.iter().all(|name| self.by_name.contains_key(name))
    }

    fn members(
        self,
        document: &'a Value,
        required: bool,
        schemas: &mut Schemas<'a, '_>,
        findings: &mut Findings,
    ) -> Vec<Member> {
        let needed = |name: &str| match (self.required.contains(name), required) {
            (true, true) => Needed::Always,
            (true, false) => Needed::WithBody,
            (false, _) => Needed::No,
        };
        let mut members = Vec::new();
        for (name, place) in &self.members {
            // The provider's to say (an id, a creation date), not the caller's.
            if is_read_only(document, place) {
                continue;
            }
            let mut member =
                Member::new((Place::BodyMember, name, needed(name)), place, Some(place), schemas, findings);
            if self.sensitive && member.extension.sensitive.is_none() {
                member.mark_sensitive(true);
            }
            members.push(member);
        }
        members
    }
}

fn only_annotations_beside_reference(schema: &Value) -> bool {
    schema.as_object().is_some_and(|members| members.keys().all(|name| name == "$ref" || is_annotation(name)))
}

fn is_marked_sensitive(schema: &Value) -> bool {
    schema.pointer("/x-guichet/sensitive") == Some(&Value::Bool(true))
        || schema.get("writeOnly") == Some(&Value::Bool(true))
}

fn is_read_only(document: &Value, place: &At<'_>) -> bool {
    let says = |value: &Value| value.get("readOnly") == Some(&Value::Bool(true));
    says(place.value) || reference::resolve(document, place).is_ok_and(|target| says(target.value))
}
