//! A provider's own paths pass the same door, and the gateway's own document says what it does.

use guichet_testkit::bench::serve;
use reqwest::Method;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::world::{setup, start};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_pass_through_changes_become_runs_and_the_rest_is_named() {
    let (bench, effects) = start().await;
    effects.touch("a");
    let dana = bench.sign_in("dana").await.unwrap();
    let read = dana.get("/providers/things/list-items").await.unwrap();
    assert_eq!(read.status, 200, "{}", read.body);
    assert_eq!(read.body["items"][0]["name"], "a");
    let change = dana.post("/providers/things/actions/change-item", json!({"name": "a"})).await.unwrap();
    assert_eq!(change.status, 202, "{}", change.body);
    let location = change.headers["location"].to_str().unwrap().to_owned();
    let run = dana.end_of(location.rsplit('/').next().unwrap()).await.unwrap();
    assert_eq!(run["state"], "succeeded");
    assert_eq!(effects.count("a"), 1);
    for (method, path, body, status, code) in [
        (Method::GET, "/providers/nothing/at/all", None, 404, "unknown-provider"),
        (Method::GET, "/providers/things/elsewhere", None, 404, "not-found"),
        (Method::DELETE, "/providers/things/list-items", None, 405, "method-not-allowed"),
        (Method::GET, "/providers/things/list-items?verbose=yes", None, 422, "invalid-input"),
        (
            Method::POST,
            "/v1/actions/things.change-item/runs?dry_run=true",
            Some(json!({"input": {"name": "a"}})),
            400,
            "bad-request",
        ),
        (Method::GET, "/v1/runs?newest=true", None, 400, "bad-request"),
        (Method::POST, "/v1/runs/0199aaaa/approve", Some(json!([null, null])), 400, "bad-request"),
        (Method::GET, "/v1/session?", None, 200, ""),
        (Method::GET, "/healthz?from=balancer", None, 200, ""),
        (Method::POST, "/providers/things/actions/change-item", Some(json!([1])), 400, "bad-request"),
        (Method::POST, "/providers/things/actions/change-item", Some(json!({})), 422, "invalid-input"),
        (
            Method::POST,
            "/providers/things/actions/change-item",
            Some(json!({"name": "frozen"})),
            403,
            "refused",
        ),
    ] {
        let answer = dana.call(method, path, body).await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{path}: {}", answer.body);
    }
    assert_eq!(effects.count("a"), 1, "what was refused was not done");
    let nobody = bench.nobody().unwrap().get("/providers/things/list-items").await.unwrap();
    assert_eq!(nobody.code(), "not-signed-in");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_identity_from_outside_reaches_a_provider() {
    // A provider nobody wrote for Guichet: it tells which headers it was sent.
    let document = json!({"openapi": "3.1.0", "info": {"title": "Echo", "version": "1"}, "paths": {"/headers": {"get": {
        "operationId": "headers", "x-guichet": {"command": "echo headers"}, "responses": {"200": {"description": "what came"}}}}}});
    let router = axum::Router::new()
        .route("/openapi.json", axum::routing::get(move || async move { axum::Json(document) }))
        .route(
            "/headers",
            axum::routing::get(|headers: axum::http::HeaderMap| async move {
                let names: Vec<_> = headers
                    .iter()
                    .map(|(n, v)| (n.to_string(), v.to_str().unwrap_or("?").to_owned()))
                    .collect();
                ([("set-cookie", "a=b"), ("guichet-secret", "x"), ("x-kept", "yes")], axum::Json(names))
            }),
        );
    let stop = CancellationToken::new();
    let url = serve(router, &stop).await.unwrap();
    let bench = setup(&guichet_testkit::Effects::default()).provider_at("echo", &url).start().await.unwrap();
    let dana = bench.sign_in("dana").await.unwrap();
    let forged = [
        ("guichet-mode", "plan"),
        ("guichet-plan", "e30"),
        ("x-forwarded-user", "root"),
        ("cookie", "session=1"),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    ];
    let answer = dana.call_with(Method::GET, "/providers/echo/headers", None, &forged).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    let text = answer.body.to_string();
    for name in ["guichet-mode", "guichet-plan", "x-forwarded-user", "cookie", "gcs_"] {
        assert!(!text.contains(name), "{name} reached the provider: {text}");
    }
    assert!(text.contains("Bearer v4.public."), "{text}");
    assert!(text.contains("4bf92f3577b34da6a3ce929d0e0e4736"), "the trace goes on: {text}");
    assert_eq!(answer.headers.get("guichet-trace").unwrap(), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert!(answer.headers.get("set-cookie").is_none() && answer.headers.get("guichet-secret").is_none());
    assert_eq!(answer.headers.get("x-kept").unwrap(), "yes");
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gateway_describes_itself_and_can_read_what_it_says() {
    let (bench, _) = start().await;
    let document = bench.nobody().unwrap().get("/v1/openapi.json").await.unwrap().body;
    let reading =
        guichet_contract::openapi::read("guichet", &document, guichet_contract::openapi::Strictness::Lenient)
            .unwrap_or_else(|findings| panic!("{findings:?}"));
    for verb in
        ["sign_in", "submit_run", "approve_run", "reject_run", "cancel_run", "list_records", "follow_run"]
    {
        assert!(reading.actions.iter().any(|action| action.operation == verb), "{verb} is described");
    }
    for path in ["/healthz", "/readyz", "/metrics", "/v1/keys", "/v1/ledger/key"] {
        let answer = bench.nobody().unwrap().get(path).await.unwrap();
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    }
    let metrics = bench.nobody().unwrap().get("/metrics").await.unwrap().body;
    assert!(
        metrics.as_str().unwrap().contains("guichet_http_requests_total{route=\"/v1/openapi.json\""),
        "{metrics}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_catalogue_has_an_etag_and_streams_resume() {
    let (bench, _) = start().await;
    let dana = bench.sign_in("dana").await.unwrap();
    let first = dana.get("/v1/catalogue").await.unwrap();
    let etag = first.headers["etag"].to_str().unwrap().to_owned();
    let again =
        dana.call_with(Method::GET, "/v1/catalogue", None, &[("if-none-match", &etag)]).await.unwrap();
    assert_eq!(again.status, 304);
    let run = dana.submit("things.change-item", json!({"name": "a"})).await.unwrap().body;
    let events = format!("/v1/runs/{}/events", run["id"].as_str().unwrap());
    let whole = dana.get(&events).await.unwrap().body.as_str().unwrap().to_owned();
    let ids: Vec<u64> = whole.lines().filter_map(|line| line.strip_prefix("id: ")?.parse().ok()).collect();
    assert_eq!(ids, (1..=ids.len() as u64).collect::<Vec<_>>(), "no gaps: {whole}");
    let rest = dana.call_with(Method::GET, &events, None, &[("last-event-id", "2")]).await.unwrap().body;
    let rest: Vec<u64> =
        rest.as_str().unwrap().lines().filter_map(|line| line.strip_prefix("id: ")?.parse().ok()).collect();
    assert_eq!(rest, ids[2..], "resumes after the event that was seen");
}
