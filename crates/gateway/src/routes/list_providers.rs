//! `GET /v1/providers` and `GET /v1/providers/{provider}`: how the providers stand.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    routing::get,
};
use guichet_contract::ProviderStatus;
use guichet_operations::read_catalogue;
use http::Method;

use crate::{
    answer::{List, Refused},
    api::Endpoint,
    extract::Caller,
    state::Gateway,
};

pub(crate) fn endpoint() -> Endpoint {
    Endpoint::new(Method::GET, "/v1/providers", "list_providers", "How the providers stand", get(handle))
        .answers::<List<ProviderStatus>>(200, "All providers, by name")
}

pub(crate) fn one() -> Endpoint {
    Endpoint::new(
        Method::GET,
        "/v1/providers/{provider}",
        "read_provider",
        "How one provider stands",
        get(handle_one),
    )
    .answers::<ProviderStatus>(200, "The provider")
}

async fn handle_one(
    State(gateway): State<Arc<Gateway>>,
    Caller(call): Caller,
    Path(provider): Path<String>,
) -> Result<Json<ProviderStatus>, Refused> {
    Ok(Json(read_catalogue::read_provider(&gateway.platform, &call, &provider).await?))
}

async fn handle(
    State(gateway): State<Arc<Gateway>>,
    Caller(call): Caller,
) -> Result<Json<List<ProviderStatus>>, Refused> {
    let mut providers = read_catalogue::list_providers(&gateway.platform, &call).await?;
    // Up to 64 KiB each: whoever wants one asks for its provider.
    for service in providers.iter_mut().filter_map(|provider| provider.service.as_mut()) {
        service.overlay = None;
    }
    Ok(Json(List::whole(providers)))
}
