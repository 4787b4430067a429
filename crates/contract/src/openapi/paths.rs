//! The paths of a document and the operations on them.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;

use super::{
    command,
    finding::Findings,
    operation::Found,
    place::{At, kind},
    reference,
    sheet::Sheet,
};

/// The methods that become actions.
const METHODS: [(&str, &str); 7] = [
    ("get", "GET"),
    ("put", "PUT"),
    ("post", "POST"),
    ("delete", "DELETE"),
    ("patch", "PATCH"),
    ("head", "HEAD"),
    ("options", "OPTIONS"),
];
/// What else a path may have (OpenAPI 3.1, Path Item Object).
const OTHER_FIELDS: [&str; 6] = ["$ref", "summary", "description", "servers", "parameters", "trace"];

/// All operations, of paths that can be read.
pub(super) fn operations<'a>(document: &'a Value, paths: &At<'a>, sheet: &mut Sheet) -> Vec<Found<'a>> {
    let mut found = Vec::new();
    // Path without the names of its parameters → the path that has it.
    let mut shapes: HashMap<String, &str> = HashMap::new();
    for (path, at) in paths.members().filter(|(path, _)| !path.starts_with("x-")) {
        let mut findings = sheet.findings();
        check_path(path, &at.pointer, &mut findings);
        if let Some(other) = shapes.insert(shape(path), path) {
            findings.doubt(
                &at.pointer,
                format!("`{path}` and `{other}` are the same path with other names in it; merge them"),
            );
        }
        let item = path_item(document, &at, &mut findings);
        if !sheet.settle(&format!("the path `{path}`"), &at.pointer, findings) {
            continue;
        }
        for (field, method) in METHODS {
            if let Some(operation) = item.member(field) {
                found.push(named(method, path, &item, operation, sheet));
            }
        }
        if let Some(trace) = item.member("trace") {
            // It echoes the request, and with it whatever the gateway shows of itself.
            let what = format!("`TRACE {path}`");
            let mut findings = sheet.findings();
            findings.doubt(
                &trace.pointer,
                format!("{what} is left out: a TRACE sends back what was sent, with credentials"),
            );
            sheet.settle(&what, &trace.pointer, findings);
        }
    }
    if sheet.is_lenient() {
        tell_apart(&mut found, sheet);
    }
    found
}

/// In others' documents, operations with one id are called by method and path, all of them: none would be known by the id.
fn tell_apart(found: &mut [Found<'_>], sheet: &mut Sheet) {
    let mut bearers: HashMap<String, usize> = HashMap::new();
    for one in found.iter() {
        *bearers.entry(one.id.to_lowercase()).or_default() += 1;
    }
    let is_shared = |one: &Found<'_>| bearers.get(&one.id.to_lowercase()).is_some_and(|count| *count > 1);
    let shared: Vec<bool> = found.iter().map(is_shared).collect();
    let mut taken: HashSet<String> = bearers.into_keys().collect();
    for (one, _) in found.iter_mut().zip(shared).filter(|(_, is_shared)| *is_shared) {
        let name = command::operation_name(one.method, one.path);
        let mut id = name.clone();
        let mut number = 2;
        while !taken.insert(id.to_lowercase()) {
            id = format!("{name}-{number}");
            number += 1;
        }
        let message = format!(
            "the id `{}` is that of several operations (case does not count); this one is called `{id}`",
            one.id
        );
        sheet.warn(one.at.below("operationId"), message);
        one.id = id;
    }
}

fn path_item<'a>(document: &'a Value, at: &At<'a>, findings: &mut Findings) -> At<'a> {
    match reference::resolve(document, at) {
        Ok(item) => {
            if !item.value.is_object() {
                findings.fault(&item.pointer, format!("a path is an object; this is {}", kind(item.value)));
            }
            check_fields(&item, findings);
            item
        }
        Err(fault) => {
            findings.add(fault);
            at.clone()
        }
    }
}

fn named<'a>(
    method: &'static str,
    path: &'a str,
    path_item: &At<'a>,
    at: At<'a>,
    sheet: &mut Sheet,
) -> Found<'a> {
    let id = match at.value.get("operationId") {
        Some(Value::String(id)) if is_id(id) || !sheet.is_lenient() && !id.trim().is_empty() => id.clone(),
        said => {
            let id = command::operation_name(method, path);
            // In our own documents a wrong one is a fault of the operation.
            if said.is_none() || sheet.is_lenient() {
                let message = format!(
                    "`{method} {path}` has no usable `operationId` and is called `{id}`; give it one that stays"
                );
                sheet.warn(&at.pointer, message);
            }
            id
        }
    };
    Found { method, path, path_item: path_item.clone(), at, id }
}

