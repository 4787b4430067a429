//! `POST /v1/schedules/{schedule}/approve` and `/reject`: one person's yes or no to all its times.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    routing::post,
};
use guichet_contract::Schedule;
use guichet_operations::decide_schedule;
use http::Method;

use crate::{
    answer::Refused,
    api::Endpoint,
    extract::{Caller, JsonBody},
    routes::{approve_run::Yes, reject_run::No},
    state::Gateway,
};

pub(crate) fn approve() -> Endpoint {
    Endpoint::new(
        Method::POST,
        "/v1/schedules/{schedule}/approve",
        "approve_schedule",
        "Approve a schedule: each of its runs, until its end",
        post(handle_approve),
    )
    .takes::<Yes>()
    .answers::<Schedule>(200, "The schedule after this decision")
}

pub(crate) fn reject() -> Endpoint {
    Endpoint::new(
        Method::POST,
        "/v1/schedules/{schedule}/reject",
        "reject_schedule",
        "Reject a schedule",
        post(handle_reject),
    )
    .takes::<No>()
    .answers::<Schedule>(200, "The rejected schedule")
}

async fn handle_approve(
    State(gateway): State<Arc<Gateway>>,
    Caller(call): Caller,
    Path(schedule): Path<String>,
    JsonBody(body): JsonBody<Yes>,
) -> Result<Json<Schedule>, Refused> {
    let (shown, reason) = (body.binding, body.reason);
    Ok(Json(decide_schedule::approve_schedule(&gateway.platform, &call, &schedule, shown, reason).await?))
}

async fn handle_reject(
    State(gateway): State<Arc<Gateway>>,
    Caller(call): Caller,
    Path(schedule): Path<String>,
    JsonBody(body): JsonBody<No>,
) -> Result<Json<Schedule>, Refused> {
    Ok(Json(decide_schedule::reject_schedule(&gateway.platform, &call, &schedule, &body.reason).await?))
}
