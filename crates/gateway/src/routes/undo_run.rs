//! `POST /v1/runs/{run}/undo`: the inverse of what was done, as a run of its own.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    response::Response,
    routing::post,
};
use guichet_contract::Run;
use guichet_operations::undo_run;
use http::Method;

use crate::{
    answer::Refused,
    api::Endpoint,
    extract::{Caller, IdempotencyKey, JsonBody},
    routes::{Why, submit_run::answer},
    state::Gateway,
};

pub(crate) fn endpoint() -> Endpoint {
    Endpoint::new(
        Method::POST,
        "/v1/runs/{run}/undo",
        "undo_run",
        "Submit the inverse that the run's action declares",
        post(handle),
    )
    .takes::<Why>()
    .idempotent("the run that it made the first time")
    .answers::<Run>(202, "The run that undoes it, at Location")
}

async fn handle(
    State(gateway): State<Arc<Gateway>>,
    Caller(call): Caller,
    IdempotencyKey(key): IdempotencyKey,
    Path(run): Path<String>,
    JsonBody(body): JsonBody<Why>,
) -> Result<Response, Refused> {
    Ok(answer(undo_run::undo_run(&gateway.platform, &call, &run, body.reason, key).await?))
}
