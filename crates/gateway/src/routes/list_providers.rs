//! `GET /v1/providers` and `GET /v1/providers/{provider}`: how the providers stand.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    routing::get,
};
use guichet_contract::{Digest, Instance, Service};
use guichet_operations::{ProviderStatus, read_catalogue};
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
    /// Operations and scripts that were left out, each with its place and the reason.
    refused: Vec<String>,
    /// Digest of its document with what is added to it; absent until it was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<Digest>,
    /// Who registers it or added it; absent for one that is configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    /// The instances that are there, of one that registers itself.
    instances: Vec<Instance>,
    /// How it is reached, when it was added. In the list without its overlay.
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<Service>,
}

impl From<ProviderStatus> for ProviderRow {
    fn from(provider: ProviderStatus) -> Self {
        Self {
            name: provider.name,
            state: provider.state,
            operations: provider.operations,
            since: provider.since,
            problem: provider.problem,
            warnings: provider.warnings,
            refused: provider.refused,
            document: provider.document,
            owner: provider.owner,
            instances: provider.instances,
            service: provider.service,
        }
    }
}

pub(crate) fn endpoint() -> Endpoint {
    Endpoint::new(Method::GET, "/v1/providers", "list_providers", "How the providers stand", get(handle))
        .answers::<List<ProviderRow>>(200, "All providers, by name")
}

pub(crate) fn one() -> Endpoint {
    Endpoint::new(
        Method::GET,
        "/v1/providers/{provider}",
        "read_provider",
        "How one provider stands",
        get(handle_one),
    )
    .answers::<ProviderRow>(200, "The provider")
}

async fn handle_one(
    State(gateway): State<Arc<Gateway>>,
    Caller(call): Caller,
    Path(provider): Path<String>,
) -> Result<Json<ProviderRow>, Refused> {
    Ok(Json(read_catalogue::read_provider(&gateway.platform, &call, &provider).await?.into()))
}

async fn handle(
    State(gateway): State<Arc<Gateway>>,
    Caller(call): Caller,
) -> Result<Json<List<ProviderRow>>, Refused> {
    let providers = read_catalogue::list_providers(&gateway.platform, &call).await?;
    let row = |provider| {
        let mut row = ProviderRow::from(provider);
        // Up to 64 KiB each: whoever wants one asks for its provider.
        if let Some(service) = &mut row.service {
            service.overlay = None;
        }
        row
    };
    let rows = providers.into_iter().map(row).collect();
    Ok(Json(List::whole(rows)))
}
