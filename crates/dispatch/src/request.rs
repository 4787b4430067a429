//! From the flat input to the HTTP request. It is built anew from what was validated: nothing a caller sent passes
//! through, so there is nothing to smuggle and no identity to forge.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use guichet_contract::{
    Plan, Problem,
    action::{Parameter, Place},
    code,
};
use guichet_operations::{ProviderCall, ProviderError};
use http::{HeaderName, HeaderValue, Method, Request, header};
use http_body_util::Full;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

/// What stays as it is in a path segment or a query: the unreserved characters of RFC 3986.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

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

/// The request, with the path and query under `base` (`http://host:port/prefix`, or empty in process).
///
/// # Errors
/// A value that no path or header can carry.
pub fn build(
    base: &str,
    call: &ProviderCall<'_>,
    mode: Mode,
    token: &str,
) -> Result<Request<Full<Bytes>>, ProviderError> {
    let binding = &call.action.http;
    let mut path = binding.path.clone();
    let mut query = String::new();
    let mut body_members = Map::new();
    let mut whole_body = None;
    let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::new();
    for parameter in &binding.parameters {
        let Some(value) = call.input.get(&parameter.name) else { continue };
        match parameter.place {
            Place::Path => {
                let text = text_of(value);
                if matches!(text.as_str(), "" | "." | "..") {
                    return Err(not_sendable(parameter, "a part of a path cannot be empty, `.` or `..`"));
                }
                let encoded = utf8_percent_encode(&text, ENCODED).to_string();
                path = path.replace(&format!("{{{}}}", parameter.wire_name), &encoded);
            }
            Place::Query => add_query(&mut query, parameter, value),
            Place::Header => {
                let name = HeaderName::try_from(&parameter.wire_name)
                    .map_err(|_| not_sendable(parameter, "this is no name of a header"))?;
                let value = HeaderValue::try_from(text_of(value))
                    .map_err(|_| not_sendable(parameter, "a header cannot carry this text"))?;
                headers.push((name, value));
            }
            Place::BodyMember => {
                body_members.insert(parameter.wire_name.clone(), value.clone());
            }
            Place::Body => whole_body = Some(value.clone()),
        }
    }
    let takes_body = binding.parameters.iter().any(|p| matches!(p.place, Place::Body | Place::BodyMember));
    let body = match whole_body {
        Some(value) => Bytes::from(value.to_string()),
        None if takes_body => Bytes::from(Value::Object(body_members).to_string()),
        None => Bytes::new(),
    };
    // Beside the body, not in it: its members are the action's own.
    let body = match call.journal {
        Some(journal) if mode == Mode::Perform => {
            let input: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
            Bytes::from(json!({"input": input, "journal": journal}).to_string())
        }
        _ => body,
    };
    let takes_body = takes_body || (call.journal.is_some() && mode == Mode::Perform);
    let method = Method::try_from(binding.method.as_str())
        .map_err(|_| fault(format!("`{}` is no HTTP method", binding.method)))?;
    let mut request = Request::builder()
        .method(method)
        .uri(format!("{base}{path}{query}"))
        .header(
            header::ACCEPT,
            if call.action.long {
                "text/event-stream, application/json"
            } else {
                "application/json, */*;q=0.5"
            },
        )
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header("guichet-deadline-ms", call.timeout.as_millis().to_string());
    if takes_body {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    if let Some(traceparent) = call.traceparent {
        request = request.header("traceparent", traceparent);
    }
    let word = match mode {
        Mode::Perform => None,
        Mode::Plan => Some("plan"),
        Mode::Outcome => Some("outcome"),
        Mode::Cancel => Some("cancel"),
    };
    if let Some(word) = word {
        request = request.header("guichet-mode", word);
    }
    if mode == Mode::Perform && call.journal.is_some() {
        request = request.header("guichet-journal", "body");
    }
    if mode == Mode::Perform && call.cancelled {
        request = request.header("guichet-cancel", "asked");
    }
    if let Some(run) = call.run {
        request = request.header("idempotency-key", run.to_string());
    }
    if let Some(bound) = call.plan.and_then(|plan: &Plan| plan.bound.as_ref()) {
        request = request.header("guichet-plan", URL_SAFE_NO_PAD.encode(bound.to_string()));
    }
    let mut request = request
        .body(Full::new(body))
        .map_err(|error| fault(format!("the request could not be built: {error}")))?;
    for (name, value) in headers {
        request.headers_mut().append(name, value);
    }
    Ok(request)
}

fn add_query(query: &mut String, parameter: &Parameter, value: &Value) {
    let mut add = |text: &str| {
        query.push(if query.is_empty() { '?' } else { '&' });
        query.extend(utf8_percent_encode(&parameter.wire_name, ENCODED));
        query.push('=');
        query.extend(utf8_percent_encode(text, ENCODED));
    };
    match value {
        Value::Array(items) if parameter.explode => items.iter().for_each(|item| add(&text_of(item))),
        Value::Array(items) => add(&items.iter().map(text_of).collect::<Vec<_>>().join(",")),
        other => add(&text_of(other)),
    }
}

fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn not_sendable(parameter: &Parameter, why: &str) -> ProviderError {
    ProviderError::NotSent(Problem::new(code::INVALID_INPUT, format!("`{}`: {why}", parameter.name)))
}

fn fault(detail: String) -> ProviderError {
    ProviderError::NotSent(Problem::new(code::INTERNAL, detail))
}
