//! A gateway that stops and starts again keeps what it accepted, and says what it knows.

use guichet_testkit::patience::until;
use serde_json::json;

use crate::world::start;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_people_waits_on_after_a_restart() {
    let (mut bench, effects) = start().await;
    let dana = bench.sign_in("dana").await.unwrap();
    let omar = bench.sign_in("omar").await.unwrap();
    let run = dana.submit("things.destroy-item", json!({"name": "a"})).await.unwrap().body;
    let id = run["id"].as_str().unwrap();
    bench.stop().await.unwrap();
    assert!(dana.get("/healthz").await.is_err(), "it is down");
    bench.start_again().await.unwrap();
    assert_eq!(
        dana.get(&format!("/v1/runs/{id}")).await.unwrap().body["state"],
        "awaiting_approval",
        "sessions hold"
    );
    let approved =
        omar.post(&format!("/v1/runs/{id}/approve"), json!({"binding": run["binding"]})).await.unwrap();
    assert_eq!(approved.status, 200, "{}", approved.body);
    assert_eq!(dana.end_of(id).await.unwrap()["state"], "succeeded");
    assert_eq!(effects.count("a"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_lets_a_run_under_way_finish() {
    let (mut bench, effects) = start().await;
    let dana = bench.sign_in("dana").await.unwrap();
    let run =
        dana.submit("things.slow-change", json!({"name": "a", "milliseconds": 700})).await.unwrap().body;
    let id = run["id"].as_str().unwrap();
    until("a run under way", || async {
        (dana.get(&format!("/v1/runs/{id}")).await.unwrap().body["state"] == "running").then_some(())
    })
    .await;
    bench.stop().await.unwrap();
    bench.start_again().await.unwrap();
    let run = dana.get(&format!("/v1/runs/{id}")).await.unwrap().body;
    assert_eq!(run["state"], "succeeded", "{run}");
    assert_eq!(effects.count("a"), 1);
}
