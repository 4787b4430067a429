//! Every record reaches a collector that was away for a while, and a new start sends only what is new.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderMap, HeaderValue, Response},
    routing::post,
};
use futures_util::stream;
use http_body_util::StreamBody;
use hyper::body::Frame;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::gateway::{Gateway, SECRET, until};

/// What a collector says over gRPC: an empty message and status 0, or a status alone.
fn said(status: &'static str) -> Response<Body> {
    let status = HeaderValue::from_static(status);
    let kind = ("content-type", "application/grpc");
    if status != "0" {
        return Response::builder()
            .header(kind.0, kind.1)
            .header("grpc-status", status)
            .body(Body::empty())
            .unwrap();
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", status);
    let frames = [Frame::data(Bytes::from_static(&[0; 5])), Frame::trailers(trailers)];
    let body = StreamBody::new(stream::iter(frames.map(Ok::<_, std::convert::Infallible>)));
    Response::builder().header(kind.0, kind.1).body(Body::new(body)).unwrap()
}

/// Whether the text stands in the bytes.
fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_record_is_sent_at_least_once_and_not_all_over_again() {
    let taken = Arc::new(Mutex::new(Vec::<Bytes>::new()));
    let calls = Arc::new(AtomicUsize::new(0));
    let router = Router::new().route(
        "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        post({
            let (taken, calls) = (Arc::clone(&taken), Arc::clone(&calls));
            move |body: Bytes| async move {
                // Unavailable at first.
                if calls.fetch_add(1, Ordering::SeqCst) < 2 {
                    return said("14");
                }
                taken.lock().unwrap().push(body);
                said("0")
            }
        }),
    );
    let stop = CancellationToken::new();
    let url = guichet_testkit::bench::serve(router, &stop).await.unwrap();
    let mut gateway = Gateway::prepared("", "").await;
    gateway.log_records_to(&url);
    gateway.start().await;
    let dana = gateway.sign_in("dana").await;
    for number in 0..30 {
        dana.get(&format!("/v1/actions?search=number{number}")).await;
    }
    let export = dana.get("/v1/ledger/export").await.body.as_str().unwrap().to_owned();
    until("all records at the collector", || async {
        let all = taken.lock().unwrap().concat();
        export.lines().all(|line| holds(&all, line)).then_some(())
    })
    .await;
    assert!(calls.load(Ordering::SeqCst) > 2, "what was not taken was sent again");
    gateway.ask_to_stop();
    assert!(gateway.ended().await.success());
    taken.lock().unwrap().clear();
    gateway.start().await;
    dana.get("/v1/actions?search=afterwards").await;
    until("the new record", || async {
        holds(&taken.lock().unwrap().concat(), "search afterwards").then_some(())
    })
    .await;
    let again = taken.lock().unwrap().concat();
    assert!(!holds(&again, "search number7"), "what was taken is not sent again");
    assert!(holds(&again, "start_gateway") && holds(&again, "guichet.record.index"));
    stop.cancel();
}

/// A collector refuses what is larger than it takes; one large batch must not stop the export for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_for_the_collector_is_sent_in_smaller_parts() {
    const TAKEN_BYTES: usize = 200_000;
    let taken = Arc::new(Mutex::new(Vec::<Bytes>::new()));
    let refused = Arc::new(AtomicUsize::new(0));
    let router = Router::new().route(
        "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        post({
            let (taken, refused) = (Arc::clone(&taken), Arc::clone(&refused));
            move |body: Bytes| async move {
                if body.len() > TAKEN_BYTES {
                    refused.fetch_add(1, Ordering::SeqCst);
                    return said("8");
                }
                taken.lock().unwrap().push(body);
                said("0")
            }
        }),
    );
    let stop = CancellationToken::new();
    let url = guichet_testkit::bench::serve(router, &stop).await.unwrap();
    let mut gateway = Gateway::started("", "").await;
    let dana = gateway.sign_in("dana").await;
    for number in 0..40 {
        let place = format!("number{number} {}", "x".repeat(7_000));
        dana.submitted("vault.put-secret", json!({"place": place, "value": SECRET})).await;
    }
    gateway.ask_to_stop();
    assert!(gateway.ended().await.success());
    gateway.log_records_to(&url);
    gateway.start().await;
    until("the last of them", || async {
        holds(&taken.lock().unwrap().concat(), "number39 xxx").then_some(())
    })
    .await;
    assert!(refused.load(Ordering::SeqCst) > 0, "all of them at once were too many");
    let all = taken.lock().unwrap().concat();
    assert!((0..40).all(|number| holds(&all, &format!("number{number} xxx"))));
    stop.cancel();
}
