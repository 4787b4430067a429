//! Parameters of an operation: those of its path and its own, which win over them.

use crate::action::Place;

use super::{
    finding::Findings,
    member::{Member, Needed},
    place::{At, kind},
    reference,
    schema::Schemas,
};

/// Parameters one operation, or one path, may declare.
const MOST_PARAMETERS: usize = 500;
/// Headers the gateway writes itself, or that speak of the connection or of who calls. A caller must not choose them.
const NOT_INPUTS: [&str; 26] = [
    "authorization",
    "cookie",
    "host",
    "content-length",
    "connection",
    "idempotency-key",
    "traceparent",
    // Not parameters, says OpenAPI 3.1 (Parameter Object, `name`):
    "accept",
    "content-type",
    // RFC 9110 §7.6.1 and its kind:
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "expect",
    "content-encoding",
    "accept-encoding",
    "tracestate",
    "baggage",
    "forwarded",
    "via",
    "x-real-ip",
    "origin",
    "referer",
    "set-cookie",
    "date",
];
const NOT_INPUT_PREFIXES: [&str; 4] = ["guichet-", "proxy-", "x-forwarded-", "sec-"];

/// The parameters as members: path, then query, then headers. `path_template` names those of the path.
pub(super) fn members<'a>(
    document: &'a serde_json::Value,
    path_item: &At<'a>,
    operation: &At<'a>,
    path_template: &str,
    schemas: &mut Schemas<'a>,
    findings: &mut Findings,
) -> Vec<Member> {
    let mut declared: Vec<Declared<'a>> = Vec::new();
    for (level, holder) in [path_item, operation].into_iter().enumerate() {
        for parameter in list(document, holder, level, findings) {
            match declared.iter_mut().find(|other| other.same_as(&parameter)) {
                Some(other) if other.level == level => findings.fault(
                    &parameter.at.pointer,
                    format!(
                        "there are two parameters `{}` in {}; take one out",
                        parameter.name, parameter.place
                    ),
                ),
                Some(other) => *other = parameter,
                None => declared.push(parameter),
            }
        }
    }
    let placeholders = placeholders(path_template);
    for name in placeholders.iter().filter(|name| !declared.iter().any(|other| other.is_path(name))) {
        findings.fault(
            &operation.pointer,
            format!("the path `{path_template}` has `{{{name}}}`, but no parameter declares it; add one with `in: path`"),
        );
    }
    let mut members = Vec::new();
    for wanted in ["path", "query", "header", "cookie"] {
        for parameter in declared.iter().filter(|parameter| parameter.place == wanted) {
            members.extend(parameter.member(&placeholders, schemas, findings));
        }
    }
    members
}

struct Declared<'a> {
    at: At<'a>,
    name: &'a str,
    place: &'a str,
    level: usize,
}

fn list<'a>(
    document: &'a serde_json::Value,
    holder: &At<'a>,
    level: usize,
    findings: &mut Findings,
) -> Vec<Declared<'a>> {
    let Some(parameters) = holder.member("parameters") else { return Vec::new() };
    if !parameters.value.is_array() {
        findings.fault(
            &parameters.pointer,
            format!("`parameters` is a list; this is {}", kind(parameters.value)),
        );
    }
    if parameters.value.as_array().is_some_and(|list| list.len() > MOST_PARAMETERS) {
        findings.fault(
            &parameters.pointer,
            format!("there are more than {MOST_PARAMETERS} parameters; send them as a body instead"),
        );
        return Vec::new();
    }
    let mut list = Vec::new();
    for at in parameters.items() {
        let at = match reference::resolve(document, &at) {
            Ok(at) => at,
            Err(fault) => {
                findings.add(fault);
                continue;
            }
        };
        let text = |name: &str| {
            at.value.get(name).and_then(serde_json::Value::as_str).filter(|text| !text.is_empty())
        };
        match (text("name"), text("in")) {
            (Some(name), Some(place @ ("path" | "query" | "header" | "cookie"))) => {
                list.push(Declared { name, place, level, at: at.clone() });
            }
            (Some(name), Some(other)) => findings.fault(
                at.below("in"),
                format!(
                    "parameter `{name}` is in `{other}`; a parameter is in path, query, header or cookie"
                ),
            ),
            _ => findings.fault(&at.pointer, "a parameter is an object with `name` and `in`, both texts"),
        }
    }
    list
}

