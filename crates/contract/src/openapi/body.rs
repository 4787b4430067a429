//! The body of an operation: the members of a JSON object become members of the input, any other JSON becomes the
//! one member `body`.
//!
//! An object is only taken apart when nothing is lost by it: one that allows further members, or that is bound by
//! `oneOf`, `if` and the like, stays whole.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use crate::action::Place;

use super::{
    finding::Findings,
    keyword::is_annotation,
    member::{Member, Needed},
    place::{At, kind},
    reference,
    schema::Schemas,
};

/// `allOf` inside `allOf`.
const DEEPEST: usize = 16;

/// The body as members of the input.
pub(super) fn members<'a>(
    document: &'a Value,
    operation: &At<'a>,
    method: &str,
    schemas: &mut Schemas<'a>,
    findings: &mut Findings,
) -> Vec<Member> {
    let Some(body) = operation.member("requestBody") else { return Vec::new() };
    let body = match reference::resolve(document, &body) {
        Ok(body) => body,
        Err(fault) => {
            findings.add(fault);
            return Vec::new();
        }
    };
    let required = body.value.get("required") == Some(&Value::Bool(true));
    if method == "GET" {
        let message = "a GET with a body means nothing (RFC 9110 §9.3.1)";
        if required {
            findings.fault(&body.pointer, format!("{message}; use POST, with `effect: read`"));
        } else {
            findings.doubt(&body.pointer, format!("{message}; the body is left out of the input"));
        }
        return Vec::new();
    }
    let Some(media) = json_media(&body, findings) else { return Vec::new() };
    let schema = media.member("schema");
    let parts = schema.as_ref().and_then(|schema| {
        let mut parts = Parts::default();
        (parts.take(document, schema, 0) && parts.is_complete()).then_some(parts)
    });
    if let Some(parts) = parts {
        return parts.members(document, required, schemas, findings);
    }
    let needed = if required { Needed::Always } else { Needed::No };
    let mut member = Member::new((Place::Body, "body", needed), &media, schema.as_ref(), schemas, findings);
    if let Some(description) = body.value.get("description").filter(|value| value.is_string()) {
        member.schema.entry("description").or_insert_with(|| description.clone());
    }
    vec![member]
}

/// The JSON among the kinds of body the operation takes.
fn json_media<'a>(body: &At<'a>, findings: &mut Findings) -> Option<At<'a>> {
    let Some(content) = body.member("content").filter(|content| content.value.is_object()) else {
        findings.fault(&body.pointer, "a request body has `content`, an object of media types");
        return None;
    };
    let essence = |media: &str| media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let found = ["application/json", "application/*", "*/*"]
        .iter()
        .find_map(|wanted| content.members().find(|(media, _)| essence(media) == *wanted));
    match found {
        Some((_, media)) if media.value.is_object() => Some(media),
        Some((_, media)) => {
            findings
                .fault(&media.pointer, format!("a media type is an object; this is {}", kind(media.value)));
            None
        }
        None => {
            let offered: Vec<&str> = content.members().map(|(media, _)| media).collect();
            findings.fault(
                &content.pointer,
                format!(
                    "the body is {}, and only `application/json` can be an input; offer that as well",
                    if offered.is_empty() {
                        "of no kind".to_owned()
                    } else {
                        format!("`{}`", offered.join("` or `"))
                    }
                ),
            );
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
        schemas: &mut Schemas<'a>,
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
