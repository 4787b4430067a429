//! `/healthz`, `/readyz`, `/metrics`: for whoever runs the gateway.

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
    routing::get,
};
use guichet_contract::{Problem, code};
use http::{HeaderValue, Method, header};

use crate::{answer::Refused, api::Endpoint, state::Gateway};

pub(crate) fn healthz() -> Endpoint {
    Endpoint::new(Method::GET, "/healthz", "healthz", "Whether the process lives", get(|| async { "ok\n" }))
        .answers_as(200, "It lives", "text/plain")
        .open()
}

pub(crate) fn readyz() -> Endpoint {
    Endpoint::new(
        Method::GET,
        "/readyz",
        "readyz",
        "Whether it can take work: not draining, and the store takes writes",
        get(handle_ready),
    )
    .answers_as(200, "It can", "text/plain")
    .open()
}

pub(crate) fn metrics() -> Endpoint {
    Endpoint::new(Method::GET, "/metrics", "metrics", "Counters for Prometheus", get(handle_metrics))
        .answers_as(200, "OpenMetrics text", "application/openmetrics-text")
        .open()
}

async fn handle_ready(State(gateway): State<Arc<Gateway>>) -> Result<&'static str, Refused> {
    if gateway.draining.is_cancelled() {
        return Err(Problem::new(code::SHUTTING_DOWN, "this gateway is draining").into());
    }
    match gateway.platform.store.check_writable().await {
        Ok(()) => Ok("ready\n"),
        Err(error) => Err(Problem::new(code::STORE_UNAVAILABLE, error.to_string()).into()),
    }
}

async fn handle_metrics(State(gateway): State<Arc<Gateway>>) -> Result<Response, Refused> {
    let runs = gateway.platform.store.open_runs().await.unwrap_or_default();
    let runs: Vec<_> = runs.into_iter().map(|(state, count)| (state.as_str().to_owned(), count)).collect();
    let providers =
        gateway.platform.providers.status().into_iter().map(|p| (p.name, p.state)).collect::<Vec<_>>();
    let text = gateway
        .metrics
        .text(&gateway.info.version, &runs, &providers)
        .map_err(|error| Problem::new(code::INTERNAL, error.to_string()))?;
    let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}
