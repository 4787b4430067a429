//! From the flat input to the HTTP request. It is built anew from what was validated: nothing a caller sent passes
//! through, so there is nothing to smuggle and no identity to forge.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use guichet_contract::{
    Plan, Problem,
    action::{Parameter, Place},
    code,
};
use guichet_operations::{ProviderCall, ProviderError};
use http::{HeaderName, HeaderValue, Method, Request, Uri, header};
use http_body_util::Full;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

/// What stays as it is in a path segment or a query: the unreserved characters of RFC 3986.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

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

/// The request, with the path and query under `base` (`http://host:port/prefix`, or empty in process).
///
/// # Errors
/// A value that no path or header can carry.
pub fn build(
    base: &str,
    call: &ProviderCall<'_>,
    mode: Mode,
    token: &HeaderValue,
) -> Result<Request<Full<Bytes>>, ProviderError> {
    let binding = &call.action.http;
    let mut uri = String::with_capacity(base.len() + binding.path.len() + USUAL_VALUES);
    uri.push_str(base);
    add_path(&mut uri, call)?;
    let mut query = String::new();
    let mut body_members = Map::new();
    let mut whole_body = None;
    let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::new();
    for parameter in &binding.parameters {
        let Some(value) = call.input.get(&parameter.name) else { continue };
        match parameter.place {
            Place::Path => {}
            Place::Query => add_query(&mut query, parameter, value),
            Place::Header => {
                let name = HeaderName::try_from(&parameter.wire_name)
                    .map_err(|_| not_sendable(parameter, "this is no name of a header"))?;
                let value = HeaderValue::from_str(&text_of(value))
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
    uri.push_str(&query);
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method;
    *request.uri_mut() =
        Uri::try_from(uri).map_err(|error| fault(format!("the request could not be built: {error}")))?;
    let sent = request.headers_mut();
    sent.reserve(USUAL_HEADERS + headers.len());
    let accept =
        if call.action.long { "text/event-stream, application/json" } else { "application/json, */*;q=0.5" };
    sent.insert(header::ACCEPT, HeaderValue::from_static(accept));
    sent.insert(header::AUTHORIZATION, token.clone());
    let deadline = u64::try_from(call.timeout.as_millis()).unwrap_or(u64::MAX);
    sent.insert(DEADLINE, HeaderValue::from(deadline));
    if takes_body {
        sent.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
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
            let text = text_of(value);
            if matches!(&*text, "" | "." | "..") {
                return Err(not_sendable(parameter, "a part of a path cannot be empty, `.` or `..`"));
            }
            uri.extend(utf8_percent_encode(&text, ENCODED));
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

fn text_of(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        other => Cow::Owned(other.to_string()),
    }
}

fn not_sendable(parameter: &Parameter, why: &str) -> ProviderError {
    ProviderError::NotSent(Problem::new(code::INVALID_INPUT, format!("`{}`: {why}", parameter.name)))
}

fn fault(detail: String) -> ProviderError {
    ProviderError::NotSent(Problem::new(code::INTERNAL, detail))
}
