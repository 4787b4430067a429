//! `/v1/reviews`: runs that broke the glass, and who looked at them.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    routing::{get, post},
};
use guichet_operations::close_review::{self, Reviewed};
use http::Method;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    answer::{List, Refused},
    api::Endpoint,
    extract::{Caller, JsonBody, Params},
    state::Gateway,
};

/// Which reviews.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Which {
    /// Only those that should have been closed by now.
    #[serde(default)]
    overdue: bool,
}

/// What was found.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// 1–2,000 characters.
    words: String,
}

pub(crate) fn list() -> Endpoint {
    Endpoint::new(
        Method::GET,
        "/v1/reviews",
        "list_reviews",
        "Open reviews of runs that broke the glass, the most urgent first",
        get(handle_list),
    )
    .query::<Which>()
    .answers::<List<Reviewed>>(200, "Reviews with their runs, at most 500")
}

pub(crate) fn one() -> Endpoint {
    Endpoint::new(
        Method::GET,
        "/v1/runs/{run}/review",
        "read_review",
        "The review of a run that broke the glass",
        get(handle_one),
    )
    .answers::<Reviewed>(200, "The review and its run")
}

pub(crate) fn close() -> Endpoint {
    Endpoint::new(
        Method::POST,
        "/v1/runs/{run}/review/close",
        "close_review",
        "Close the review of a run that broke the glass; never one's own",
        post(handle_close),
    )
    .takes::<Finding>()
    .answers::<Reviewed>(200, "The review and its run")
}

async fn handle_list(
    State(gateway): State<Arc<Gateway>>,
    Caller(call): Caller,
    Params(which): Params<Which>,
) -> Result<Json<List<Reviewed>>, Refused> {
    let reviews = close_review::list_reviews(&gateway.platform, &call, which.overdue).await?;
    Ok(Json(List::whole(reviews)))
}

async fn handle_one(
    State(gateway): State<Arc<Gateway>>,
    Caller(call): Caller,
    Path(run): Path<String>,
) -> Result<Json<Reviewed>, Refused> {
    Ok(Json(close_review::read_review(&gateway.platform, &call, &run).await?))
}

async fn handle_close(
    State(gateway): State<Arc<Gateway>>,
    Caller(call): Caller,
    Path(run): Path<String>,
    JsonBody(body): JsonBody<Finding>,
) -> Result<Json<Reviewed>, Refused> {
    Ok(Json(close_review::close_review(&gateway.platform, &call, &run, &body.words).await?))
}
