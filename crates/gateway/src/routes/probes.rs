//! `/healthz`, `/readyz`, `/metrics`: for whoever runs the gateway.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
    routing::get,
};
use guichet_contract::{Problem, code};
use http::{HeaderValue, Method, header};
use tokio::sync::Mutex;

use crate::{answer::Refused, api::Endpoint, metrics::Standing, state::Gateway};

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

/// How long a probe's answer is given again. Probes are open to everyone, and a write or a count costs more than a probe
/// should.
const PROBED_FOR: Duration = Duration::from_secs(1);

/// What the probes found lately.
#[derive(Default)]
pub struct Probed {
    writable: Kept<Result<(), String>>,
    open_runs: Kept<Vec<(String, u64)>>,
}

type Kept<T> = Mutex<Option<(Instant, T)>>;

/// Several that ask at once wait for one answer.
async fn lately<T: Clone>(kept: &Kept<T>, find: impl Future<Output = T>) -> T {
    let mut kept = kept.lock().await;
    if let Some((at, found)) = kept.as_ref()
        && at.elapsed() < PROBED_FOR
    {
        return found.clone();
    }
    let found = find.await;
    *kept = Some((Instant::now(), found.clone()));
    found
}

async fn handle_ready(State(gateway): State<Arc<Gateway>>) -> Result<&'static str, Refused> {
    if gateway.leaving.is_cancelled() || gateway.draining.is_cancelled() {
        return Err(Problem::new(code::SHUTTING_DOWN, "this gateway is about to stop").into());
    }
    let store = &gateway.platform.store;
    let found = lately(&gateway.probed.writable, async {
        store.check_writable().await.map_err(|error| error.to_string())
    });
    match found.await {
        Ok(()) => Ok("ready\n"),
        Err(why) => Err(Problem::new(code::STORE_UNAVAILABLE, why).into()),
    }
}

async fn handle_metrics(State(gateway): State<Arc<Gateway>>) -> Result<Response, Refused> {
    let store = &gateway.platform.store;
    let open_runs = lately(&gateway.probed.open_runs, async {
        let runs = store.open_runs().await.unwrap_or_default();
        runs.into_iter().map(|(state, count)| (state.as_str().to_owned(), count)).collect()
    });
    let standing = Standing {
        open_runs: open_runs.await,
        providers: gateway.platform.providers.status().into_iter().map(|p| (p.name, p.state)).collect(),
        lost_records: store.lost_records(),
        notices: gateway.platform.messages.tries(),
    };
    let text = gateway
        .metrics
        .text(&gateway.info.version, &standing)
        .map_err(|error| Problem::new(code::INTERNAL, error.to_string()))?;
    let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}
