//! `GET /v1/runs/{run}`: one run, by its full or short id.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    routing::get,
};
use guichet_contract::Run;
use guichet_operations::read_runs;
use http::Method;

use crate::{answer::Refused, api::Endpoint, extract::Caller, state::Gateway};

pub(crate) fn endpoint() -> Endpoint {
    Endpoint::new(Method::GET, "/v1/runs/{run}", "read_run", "One run", get(handle))
        .answers::<Run>(200, "The run")
}

async fn handle(
    State(gateway): State<Arc<Gateway>>,
    Caller(call): Caller,
    Path(run): Path<String>,
) -> Result<Json<Run>, Refused> {
    Ok(Json(read_runs::read_run(&gateway.platform, &call, &run).await?))
}