impl<'a> Declared<'a> {
    fn same_as(&self, other: &Self) -> bool {
        self.place == other.place
            && (self.name == other.name
                || self.place == "header" && self.name.eq_ignore_ascii_case(other.name))
    }

    fn is_path(&self, name: &str) -> bool {
        self.place == "path" && self.name == name
    }

    fn member(
        &self,
        placeholders: &[&str],
        schemas: &mut Schemas<'a>,
        findings: &mut Findings,
    ) -> Option<Member> {
        let (at, name) = (&self.at, self.name);
        let required = at.value.get("required").and_then(serde_json::Value::as_bool) == Some(true);
        let place = match self.place {
            "path" => Place::Path,
            "query" => Place::Query,
            "header" if is_header_name(name) => Place::Header,
            "header" => {
                findings.fault(at.below("name"), format!("`{name}` is no name of a header (RFC 9110 §5.1)"));
                return None;
            }
            _ => {
                self.leave_out(required, "cookies are not sent to providers", findings);
                return None;
            }
        };
        if place == Place::Header && is_not_input(name) {
            findings.warn(
                &at.pointer,
                format!("the header `{name}` is no input: the gateway decides what it says"),
            );
            return None;
        }
        if place == Place::Path && !placeholders.contains(&name) {
            findings.fault(
                &at.pointer,
                format!("the path has no `{{{name}}}`; correct the name or take the parameter out"),
            );
            return None;
        }
        if place == Place::Path && !required {
            findings.warn(&at.pointer, "a path parameter is always required; say `required: true`");
        }
        let explode = match self.explode(place) {
            Ok(explode) => explode,
            Err(why) => {
                self.leave_out(required || place == Place::Path, &why, findings);
                return None;
            }
        };
        let needed = if required || place == Place::Path { Needed::Always } else { Needed::No };
        let schema = at.member("schema");
        let mut member = Member::new((place, name, needed), at, schema.as_ref(), schemas, findings);
        if member.types().contains(&"object") {
            self.leave_out(
                required || place == Place::Path,
                "an object cannot be written there as one value",
                findings,
            );
            return None;
        }
        member.explode = explode;
        self.words(&mut member);
        Some(member)
    }

    /// What the parameter says of itself, into its schema.
    fn words(&self, member: &mut Member) {
        if let Some(description) = self.at.value.get("description").filter(|value| value.is_string()) {
            member.schema.insert("description".to_owned(), description.clone());
        }
        if self.at.value.get("deprecated") == Some(&serde_json::Value::Bool(true)) {
            member.schema.insert("deprecated".to_owned(), serde_json::Value::Bool(true));
        }
        if let Some(example) = self.at.value.get("example") {
            member.schema.entry("examples").or_insert_with(|| serde_json::json!([example]));
        }
    }

    /// Whether an array is repeated. `Err`: it is written in a way the gateway does not speak.
    fn explode(&self, place: Place) -> Result<bool, String> {
        if self.at.value.get("content").is_some() {
            return Err("its value is a document of its own (`content`); use `schema`".to_owned());
        }
        let usual = if place == Place::Query { "form" } else { "simple" };
        match self.at.value.get("style").and_then(serde_json::Value::as_str) {
            Some(style) if style != usual => Err(format!("style `{style}` is not spoken; use `{usual}`")),
            // Only `form` repeats; `simple` joins by commas either way (OpenAPI 3.1, style examples).
            _ if place != Place::Query => Ok(false),
            _ => Ok(self.at.value.get("explode").and_then(serde_json::Value::as_bool).unwrap_or(true)),
        }
    }

    /// An optional parameter can be done without, a required one cannot.
    fn leave_out(&self, required: bool, why: &str, findings: &mut Findings) {
        let (name, pointer) = (self.name, &self.at.pointer);
        if required {
            findings.fault(pointer, format!("parameter `{name}` is required and cannot be an input: {why}"));
        } else {
            findings.doubt(pointer, format!("parameter `{name}` is left out of the input: {why}"));
        }
    }
}

/// The names in `{…}` of a path template.
pub(super) fn placeholders(template: &str) -> Vec<&str> {
    template.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name).collect()
}

fn is_header_name(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

fn is_not_input(header: &str) -> bool {
    let header = header.to_ascii_lowercase();
    NOT_INPUTS.contains(&header.as_str())
        || NOT_INPUT_PREFIXES.iter().any(|prefix| header.starts_with(prefix))
}
