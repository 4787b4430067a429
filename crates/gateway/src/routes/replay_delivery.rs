//! `POST /v1/deliveries/{delivery}/replay`: a notice is sent once more through its channel, under the same id.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    routing::post,
};
use guichet_contract::Delivery;
use guichet_operations::replay_delivery;
use http::Method;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    answer::Refused,
    api::Endpoint,
    extract::{Caller, IdempotencyKey, JsonBody},
    state::Gateway,
};

/// Nothing more is needed.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

pub(crate) fn endpoint() -> Endpoint {
    Endpoint::new(
        Method::POST,
        "/v1/deliveries/{delivery}/replay",
        "replay_delivery",
        "Send it once more through its channel, under the same id; what waits for its next try is tried at once",
        post(handle),
    )
    .takes::<Nothing>()
    .idempotent("the delivery that it replayed the first time, as it stands now")
    .answers::<Delivery>(
        200,
        "The delivery, which waits for its next try. A repeated Idempotency-Key: the delivery as it stands",
    )
}

async fn handle(
    State(gateway): State<Arc<Gateway>>,
    Caller(call): Caller,
    IdempotencyKey(key): IdempotencyKey,
    Path(delivery): Path<String>,
    JsonBody(Nothing {}): JsonBody<Nothing>,
) -> Result<Json<Delivery>, Refused> {
    Ok(Json(replay_delivery::replay_delivery(&gateway.platform, &call, &delivery, key).await?))
}
