//! `POST /v1/runs/{run}/approve`: one person says yes.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    routing::post,
};
use guichet_contract::{Digest, Run};
use guichet_operations::approve_run;
use http::Method;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    answer::Refused,
    api::Endpoint,
    extract::{Caller, JsonBody},
    state::Gateway,
};

/// A yes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Yes {
    /// `binding` of the card that was shown; when it is not the run's, nothing is decided.
    pub(crate) binding: Option<Digest>,
    /// Why, if there is something to say.
    pub(crate) reason: Option<String>,
}

pub(crate) fn endpoint() -> Endpoint {
    Endpoint::new(Method::POST, "/v1/runs/{run}/approve", "approve_run", "Approve a run", post(handle))
        .takes::<Yes>()
        .answers::<Run>(200, "The run after this decision")
}

async fn handle(
    State(gateway): State<Arc<Gateway>>,
    Caller(call): Caller,
    Path(run): Path<String>,
    JsonBody(body): JsonBody<Yes>,
) -> Result<Json<Run>, Refused> {
    Ok(Json(approve_run::approve_run(&gateway.platform, &call, &run, body.binding, body.reason).await?))
}
