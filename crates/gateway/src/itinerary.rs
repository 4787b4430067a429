//! The order of treatment of every request, top to bottom:
//!
//! 1. [`log`]: a span named by method and route template, the trace, one line of log and the metrics;
//! 2. panics become a 500 that says nothing of our insides;
//! 3. [`admit_load`]: a draining or overloaded gateway says so at once, and so does one that is asked too often;
//! 4. [`route`]: a provider's own path, or an endpoint with a name of its own. Its extractor reads the body within
//!    limits, once it is known who sends it; its verb passes the door (`auth`), a provider is called (`forward`).
//!
//! One function after the other, not layers: a layer costs an allocation and a move of all that lies within it, and a
//! reader jumps.

use std::{
    any::Any, collections::BTreeMap, convert::Infallible, net::IpAddr, panic::AssertUnwindSafe, pin::Pin,
    sync::Arc, time::Instant,
};

use axum::{
    Router,
    body::Body,
    extract::Request,
    response::{IntoResponse as _, Response},
};
use futures_util::FutureExt as _;
use guichet_contract::{Problem, code};
use guichet_operations::{Call, refuse_request};
use http::{HeaderValue, Method, StatusCode, Version, header};
use hyper::body::Incoming;
use tower::ServiceExt as _;
use tracing::Instrument as _;

use crate::{
    answer::{Refused, Unrecorded},
    api,
    extract::{bearer, call_of},
    limits::{Asked, Told, TooOften},
    routes::{self, provider_paths},
    state::Gateway,
};

/// What a path that leads nowhere is called in logs and metrics.
const NOWHERE: &str = "(none)";

/// The whole HTTP side.
#[derive(Clone)]
pub struct Itinerary {
    inner: Arc<Inner>,
}

struct Inner {
    gateway: Arc<Gateway>,
    endpoints: Router,
    /// By path, to name a request before it is treated.
    templates: matchit::Router<Named>,
}

/// A route template, the methods it offers, and those of them that take no query.
struct Named {
    template: &'static str,
    methods: Vec<&'static str>,
    without_query: Vec<&'static str>,
}

impl Named {
    /// Whether the method leads to a verb; `HEAD` is a `GET` without its body (RFC 9110, section 9.3.2).
    fn offers(&self, method: &Method) -> bool {
        self.methods.contains(&verb_of(method))
    }

    /// Whether a query is understood there, or asks for nothing.
    fn understands(&self, method: &Method, query: Option<&str>) -> bool {
        query.is_none_or(str::is_empty) || !self.without_query.contains(&verb_of(method))
    }
}

fn verb_of(method: &Method) -> &str {
    if *method == Method::HEAD { "GET" } else { method.as_str() }
}

impl Itinerary {
    /// Before this gateway's door.
    pub fn new(gateway: Arc<Gateway>) -> Self {
        let endpoints = routes::endpoints();
        let named = |template| Named { template, methods: Vec::new(), without_query: Vec::new() };
        let mut all = BTreeMap::from([(provider_paths::TEMPLATE, named(provider_paths::TEMPLATE))]);
        for endpoint in &endpoints {
            let (path, method) = (endpoint.path(), known_method(endpoint.method()));
            let named = all.entry(path).or_insert_with(|| named(path));
            named.methods.push(method);
            if endpoint.refuses_queries() {
                named.without_query.push(method);
            }
        }
        let mut templates = matchit::Router::new();
        for (template, named) in all {
            // Two that clash could not be served either: the router below would refuse them when it is made.
            let _ = templates.insert(template, named);
        }
        let endpoints = api::router(endpoints).fallback(nothing_here).with_state(Arc::clone(&gateway));
        Self { inner: Arc::new(Inner { gateway, endpoints, templates }) }
    }

    /// For the connections of one peer.
    pub(crate) fn of_peer(&self, peer: IpAddr) -> Peer {
        Peer { inner: Arc::clone(&self.inner), address: peer }
    }
}

/// Answers one peer.
#[derive(Clone)]
pub(crate) struct Peer {
    inner: Arc<Inner>,
    address: IpAddr,
}

impl hyper::service::Service<http::Request<Incoming>> for Peer {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn call(&self, request: http::Request<Incoming>) -> Self::Future {
        let (inner, peer) = (Arc::clone(&self.inner), self.address);
        Box::pin(async move { Ok(inner.log(request.map(Body::new), peer).await) })
    }
}

