//! The log of deliveries tells the truth: of receivers that hang, refuse, break off or ask for a pause, and of a gateway
//! that is killed between two tries, in the middle of one, or right after it was asked to send something once more.

use std::time::Duration;

use guichet_testkit::{Posted, Receiver};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::{
    gateway::{Gateway, until},
    person::{Answer, Person},
};

const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn hook(name: &str, url: &str, more: &str) -> String {
    format!(
        "[[notify]]\nname = \"{name}\"\nkind = \"webhook\"\nurl = \"{url}\"\nsecret_file = \"hook.secret\"\n\
         events = [\"approval_requested\"]\n{more}\n"
    )
}

async fn started(channels: &str) -> Gateway {
    let mut gateway = Gateway::prepared("", channels).await;
    gateway.write("hook.secret", KEY);
    gateway.start().await;
    gateway
}

/// The delivery of this run through this channel, with its tries, when this holds.
async fn delivery(
    person: &Person,
    (run, channel): (&str, &str),
    what: &str,
    holds: impl Fn(&Value) -> bool,
) -> Value {
    until(what, || async {
        let found = person.get(&format!("/v1/deliveries?run={run}&channel={channel}")).await;
        let id = found.body["items"][0]["id"].as_str()?.to_owned();
        let found = person.get(&format!("/v1/deliveries/{id}")).await.body;
        holds(&found).then_some(found)
    })
    .await
}

fn ended(state: &'static str) -> impl Fn(&Value) -> bool {
    move |found| found["state"] == state
}

/// Number, result and status of each try.
fn tries(delivery: &Value) -> Vec<(u64, String, Option<u64>)> {
    let attempts = delivery["attempts"].as_array().unwrap();
    let one = |one: &Value| {
        (one["number"].as_u64().unwrap(), one["result"].as_str().unwrap().to_owned(), one["status"].as_u64())
    };
    attempts.iter().map(one).collect()
}

async fn replay(person: &Person, delivery: &Value, key: &str) -> Answer {
    let path = format!("/v1/deliveries/{}/replay", delivery["id"].as_str().unwrap());
    person.call(Method::POST, &path, Some(&json!({})), &[("idempotency-key", key)]).await.unwrap()
}

fn verified(posted: &[Posted]) {
    for one in posted {
        standardwebhooks::Webhook::new(KEY).unwrap().verify(&one.body, &one.headers).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_between_and_in_the_middle_of_tries_leaves_a_log_that_is_true() {
    let none = Duration::ZERO;
    // The first is not answered in time, the fourth hangs until the gateway is dead.
    let answers =
        [(204, Duration::from_secs(9)), (429, none), (503, none), (204, Duration::from_mins(1)), (204, none)];
    let receiver = Receiver::serve(&answers).await.unwrap();
    let mut gateway = started(&hook("hook", &receiver.url, "timeout_seconds = 5")).await;
    let dana = gateway.sign_in("dana").await;
    let run = dana.submitted("things.destroy-item", json!({"name": "a"})).await;
    let of = (run.as_str(), "hook");
    let twice = delivery(&dana, of, "two tries", |found| found["tries"] == 2).await;
    assert_eq!(tries(&twice), [(1, "failed".into(), None), (2, "failed".into(), Some(429))]);
    let why = twice["attempts"][0]["why"].as_str().unwrap();
    assert!(why.contains("not taken within 5 s") || why.contains("timed out"), "{twice}");
    assert!(twice["attempts"][0]["duration_ms"].as_u64().unwrap() >= 4_900, "{twice}");
    assert_eq!(twice["next_try_at"], twice["attempts"][1]["next_try_at"], "{twice}");
    gateway.kill_and_start().await;
    until("the fourth try", || async { (receiver.posted().len() == 4).then_some(()) }).await;
    gateway.kill_and_start().await;
    let delivered = delivery(&dana, of, "its end", ended("delivered")).await;
    assert_eq!(
        tries(&delivered),
        [
            (1, "failed".into(), None),
            (2, "failed".into(), Some(429)),
            (3, "failed".into(), Some(503)),
            (4, "unknown".into(), None),
            (5, "delivered".into(), Some(204))
        ]
    );
    let posted = receiver.posted();
    assert_eq!(posted.len(), 5, "as many as the log says");
    assert!(posted.iter().all(|one| one.header("webhook-id") == posted[0].header("webhook-id")));
    assert_eq!(delivered["event"], posted[0].header("webhook-id"));
    verified(&posted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_refuses_breaks_off_or_wants_no_more_is_given_up_and_hears_it_once_more_after_a_kill() {
    let breaking = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let broken = format!("http://{}/services/hunter2?token=hunter3", breaking.local_addr().unwrap());
    // Half an answer, then nothing.
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = breaking.accept().await {
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(b"HTTP/1.1 2").await;
        }
    });
    let gone = Receiver::serve(&[(410, Duration::ZERO), (204, Duration::ZERO)]).await.unwrap();
    let channels = [
        hook("nowhere", "http://hunter2:hunter3@127.0.0.1:1/hunter2?token=hunter3", "tries = 2"),
        hook("broken", &broken, "tries = 2"),
        hook("gone", &gone.url, ""),
    ];
    let mut gateway = started(&channels.concat()).await;
    let dana = gateway.sign_in("dana").await;
    let run = dana.submitted("things.destroy-item", json!({"name": "a"})).await;
    for channel in ["nowhere", "broken"] {
        let given_up = delivery(&dana, (&run, channel), channel, ended("given_up")).await;
        assert_eq!(
            tries(&given_up),
            [(1, "failed".into(), None), (2, "given_up".into(), None)],
            "{given_up}"
        );
        for secret in ["hunter2", "hunter3", "127.0.0.1", "whsec", "MfKQ"] {
            assert!(!given_up.to_string().contains(secret), "{given_up}");
        }
    }
    let given_up = delivery(&dana, (&run, "gone"), "a 410", ended("given_up")).await;
    assert_eq!(tries(&given_up), [(1, "given_up".into(), Some(410))]);

    // What was answered is durable: a kill right after it loses nothing, and asking again with the same key adds nothing.
    let answered = replay(&dana, &given_up, "once").await;
    assert_eq!(answered.status, 200, "{}", answered.body);
    gateway.kill_and_start().await;
    assert_eq!(replay(&dana, &given_up, "once").await.status, 200);
    let delivered = delivery(&dana, (&run, "gone"), "the replay", ended("delivered")).await;
    assert_eq!(delivered["replays"], 1, "{delivered}");
    let posted = gone.posted();
    assert!(posted.iter().all(|one| one.header("webhook-id") == posted[0].header("webhook-id")));
    let last = posted.last().unwrap();
    assert!(last.header("webhook-timestamp") >= posted[0].header("webhook-timestamp"));
    assert_ne!(last.header("webhook-signature"), "");
    verified(&posted);
    let records = dana.all("/v1/records?verb=replay_delivery&verdict=allowed").await;
    assert_eq!(records.len(), 1, "{records:?}");

    // A channel that is gone from the configuration cannot be told anything.
    gateway.kill();
    let file = std::fs::read_to_string(gateway.path("guichet.toml")).unwrap();
    gateway.write("guichet.toml", &file.replace("name = \"broken\"", "name = \"another\""));
    gateway.start().await;
    let lost = delivery(&dana, (&run, "broken"), "what was given up", ended("given_up")).await;
    let refused = replay(&dana, &lost, "another").await;
    assert_eq!((refused.status.as_u16(), refused.code()), (409, "unknown-channel"), "{}", refused.body);
}
