//! `GET /v1/actions` and `GET /v1/actions/{action}`: finding an action.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    routing::get,
};
use guichet_contract::OfferedAction;
use guichet_operations::read_catalogue;
use http::Method;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    answer::{List, Refused},
    api::Endpoint,
    extract::{Caller, Params},
    state::Gateway,
};

/// Which actions.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Search {
    /// Words that must all occur in command, title, description or id.
    #[serde(default)]
    search: String,
}

pub(crate) fn search() -> Endpoint {
    Endpoint::new(Method::GET, "/v1/actions", "search_actions", "Find actions", get(handle_search))
        .query::<Search>()
        .answers::<List<OfferedAction>>(
            200,
            "Actions in which every word occurs, and whether you may do them",
        )
}

pub(crate) fn one() -> Endpoint {
    Endpoint::new(Method::GET, "/v1/actions/{action}", "read_action", "One action", get(handle_one))
        .answers::<OfferedAction>(200, "The action, and whether you may do it")
}

async fn handle_search(
    State(gateway): State<Arc<Gateway>>,
    Caller(call): Caller,
    Params(query): Params<Search>,
) -> Result<Json<List<OfferedAction>>, Refused> {
    Ok(Json(List::whole(read_catalogue::search_actions(&gateway.platform, &call, &query.search).await?)))
}

async fn handle_one(
    State(gateway): State<Arc<Gateway>>,
    Caller(call): Caller,
    Path(action): Path<String>,
) -> Result<Json<OfferedAction>, Refused> {
    Ok(Json(read_catalogue::read_action(&gateway.platform, &call, &action).await?))
}
