//! The log of deliveries tells the truth: of receivers that hang, refuse, break off or ask for a pause, and of a gateway
//! that is killed between two tries, in the middle of one, or right after it was asked to send something once more.

use std::time::Duration;

use guichet_testkit::{MailServer, MailServerSetup, Posted, Receiver};
use guichet_throwaway_postgres::Cluster;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::{
    gateway::{Gateway, until},
    person::{Answer, Person},
    replica::{Replica, database},
    rules::{PEOPLE, REGISTRY},
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

/// Recipient, number and result of each try, in that order.
fn tries_by_recipient(delivery: &Value) -> Vec<(String, u64, String)> {
    let attempts = delivery["attempts"].as_array().unwrap();
    let text = |one: &Value, member: &str| one[member].as_str().unwrap_or_default().to_owned();
    let one = |one: &Value| (text(one, "recipient"), one["number"].as_u64().unwrap(), text(one, "result"));
    let mut tries: Vec<_> = attempts.iter().map(one).collect();
    tries.sort();
    tries
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_a_mail_and_who_has_not_is_known_after_a_kill() {
    let server = MailServer::start(MailServerSetup::default()).unwrap();
    let mail = format!(
        "[[notify]]\nname = \"mail\"\nkind = \"smtp\"\nserver = \"127.0.0.1\"\nport = {}\ntls = \"none\"\n\
         from = \"guichet@corp.test\"\naddress = \"{{name}}@corp.test\"\nevents = [\"approval_requested\"]\n\
         timeout_seconds = 60\n",
        server.port
    );
    let mut gateway = Gateway::prepared("", &mail).await;
    gateway.configure(&[&PEOPLE[..], &["hangs", "later"]].concat());
    let registry = REGISTRY.replace("members: [omar]", "members: [omar, hangs, later]");
    assert_ne!(registry, REGISTRY);
    gateway.write("registry/registry.yaml", &registry);
    gateway.start().await;
    let dana = gateway.sign_in("dana").await;
    let run = dana.submitted("things.destroy-item", json!({"name": "a"})).await;
    let of = (run.as_str(), "mail");
    let tried = |name: &str, number: u64, result: &str| (name.to_owned(), number, result.to_owned());
    let first = [tried("later", 1, "failed"), tried("omar", 1, "delivered")];
    // While the third has got no answer yet.
    let cut = delivery(&dana, of, "two ends", |found| found["tries"] == 2).await;
    assert_eq!(tries_by_recipient(&cut), first);
    let failed = cut["attempts"].as_array().unwrap().iter().find(|one| one["result"] == "failed").unwrap();
    assert!(failed["next_try_at"].is_string(), "{cut}");

    gateway.kill();
    // Nobody hangs from now on.
    gateway.write("registry/registry.yaml", &registry.replace(
        "resources:",
        "people:\n  - {name: hangs, email: answers@corp.test}\n  - {name: later, email: now@corp.test}\nresources:",
    ));
    gateway.start().await;
    let whole = delivery(&dana, of, "its end", ended("delivered")).await;
    let expected = [
        tried("hangs", 1, "unknown"),
        tried("hangs", 2, "delivered"),
        tried("later", 1, "failed"),
        tried("later", 2, "delivered"),
        tried("omar", 1, "delivered"),
    ];
    assert_eq!(tries_by_recipient(&whole), expected);
    let mut to: Vec<Value> = server.mails().iter().map(|mail| mail["to"][0].clone()).collect();
    to.sort_by_key(Value::to_string);
    assert_eq!(to, ["answers@corp.test", "now@corp.test", "omar@corp.test"], "each once");
}

const GONE: &str = "no gateway has a channel called `hook` in its configuration any more";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_a_channel_that_is_gone_is_given_up_and_can_be_replayed_when_it_is_back() {
    let receiver = Receiver::serve(&[(503, Duration::ZERO)]).await.unwrap();
    let mut gateway = started(&hook("hook", &receiver.url, "")).await;
    let dana = gateway.sign_in("dana").await;
    let run = dana.submitted("things.destroy-item", json!({"name": "a"})).await;
    delivery(&dana, (&run, "hook"), "a try", |found| found["tries"].as_u64() >= Some(1)).await;
    gateway.kill();
    let file = std::fs::read_to_string(gateway.path("guichet.toml")).unwrap();
    gateway.write("guichet.toml", &file.replace("name = \"hook\"", "name = \"another\""));
    gateway.start().await;
    let given_up = delivery(&dana, (&run, "hook"), "its end", ended("given_up")).await;
    let last = given_up["attempts"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["result"], &last["why"]), (&json!("given_up"), &json!(GONE)), "{given_up}");
    let records = dana.all(&format!("/v1/records?run={run}&verb=deliver_notice")).await;
    let said = records[0]["detail"].as_str().unwrap();
    assert!(said.starts_with("approval_requested to everybody there through hook: no gateway"), "{said}");

    gateway.kill();
    gateway.write("guichet.toml", &file);
    receiver.answer(&[]);
    gateway.start().await;
    assert_eq!(replay(&dana, &given_up, "once more").await.status, 200);
    delivery(&dana, (&run, "hook"), "the replay", ended("delivered")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_gateways_none_gives_up_what_another_has_a_channel_for() {
    let cluster = Cluster::start().unwrap();
    let receiver = Receiver::serve(&[(503, Duration::ZERO)]).await.unwrap();
    let mut first = Gateway::prepared("", "").await;
    first.write("hook.secret", KEY);
    let secret = first.path("hook.secret").display().to_string();
    let hook = hook("hook", &receiver.url, "").replace("hook.secret", &secret);
    let store = database(&cluster, &first);
    first.with_tables(&format!("{store}{hook}"));
    first.start().await;
    let mut second = Replica::with(&first, "name = \"hook\"", "name = \"another\"").await;
    let dana = first.sign_in("dana").await;
    let there = dana.at(&second.address);
    let run = dana.submitted("things.destroy-item", json!({"name": "a"})).await;
    delivery(&dana, (&run, "hook"), "a try", |found| found["tries"].as_u64() >= Some(1)).await;

    // It is stopped for a while, and the other one starts anew meanwhile.
    first.ask_to_stop();
    assert!(first.ended().await.success());
    let sql = |text: &str| cluster.sql_in("guichet", text).unwrap();
    let looked = "SELECT seen_at FROM channels WHERE name = 'another'";
    let before = sql(looked);
    assert!(second.stopped().await.success());
    second.start().await;
    until("its look", || async { (sql(looked) != before).then_some(()) }).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let waits = delivery(&there, (&run, "hook"), "what waits", |_| true).await;
    assert_eq!(waits["state"], "waiting", "{waits}");

    // Two days later nobody has it any more.
    let days = "2 * 86400 * 1000000::bigint";
    sql(&format!(
        "UPDATE channels SET seen_at = seen_at - {days}; UPDATE jobs SET due = due - {days} WHERE notice IS NOT NULL"
    ));
    let before = sql(looked);
    assert!(second.stopped().await.success());
    second.start().await;
    until("its look", || async { (sql(looked) != before).then_some(()) }).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let waits = delivery(&there, (&run, "hook"), "what waits", |_| true).await;
    assert_eq!(waits["state"], "waiting", "nobody was there to say whether anybody has it: {waits}");
    assert!(second.stopped().await.success());
    second.start().await;
    let given_up = delivery(&there, (&run, "hook"), "its end", ended("given_up")).await;
    let last = given_up["attempts"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["result"], &last["why"]), (&json!("given_up"), &json!(GONE)), "{given_up}");
}
