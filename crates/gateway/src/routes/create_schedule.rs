//! `POST /v1/schedules`: an action at set times.

use std::sync::Arc;

use axum::{Json, extract::State, routing::post};
use guichet_contract::{Missed, Schedule};
use guichet_operations::{
    Attempt,
    create_schedule::{self, Times},
};
use http::{Method, StatusCode};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    answer::Refused,
    api::Endpoint,
    extract::{Caller, JsonBody},
    state::Gateway,
};

/// What is wanted, and when.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateSchedule {
    /// What people call it: 1–63 lower-case letters, digits, `-`, `_` and `.`; unique while it exists.
    name: String,
    /// The action's id.
    action: String,
    /// The action's flat input.
    #[serde(default)]
    input: Map<String, Value>,
    /// Why.
    #[serde(default)]
    reason: Option<String>,
    /// A calendar expression: minute, hour, day of the month, month, day of the week; or `@daily` and the like.
    expression: String,
    /// IANA time zone.
    #[serde(default = "utc")]
    zone: String,
    /// What becomes of times at which no gateway was there.
    #[serde(default)]
    missed: Missed,
    /// The end: a date, with its whole day in the zone, or a moment. Needed where the action needs approval, and then at most
    /// 366 days ahead.
    #[serde(default)]
    until: Option<String>,
}

fn utc() -> String {
    "UTC".to_owned()
}

pub(crate) fn endpoint() -> Endpoint {
    Endpoint::new(
        Method::POST,
        "/v1/schedules",
        "create_schedule",
        "Have an action performed at set times",
        post(handle),
    )
    .takes::<CreateSchedule>()
    .answers::<Schedule>(201, "The schedule: active, or waiting for people")
}

async fn handle(
    State(gateway): State<Arc<Gateway>>,
    Caller(call): Caller,
    JsonBody(body): JsonBody<CreateSchedule>,
) -> Result<(StatusCode, Json<Schedule>), Refused> {
    let attempt = Attempt { action: body.action, input: Value::Object(body.input), reason: body.reason };
    let times = Times {
        name: body.name,
        expression: body.expression,
        zone: body.zone,
        missed: body.missed,
        until: body.until,
    };
    let made = create_schedule::create_schedule(&gateway.platform, &call, attempt, times).await?;
    Ok((StatusCode::CREATED, Json(made)))
}
