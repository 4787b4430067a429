//! The order of treatment of every request, outermost first:
//!
//! 1. `logger`: a span named by method and route template, the trace, one line of log and the metrics;
//! 2. panics become a 500 that says nothing of our insides;
//! 3. a draining or overloaded gateway says so at once;
//! 4. how often one token may call;
//! 5. the route: its extractor reads the body within limits, its verb passes the door (`auth`), a provider is called
//!    (`forward`).

use std::{sync::Arc, time::Instant};

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use guichet_contract::{Problem, code};
use http::{HeaderValue, Method, header};
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument as _;

use crate::{
    answer::Refused,
    api,
    extract::{Traceparent, bearer},
    routes,
    state::Gateway,
};

/// The whole HTTP side.
pub fn router(gateway: Arc<Gateway>) -> Router {
    api::router(routes::endpoints())
        .merge(routes::provider_paths::router())
        .fallback(nothing_here)
        .method_not_allowed_fallback(other_methods)
        .layer(middleware::from_fn_with_state(Arc::clone(&gateway), limit))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(Arc::clone(&gateway), logger))
        .with_state(gateway)
}

async fn logger(State(gateway): State<Arc<Gateway>>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let method = request.method().clone();
    // The template, never the path: a path can hold what belongs to nobody's logs.
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "(none)".to_owned(), |matched| matched.as_str().to_owned());
    let span = tracing::info_span!("logger", otel.name = %format_args!("{method} {route}"), otel.kind = "server", status = tracing::field::Empty);
    let incoming = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
    let traceparent = gateway.tracer.begin(gateway.clock(), incoming, &span);
    let trace = traceparent.get(3..35).unwrap_or_default().to_owned();
    request.extensions_mut().insert(Traceparent(traceparent));
    let mut response = next.run(request).instrument(span.clone()).await;
    let status = response.status().as_u16();
    let took = began.elapsed();
    span.record("status", status);
    gateway.metrics.request(&route, known_method(&method), status, took);
    tracing::info!(
        method = method.as_str(),
        route,
        status,
        microseconds = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        trace,
        "answered"
    );
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if let Ok(trace) = HeaderValue::from_str(&trace) {
        headers.insert("guichet-trace", trace);
    }
    response
}

/// Methods as a label: anyone can invent others, and each would be a series for ever.
fn known_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

async fn limit(State(gateway): State<Arc<Gateway>>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if matches!(path, "/healthz" | "/readyz" | "/metrics" | "/v1/keys") {
        return next.run(request).await;
    }
    if gateway.draining.is_cancelled() {
        return Refused::from(
            Problem::new(code::SHUTTING_DOWN, "this gateway is draining")
                .next("try again: another one answers"),
        )
        .into_response();
    }
    if !gateway.rate.allows(bearer(request.headers())) {
        return Refused::from(
            Problem::new(
                code::TOO_MANY_REQUESTS,
                format!(
                    "more than {} requests a second with this token",
                    gateway.settings.requests_per_second
                ),
            )
            .next("slow down"),
        )
        .into_response();
    }
    let Ok(_room) = gateway.room.try_acquire() else {
        return Refused::from(
            Problem::new(
                code::TOO_MANY_REQUESTS,
                format!(
                    "the gateway has {} requests under way, as many as it may have",
                    gateway.settings.requests_at_once
                ),
            )
            .next("try again in a moment"),
        )
        .into_response();
    };
    next.run(request).await
}

#[expect(clippy::needless_pass_by_value, reason = "the layer hands it over like this")]
fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response {
    let what = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("(no text)");
    tracing::error!(panic = what, "a request panicked");
    Refused::from(
        Problem::new(code::INTERNAL, "the gateway met a fault of its own")
            .next("tell its operators the trace id"),
    )
    .into_response()
}

async fn nothing_here() -> Response {
    Refused::from(
        Problem::new(code::NOT_FOUND, "no route of this gateway has this path")
            .next("see GET /v1/openapi.json"),
    )
    .into_response()
}

async fn other_methods(method: Method) -> Response {
    Refused::from(
        Problem::new(code::METHOD_NOT_ALLOWED, format!("this path does not offer {method}"))
            .next("see GET /v1/openapi.json"),
    )
    .into_response()
}
