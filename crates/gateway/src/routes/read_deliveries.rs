//! `GET /v1/deliveries`: what became of notices, try by try.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    routing::get,
};
use guichet_contract::{Delivery, DeliveryState, Problem, RunId, code};
use guichet_operations::{DeliveriesFilter, read_deliveries, read_runs};
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

/// Which deliveries.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Which {
    /// `waiting`, `delivered`, `given_up`, `dropped`, separated by commas; all when absent.
    state: Option<String>,
    /// A channel's name.
    channel: Option<String>,
    /// A run's full or short id; the full id of a schedule.
    run: Option<String>,
    /// An event's id, the `webhook-id` that its receivers see.
    event: Option<String>,
    /// Of what happened not before (RFC 3339).
    since: Option<Timestamp>,
    /// Rows, 1–500; 50 when absent.
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
}

pub(crate) fn list() -> Endpoint {
    Endpoint::new(
        Method::GET,
        "/v1/deliveries",
        "list_deliveries",
        "What became of notices, newest first",
        get(handle_list),
    )
    .query::<Which>()
    .answers::<List<Delivery>>(200, "A page of deliveries, each with its latest try")
}

pub(crate) fn one() -> Endpoint {
    Endpoint::new(
        Method::GET,
        "/v1/deliveries/{delivery}",
        "read_delivery",
        "One delivery with all its tries",
        get(handle_one),
    )
    .answers::<Delivery>(200, "The delivery and its tries, in their order")
}

async fn handle_list(
    State(gateway): State<Arc<Gateway>>,
    Caller(call): Caller,
    Params(which): Params<Which>,
) -> Result<Json<List<Delivery>>, Refused> {
    let states =
        which.state.as_deref().unwrap_or_default().split(',').map(str::trim).filter(|word| !word.is_empty());
    let states = states.map(routes::word::<DeliveryState>).collect::<Result<_, _>>()?;
    let run = match which.run.as_deref() {
        None => None,
        Some(id) => match id.parse::<RunId>() {
            Ok(full) => Some(full),
            Err(_) => Some(read_runs::read_run(&gateway.platform, &call, id).await?.id),
        },
    };
    let event = match which.event.as_deref() {
        None => None,
        Some(text) => Some(text.parse().map_err(|_| {
            Problem::new(code::BAD_REQUEST, "`event` is no id of an event")
                .next("give the `webhook-id` as the receiver got it")
        })?),
    };
    let filter = DeliveriesFilter { states, channel: which.channel, run, event, since: which.since };
    let page = routes::page(which.limit, which.cursor)?;
    let found = read_deliveries::list_deliveries(&gateway.platform, &call, &filter, &page).await?;
    Ok(Json(List { items: found.items, next: found.next }))
}

async fn handle_one(
    State(gateway): State<Arc<Gateway>>,
    Caller(call): Caller,
    Path(delivery): Path<String>,
) -> Result<Json<Delivery>, Refused> {
    Ok(Json(read_deliveries::read_delivery(&gateway.platform, &call, &delivery).await?))
}
