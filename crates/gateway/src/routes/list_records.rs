//! `GET /v1/records`: the audit trail.

use std::sync::Arc;

use axum::{Json, extract::State, routing::get};
use guichet_contract::{ActionId, Problem, RunId, code, record::LedgerRecord};
use guichet_operations::{RecordsFilter, read_records};
use http::Method;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    answer::{List, Refused},
    api::Endpoint,
    extract::{Caller, Params},
    routes,
    state::Gateway,
};

/// Which records.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Which {
    /// Who (name).
    principal: Option<String>,
    /// An action's id.
    action: Option<String>,
    /// A run's full id.
    run: Option<String>,
    /// A verb, `approve_run`.
    verb: Option<String>,
    /// `allowed`, `refused`, `failed`, `unknown`.
    verdict: Option<String>,
    /// Not before (RFC 3339).
    since: Option<Timestamp>,
    /// Before (RFC 3339).
    until: Option<Timestamp>,
    /// Rows, 1–500; 50 when absent.
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
}

pub(crate) fn endpoint() -> Endpoint {
    Endpoint::new(Method::GET, "/v1/records", "list_records", "The audit trail, newest first", get(handle))
        .query::<Which>()
        .answers::<List<LedgerRecord>>(200, "A page of records")
}

async fn handle(
    State(gateway): State<Arc<Gateway>>,
    Caller(call): Caller,
    Params(which): Params<Which>,
) -> Result<Json<List<LedgerRecord>>, Refused> {
    let run = which.run.as_deref().map(str::parse::<RunId>).transpose();
    let run = run.map_err(|_| Problem::new(code::BAD_REQUEST, "`run` is a run's full id"))?;
    let filter = RecordsFilter {
        principal: which.principal,
        action: which.action.map(ActionId),
        run,
        verb: which.verb,
        verdict: which.verdict,
        since: which.since,
        until: which.until,
    };
    let page = routes::page(which.limit, which.cursor)?;
    let found = read_records::list_records(&gateway.platform, &call, &filter, &page).await?;
    Ok(Json(List { items: found.items, next: found.next }))
}
