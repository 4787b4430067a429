//! `$ref`, inside the document only. A gateway that fetched what a provider's document points to could be sent
//! anywhere by it, so everything else is refused.

use serde_json::Value;

use super::{
    finding::{Finding, did_you_mean},
    place::At,
};

/// References that may lead to one another before something stands there.
pub(super) const LONGEST_CHAIN: usize = 32;

/// What a reference finally stands for; the place itself when it is no reference.
///
/// Errors: a reference out of the document, to nothing, or round in a circle.
pub(super) fn resolve<'a>(document: &'a Value, at: &At<'a>) -> Result<At<'a>, Finding> {
    let mut here = at.clone();
    let mut seen: Vec<String> = Vec::new();
    while let Some(next) = step(document, &here)? {
        if seen.contains(&next.pointer) || next.pointer == at.pointer {
            return Err(Finding::new(
                format!("{}/$ref", at.pointer),
                format!(
                    "this reference leads back to itself (by way of `#{}`), so it stands for nothing; \
                     put the thing itself in one of these places",
                    next.pointer
                ),
            ));
        }
        if seen.len() == LONGEST_CHAIN {
            return Err(Finding::new(
                format!("{}/$ref", at.pointer),
                format!("this leads through more than {LONGEST_CHAIN} references; point at the thing itself"),
            ));
        }
        seen.push(next.pointer.clone());
        here = next;
    }
    Ok(here)
}

/// What the reference at this place points to, one step; `None` when it is no reference.
pub(super) fn step<'a>(document: &'a Value, at: &At<'a>) -> Result<Option<At<'a>>, Finding> {
    let Some(reference) = at.member("$ref") else { return Ok(None) };
    let fault = |message: String| Finding::new(reference.pointer.clone(), message);
    let text = reference
        .value
        .as_str()
        .ok_or_else(|| fault("`$ref` is a text such as `#/components/schemas/Topic`".into()))?;
    let pointer = local_pointer(text).map_err(fault)?;
    match document.pointer(&pointer) {
        Some(value) => Ok(Some(At::new(value, pointer))),
        None => Err(fault(format!(
            "`{text}` points to nothing in this document{}; correct it, or add what it names",
            nearest_neighbour(document, &pointer)
        ))),
    }
}

/// The JSON pointer of a reference inside the document.
fn local_pointer(reference: &str) -> Result<String, String> {
    let Some(fragment) = reference.strip_prefix('#') else {
        return Err(format!(
            "`{reference}` points out of this document, and nothing is fetched from elsewhere; \
             bundle it into `components` and point there"
        ));
    };
    let pointer = percent_decoded(fragment)
        .ok_or_else(|| format!("`{reference}` is not percent-encoded UTF-8; write it as `#/components/…`"))?;
    if pointer.starts_with('/') {
        Ok(pointer)
    } else {
        Err(format!("`{reference}` is no JSON pointer (anchors are not read); write it as `#/components/…`"))
    }
}

/// A pointer in a URI fragment may be percent-encoded (RFC 6901 §6).
fn percent_decoded(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let high = char::from(rest.next()?).to_digit(16)?;
            let low = char::from(rest.next()?).to_digit(16)?;
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

fn nearest_neighbour(document: &Value, pointer: &str) -> String {
    let Some((parent, last)) = pointer.rsplit_once('/') else { return String::new() };
    match document.pointer(parent) {
        Some(Value::Object(members)) => did_you_mean(last, members.keys().map(String::as_str)),
        _ => String::new(),
    }
}
