//! From the flat input to the HTTP request. It is built anew from what was validated: nothing a caller sent passes
//! through, so there is nothing to smuggle and no identity to forge.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use guichet_contract::{
    Plan, Problem,
    action::{HttpBinding, Parameter, Place, Style},
    code,
};
use guichet_operations::{ProviderCall, ProviderError};
use http::{HeaderName, HeaderValue, Method, Request, Uri, header};
use http_body_util::Full;
use serde_json::{Map, Value, json};

use crate::written::{self, text_of};

const JSON: &str = "application/json";
const AGENT: &str = concat!("guichetd/", env!("CARGO_PKG_VERSION"));
const DEADLINE: HeaderName = HeaderName::from_static("guichet-deadline-ms");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// Room for what an input usually adds to a path, bytes, and for the headers that nearly every request bears.
const USUAL_VALUES: usize = 64;
const USUAL_HEADERS: usize = 6;

/// What is asked of the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Do it.
    Perform,
    /// Say what it would do.
    Plan,
    /// Say what became of it.
    Outcome,
    /// Stop, if it is under way.
    Cancel,
}

/// Who answers, and what it is shown.
#[derive(Debug, Clone, Copy)]
pub struct Addressee<'a> {
    /// What paths are appended to: `http://host:port/prefix`, or empty in process.
    pub base: &'a str,
    /// The value of `Authorization` that says who calls; none for a service that is not shown it.
    pub token: Option<&'a HeaderValue>,
    /// It knows nothing of gateways, so it is sent no headers that only a provider understands.
    pub is_foreign: bool,
}

/// The request to whoever performs the action.
///
/// # Errors
/// A value that no path or header can carry.
pub fn build(
    to: Addressee<'_>,
    call: &ProviderCall<'_>,
    mode: Mode,
) -> Result<Request<Full<Bytes>>, ProviderError> {
    let binding = &call.action.http;
    let mut uri = String::with_capacity(to.base.len() + binding.path.len() + USUAL_VALUES);
    uri.push_str(to.base);
    add_path(&mut uri, call)?;
    let mut query: Vec<(String, String)> = Vec::new();
    let mut cookies: Vec<(String, String)> = Vec::new();
    let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::new();
    for parameter in &binding.parameters {
        let Some(value) = call.input.get(&parameter.name) else { continue };
        match parameter.place {
            Place::Query => query.extend(written::pairs(parameter, value)),
            Place::Cookie => cookies.extend(written::pairs(parameter, value)),
            Place::Header => {
                let name = HeaderName::try_from(&parameter.wire_name)
                    .map_err(|_| not_sendable(parameter, "this is no name of a header"))?;
                let value = HeaderValue::from_str(&written::header_text(parameter, value))
                    .map_err(|_| not_sendable(parameter, "a header cannot carry this text"))?;
                headers.push((name, value));
            }
            Place::Path | Place::BodyMember | Place::Body => {}
        }
    }
    let Body { bytes: body, content_type } = body(binding, call.input)?;
    // Beside the body, not in it: its members are the action's own.
    let (body, content_type) = match call.journal {
        Some(journal) if mode == Mode::Perform => {
            let input: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
            let body = Bytes::from(json!({"input": input, "journal": journal}).to_string());
            (body, Some(HeaderValue::from_static(JSON)))
        }
        _ => (body, content_type),
    };
    let method = Method::try_from(binding.method.as_str())
        .map_err(|_| fault(format!("`{}` is no HTTP method", binding.method)))?;
    if !query.is_empty() {
        // A path of somebody else's document may end in a query of its own.
        uri.push(if uri[to.base.len()..].contains('?') { '&' } else { '?' });
        uri.push_str(&written::form(&query));
    }
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method;
    *request.uri_mut() =
        Uri::try_from(uri).map_err(|error| fault(format!("the request could not be built: {error}")))?;
    let sent = request.headers_mut();
    sent.reserve(USUAL_HEADERS + headers.len());
    let accept =
        if call.action.long { "text/event-stream, application/json" } else { "application/json, */*;q=0.5" };
    sent.insert(header::ACCEPT, HeaderValue::from_static(accept));
    if let Some(token) = to.token {
        sent.insert(header::AUTHORIZATION, token.clone());
    }
    if to.is_foreign {
        // Some refuse who does not say what they are.
        sent.insert(header::USER_AGENT, HeaderValue::from_static(AGENT));
    } else {
        let deadline = u64::try_from(call.timeout.as_millis()).unwrap_or(u64::MAX);
        sent.insert(DEADLINE, HeaderValue::from(deadline));
    }
    if let Some(content_type) = content_type {
        sent.insert(header::CONTENT_TYPE, content_type);
    }
    if !cookies.is_empty() {
        sent.insert(header::COOKIE, value_of(&written::form(&cookies).replace('&', "; "))?);
    }
    if let Some(traceparent) = call.traceparent {
        sent.insert(TRACEPARENT, value_of(traceparent)?);
    }
    let word = match mode {
        Mode::Perform => None,
        Mode::Plan => Some("plan"),
        Mode::Outcome => Some("outcome"),
        Mode::Cancel => Some("cancel"),
    };
    if let Some(word) = word {
        sent.insert("guichet-mode", HeaderValue::from_static(word));
    }
    if mode == Mode::Perform && call.journal.is_some() {
        sent.insert("guichet-journal", HeaderValue::from_static("body"));
    }
    if mode == Mode::Perform && call.cancelled {
        sent.insert("guichet-cancel", HeaderValue::from_static("asked"));
    }
    if let Some(run) = call.run {
        sent.insert("idempotency-key", value_of(&run.to_string())?);
    }
    if let Some(bound) = call.plan.and_then(|plan: &Plan| plan.bound.as_ref()) {
        sent.insert("guichet-plan", value_of(&URL_SAFE_NO_PAD.encode(bound.to_string()))?);
    }
    for (name, value) in headers {
        sent.append(name, value);
    }
    Ok(request)
}

