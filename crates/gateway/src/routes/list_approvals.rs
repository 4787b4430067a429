//! `GET /v1/approvals`: runs and schedules that wait for people.

use std::sync::Arc;

use axum::{Json, extract::State, routing::get};
use guichet_contract::Approvals;
use guichet_operations::list_approvals;
use http::Method;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    answer::Refused,
    api::Endpoint,
    extract::{Caller, Params},
    routes,
    state::Gateway,
};

/// Which of them.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Which {
    /// Only those the caller could decide on and has not.
    #[serde(default)]
    mine: bool,
    /// Rows, 1–500; 50 when absent.
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
}

pub(crate) fn endpoint() -> Endpoint {
    Endpoint::new(
        Method::GET,
        "/v1/approvals",
        "list_approvals",
        "Runs and schedules that wait for people",
        get(handle),
    )
    .query::<Which>()
    .answers::<Approvals>(200, "A page of runs in `awaiting_approval`, and with the first one all schedules")
}

async fn handle(
    State(gateway): State<Arc<Gateway>>,
    Caller(call): Caller,
    Params(which): Params<Which>,
) -> Result<Json<Approvals>, Refused> {
    let page = routes::page(which.limit, which.cursor)?;
    Ok(Json(list_approvals::list_approvals(&gateway.platform, &call, which.mine, &page).await?))
}
