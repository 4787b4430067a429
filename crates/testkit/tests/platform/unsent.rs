//! A provider that is away when its run is to begin: nothing was sent, so nothing is lost by sending it later.

#![expect(clippy::unwrap_used, reason = "a story that cannot begin or go on has failed")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse as _,
    routing::{get, post},
};
use guichet_testkit::{Bench, Builder, Effects, Mortal, bench::Person, patience::until};
use serde_json::json;

use crate::world::setup;

struct Site {
    bench: Bench,
    builder: Builder,
    process: Mortal,
    dana: Person,
}

async fn site() -> Site {
    let builder = Builder::default();
    let process = Mortal::born(builder.provider(), &builder.keys).await.unwrap();
    let bench = setup(&Effects::default()).provider_at("builder", &process.url()).start().await.unwrap();
    builder.believe(&bench).await.unwrap();
    let dana = bench.sign_in("dana").await.unwrap();
    Site { bench, builder, process, dana }
}

impl Site {
    /// Asked for while its provider is away, until the first try has come to nothing.
    async fn asked_in_vain(&mut self) -> String {
        self.process.kill();
        let run = self.dana.submit("builder.paint", json!({"name": "wall", "steps": 1})).await.unwrap();
        let id = run.body["id"].as_str().unwrap().to_owned();
        until("a try that came to nothing", || async {
            (self.records(&id, "failed").await > 0).then_some(())
        })
        .await;
        id
    }

    async fn records(&self, id: &str, verdict: &str) -> usize {
        let path = format!("/v1/records?run={id}&verb=execute_run&verdict={verdict}");
        self.dana.get(&path).await.unwrap().body["items"].as_array().unwrap().len()
    }

    async fn comes_back(&mut self) {
        let builder = self.builder.clone();
        self.process.born_again(|| builder.provider(), &self.builder.keys).await.unwrap();
    }

    async fn is_done_once(&self, id: &str) {
        let run = self.dana.end_of(id).await.unwrap();
        assert_eq!(run["state"], "succeeded", "{run}");
        assert_eq!((self.builder.done(), self.builder.attempts()), (vec!["wall 1".to_owned()], 1));
        assert_eq!(self.records(id, "allowed").await, self.records(id, "failed").await + 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_comes_back_gets_its_run_and_whoever_follows_hears_why_it_waits() {
    let mut site = site().await;
    let id = site.asked_in_vain().await;
    let run = site.dana.get(&format!("/v1/runs/{id}")).await.unwrap().body;
    assert!(run["state"] == "queued" || run["state"] == "running", "{run}");
    site.comes_back().await;
    site.is_done_once(&id).await;
    let events = site.dana.get(&format!("/v1/runs/{id}/events")).await.unwrap().body.to_string();
    assert!(events.contains("cannot be reached") && events.contains("tried again in"), "{events}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_never_read_a_provider_voids_nothing_of_its() {
    let mut site = site().await;
    let id = site.asked_in_vain().await;
    site.bench.stop().await.unwrap();
    // As a replica that is new: the documents that were read are kept beside the gateway that read them.
    std::fs::remove_dir_all(site.bench.folder().join("data/documents")).unwrap();
    site.bench.start_again().await.unwrap();
    // What it offers is not known: that is no reason to say that there is no such action.
    let answer = site.dana.submit("builder.paint", json!({"name": "door", "steps": 1})).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.code()), (502, "provider-unreachable"), "{}", answer.body);
    let strange = site.dana.submit("nobody.paint", json!({})).await.unwrap();
    assert_eq!(strange.code(), "unknown-action");
    tokio::time::sleep(Duration::from_millis(500)).await;
    let run = site.dana.get(&format!("/v1/runs/{id}")).await.unwrap().body;
    assert_eq!(run["state"], "queued", "{run}");
    site.comes_back().await;
    site.is_done_once(&id).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stands_in_the_queue_again_can_be_cancelled() {
    let mut site = site().await;
    let id = site.asked_in_vain().await;
    // In the midst of a try: it is over in a moment.
    let answer = until("the end of a try", || async {
        let answer = site.dana.post(&format!("/v1/runs/{id}/cancel"), json!({})).await.unwrap();
        (answer.code() != "wrong-state").then_some(answer)
    })
    .await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body["state"]),
        (200, &json!("cancelled")),
        "{}",
        answer.body
    );
    site.comes_back().await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(site.builder.attempts(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_did_not_take_a_call_gets_it_again() {
    let document = json!({"openapi": "3.1.0", "info": {"title": "Busy", "version": "1"}, "paths": {"/act": {"post": {
        "operationId": "act", "responses": {"200": {"description": "done"}}, "x-guichet": {"command": "busy act"}}}}});
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let act = move || async move {
        if counted.fetch_add(1, Ordering::SeqCst) < 2 {
            let problem =
                json!({"status": 503, "code": "provider-busy", "detail": "the gateway's keys cannot be had"});
            let kind = [(CONTENT_TYPE, "application/problem+json")];
            return (StatusCode::SERVICE_UNAVAILABLE, kind, problem.to_string()).into_response();
        }
        Json(json!({"acted": true})).into_response()
    };
    let router = Router::new()
        .route("/openapi.json", get(move || async move { Json(document) }))
        .route("/act", post(act));
    let stop = tokio_util::sync::CancellationToken::new();
    let url = guichet_testkit::bench::serve(router, &stop).await.unwrap();
    let bench = setup(&Effects::default()).provider_at("busy", &url).start().await.unwrap();
    let dana = bench.sign_in("dana").await.unwrap();
    let run = dana.submit("busy.act", json!({})).await.unwrap();
    let run = dana.end_of(run.body["id"].as_str().unwrap()).await.unwrap();
    assert_eq!((&run["state"], calls.load(Ordering::SeqCst)), (&json!("succeeded"), 3), "{run}");
    stop.cancel();
}
