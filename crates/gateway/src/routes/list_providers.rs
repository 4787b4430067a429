//! `GET /v1/providers`: how the providers stand.

use std::sync::Arc;

use axum::{Json, extract::State, routing::get};
use guichet_contract::Instance;
use guichet_operations::read_catalogue;
use http::Method;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    answer::{List, Refused},
    api::Endpoint,
    extract::Caller,
    state::Gateway,
};

/// A provider.
#[derive(Serialize, JsonSchema)]
pub struct ProviderRow {
    /// Its name.
    name: String,
    /// `ready`, `unreachable`, `refused` (its document), `resting` (after failures),
    /// `absent` (it registers itself, and no instance is there).
    state: String,
    /// How many operations it offers.
    operations: usize,
    /// Since when.
    since: Timestamp,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    /// What is odd in its document.
    warnings: Vec<String>,
    /// Who registers it; absent for one that is configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    /// The instances that are there, of one that registers itself.
    instances: Vec<Instance>,
}

pub(crate) fn endpoint() -> Endpoint {
    Endpoint::new(Method::GET, "/v1/providers", "list_providers", "How the providers stand", get(handle))
        .answers::<List<ProviderRow>>(200, "All providers, by name")
}

async fn handle(
    State(gateway): State<Arc<Gateway>>,
    Caller(call): Caller,
) -> Result<Json<List<ProviderRow>>, Refused> {
    let providers = read_catalogue::list_providers(&gateway.platform, &call).await?;
    let rows = providers
        .into_iter()
        .map(|provider| ProviderRow {
            name: provider.name,
            state: provider.state,
            operations: provider.operations,
            since: provider.since,
            problem: provider.problem,
            warnings: provider.warnings,
            owner: provider.owner,
            instances: provider.instances,
        })
        .collect();
    Ok(Json(List::whole(rows)))
}
