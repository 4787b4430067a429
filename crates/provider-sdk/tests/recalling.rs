//! What became of a change that another process made, and another thing remembers.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use guichet_provider_sdk::{
    ActionError, Context, Recalled,
    bench::{Bench, LongRun},
    provider,
};
use http_body_util::BodyExt as _;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize, JsonSchema)]
struct Told {
    /// What is remembered of it elsewhere.
    elsewhere: String,
}

async fn perform(_: Context, _: Told) -> Result<String, ActionError> {
    Ok("done here".to_owned())
}

async fn recall(context: Context, told: Told) -> Result<Recalled, ActionError> {
    Ok(match told.elsewhere.as_str() {
        "goes on" => Recalled::UnderWay,
        "done" => Recalled::Ended(Ok(json!({"run": context.run()}))),
        "failed" => Recalled::Ended(Err(ActionError::failed("it broke"))),
        "stopped" => Recalled::Ended(Err(ActionError::cancelled())),
        "lost" => Recalled::Ended(Err(ActionError::unknown("nobody saw it"))),
        "nothing" => Recalled::Nothing,
        _ => return Err(ActionError::unavailable("nobody can be asked")),
    })
}

fn bench() -> Bench {
    Bench::new(provider("elsewhere").one_process().action("work", perform).recall(recall).long().done())
        .unwrap()
}

async fn asked(bench: &Bench, run: &str, elsewhere: &str) -> Value {
    let input = json!({"elsewhere": elsewhere});
    let request =
        bench.request("work", &input, |call| call.as_run(run).header("guichet-mode", "outcome")).unwrap();
    let body = bench.send(request).await.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&body).unwrap()
}

#[tokio::test]
async fn who_else_remembers_is_asked() {
    let bench = bench();
    assert_eq!(asked(&bench, "r1", "goes on").await, json!({"known": true, "under_way": true}));
    let done = asked(&bench, "r1", "done").await;
    assert_eq!(done["outcome"], json!({"status": "succeeded", "result": {"run": "r1"}}));
    let failed = asked(&bench, "r1", "failed").await;
    assert_eq!(
        (&failed["outcome"]["status"], &failed["outcome"]["problem"]["detail"]),
        (&json!("failed"), &json!("it broke"))
    );
    assert_eq!(asked(&bench, "r1", "stopped").await["outcome"]["status"], "cancelled");
    // Nothing is claimed of what nobody is sure about: not even since when it would be known.
    assert_eq!(asked(&bench, "r1", "lost").await, json!({"known": false}));
    assert_eq!(asked(&bench, "r1", "whatever").await, json!({"known": false}));
    let nothing = asked(&bench, "r1", "nothing").await;
    assert!(nothing["known"] == false && nothing["remembers_since"].is_string(), "{nothing}");
}

#[tokio::test]
async fn nobody_else_is_asked_of_what_is_remembered_here() {
    let bench = bench();
    let mut run = LongRun::new("work", json!({"elsewhere": "goes on"}));
    let _ = run.to_its_end(&bench).await.unwrap();
    let known = asked(&bench, &run.id, "goes on").await;
    assert_eq!(known["outcome"]["result"], "done here", "{known}");
}

async fn attend(context: Context, _: Told) -> Result<String, ActionError> {
    let _: String = context.step("begin it", || async { Ok("begun".to_owned()) }).await?;
    context.attend(std::future::pending::<()>()).await;
    Ok("never".to_owned())
}

#[tokio::test]
async fn what_goes_on_without_this_process_does_not_keep_it_from_ending() {
    let provider = provider("elsewhere").action("work", attend).resumable().timeout("1h").done();
    let bench = Bench::new(provider).unwrap();
    let mut run = LongRun::new("work", json!({"elsewhere": "x"}));
    assert_eq!(run.call(&bench).await.unwrap().unwrap()["status"], "noted");
    let stopped = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        bench.stop(Duration::from_secs(20)).await
    };
    let (ended, left) = tokio::join!(run.call(&bench), stopped);
    assert_eq!((ended.unwrap(), left), (None, 0), "another process is called, and goes on");
}
