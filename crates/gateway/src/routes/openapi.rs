//! `GET /v1/openapi.json`: this API's own document.

use std::sync::Arc;

use axum::{Json, extract::State, routing::get};
use http::Method;
use serde_json::Value;

use crate::{
    api::{self, Endpoint},
    routes,
    state::Gateway,
};

pub(crate) fn endpoint() -> Endpoint {
    Endpoint::new(Method::GET, "/v1/openapi.json", "read_openapi", "This document", get(handle))
        .answers::<Value>(200, "OpenAPI 3.1")
        .open()
}

async fn handle(State(gateway): State<Arc<Gateway>>) -> Json<Value> {
    Json(api::document(&routes::endpoints(), &gateway.info.version))
}
