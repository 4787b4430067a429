//! People are told also after `kill -9`: nothing is lost, what may have been told twice has the same id, and no secret is told.

use std::time::Duration;

use guichet_testkit::Receiver;
use serde_json::json;

use crate::gateway::{Gateway, SECRET, until};

const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

async fn started(url: &str, more: &str) -> Gateway {
    let tables = format!(
        "[[notify]]\nname = \"log\"\nkind = \"console\"\n\
         [[notify]]\nname = \"hook\"\nkind = \"webhook\"\nurl = \"{url}\"\nsecret_file = \"hook.secret\"\n{more}"
    );
    let mut gateway = Gateway::prepared("", &tables).await;
    gateway.write("hook.secret", KEY);
    gateway.start().await;
    gateway
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_between_telling_and_noting_repeats_it_once_under_the_same_id() {
    // The first answer comes too late for this gateway's life.
    let receiver = Receiver::serve(&[(204, Duration::from_secs(9)), (204, Duration::ZERO)]).await.unwrap();
    let mut gateway = started(&receiver.url, "events = [\"approval_requested\"]").await;
    let dana = gateway.sign_in("dana").await;
    let run = dana.submitted("things.destroy-item", json!({"name": "a"})).await;
    until("the first telling", || async { (receiver.posted().len() == 1).then_some(()) }).await;
    gateway.kill_and_start().await;
    until("the second", || async { (receiver.posted().len() == 2).then_some(()) }).await;
    let posted = receiver.posted();
    assert_eq!(posted[0].header("webhook-id"), posted[1].header("webhook-id"));
    assert_eq!(posted[0].event["id"], posted[1].event["id"]);
    for one in &posted {
        assert_eq!(one.event["subject"], run.as_str());
        standardwebhooks::Webhook::new(KEY).unwrap().verify(&one.body, &one.headers).unwrap();
    }
    // The note of it is durable within the moment; after that no start tells it again.
    tokio::time::sleep(Duration::from_millis(500)).await;
    gateway.kill_and_start().await;
    let another = dana.submitted("things.destroy-item", json!({"name": "b"})).await;
    until("another", || async { (receiver.posted().len() == 3).then_some(()) }).await;
    assert_eq!(receiver.posted()[2].event["subject"], another.as_str());
    let line = gateway.logged(&["approval_requested", &another, "guichet approvals approve"]).await;
    assert_eq!(line["level"], "INFO", "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_could_not_be_told_is_told_after_the_next_start() {
    let receiver = Receiver::serve(&[]).await.unwrap();
    let nowhere = "http://127.0.0.1:1/hook";
    let mut gateway = started(nowhere, "").await;
    let dana = gateway.sign_in("dana").await;
    let run = dana.submitted("things.change-item", json!({"name": "a"})).await;
    assert_eq!(dana.end_of(&run).await["state"], "succeeded", "nobody listens, and the run is done");
    gateway.logged(&["hook", "run_ended", "it is tried again"]).await;
    gateway.kill();
    let file = std::fs::read_to_string(gateway.path("guichet.toml")).unwrap();
    gateway.write("guichet.toml", &file.replace(nowhere, &receiver.url));
    gateway.start().await;
    let told = until("what was not told", || async { receiver.told("run_ended").pop() }).await;
    assert_eq!(told.event["subject"], run.as_str());
    assert_eq!(told.event["data"]["to"], json!([{"name": "dana"}]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expiry_is_told_to_those_who_asked_and_to_those_who_were_asked() {
    let receiver = Receiver::serve(&[]).await.unwrap();
    let gateway = started(&receiver.url, "").await;
    let dana = gateway.sign_in("dana").await;
    let run = dana.submitted("things.destroy-item", json!({"name": "short"})).await;
    assert_eq!(dana.end_of(&run).await["state"], "expired");
    for (occasion, name) in [("run_expired", "dana"), ("approval_closed", "omar")] {
        let told = until(occasion, || async { receiver.told(occasion).pop() }).await;
        assert_eq!(told.event["data"]["to"], json!([{"name": name}]), "{}", told.event);
        assert_eq!(told.event["data"]["state"], "expired");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_told_and_a_channel_that_is_gone_is_not_waited_for() {
    let receiver = Receiver::serve(&[]).await.unwrap();
    let mut gateway = started(&receiver.url, "").await;
    let dana = gateway.sign_in("dana").await;
    let secret = dana.submitted("vault.put-secret", json!({"place": "p", "value": SECRET})).await;
    let letter = dana.submitted("vault.put-letter", json!({"text": SECRET})).await;
    for run in [&secret, &letter] {
        dana.end_of(run).await;
        let told = until("its end", || async {
            receiver.told("run_ended").into_iter().find(|told| told.event["subject"] == run.as_str())
        })
        .await;
        assert!(!String::from_utf8_lossy(&told.body).contains(SECRET), "{}", told.event);
        assert!(told.event["data"]["input"].to_string().contains("[redacted]"), "{}", told.event);
    }
    gateway.kill();
    let file = std::fs::read_to_string(gateway.path("guichet.toml")).unwrap();
    gateway.write("guichet.toml", &file.replace("name = \"hook\"", "name = \"elsewhere\""));
    gateway.start().await;
    let run = dana.submitted("things.change-item", json!({"name": "a"})).await;
    until("its end", || async {
        receiver.told("run_ended").into_iter().find(|told| told.event["subject"] == run.as_str())
    })
    .await;
}
