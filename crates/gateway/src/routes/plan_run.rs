//! `POST /v1/actions/{action}/plan`: what would happen.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    routing::post,
};
use guichet_operations::plan_run::{self, Forecast};
use http::Method;

use crate::{
    answer::Refused,
    api::Endpoint,
    extract::{Caller, JsonBody},
    routes::submit_run::Wanted,
    state::Gateway,
};

pub(crate) fn endpoint() -> Endpoint {
    Endpoint::new(
        Method::POST,
        "/v1/actions/{action}/plan",
        "plan_run",
        "See what would happen",
        post(handle),
    )
    .takes::<Wanted>()
    .answers::<Forecast>(200, "Plan, decision, approvals needed")
}

async fn handle(
    State(gateway): State<Arc<Gateway>>,
    Caller(call): Caller,
    Path(action): Path<String>,
    JsonBody(body): JsonBody<Wanted>,
) -> Result<Json<Forecast>, Refused> {
    Ok(Json(plan_run::plan_run(&gateway.platform, &call, body.attempt(action)).await?))
}
