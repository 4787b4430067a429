//! `POST /v1/channels/{channel}/ping`: an event that tells of nothing, to see whether a channel works.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    routing::post,
};
use guichet_contract::Delivery;
use guichet_operations::ping_channel;
use http::{Method, StatusCode};

use crate::{
    answer::Refused,
    api::Endpoint,
    extract::{Caller, IdempotencyKey, JsonBody},
    routes::replay_delivery::Nothing,
    state::Gateway,
};

pub(crate) fn endpoint() -> Endpoint {
    Endpoint::new(
        Method::POST,
        "/v1/channels/{channel}/ping",
        "ping_channel",
        "Send a `dev.guichet.ping` through a channel, once, to see whether it works",
        post(handle),
    )
    .takes::<Nothing>()
    .idempotent("the delivery of the ping that it sent the first time, as it stands now")
    .answers::<Delivery>(
        202,
        "The delivery of the ping; `GET /v1/deliveries/{delivery}` tells what comes of it",
    )
}

async fn handle(
    State(gateway): State<Arc<Gateway>>,
    Caller(call): Caller,
    IdempotencyKey(key): IdempotencyKey,
    Path(channel): Path<String>,
    JsonBody(Nothing {}): JsonBody<Nothing>,
) -> Result<(StatusCode, Json<Delivery>), Refused> {
    let delivery = ping_channel::ping_channel(&gateway.platform, &call, &channel, key).await?;
    Ok((StatusCode::ACCEPTED, Json(delivery)))
}