impl Inner {
    async fn log(&self, request: Request, peer: IpAddr) -> Response {
        let began = Instant::now();
        let method = known_method(request.method());
        let version = request.version();
        // The template, never the path: a path can hold what belongs to nobody's logs.
        let route = self.templates.at(request.uri().path()).map_or(NOWHERE, |found| found.value.template);
        let span = tracing::info_span!("logger", otel.name = %format_args!("{method} {route}"), otel.kind = "server", status = tracing::field::Empty);
        let incoming = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
        let traceparent = self.gateway.tracer.begin(self.gateway.clock(), incoming, &span);
        let trace = traceparent.get(3..35).map(HeaderValue::from_str).and_then(Result::ok);
        let treated = self.admit_load(request, peer, route, traceparent).instrument(span.clone());
        let mut response =
            AssertUnwindSafe(treated).catch_unwind().await.unwrap_or_else(|panic| panicked(&*panic));
        let status = response.status().as_u16();
        let took = began.elapsed();
        span.record("status", status);
        self.gateway.metrics.request(route, method, status, took);
        tracing::info!(
            method,
            route,
            status,
            microseconds = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            trace = trace.as_ref().and_then(|trace| trace.to_str().ok()).unwrap_or_default(),
            "answered"
        );
        let headers = response.headers_mut();
        if version < Version::HTTP_2 && self.gateway.leaving.is_cancelled() {
            // The next request takes another connection, to a gateway that stays.
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        if let Some(trace) = trace {
            headers.insert("guichet-trace", trace);
        }
        response
    }

    async fn admit_load(
        &self,
        request: Request,
        peer: IpAddr,
        route: &'static str,
        traceparent: String,
    ) -> Response {
        let gateway = &*self.gateway;
        if matches!(route, "/healthz" | "/readyz" | "/metrics" | "/v1/keys") {
            let call = Arc::new(call_of(request.headers(), Some(traceparent)));
            return self.route(request, route, &call).await;
        }
        if gateway.draining.is_cancelled() {
            return Refused::from(
                Problem::new(code::SHUTTING_DOWN, "this gateway is draining")
                    .next("try again: another one answers"),
            )
            .into_response();
        }
        if gateway.settings.only_probes {
            return Refused::from(
                Problem::new(code::NOT_FOUND, "this process performs runs and answers no requests")
                    .next("ask a gateway that `guichetd serve` started"),
            )
            .into_response();
        }
        let asked = Asked::by(bearer(request.headers()), peer);
        if let Err(too_often) = gateway.rate.admit(&asked) {
            return too_often_problem(gateway, too_often).into_response();
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
        let method = known_method(request.method());
        let call = Arc::new(call_of(request.headers(), Some(traceparent)));
        let mut response = self.route(request, route, &call).await;
        let status = response.status();
        if status.as_u16() >= 400
            && let Some(Unrecorded(code)) = response.extensions_mut().remove()
        {
            // Never its path or its body: nobody can say what is secret in them. It is also looked who calls.
            let came = format!("{method} {route}");
            refuse_request::refuse_request(&gateway.platform, &call, &came, code).await;
        }
        let told = if call.has_held() {
            Told::Known
        } else if status == StatusCode::UNAUTHORIZED {
            Told::Nobody
        } else if status.is_client_error() {
            Told::Refused
        } else {
            Told::Nothing
        };
        gateway.rate.note(&asked, told);
        response
    }

    async fn route(&self, mut request: Request, route: &'static str, call: &Arc<Call>) -> Response {
        if route == provider_paths::TEMPLATE {
            return provider_paths::handle(&self.gateway, call, request).await.into_response();
        }
        if let Ok(found) = self.templates.at(request.uri().path()) {
            if !found.value.offers(request.method()) {
                return not_offered(request.method(), &found.value.methods).into_response();
            }
            if !found.value.understands(request.method(), request.uri().query()) {
                return query_not_taken().into_response();
            }
        }
        request.extensions_mut().insert(Arc::clone(call));
        // In a box: the way of a read does not carry the room that every other endpoint needs.
        let answered = Box::pin(self.endpoints.clone().oneshot(request));
        answered.await.unwrap_or_else(|never| match never {})
    }
}

fn too_often_problem(gateway: &Gateway, too_often: TooOften) -> Refused {
    let (what, next) = match too_often {
        TooOften::ThisToken => (
            format!("more than {} requests a second with this token", gateway.settings.requests_per_second),
            "slow down",
        ),
        TooOften::ThisAddress => (
            format!(
                "more than {} requests a second from this address were not let in",
                gateway.settings.refusals_per_second
            ),
            "sign in with `guichet login`, and wait some seconds first",
        ),
    };
    Problem::new(code::TOO_MANY_REQUESTS, what).next(next).into()
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

fn panicked(panic: &(dyn Any + Send)) -> Response {
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

/// Who writes `?dry_run=true` believes that it is heard.
fn query_not_taken() -> Refused {
    Problem::new(code::BAD_REQUEST, "this route takes no query parameters, and nothing was done")
        .next("leave out what follows the `?`; see GET /v1/openapi.json for what it takes")
        .into()
}

fn not_offered(method: &Method, offered: &[&str]) -> Refused {
    Problem::new(
        code::METHOD_NOT_ALLOWED,
        format!("this path offers {}, not {}", offered.join(", "), known_method(method)),
    )
    .next("see GET /v1/openapi.json")
    .allow(offered.iter().copied())
    .into()
}
