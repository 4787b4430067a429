//! `POST /v1/runs/{run}/comments`: somebody asks about a run, or answers.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    routing::post,
};
use guichet_contract::Run;
use guichet_operations::comment_run;
use http::Method;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    answer::Refused,
    api::Endpoint,
    extract::{Caller, JsonBody},
    state::Gateway,
};

/// A question, or an answer.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Comment {
    /// 1–2,000 characters.
    text: String,
}

pub(crate) fn endpoint() -> Endpoint {
    Endpoint::new(
        Method::POST,
        "/v1/runs/{run}/comments",
        "comment_run",
        "Ask about a run, or answer; it decides nothing",
        post(handle),
    )
    .takes::<Comment>()
    .answers::<Run>(200, "The run; the comment is among its events")
}

async fn handle(
    State(gateway): State<Arc<Gateway>>,
    Caller(call): Caller,
    Path(run): Path<String>,
    JsonBody(body): JsonBody<Comment>,
) -> Result<Json<Run>, Refused> {
    Ok(Json(comment_run::comment_run(&gateway.platform, &call, &run, &body.text).await?))
}
