//! `PUT /v1/providers/{provider}/service`: a service that has an OpenAPI document becomes a provider.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    routing::put,
};
use guichet_contract::Addition;
use guichet_operations::add_provider::{self, Wanted};
use http::Method;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    answer::Refused,
    api::Endpoint,
    extract::{Caller, JsonBody, Params},
    state::Gateway,
};

/// The service, as it is to be called.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceBody {
    /// Where its OpenAPI document is (3.1, 3.0 or Swagger 2.0; JSON or YAML), at most 16 MiB.
    #[schemars(example = "http://127.0.0.1:9093/api/v2/openapi.yaml")]
    openapi: String,
    /// What the paths of the document are appended to; what the document says when absent.
    #[schemars(example = "http://127.0.0.1:9093/api/v2")]
    url: Option<String>,
    /// The name of a credential in the gateway's configuration that the service is shown; nothing when absent.
    credential: Option<String>,
    /// The text of an OpenAPI Overlay (1.0), YAML or JSON, that is applied to the document before it is read; at most 64 KiB.
    overlay: Option<String>,
}

/// How.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct How {
    /// Only look what that would give; nothing is kept.
    dry_run: Option<bool>,
}

pub(crate) fn endpoint() -> Endpoint {
    Endpoint::new(
        Method::PUT,
        "/v1/providers/{provider}/service",
        "add_provider",
        "A service with an OpenAPI document becomes a provider, or takes the place of what its owner added before",
        put(handle),
    )
    .takes::<ServiceBody>()
    .query::<How>()
    .answers::<Addition>(200, "What is usable of it, and what is not and why")
}

async fn handle(
    State(gateway): State<Arc<Gateway>>,
    Caller(call): Caller,
    Path(provider): Path<String>,
    Params(how): Params<How>,
    JsonBody(body): JsonBody<ServiceBody>,
) -> Result<Json<Addition>, Refused> {
    let ServiceBody { openapi, url, credential, overlay } = body;
    let dry_run = how.dry_run.unwrap_or_default();
    let wanted = Wanted { provider, openapi, url, credential, overlay, dry_run };
    Ok(Json(add_provider::add_provider(&gateway.platform, &call, wanted).await?))
}
