//! `POST /v1/runs/{run}/reject`: one person says no.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    routing::post,
};
use guichet_contract::Run;
use guichet_operations::reject_run;
use http::Method;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    answer::Refused,
    api::Endpoint,
    extract::{Caller, JsonBody},
    state::Gateway,
};

/// A no.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct No {
    /// Why.
    pub(crate) reason: String,
}

pub(crate) fn endpoint() -> Endpoint {
    Endpoint::new(Method::POST, "/v1/runs/{run}/reject", "reject_run", "Reject a run", post(handle))
        .takes::<No>()
        .answers::<Run>(200, "The rejected run")
}

async fn handle(
    State(gateway): State<Arc<Gateway>>,
    Caller(call): Caller,
    Path(run): Path<String>,
    JsonBody(body): JsonBody<No>,
) -> Result<Json<Run>, Refused> {
    Ok(Json(reject_run::reject_run(&gateway.platform, &call, &run, &body.reason).await?))
}
