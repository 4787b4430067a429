//! `GET /v1/schedules` and one of them.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    routing::get,
};
use guichet_contract::Schedule;
use guichet_operations::read_schedules;
use http::Method;

use crate::{
    answer::{List, Refused},
    api::Endpoint,
    extract::Caller,
    state::Gateway,
};

pub(crate) fn list() -> Endpoint {
    Endpoint::new(
        Method::GET,
        "/v1/schedules",
        "list_schedules",
        "Schedules that the caller may see, by name",
        get(handle_list),
    )
    .answers::<List<Schedule>>(200, "All of them, with their next times")
}

pub(crate) fn one() -> Endpoint {
    Endpoint::new(
        Method::GET,
        "/v1/schedules/{schedule}",
        "read_schedule",
        "One schedule, by its name or its id",
        get(handle_one),
    )
    .answers::<Schedule>(200, "The schedule, with its next times")
}

async fn handle_list(
    State(gateway): State<Arc<Gateway>>,
    Caller(call): Caller,
) -> Result<Json<List<Schedule>>, Refused> {
    Ok(Json(List::whole(read_schedules::list_schedules(&gateway.platform, &call).await?)))
}

async fn handle_one(
    State(gateway): State<Arc<Gateway>>,
    Caller(call): Caller,
    Path(schedule): Path<String>,
) -> Result<Json<Schedule>, Refused> {
    Ok(Json(read_schedules::read_schedule(&gateway.platform, &call, &schedule).await?))
}
