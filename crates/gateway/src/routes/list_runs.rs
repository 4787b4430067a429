//! `GET /v1/runs`: runs the caller may see.

use std::sync::Arc;

use axum::{Json, extract::State, routing::get};
use guichet_contract::{ActionId, Run, RunState};
use guichet_operations::{RunsFilter, read_runs};
use http::Method;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    answer::{List, Refused},
    api::Endpoint,
    extract::{Caller, Params},
    routes,
    state::Gateway,
};

/// Which runs.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Which {
    /// States, separated by commas; all when absent.
    state: Option<String>,
    /// An action's id.
    action: Option<String>,
    /// Who asked (name).
    requested_by: Option<String>,
    /// Rows, 1–500; 50 when absent.
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
}

pub(crate) fn endpoint() -> Endpoint {
    Endpoint::new(Method::GET, "/v1/runs", "list_runs", "Runs, newest first", get(handle))
        .query::<Which>()
        .answers::<List<Run>>(200, "A page of runs; those the caller may not see are left out")
}

async fn handle(
    State(gateway): State<Arc<Gateway>>,
    Caller(call): Caller,
    Params(which): Params<Which>,
) -> Result<Json<List<Run>>, Refused> {
    let states =
        which.state.as_deref().unwrap_or_default().split(',').map(str::trim).filter(|word| !word.is_empty());
    let filter = RunsFilter {
        states: states.map(routes::word::<RunState>).collect::<Result<_, _>>()?,
        action: which.action.map(ActionId),
        requested_by: which.requested_by,
    };
    let page = routes::page(which.limit, which.cursor)?;
    let found = read_runs::list_runs(&gateway.platform, &call, &filter, &page).await?;
    Ok(Json(List { items: found.items, next: found.next }))
}
