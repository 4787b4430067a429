//! Providers that are down, slow, too loud, incomprehensible or gone in the middle.

use guichet_testkit::{Effects, rude::Rude};
use serde_json::json;

use crate::world::setup;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rubbish_is_told_as_what_it_is_and_a_change_that_may_have_happened_is_unknown() {
    let rude = Rude::start().await.unwrap();
    let bench = setup(&Effects::default()).provider_at("rude", &rude.url).start().await.unwrap();
    let dana = bench.sign_in("dana").await.unwrap();
    for (manner, code) in [
        ("rubbish", "provider-protocol"),
        ("huge", "provider-protocol"),
        ("half", "provider-silent"),
        ("hangup", "provider-silent"),
        ("late", "provider-silent"),
    ] {
        let read = dana.submit(&format!("rude.read-{manner}"), json!({})).await.unwrap();
        assert_eq!(read.code(), code, "{manner}: {}", read.body);
        assert!(read.status.is_server_error());
        let change = dana.submit(&format!("rude.change-{manner}"), json!({})).await.unwrap();
        let run = dana.end_of(change.body["id"].as_str().unwrap()).await.unwrap();
        assert_eq!(run["state"], "unknown", "{manner}: {run}");
        assert_eq!(run["outcome"]["problem"]["code"], code, "{manner}: {run}");
        assert!(run["outcome"]["problem"]["next"].as_str().unwrap().contains("may have been done"), "{run}");
        dana.submit("things.list-items", json!({})).await.unwrap();
    }
    let unknown = dana.get("/v1/records?verdict=unknown").await.unwrap();
    assert_eq!(unknown.body["items"].as_array().unwrap().len(), 5);
    assert_eq!(rude.calls(), 10, "nothing was called twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_is_gone_did_nothing_and_after_a_while_is_left_in_peace() {
    let mut rude = Some(Rude::start().await.unwrap());
    let url = rude.as_ref().unwrap().url.clone();
    let bench = setup(&Effects::default()).provider_at("rude", &url).start().await.unwrap();
    drop(rude.take());
    let dana = bench.sign_in("dana").await.unwrap();
    let change = dana.submit("rude.change-rubbish", json!({})).await.unwrap();
    let run = dana.end_of(change.body["id"].as_str().unwrap()).await.unwrap();
    // After it was tried again for half a minute.
    assert_eq!(run["state"], "failed", "surely not done: {run}");
    let code = run["outcome"]["problem"]["code"].as_str().unwrap();
    assert!(["provider-unreachable", "provider-circuit-open"].contains(&code), "{run}");
    let mut codes = Vec::new();
    for _ in 0..8 {
        codes.push(dana.submit("rude.read-rubbish", json!({})).await.unwrap().code().to_owned());
    }
    assert_eq!(codes.last().unwrap(), "provider-circuit-open", "{codes:?}");
    assert_eq!(
        dana.submit("things.list-items", json!({})).await.unwrap().status,
        200,
        "others are not touched"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_that_cannot_be_read_is_refused_with_its_pointer_and_the_rest_works() {
    let cyclic = json!({"openapi": "3.1.0", "info": {"title": "Loop", "version": "1"},
        "components": {"parameters": {"a": {"$ref": "#/components/parameters/b"}, "b": {"$ref": "#/components/parameters/a"}}},
        "paths": {"/x": {"get": {"operationId": "x", "parameters": [{"$ref": "#/components/parameters/a"}],
            "responses": {"200": {"description": "never"}}}}}});
    let router = axum::Router::new()
        .route("/openapi.json", axum::routing::get(move || async move { axum::Json(cyclic) }));
    let stop = tokio_util::sync::CancellationToken::new();
    let url = guichet_testkit::bench::serve(router, &stop).await.unwrap();
    let bench = setup(&Effects::default()).provider_at("loop", &url).start().await.unwrap();
    let dana = bench.sign_in("dana").await.unwrap();
    let providers = dana.get("/v1/providers").await.unwrap().body;
    let found = providers["items"].as_array().unwrap().iter().find(|p| p["name"] == "loop").unwrap().clone();
    assert_eq!(found["state"], "refused", "{found}");
    assert!(found["problem"].as_str().unwrap().contains("/paths/~1x/get/parameters/0"), "{found}");
    assert_eq!(dana.submit("things.list-items", json!({})).await.unwrap().status, 200);
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_cannot_plan_for_a_moment_voids_no_approval_and_its_own_no_does() {
    use axum::{
        Json,
        http::{HeaderMap, StatusCode},
        response::IntoResponse as _,
        routing::{get, post},
    };
    use std::sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    };

    let document = json!({"openapi": "3.1.0", "info": {"title": "Moody", "version": "1"}, "paths": {"/act": {"post": {
        "operationId": "act", "responses": {"200": {"description": "done"}},
        "x-guichet": {"command": "moody act", "plan": true, "approval": {"by": "team:ops"}, "resource": "things/moody"}}}}});
    let mood = Arc::new(AtomicU16::new(200));
    let acted = Arc::new(AtomicU16::new(0));
    let (asked, counted) = (Arc::clone(&mood), Arc::clone(&acted));
    let router =
        axum::Router::new().route("/openapi.json", get(move || async move { Json(document) })).route(
            "/act",
            post(move |headers: HeaderMap| async move {
                if headers.contains_key("guichet-mode") {
                    let status = StatusCode::from_u16(asked.load(Ordering::SeqCst)).unwrap();
                    return (status, Json(json!({"sentence": "Act once", "detail": "gone"}))).into_response();
                }
                counted.fetch_add(1, Ordering::SeqCst);
                Json(json!({"acted": true})).into_response()
            }),
        );
    let stop = tokio_util::sync::CancellationToken::new();
    let url = guichet_testkit::bench::serve(router, &stop).await.unwrap();
    let bench = setup(&Effects::default()).provider_at("moody", &url).start().await.unwrap();
    let dana = bench.sign_in("dana").await.unwrap();
    let omar = bench.sign_in("omar").await.unwrap();
    let submit = || async {
        dana.submit("moody.act", json!({})).await.unwrap().body["id"].as_str().unwrap().to_owned()
    };

    let waits = submit().await;
    mood.store(503, Ordering::SeqCst);
    let approved = omar.post(&format!("/v1/runs/{waits}/approve"), json!({})).await.unwrap();
    assert_eq!(approved.status, 200, "nobody was there to plan, which is no drift: {}", approved.body);
    let run = dana.get(&format!("/v1/runs/{waits}")).await.unwrap().body;
    assert_eq!(run["state"], "queued", "it is kept and tried again: {run}");
    mood.store(200, Ordering::SeqCst);
    assert_eq!(dana.end_of(&waits).await.unwrap()["state"], "succeeded");
    assert_eq!(acted.load(Ordering::SeqCst), 1);

    let void = submit().await;
    mood.store(408, Ordering::SeqCst);
    let timed_out = dana.submit("moody.act", json!({})).await.unwrap();
    assert_eq!(timed_out.status.as_u16(), 502, "a time-out is nobody's no: {}", timed_out.body);
    mood.store(404, Ordering::SeqCst);
    let refused = omar.post(&format!("/v1/runs/{void}/approve"), json!({})).await.unwrap();
    assert_eq!((refused.status.as_u16(), refused.code()), (409, "plan-drifted"), "{}", refused.body);
    assert_eq!(dana.end_of(&void).await.unwrap()["state"], "voided");
    assert_eq!(acted.load(Ordering::SeqCst), 1);
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_that_names_a_fact_twice_is_no_plan_and_no_yes_covers_it() {
    use axum::{
        Json,
        http::HeaderMap,
        routing::{get, post},
    };
    use std::sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    };

    let document = json!({"openapi": "3.1.0", "info": {"title": "Topics", "version": "1"}, "paths": {"/drop": {"post": {
        "operationId": "drop", "responses": {"200": {"description": "done"}},
        "x-guichet": {"command": "topics drop", "plan": true, "approval": {"by": "team:ops"}, "resource": "things/topics"}}}}});
    let (grown, dropped) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (more, counted) = (Arc::clone(&grown), Arc::clone(&dropped));
    let drop_them = move |headers: HeaderMap| async move {
        if headers.contains_key("guichet-mode") {
            let mut facts = vec![json!({"name": "topic", "value": "a"})];
            facts.extend(more.load(Ordering::SeqCst).then(|| json!({"name": "topic", "value": "b"})));
            return Json(json!({"sentence": "Drop topics", "facts": facts}));
        }
        counted.fetch_add(1, Ordering::SeqCst);
        Json(json!({"dropped": true}))
    };
    let router = axum::Router::new()
        .route("/openapi.json", get(move || async move { Json(document) }))
        .route("/drop", post(drop_them));
    let stop = tokio_util::sync::CancellationToken::new();
    let url = guichet_testkit::bench::serve(router, &stop).await.unwrap();
    let bench = setup(&Effects::default()).provider_at("topics", &url).start().await.unwrap();
    let (dana, omar) = (bench.sign_in("dana").await.unwrap(), bench.sign_in("omar").await.unwrap());
    let waits = dana.submit("topics.drop", json!({})).await.unwrap();
    assert_eq!(waits.status, 202, "{}", waits.body);
    let id = waits.body["id"].as_str().unwrap();
    grown.store(true, Ordering::SeqCst);
    let late = omar.post(&format!("/v1/runs/{id}/approve"), json!({})).await.unwrap();
    assert_eq!((late.status.as_u16(), late.code()), (409, "plan-drifted"), "{}", late.body);
    assert_eq!(dana.end_of(id).await.unwrap()["state"], "voided");
    let refused = dana.submit("topics.drop", json!({})).await.unwrap();
    assert_eq!((refused.status.as_u16(), refused.code()), (502, "provider-protocol"), "{}", refused.body);
    assert!(refused.body["detail"].as_str().unwrap().contains("more than one fact called `topic`"));
    assert!(refused.body["next"].as_str().unwrap().contains("one fact with a list"), "{}", refused.body);
    assert_eq!(dropped.load(Ordering::SeqCst), 0);
    stop.cancel();
}
