//! `/providers/{name}/…`: a provider's own paths pass the same door (row G4).

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::{Path, Request, State},
    response::Response,
    routing::any,
};
use guichet_contract::{Problem, code};
use guichet_operations::{Attempt, Forwarded, RestCall, perform_read, submit_run};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::{
    answer::Refused,
    extract::{Traceparent, call_of, idempotency_key, read_body},
    routes::submit_run::answer,
    state::Gateway,
};

/// Any method: which ones an operation offers is the catalogue's affair.
pub(crate) fn router() -> Router<Arc<Gateway>> {
    Router::new().route("/providers/{provider}/{*path}", any(handle))
}

async fn handle(
    State(gateway): State<Arc<Gateway>>,
    Path((provider, _)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Refused> {
    let (parts, body) = request.into_parts();
    let call = call_of(&parts.headers, parts.extensions.get::<Traceparent>());
    let platform = &gateway.platform;
    let caller = platform.door.identify(&call).await?;
    // The path as it was sent: decoding first would let an encoded slash choose another operation.
    let path = parts.uri.path().splitn(4, '/').nth(3).unwrap_or_default();
    let rest = RestCall {
        provider: &provider,
        method: parts.method.as_str(),
        path: &format!("/{path}"),
        query: pairs(parts.uri.query().unwrap_or_default()),
        headers: texts(&parts.headers),
    };
    let found = platform.door.resolve_rest(&caller, &rest).await?;
    let body = if found.takes_body() {
        json(read_body(body, gateway.settings.body_bytes).await?.as_ref())?
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
    let key = idempotency_key(&parts.headers)?;
    Ok(answer(submit_run::submit_admitted(platform, admitted, key).await?))
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

fn texts(headers: &HeaderMap) -> BTreeMap<String, String> {
    headers
        .iter()
        .filter_map(|(name, value)| {
            value.to_str().ok().map(|value| (name.as_str().to_owned(), value.to_owned()))
        })
        .collect()
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
