//! `POST /v1/policy/who-can-approve`: who can say yes to something; for those who may audit.

use std::sync::Arc;

use axum::{Json, extract::State, routing::post};
use guichet_contract::WhoCanApprove;
use guichet_operations::who_can_approve;
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
        "/v1/policy/who-can-approve",
        "who_can_approve",
        "Who can say yes to something; for those who may audit",
        post(handle),
    )
    .takes::<Subject>()
    .answers::<WhoCanApprove>(200, "What must be lifted, and who can")
}

async fn handle(
    State(gateway): State<Arc<Gateway>>,
    Caller(call): Caller,
    JsonBody(body): JsonBody<Subject>,
) -> Result<Json<WhoCanApprove>, Refused> {
    Ok(Json(who_can_approve::who_can_approve(&gateway.platform, &call, &body.into()).await?))
}
