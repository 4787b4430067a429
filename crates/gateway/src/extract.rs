//! What a request carries, read within limits and with errors that say what is wrong.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{FromRequest, FromRequestParts, Query, Request},
};
use bytes::Bytes;
use guichet_contract::{Problem, Surface, code};
use guichet_operations::{Call, Refusal};
use http::{Extensions, HeaderMap, header, request::Parts};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use crate::{answer::Refused, state::Gateway};

/// Who calls and through what, not yet identified; put into the request by the itinerary.
pub struct Caller(pub Arc<Call>);

impl FromRequestParts<Arc<Gateway>> for Caller {
    type Rejection = Refused;
    async fn from_request_parts(parts: &mut Parts, _: &Arc<Gateway>) -> Result<Self, Refused> {
        Ok(Self(call_in(&parts.extensions, &parts.headers)))
    }
}

fn call_in(extensions: &Extensions, headers: &HeaderMap) -> Arc<Call> {
    extensions.get::<Arc<Call>>().cloned().unwrap_or_else(|| Arc::new(call_of(headers, None)))
}

/// What the headers say of the call; `traceparent` is for whoever is called next.
pub(crate) fn call_of(headers: &HeaderMap, traceparent: Option<String>) -> Call {
    Call::new(bearer(headers).map(str::to_owned), surface(headers), traceparent)
}

/// The secret of `Authorization: Bearer …` (RFC 6750, section 2.1).
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, secret) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| secret.trim())
}

/// What the caller says it is; it is recorded, and decides nothing of itself.
fn surface(headers: &HeaderMap) -> Surface {
    match headers.get("guichet-surface").and_then(|value| value.to_str().ok()) {
        Some("cli") => Surface::Cli,
        Some("portal") => Surface::Portal,
        Some("chat") => Surface::Chat,
        Some("mcp") => Surface::Mcp,
        Some("ci") => Surface::Ci,
        _ => Surface::Rest,
    }
}

/// The requester's key against double submission.
pub struct IdempotencyKey(pub Option<String>);

impl FromRequestParts<Arc<Gateway>> for IdempotencyKey {
    type Rejection = Refused;
    async fn from_request_parts(parts: &mut Parts, _: &Arc<Gateway>) -> Result<Self, Refused> {
        idempotency_key(&parts.headers).map(Self)
    }
}

pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Refused> {
    match headers.get("idempotency-key").map(|value| value.to_str()) {
        None => Ok(None),
        Some(Ok(key)) => Ok(Some(key.to_owned())),
        Some(Err(_)) => {
            Err(Problem::new(code::BAD_REQUEST, "the Idempotency-Key is no visible ASCII text").into())
        }
    }
}

/// A JSON body, strict about its members, from somebody whose credentials hold: nobody else's is waited for. The verb
/// looks again who calls, because a body takes its time.
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Arc<Gateway>> for JsonBody<T> {
    type Rejection = Refused;
    async fn from_request(request: Request, gateway: &Arc<Gateway>) -> Result<Self, Refused> {
        let call = call_in(request.extensions(), request.headers());
        let door = &gateway.platform.door;
        // The door itself is asked only when it will refuse: what it says more costs allocations.
        match door.identity().identify(call.bearer.as_deref()).await {
            Ok(_) => call.note_held(),
            Err(_) => {
                door.identify(&call).await?;
            }
        }
        parsed(&read_body(request.into_body(), gateway.settings.body_bytes).await?).map(Self)
    }
}

/// A JSON body, strict about its members, from anybody: small, soon there, and few of them at once.
pub struct OpenBody<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Arc<Gateway>> for OpenBody<T> {
    type Rejection = Refused;
    async fn from_request(request: Request, gateway: &Arc<Gateway>) -> Result<Self, Refused> {
        let Ok(_place) = gateway.strangers.try_acquire() else {
            let problem = Problem::new(
                code::TOO_MANY_REQUESTS,
                "the gateway waits for as many requests of callers it does not know as it may",
            );
            // As with every other limit no record is made, else a flood would fill the trail.
            return Err(Refusal::recorded(problem.next("try again in a moment")).into());
        };
        let limit = gateway.settings.body_bytes.min(OPEN_BODY_BYTES);
        parsed(&body_within(request.into_body(), limit, OPEN_BODY_TIME).await?).map(Self)
    }
}

fn parsed<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refused> {
    // An absent body reads as an empty object: routes whose members are all optional take it.
    let not_taken = |why: String| {
        Problem::new(code::BAD_REQUEST, format!("the body is not what this route takes: {why}"))
            .next("see GET /v1/openapi.json")
            .into()
    };
    let text: &[u8] = match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
        None => b"{}",
        // It would be read as the members in their order: `[null, null]` as a yes to whatever is there.
        Some(b'[') => return Err(not_taken("it is an array, and every route takes an object".to_owned())),
        Some(_) => bytes,
    };
    serde_json::from_slice(text).map_err(|error| not_taken(error.to_string()))
}

/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(30);
/// The same, from callers who are not known.
const OPEN_BODY_TIME: Duration = Duration::from_secs(5);
/// The largest body of callers who are not known, bytes.
const OPEN_BODY_BYTES: usize = 16 * 1024;

/// The whole body, at most `limit` bytes.
pub(crate) async fn read_body(body: Body, limit: usize) -> Result<Bytes, Refused> {
    body_within(body, limit, BODY_TIME).await
}

async fn body_within(body: Body, limit: usize, time: Duration) -> Result<Bytes, Refused> {
    let whole = tokio::time::timeout(time, Limited::new(body, limit).collect()).await;
    let Ok(whole) = whole else {
        return Err(Problem::new(
            code::BAD_REQUEST,
            format!("the body did not arrive within {} s", time.as_secs()),
        )
        .into());
    };
    match whole {
        Ok(read) => Ok(read.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(Problem::new(code::BODY_TOO_LARGE, format!("the body has more than {limit} bytes"))
                .next("send less; large things belong in object storage, with a reference here")
                .into())
        }
        Err(error) => Err(Problem::new(code::BAD_REQUEST, format!("the body was cut off: {error}")).into()),
    }
}

/// The query, strict about its members when `T` is.
pub struct Params<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<Arc<Gateway>> for Params<T> {
    type Rejection = Refused;
    async fn from_request_parts(parts: &mut Parts, _: &Arc<Gateway>) -> Result<Self, Refused> {
        Query::<T>::try_from_uri(&parts.uri).map(|Query(params)| Self(params)).map_err(|error| {
            Problem::new(
                code::BAD_REQUEST,
                format!("the query is not what this route takes: {}", error.body_text()),
            )
            .next("see GET /v1/openapi.json")
            .into()
        })
    }
}
