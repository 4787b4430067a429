//! `/providers/{name}/…`: a provider's own paths pass the same door (row G4).

use axum::{body::Body, extract::Request, response::Response};
use guichet_contract::{Problem, code};
use guichet_operations::{
    Attempt, Call, Forwarded, RestCall, perform_read,
    submit_run::{self, Manner},
};
use http::{HeaderName, HeaderValue, StatusCode};
use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::{
    answer::Refused,
    extract::{idempotency_key, read_body},
    routes::submit_run::answer,
    state::Gateway,
};

/// Any method: which ones an operation offers is the catalogue's affair.
pub(crate) const TEMPLATE: &str = "/providers/{provider}/{*path}";

/// Passes a provider's own path through the door.
pub(crate) async fn handle(gateway: &Gateway, call: &Call, request: Request) -> Result<Response, Refused> {
    let (parts, body) = request.into_parts();
    let platform = &gateway.platform;
    let caller = platform.door.identify(call).await?;
    let (provider, path) = split(parts.uri.path());
    let rest = RestCall {
        provider,
        method: parts.method.as_str(),
        path,
        query: pairs(parts.uri.query().unwrap_or_default()),
        header: &|name| parts.headers.get(name).and_then(|value| value.to_str().ok()),
    };
    let found = platform.door.resolve_rest(&caller, &rest).await?;
    let body = if found.takes_body() {
        json(Box::pin(read_body(body, gateway.settings.body_bytes)).await?.as_ref())?
    } else {
        None
    };
    let action = found.action_id().to_owned();
    let reason = parts.headers.get("guichet-reason").and_then(|value| value.to_str().ok());
    let reason = reason.map(|reason| percent_decode_str(reason).decode_utf8_lossy().into_owned());
    let attempt = Attempt { action, input: found.into_input(body)?, reason };
    let admitted = platform.door.admit_action(caller, attempt, guichet_operations::Purpose::Perform).await?;
    if perform_read::is_free(&admitted) {
        return passed_on(perform_read::forward_admitted(platform, admitted).await?);
    }
    let manner = Manner {
        idempotency_key: idempotency_key(&parts.headers)?,
        break_glass: parts.headers.get("guichet-break-glass").is_some_and(|value| value == "true"),
        ..Manner::default()
    };
    // In a box: a read shall not carry the room that a change needs.
    Ok(answer(Box::pin(submit_run::submit_admitted(platform, admitted, manner)).await?))
}

fn json(body: &[u8]) -> Result<Option<Value>, Refused> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    serde_json::from_slice(body)
        .map(Some)
        .map_err(|error| Problem::new(code::BAD_REQUEST, format!("the body is no JSON: {error}")).into())
}

/// Pairs of a query (`application/x-www-form-urlencoded`), decoded, in order.
fn pairs(query: &str) -> Vec<(String, String)> {
    let decode = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decode(name), decode(value)))
        .collect()
}

/// The provider's name and its own path, both as they were sent: decoding first would let an encoded slash choose
/// another operation.
fn split(path: &str) -> (&str, &str) {
    let rest = path.strip_prefix("/providers/").unwrap_or(path);
    rest.find('/').map_or((rest, "/"), |at| rest.split_at(at))
}

fn passed_on(forwarded: Forwarded) -> Result<Response, Refused> {
    let mut response = Response::new(Body::from_stream(forwarded.body));
    *response.status_mut() = StatusCode::from_u16(forwarded.status)
        .map_err(|_| Problem::new(code::PROVIDER_PROTOCOL, "the provider answered with no HTTP status"))?;
    for (name, value) in forwarded.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().append(name, value);
        }
    }
    Ok(response)
}
