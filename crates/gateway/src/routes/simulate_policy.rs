//! `POST /v1/policy/simulate`: what other policies would have answered to what was recorded.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State, routing::post};
use guichet_contract::{Problem, Simulation, code};
use guichet_operations::simulate_policy;
use http::Method;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    answer::Refused,
    api::Endpoint,
    extract::{Caller, JsonBody},
    state::Gateway,
};

/// Which policies, and how far back.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Trial {
    /// Cedar texts by file name: all of them, in place of those in force.
    policies: BTreeMap<String, String>,
    /// Records of so many days, 1–366; 7 when absent.
    days: Option<u16>,
}

pub(crate) fn endpoint() -> Endpoint {
    Endpoint::new(
        Method::POST,
        "/v1/policy/simulate",
        "simulate_policy",
        "What other policies would have answered to what was recorded; for those who may audit",
        post(handle),
    )
    .takes::<Trial>()
    .answers::<Simulation>(200, "What would change, and what cannot be told")
}

async fn handle(
    State(gateway): State<Arc<Gateway>>,
    Caller(call): Caller,
    JsonBody(Trial { policies, days }): JsonBody<Trial>,
) -> Result<Json<Simulation>, Refused> {
    let days = days.unwrap_or(7);
    if !(1..=366).contains(&days) {
        let detail = format!("`days` is between 1 and 366, not {days}");
        return Err(Problem::new(code::BAD_REQUEST, detail).into());
    }
    let files: Vec<(String, String)> = policies.into_iter().collect();
    Ok(Json(simulate_policy::simulate_policy(&gateway.platform, &call, &files, days).await?))
}
