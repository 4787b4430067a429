//! Providers of long runs that keep to the letter of the protocol and to nothing else.

#![expect(clippy::unwrap_used, reason = "a story that cannot begin or go on has failed")]

use std::{
    convert::Infallible,
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    body::Body,
    http::{HeaderMap, header},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use guichet_testkit::{Bench, Effects, bench::serve};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::world::setup;

struct Odd {
    bench: Bench,
    calls: Arc<AtomicUsize>,
    _stop: tokio_util::sync::DropGuard,
}

fn stream(events: impl Iterator<Item = (&'static str, Value)> + Send + 'static) -> Response {
    let frames = events.map(|(name, data)| Ok::<_, Infallible>(format!("event: {name}\ndata: {data}\n\n")));
    let body = Body::from_stream(futures_util::stream::iter(frames));
    ([(header::CONTENT_TYPE, "text/event-stream")], body).into_response()
}

/// `odd`: `again` (resumable) says for ever that a step is done, and `still` that it only waits, until a moment that is over;
/// `chatty` (long) does 1,100 steps; `deaf` (long) ends when it is told to stop, and never answers who tells it.
async fn odd() -> Odd {
    let operation = |id: &str, more: Value| {
        let mut said =
            json!({"command": format!("odd {id}"), "long": true, "timeout": "10m", "resource": "things/odd"});
        said.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"post": {"operationId": id, "responses": {"200": {"description": "done"}}, "x-guichet": said}})
    };
    let document = json!({"openapi": "3.1.0", "info": {"title": "Odd", "version": "1"}, "paths": {
        "/again": operation("again", json!({"resumable": true})),
        "/still": operation("still", json!({"resumable": true})),
        "/chatty": operation("chatty", json!({})),
        "/deaf": operation("deaf", json!({"remembers": true})),
    }});
    let (calls, told) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let [again, still, deaf] = [&calls, &calls, &calls].map(Arc::clone);
    let router = Router::new()
        .route("/openapi.json", get(move || async move { Json(document) }))
        .route(
            "/again",
            post(move || async move {
                again.fetch_add(1, SeqCst);
                stream([("outcome", json!({"status": "noted"}))].into_iter())
            }),
        )
        .route(
            "/still",
            post(move || async move {
                still.fetch_add(1, SeqCst);
                let waits = json!({"status": "waiting", "name": "nap", "until": "2020-01-01T00:00:00Z"});
                stream([("outcome", waits)].into_iter())
            }),
        )
        .route(
            "/chatty",
            post(|| async {
                let steps = (0..1_100).map(|number| {
                    ("step", json!({"name": format!("step {number}"), "state": "done", "result": number}))
                });
                stream(steps.chain([("outcome", json!({"status": "succeeded", "result": "all"}))]))
            }),
        )
        .route(
            "/deaf",
            post(move |headers: HeaderMap| async move {
                if headers.contains_key("guichet-mode") {
                    told.notify_one();
                    return pending().await;
                }
                deaf.fetch_add(1, SeqCst);
                told.notified().await;
                stream([("outcome", json!({"status": "cancelled"}))].into_iter())
            }),
        );
    let stop = CancellationToken::new();
    let url = serve(router, &stop).await.unwrap();
    let bench = setup(&Effects::default()).provider_at("odd", &url).start().await.unwrap();
    Odd { bench, calls, _stop: stop.drop_guard() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_says_for_ever_that_a_step_is_done_is_not_called_for_ever() {
    let odd = odd().await;
    let dana = odd.bench.sign_in("dana").await.unwrap();
    let run = dana.submit("odd.again", json!({})).await.unwrap().body;
    let run = dana.end_of(run["id"].as_str().unwrap()).await.unwrap();
    assert_eq!(run["state"], "unknown", "{run}");
    let told = run["outcome"]["problem"].to_string();
    assert!(told.contains("said that a step is done, and told none") && told.contains("owners"), "{told}");
    assert_eq!(odd.calls.load(SeqCst), 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_waits_for_ever_for_a_moment_that_is_over_is_called_ever_more_rarely() {
    let odd = odd().await;
    let dana = odd.bench.sign_in("dana").await.unwrap();
    dana.submit("odd.still", json!({})).await.unwrap();
    while odd.calls.load(SeqCst) < 3 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // The next pauses are of two seconds and of four.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let calls = odd.calls.load(SeqCst);
    assert!(calls <= 4, "{calls} calls");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_an_action_that_keeps_no_journal_all_steps_are_told_however_many() {
    let odd = odd().await;
    let dana = odd.bench.sign_in("dana").await.unwrap();
    let run = dana.submit("odd.chatty", json!({})).await.unwrap().body;
    let id = run["id"].as_str().unwrap();
    assert_eq!(dana.end_of(id).await.unwrap()["state"], "succeeded");
    let events = dana.get(&format!("/v1/runs/{id}/events")).await.unwrap().body.to_string();
    assert!(events.contains("step 999") && events.contains("step 1099"), "{}", events.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_slow_to_hear_that_a_run_shall_stop_does_not_keep_its_end_waiting() {
    let odd = odd().await;
    let dana = odd.bench.sign_in("dana").await.unwrap();
    let run = dana.submit("odd.deaf", json!({})).await.unwrap().body;
    let id = run["id"].as_str().unwrap();
    while odd.calls.load(SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let asked = dana.post(&format!("/v1/runs/{id}/cancel"), json!({})).await.unwrap();
    assert_eq!(asked.status, 200, "{}", asked.body);
    let run = dana.end_of(id).await.unwrap();
    assert_eq!(run["state"], "cancelled", "{run}");
    let events = dana.get(&format!("/v1/runs/{id}/events")).await.unwrap().body.to_string();
    assert!(!events.contains("could not be told to stop"), "its end was there before that: {events}");
}
