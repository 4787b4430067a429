//! `POST /v1/schedules/{schedule}/pause` and `/resume`, and `DELETE`.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    routing::{delete as deleting, post},
};
use guichet_contract::Schedule;
use guichet_operations::change_schedule;
use http::Method;

use crate::{
    answer::Refused,
    api::Endpoint,
    extract::{Caller, JsonBody},
    routes::Why,
    state::Gateway,
};

pub(crate) fn pause() -> Endpoint {
    Endpoint::new(
        Method::POST,
        "/v1/schedules/{schedule}/pause",
        "pause_schedule",
        "Halt a schedule",
        post(handle_pause),
    )
    .takes::<Why>()
    .answers::<Schedule>(200, "The halted schedule")
}

pub(crate) fn resume() -> Endpoint {
    Endpoint::new(
        Method::POST,
        "/v1/schedules/{schedule}/resume",
        "resume_schedule",
        "Let a halted schedule go on",
        post(handle_resume),
    )
    .takes::<Why>()
    .answers::<Schedule>(200, "The schedule")
}

pub(crate) fn delete() -> Endpoint {
    Endpoint::new(
        Method::DELETE,
        "/v1/schedules/{schedule}",
        "delete_schedule",
        "Remove a schedule; its runs and records stay",
        deleting(handle_delete),
    )
    .answers::<Schedule>(200, "The schedule as it was")
}

async fn handle_pause(
    State(gateway): State<Arc<Gateway>>,
    Caller(call): Caller,
    Path(schedule): Path<String>,
    JsonBody(why): JsonBody<Why>,
) -> Result<Json<Schedule>, Refused> {
    Ok(Json(change_schedule::pause_schedule(&gateway.platform, &call, &schedule, why.reason).await?))
}

async fn handle_resume(
    State(gateway): State<Arc<Gateway>>,
    Caller(call): Caller,
    Path(schedule): Path<String>,
    JsonBody(why): JsonBody<Why>,
) -> Result<Json<Schedule>, Refused> {
    Ok(Json(change_schedule::resume_schedule(&gateway.platform, &call, &schedule, why.reason).await?))
}

async fn handle_delete(
    State(gateway): State<Arc<Gateway>>,
    Caller(call): Caller,
    Path(schedule): Path<String>,
) -> Result<Json<Schedule>, Refused> {
    Ok(Json(change_schedule::delete_schedule(&gateway.platform, &call, &schedule).await?))
}
