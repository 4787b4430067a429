//! What a request carries, read within limits and with errors that say what is wrong.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{FromRequest, FromRequestParts, Query, Request},
};
use bytes::Bytes;
use guichet_contract::{Problem, Surface, code};
use guichet_operations::Call;
use http::{HeaderMap, header, request::Parts};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use crate::{answer::Refused, state::Gateway};

/// The `traceparent` for whoever is called next, put into the request by the itinerary.
#[derive(Debug, Clone)]
pub(crate) struct Traceparent(pub(crate) String);

/// Who calls and through what, not yet identified.
pub struct Caller(pub Call);

impl FromRequestParts<Arc<Gateway>> for Caller {
    type Rejection = Refused;
    async fn from_request_parts(parts: &mut Parts, _: &Arc<Gateway>) -> Result<Self, Refused> {
        Ok(Self(call_of(&parts.headers, parts.extensions.get::<Traceparent>())))
    }
}

pub(crate) fn call_of(headers: &HeaderMap, traceparent: Option<&Traceparent>) -> Call {
    Call {
        bearer: bearer(headers).map(str::to_owned),
        surface: surface(headers),
        traceparent: traceparent.map(|traceparent| traceparent.0.clone()),
    }
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

/// A JSON body, strict about its members.
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Arc<Gateway>> for JsonBody<T> {
    type Rejection = Refused;
    async fn from_request(request: Request, gateway: &Arc<Gateway>) -> Result<Self, Refused> {
        let bytes = read_body(request.into_body(), gateway.settings.body_bytes).await?;
        // An absent body reads as an empty object: routes whose members are all optional take it.
        let text: &[u8] = if bytes.iter().all(u8::is_ascii_whitespace) { b"{}" } else { &bytes };
        serde_json::from_slice(text).map(Self).map_err(|error| {
            Problem::new(code::BAD_REQUEST, format!("the body is not what this route takes: {error}"))
                .next("see GET /v1/openapi.json")
                .into()
        })
    }
}

/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(30);

/// The whole body, at most `limit` bytes.
pub(crate) async fn read_body(body: Body, limit: usize) -> Result<Bytes, Refused> {
    let whole = tokio::time::timeout(BODY_TIME, Limited::new(body, limit).collect()).await;
    let Ok(whole) = whole else {
        return Err(Problem::new(
            code::BAD_REQUEST,
            format!("the body did not arrive within {} s", BODY_TIME.as_secs()),
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
