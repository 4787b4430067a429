//! `POST /v1/policy/who-can`: who can do something; for those who may audit.

use std::sync::Arc;

use axum::{Json, extract::State, routing::post};
use guichet_contract::WhoCan;
use guichet_operations::who_can;
use http::Method;

use crate::{
    answer::Refused,
    api::Endpoint,
    extract::{Caller, JsonBody},
    routes::explain_policy::Subject,
    state::Gateway,
};

pub(crate) fn endpoint() -> Endpoint {
    Endpoint::new(
        Method::POST,
        "/v1/policy/who-can",
        "who_can",
        "Who can do something; for those who may audit",
        post(handle),
    )
    .takes::<Subject>()
    .answers::<WhoCan>(200, "Those who can")
}

async fn handle(
    State(gateway): State<Arc<Gateway>>,
    Caller(call): Caller,
    JsonBody(body): JsonBody<Subject>,
) -> Result<Json<WhoCan>, Refused> {
    Ok(Json(who_can::who_can(&gateway.platform, &call, &body.into()).await?))
}
