//! `GET /v1/ledger/export`: the leaves of the log, one a line, exactly as they are hashed.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse as _, Response},
    routing::get,
};
use bytes::Bytes;
use futures_util::stream;
use guichet_operations::{Call, read_records};
use http::{HeaderName, HeaderValue, Method, header};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    answer::Refused,
    api::Endpoint,
    extract::{Caller, Params},
    state::Gateway,
};

/// How many leaves are read at once.
const BATCH: usize = 1_000;

/// From where.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct From {
    /// Index of the first leaf; 0 when absent.
    #[serde(default)]
    from: u64,
}

pub(crate) fn endpoint() -> Endpoint {
    Endpoint::new(
        Method::GET,
        "/v1/ledger/export",
        "export_records",
        "The leaves of the log, one a line",
        get(handle),
    )
    .query::<From>()
    .answers_as(
        200,
        "Each line is the text that is hashed; guichet-first-index says which the first is",
        "application/x-ndjson",
    )
}

async fn handle(
    State(gateway): State<Arc<Gateway>>,
    Caller(call): Caller,
    Params(which): Params<From>,
) -> Result<Response, Refused> {
    // The first part before the head of the answer, so that a refusal is an answer and not a broken stream.
    let first = read_records::export_leaves(&gateway.platform, &call, which.from, BATCH, true).await?;
    let begins = first.first().map_or(which.from, |(index, _)| *index);
    let parts = stream::try_unfold(Some(first), move |part| {
        let (gateway, call) = (Arc::clone(&gateway), Arc::clone(&call));
        async move { next_part(&gateway, &call, part).await }
    });
    let mut response = Body::from_stream(parts).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    // Records that were archived and pruned are not here any more: the first line then is a later one.
    response.headers_mut().insert(FIRST, HeaderValue::from(begins));
    Ok(response)
}

/// Index of the first line.
const FIRST: HeaderName = HeaderName::from_static("guichet-first-index");

type Part = Vec<(u64, String)>;

async fn next_part(
    gateway: &Arc<Gateway>,
    call: &Call,
    part: Option<Part>,
) -> Result<Option<(Bytes, Option<Part>)>, std::io::Error> {
    let Some(part) = part else { return Ok(None) };
    let Some(last) = part.last().map(|(index, _)| *index) else { return Ok(None) };
    let mut text = String::with_capacity(part.iter().map(|(_, leaf)| leaf.len() + 1).sum());
    for (_, leaf) in &part {
        text.push_str(leaf);
        text.push('\n');
    }
    let following = if part.len() < BATCH {
        None
    } else {
        let following = read_records::export_leaves(&gateway.platform, call, last + 1, BATCH, false).await;
        Some(following.map_err(|refusal| std::io::Error::other(refusal.to_string()))?)
    };
    Ok(Some((Bytes::from(text), following)))
}
