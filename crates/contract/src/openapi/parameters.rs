//! Parameters of an operation: those of its path and its own, which win over them.

use crate::action::{Place, Style};

use super::{
    finding::Findings,
    media,
    member::{Member, Needed, place_word},
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

/// The parameters as members: path, then query, then headers, then cookies. `path_template` names those of the path.
pub(super) fn members<'a>(
    document: &'a serde_json::Value,
    path_item: &At<'a>,
    operation: &At<'a>,
    path_template: &str,
    schemas: &mut Schemas<'a, '_>,
    findings: &mut Findings,
) -> Vec<Member> {
    let mut declared: Vec<Declared<'a>> = Vec::new();
    for (level, holder) in [path_item, operation].into_iter().enumerate() {
        for parameter in list(document, holder, level, findings) {
            match declared.iter_mut().find(|other| other.same_as(&parameter)) {
                Some(other) if other.level == level => findings.doubt(
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
    let mut members = Vec::new();
    for name in placeholders.iter().filter(|name| !declared.iter().any(|other| other.is_path(name))) {
        findings.doubt(
            &operation.pointer,
            format!("the path `{path_template}` has `{{{name}}}`, but no parameter declares it; add one with `in: path`"),
        );
        members.push(Member::undeclared(name, operation));
    }
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
        findings.doubt(
            &parameters.pointer,
            format!("`parameters` is a list; this is {}", kind(parameters.value)),
        );
    }
    if parameters.value.as_array().is_some_and(|list| list.len() > MOST_PARAMETERS) {
        findings.doubt(
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
                findings.doubt(fault.pointer, fault.message);
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
            (Some(name), Some(other)) => findings.doubt(
                at.below("in"),
                format!(
                    "parameter `{name}` is in `{other}`; a parameter is in path, query, header or cookie"
                ),
            ),
            _ => findings.doubt(&at.pointer, "a parameter is an object with `name` and `in`, both texts"),
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
        schemas: &mut Schemas<'a, '_>,
        findings: &mut Findings,
    ) -> Option<Member> {
        let (at, name) = (&self.at, self.name);
        let required = at.value.get("required").and_then(serde_json::Value::as_bool) == Some(true);
        let place = match self.place {
            "path" => Place::Path,
            "query" => Place::Query,
            "header" | "cookie" if !is_header_name(name) => {
                findings.doubt(
                    at.below("name"),
                    format!("`{name}` is no name of a header or a cookie (RFC 9110 §5.1)"),
                );
                return None;
            }
            "header" => Place::Header,
            _ => Place::Cookie,
        };
        if place == Place::Header && is_not_input(name) {
            findings.warn(
                &at.pointer,
                format!("the header `{name}` is no input: the gateway decides what it says"),
            );
            return None;
        }
        if place == Place::Path && !placeholders.contains(&name) {
            findings.doubt(
                &at.pointer,
                format!("the path has no `{{{name}}}`; correct the name or take the parameter out"),
            );
            return None;
        }
        if place == Place::Path && !required {
            findings.warn(&at.pointer, "a path parameter is always required; say `required: true`");
        }
        let needed = if required || place == Place::Path { Needed::Always } else { Needed::No };
        let content = at.member("content").and_then(|content| content.members().next());
        let schema =
            content.as_ref().map_or_else(|| at.member("schema"), |(_, media)| media.member("schema"));
        let mut member = Member::new((place, name, needed), at, schema.as_ref(), schemas, findings);
        match content {
            Some((media_type, _)) if media::is_json(media_type) => member.style = Style::Json,
            Some(_) => {}
            None => self.manner(place, &mut member, findings),
        }
        self.words(&mut member);
        Some(member)
    }

    /// How the value is written at its place (OpenAPI 3.1, style values).
    fn manner(&self, place: Place, member: &mut Member, findings: &mut Findings) {
        let said = self.at.value.get("style").and_then(serde_json::Value::as_str);
        let is_object = member.types().contains(&"object");
        let (style, is_form) = match (said, place) {
            (None | Some("form"), Place::Query | Place::Cookie) => (Style::Usual, true),
            (None, _) | (Some("simple"), Place::Path | Place::Header) => (Style::Usual, false),
            (Some("deepObject"), Place::Query) => (Style::DeepObject, false),
            (Some("spaceDelimited"), Place::Query) => (Style::Spaces, false),
            (Some("pipeDelimited"), Place::Query) => (Style::Pipes, false),
            // What Swagger 2.0 had besides.
            (Some("tabDelimited"), Place::Query) => (Style::Tabs, false),
            (Some("label"), Place::Path) => (Style::Label, false),
            (Some("matrix"), Place::Path) => (Style::Matrix, false),
            (Some(style), _) => {
                findings.doubt(
                    self.at.below("style"),
                    format!("style `{style}` is none of a {}; its usual one is used", place_word(place)),
                );
                (Style::Usual, matches!(place, Place::Query | Place::Cookie))
            }
        };
        member.style = style;
        let explode = self.at.value.get("explode").and_then(serde_json::Value::as_bool).unwrap_or(is_form);
        // A list in a header, or joined by commas in a path, is written the same either way.
        let matters = is_form
            || is_object
            || matches!(style, Style::Label | Style::Matrix | Style::Spaces | Style::Pipes);
        member.explode = explode && matters;
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