/// Checks what makes an operation one of its own. `bearers`: all operations by id, in lower case.
pub(super) fn check_operation(
    found: &Found<'_>,
    bearers: &BTreeMap<String, Vec<&Found<'_>>>,
    findings: &mut Findings,
) {
    let at = &found.at;
    if !at.value.is_object() {
        findings.fault(&at.pointer, format!("an operation is an object; this is {}", kind(at.value)));
    }
    if let Some(id) = at.value.get("operationId")
        && !id.as_str().is_some_and(is_id)
    {
        findings.doubt(at.below("operationId"), "`operationId` is a text of 1 to 200 letters");
    }
    let same = bearers.get(&found.id.to_lowercase()).map_or(&[][..], Vec::as_slice);
    if let Some(other) = same.iter().find(|other| (other.method, other.path) != (found.method, found.path)) {
        findings.fault(
            at.below("operationId"),
            format!(
                "the id `{}` is that of `{} {}` as well (case does not count); give each operation its own `operationId`",
                found.id, other.method, other.path
            ),
        );
    }
}

fn is_id(id: &str) -> bool {
    !id.trim().is_empty() && id.len() <= 200 && !id.chars().any(char::is_control)
}

/// What of a path is sent.
pub(super) fn sent(path: &str) -> &str {
    path.split('#').next().unwrap_or(path)
}

fn check_path(path: &str, pointer: &str, findings: &mut Findings) {
    if path.contains('?') {
        findings.doubt(
            pointer,
            format!(
                "`{path}` is no path: what follows `?` is a query; declare query parameters as parameters"
            ),
        );
    }
    if path.contains('#') {
        findings.doubt(
            pointer,
            format!("`{path}` is no path: what follows `#` is not sent, and only tells operations of one path apart"),
        );
    }
    let path = sent(path);
    let mut fault = |why: &str| findings.fault(pointer, format!("`{path}` is no path: {why}"));
    if !path.starts_with('/') {
        fault("a path begins with `/`");
    }
    if path.contains('\\') || path.chars().any(|letter| letter.is_control() || letter.is_whitespace()) {
        fault("`\\` and white space do not belong in one");
    }
    if path.split('/').any(|part| part == "." || part == "..") {
        fault("`.` and `..` would lead to another path");
    }
    let mut open = false;
    let balanced = path.chars().all(|letter| match letter {
        '{' if open => false,
        '}' if !open => false,
        '{' | '}' => {
            open = !open;
            true
        }
        '/' => !open,
        _ => true,
    });
    if !balanced || open || path.contains("{}") {
        fault("each `{` needs its `}` in the same part, with a name between");
    }
}

fn check_fields(item: &At<'_>, findings: &mut Findings) {
    for (field, place) in item.members() {
        if field == "x-guichet" {
            findings.doubt(place.pointer, "`x-guichet` means nothing on a path; put it on each operation");
        } else if !field.starts_with("x-")
            && !OTHER_FIELDS.contains(&field)
            && !METHODS.iter().any(|(method, _)| *method == field)
        {
            findings.warn(place.pointer, format!("`{field}` is no field of a path; nothing is made of it"));
        }
    }
}

/// A path with the names of its parameters taken out.
fn shape(path: &str) -> String {
    let mut inside = false;
    path.chars()
        .filter(|letter| {
            match letter {
                '{' => inside = true,
                '}' => inside = false,
                _ => return !inside,
            }
            true
        })
        .collect()
}
