//! The way through a document: its version and limits, then its paths, then each operation, then what operations say
//! of one another.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::action::flag_name;

use super::{
    DEEPEST_NESTING, MOST_OPERATIONS, Reading, Strictness, command, dialect, extension,
    finding::{Finding, Findings},
    paths,
    place::{At, escape, kind},
    schema::Shared,
    servers,
    sheet::Sheet,
    swagger,
};

/// Reads a provider's document.
///
/// `Ok`: what it says. `Err`: everything that is wrong, each with its place. [`Strictness::Lenient`] only fails on
/// what concerns the whole document; an operation that cannot be read is listed in [`Reading::refused`].
pub fn read(provider: &str, document: &Value, strictness: Strictness) -> Result<Reading, Vec<Finding>> {
    if let Some(pointer) = too_deep(document) {
        return Err(vec![Finding::new(
            pointer,
            format!(
                "objects and lists lie more than {DEEPEST_NESTING} deep here; move the inner ones to `components`"
            ),
        )]);
    }
    if !swagger::is_swagger(document) {
        return read_openapi(provider, document, strictness);
    }
    let mut read = read_openapi(provider, &swagger::converted(document), strictness);
    let findings: Vec<&mut Finding> = match &mut read {
        Ok(reading) => reading.warnings.iter_mut().chain(&mut reading.refused).collect(),
        Err(faults) => faults.iter_mut().collect(),
    };
    for finding in findings {
        finding.pointer = swagger::pointer_of(document, &finding.pointer);
    }
    read
}

fn read_openapi(provider: &str, document: &Value, strictness: Strictness) -> Result<Reading, Vec<Finding>> {
    let root = At::new(document, "");
    let mut findings = Findings::new(strictness);
    let dialect = dialect::of(&root).map_err(|fault| vec![fault])?;
    if !is_provider_name(provider) {
        findings.fault(
            "",
            format!("`{provider}` is no name of a provider: use lower-case letters, digits and `-`"),
        );
    }
    let left_out = root.member("x-guichet").map(|said| extension::document(&said, &mut findings));
    check_dialect(&root, &mut findings);
    let title = title(&root, provider, &mut findings);
    let server = servers::of_document(&root);

    let paths = declared_paths(&root, &mut findings);

    let mut sheet = Sheet::new(strictness, findings);
    let found = paths.map_or_else(Vec::new, |paths| paths::operations(document, &paths, &mut sheet));
    if found.len() > MOST_OPERATIONS {
        return Err(vec![Finding::new(
            "/paths",
            format!(
                "the document has {} operations, and {MOST_OPERATIONS} is the most; split it",
                found.len()
            ),
        )]);
    }
    let mut shared = Shared::new(document, dialect, strictness);
    let drafts = sheet.drafts(document, provider, &found, &mut shared);
    let declared: BTreeSet<&str> = found.iter().map(|found| found.id.as_str()).collect();
    let mut drafts = sheet.linked(drafts, &declared);
    if strictness == Strictness::Lenient {
        command::tell_apart(&mut drafts);
    }
    if found.is_empty() {
        sheet.warn("/paths", "the document has no operations, so the provider offers nothing");
    }
    let (warnings, mut refused) = sheet.close()?;
    refused.extend(left_out.into_iter().flatten());
    let actions = drafts.into_iter().map(|draft| draft.action).collect();
    Ok(Reading { title, server, actions, warnings, refused })
}

fn check_dialect(root: &At<'_>, findings: &mut Findings) {
    let known = |said: &str| {
        let said = said.trim_end_matches('#');
        said.starts_with("https://spec.openapis.org/oas/3.1/")
            || said == "https://json-schema.org/draft/2020-12/schema"
    };
    if let Some(said) = root.member("jsonSchemaDialect")
        && !said.value.as_str().is_some_and(known)
    {
        findings.doubt(
            said.pointer,
            "only JSON Schema 2020-12 is read; write the schemas in it and take this field out",
        );
    }
}

fn title(root: &At<'_>, provider: &str, findings: &mut Findings) -> String {
    let said =
        root.value.pointer("/info/title").and_then(Value::as_str).filter(|title| !title.trim().is_empty());
    said.map_or_else(
        || {
            let message = "the document has no title; say what it is about in `info: {title: …}`";
            findings.doubt("/info/title", message);
            provider.to_owned()
        },
        str::to_owned,
    )
}

fn declared_paths<'a>(root: &At<'a>, findings: &mut Findings) -> Option<At<'a>> {
    let paths = root.member("paths")?;
    if !paths.value.is_object() {
        findings.fault(&paths.pointer, format!("`paths` is an object; this is {}", kind(paths.value)));
    }
    Some(paths)
}

/// Where nesting is deeper than allowed. Stops there, so its own depth is bounded.
fn too_deep(document: &Value) -> Option<String> {
    /// The way to it, innermost first: only built when there is one.
    fn look(value: &Value, depth: usize) -> Option<Vec<String>> {
        if depth == DEEPEST_NESTING && (value.is_object() || value.is_array()) {
            return Some(Vec::new());
        }
        let (mut way, token) = match value {
            Value::Object(members) => members
                .iter()
                .find_map(|(name, member)| Some((look(member, depth + 1)?, escape(name).into_owned())))?,
            Value::Array(items) => items
                .iter()
                .enumerate()
                .find_map(|(position, item)| Some((look(item, depth + 1)?, position.to_string())))?,
            _ => return None,
        };
        way.push(token);
        Some(way)
    }
    let way = look(document, 0)?;
    Some(way.iter().rev().flat_map(|token| ["/", token]).collect())
}

fn is_provider_name(name: &str) -> bool {
    !name.is_empty() && flag_name(name) == name && name.starts_with(|first: char| first.is_ascii_lowercase())
}
