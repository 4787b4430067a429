//! `PUT /v1/providers/{provider}`: an instance of a provider says that it is there.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    routing::put,
};
use guichet_operations::register_instance::{self, Lease, Said};
use http::Method;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    answer::Refused,
    api::Endpoint,
    extract::{Caller, JsonBody},
    state::Gateway,
};

/// Where it answers, and how long it shall be believed.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Presence {
    /// The instance's id, the same at each call: 1–64 letters, digits and `-._`.
    #[schemars(example = "0192f0c1b7e24c1f")]
    instance: String,
    /// Where its paths begin, `http://host:port/prefix`.
    #[schemars(example = "http://127.0.0.1:7100")]
    url: String,
    /// The `ETag` of the document that it serves at `{url}/openapi.json`.
    document: Option<String>,
    /// How long it shall be believed, seconds, 10–300; 30 when absent.
    #[schemars(example = 30)]
    lease_seconds: Option<u32>,
}

/// A lease when nobody says how long, seconds.
const LEASE_SECONDS: u32 = 30;

pub(crate) fn endpoint() -> Endpoint {
    Endpoint::new(
        Method::PUT,
        "/v1/providers/{provider}",
        "register_instance",
        "An instance of a provider is there; said again before each lease ends",
        put(handle),
    )
    .takes::<Presence>()
    .answers::<Lease>(200, "How long it is believed")
}

async fn handle(
    State(gateway): State<Arc<Gateway>>,
    Caller(call): Caller,
    Path(provider): Path<String>,
    JsonBody(body): JsonBody<Presence>,
) -> Result<Json<Lease>, Refused> {
    let Presence { instance, url, document, lease_seconds } = body;
    let lease_seconds = lease_seconds.unwrap_or(LEASE_SECONDS);
    let said = Said { provider, instance, url, document, lease_seconds };
    Ok(Json(register_instance::register_instance(&gateway.platform, &call, said).await?))
}
