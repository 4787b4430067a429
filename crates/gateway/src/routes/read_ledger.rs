//! The ledger's checkpoint, tiles and key, in the C2SP tlog-tiles formats.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    response::{IntoResponse as _, Response},
    routing::get,
};
use guichet_contract::{Problem, code};
use guichet_operations::read_records;
use http::{HeaderValue, Method, header};

use crate::{answer::Refused, api::Endpoint, extract::Caller, state::Gateway};

pub(crate) fn checkpoint() -> Endpoint {
    Endpoint::new(
        Method::GET,
        "/v1/ledger/checkpoint",
        "read_checkpoint",
        "The latest signed checkpoint",
        get(handle_checkpoint),
    )
    .answers_as(200, "A signed note", "text/plain")
}

pub(crate) fn tile() -> Endpoint {
    Endpoint::new(
        Method::GET,
        "/v1/ledger/tile/{*path}",
        "read_tile",
        "A tile of the Merkle log",
        get(handle_tile),
    )
    .answers_as(200, "32-byte hashes, one after the other", "application/octet-stream")
}

pub(crate) fn key() -> Endpoint {
    Endpoint::new(
        Method::GET,
        "/v1/ledger/key",
        "read_ledger_key",
        "The keys that checkpoints are signed with",
        get(handle_key),
    )
    .answers_as(200, "Verifier keys (signed-note), one a line, the current one first", "text/plain")
    .open()
}

async fn handle_checkpoint(
    State(gateway): State<Arc<Gateway>>,
    Caller(call): Caller,
) -> Result<Response, Refused> {
    match read_records::read_checkpoint(&gateway.platform, &call).await? {
        Some((_, note)) => Ok(note.into_response()),
        None => Err(Problem::new(code::NOT_FOUND, "nothing has been sealed yet")
            .next("try again in a second")
            .into()),
    }
}

async fn handle_tile(
    State(gateway): State<Arc<Gateway>>,
    Caller(call): Caller,
    Path(path): Path<String>,
) -> Result<Response, Refused> {
    match read_records::read_tile(&gateway.platform, &call, &path).await? {
        Some(hashes) => {
            let kind = HeaderValue::from_static("application/octet-stream");
            Ok(([(header::CONTENT_TYPE, kind)], hashes).into_response())
        }
        None => Err(Problem::new(code::NOT_FOUND, "the log has no such tile").into()),
    }
}

async fn handle_key(State(gateway): State<Arc<Gateway>>) -> String {
    gateway.info.ledger_keys.join("\n") + "\n"
}
