//! `GET /v1/records`: the audit trail.

use std::sync::Arc;

use axum::{Json, extract::State, routing::get};
use guichet_contract::{ActionId, RunId, record::LedgerRecord};
use guichet_operations::{RecordsFilter, read_records, read_runs};
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
    /// A resource; what lies under it is found too.
    resource: Option<String>,
    /// The team that owns the resource.
    owner: Option<String>,
    /// Words of reason, detail, problem or input; each must occur, as a word or the beginning of one.
    text: Option<String>,
    /// A trace id, 32 hexadecimal digits.
    trace: Option<String>,
    /// A run's full or short id.
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
        .answers::<List<LedgerRecord>>(
            200,
            "A page of records; it can be short and have a `next`: one call looks at a bounded number",
        )
}

async fn handle(
    State(gateway): State<Arc<Gateway>>,
    Caller(call): Caller,
    Params(which): Params<Which>,
) -> Result<Json<List<LedgerRecord>>, Refused> {
    let run = match which.run.as_deref() {
        None => None,
        Some(id) => match id.parse::<RunId>() {
            Ok(full) => Some(full),
            Err(_) => Some(read_runs::read_run(&gateway.platform, &call, id).await?.id),
        },
    };
    let filter = RecordsFilter {
        principal: which.principal,
        action: which.action.map(ActionId),
        resource: which.resource,
        owner: which.owner,
        run,
        trace: which.trace.map(|trace| trace.to_ascii_lowercase()),
        text: which.text,
        verb: which.verb,
        verdict: which.verdict,
        since: which.since,
        until: which.until,
    };
    let page = routes::page(which.limit, which.cursor)?;
    let found = read_records::list_records(&gateway.platform, &call, &filter, &page).await?;
    Ok(Json(List { items: found.items, next: found.next }))
}
