//! `DELETE /v1/providers/{provider}` and `…/instances/{instance}`: a provider, or one instance of it, is gone.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    routing::delete,
};
use guichet_operations::remove_provider;
use http::{Method, StatusCode};

use crate::{answer::Refused, api::Endpoint, extract::Caller, state::Gateway};

pub(crate) fn instance() -> Endpoint {
    Endpoint::new(
        Method::DELETE,
        "/v1/providers/{provider}/instances/{instance}",
        "drain_instance",
        "An instance of a provider leaves: it is called no more",
        delete(handle_instance),
    )
    .answers_as(204, "It is called no more", "")
}

pub(crate) fn provider() -> Endpoint {
    Endpoint::new(
        Method::DELETE,
        "/v1/providers/{provider}",
        "remove_provider",
        "The name of a provider that registered itself is nobody's again",
        delete(handle_provider),
    )
    .answers_as(204, "Removed", "")
}

async fn handle_instance(
    State(gateway): State<Arc<Gateway>>,
    Caller(call): Caller,
    Path((provider, instance)): Path<(String, String)>,
) -> Result<StatusCode, Refused> {
    remove_provider::drain_instance(&gateway.platform, &call, &provider, &instance).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn handle_provider(
    State(gateway): State<Arc<Gateway>>,
    Caller(call): Caller,
    Path(provider): Path<String>,
) -> Result<StatusCode, Refused> {
    remove_provider::remove_provider(&gateway.platform, &call, &provider).await?;
    Ok(StatusCode::NO_CONTENT)
}
