//! SIGTERM: what has begun finishes, what has not waits for the next start.

use serde_json::json;

use crate::{
    gateway::{Gateway, until},
    proof::proven,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_under_way_finishes_and_the_exit_code_is_0() {
    let mut gateway = Gateway::started("", "[limits]\nruns_at_once = 1").await;
    let dana = gateway.sign_in("dana").await;
    let running = dana.submitted("things.slow-change", json!({"name": "a", "milliseconds": 1_500})).await;
    until("the call", || async { (gateway.providers.calls.of(&running) == 1).then_some(()) }).await;
    let queued = dana.submitted("things.change-item", json!({"name": "b"})).await;
    gateway.ask_to_stop();
    let status = gateway.ended().await;
    assert_eq!(status.code(), Some(0), "{}", gateway.stderr());
    assert_eq!(gateway.providers.effects.count("a"), 1, "it had begun");
    assert_eq!(gateway.providers.effects.count("b"), 0, "it had not");
    gateway.logged(&["\"stopped\""]).await;
    gateway.start().await;
    assert_eq!(dana.run(&running).await["state"], "succeeded");
    assert_eq!(dana.end_of(&queued).await["state"], "succeeded");
    assert_eq!((gateway.providers.effects.count("b"), gateway.providers.calls.of(&queued)), (1, 1));
    proven(&dana, &[]).await;
    gateway.ask_to_stop();
    assert_eq!(gateway.ended().await.code(), Some(0));
}