/// The path of the action with the input's values in their places. What is no place of a parameter stays as it is.
fn add_path(uri: &mut String, call: &ProviderCall<'_>) -> Result<(), ProviderError> {
    let binding = &call.action.http;
    let mut rest = binding.path.as_str();
    while let Some((before, after)) = rest.split_once('{') {
        uri.push_str(before);
        let (name, behind) = after.split_once('}').unwrap_or((after, ""));
        let mut parameters = binding.parameters.iter();
        let parameter = parameters.find(|p| p.place == Place::Path && p.wire_name == name);
        let filled = parameter.and_then(|parameter| Some((parameter, call.input.get(&parameter.name)?)));
        if let Some((parameter, value)) = filled {
            written::add_to_path(uri, parameter, value).map_err(|why| not_sendable(parameter, why))?;
        } else {
            uri.extend(["{", name, "}"]);
        }
        rest = behind;
    }
    uri.push_str(rest);
    Ok(())
}

fn value_of(text: &str) -> Result<HeaderValue, ProviderError> {
    HeaderValue::from_str(text).map_err(|error| fault(format!("the request could not be built: {error}")))
}

/// A body, and what it is written as.
struct Body {
    bytes: Bytes,
    content_type: Option<HeaderValue>,
}

fn body(binding: &HttpBinding, input: &Value) -> Result<Body, ProviderError> {
    let is_of_body = |parameter: &&Parameter| matches!(parameter.place, Place::Body | Place::BodyMember);
    if !binding.parameters.iter().any(|parameter| is_of_body(&parameter)) {
        return Ok(Body { bytes: Bytes::new(), content_type: None });
    }
    let given = || {
        let parameters = binding.parameters.iter().filter(is_of_body);
        parameters.filter_map(|parameter| Some((parameter, input.get(&parameter.name)?)))
    };
    let media_type = binding.media_type.as_deref().unwrap_or(JSON);
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_json = matches!(essence.as_str(), "application/json" | "text/json") || essence.ends_with("+json");
    let whole = given().find(|(parameter, _)| parameter.place == Place::Body);
    let mut content_type = media_type.to_owned();
    let bytes = match whole {
        Some((_, value)) if is_json => Bytes::from(value.to_string()),
        Some((_, value)) if essence == "application/x-www-form-urlencoded" => {
            Bytes::from(written::form(&written::form_of(value)))
        }
        Some((_, Value::Object(members))) if essence.starts_with("multipart/") => {
            let mut parts = written::Parts::of(input);
            content_type = parts.content_type(media_type);
            for (name, value) in members {
                let part = Parameter {
                    name: name.clone(),
                    wire_name: name.clone(),
                    place: Place::BodyMember,
                    explode: true,
                    style: if value.is_object() { Style::Json } else { Style::Usual },
                    content_type: None,
                };
                parts.add(&part, value).map_err(|why| not_sendable(&part, why))?;
            }
            Bytes::from(parts.finish())
        }
        Some((parameter, value)) if parameter.style == Style::Bytes => {
            Bytes::from(written::bytes_of(value).map_err(|why| not_sendable(parameter, why))?)
        }
        Some((_, value)) => Bytes::from(text_of(value).into_owned()),
        // An optional body that is no object: nothing was given, so nothing is sent.
        None if binding.parameters.iter().any(|parameter| parameter.place == Place::Body) && !is_json => {
            return Ok(Body { bytes: Bytes::new(), content_type: None });
        }
        None if is_json => {
            let member =
                |(parameter, value): (&Parameter, &Value)| (parameter.wire_name.clone(), value.clone());
            let members: Map<String, Value> = given().map(member).collect();
            Bytes::from(Value::Object(members).to_string())
        }
        None if essence.starts_with("multipart/") => {
            let mut parts = written::Parts::of(input);
            content_type = parts.content_type(media_type);
            for (parameter, value) in given() {
                parts.add(parameter, value).map_err(|why| not_sendable(parameter, why))?;
            }
            Bytes::from(parts.finish())
        }
        None => {
            let pairs: Vec<_> =
                given().flat_map(|(parameter, value)| written::pairs(parameter, value)).collect();
            Bytes::from(written::form(&pairs))
        }
    };
    Ok(Body { bytes, content_type: Some(value_of(&content_type)?) })
}

fn not_sendable(parameter: &Parameter, why: &str) -> ProviderError {
    ProviderError::NotSent(Problem::new(code::INVALID_INPUT, format!("`{}`: {why}", parameter.name)))
}

fn fault(detail: String) -> ProviderError {
    ProviderError::NotSent(Problem::new(code::INTERNAL, detail))
}
