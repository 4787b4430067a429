//! `POST /v1/runs/{run}/cancel`: the requester withdraws.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    routing::post,
};
use guichet_contract::Run;
use guichet_operations::cancel_run;
use http::Method;

use crate::{
    answer::Refused,
    api::Endpoint,
    extract::{Caller, JsonBody},
    routes::Why,
    state::Gateway,
};

pub(crate) fn endpoint() -> Endpoint {
    Endpoint::new(
        Method::POST,
        "/v1/runs/{run}/cancel",
        "cancel_run",
        "Withdraw a run that has not started",
        post(handle),
    )
    .takes::<Why>()
    .answers::<Run>(200, "The cancelled run")
}

async fn handle(
    State(gateway): State<Arc<Gateway>>,
    Caller(call): Caller,
    Path(run): Path<String>,
    JsonBody(body): JsonBody<Why>,
) -> Result<Json<Run>, Refused> {
    Ok(Json(cancel_run::cancel_run(&gateway.platform, &call, &run, body.reason).await?))
}
