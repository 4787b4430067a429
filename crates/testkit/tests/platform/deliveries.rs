//! What became of what was told: each try is in the log of deliveries, and what was missed is sent once more.

#![expect(clippy::unwrap_used, reason = "a story that cannot begin or go on has failed")]

use std::time::Duration;

use guichet_testkit::{Bench, Effects, Receiver, bench::Person, patience};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    notices::{until, waiting},
    world::setup,
};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A channel of kind `webhook`, whose address has a secret in it.
fn hook(name: &str, url: &str, more: &str) -> String {
    format!(
        "[[notify]]\nname = \"{name}\"\nkind = \"webhook\"\nurl = \"{url}?token=hunter2\"\nsecret_file = \"hook.secret\"\n{more}\n"
    )
}

async fn started(channels: &str) -> Bench {
    setup(&Effects::default()).file("hook.secret", SECRET).config(channels).start().await.unwrap()
}

/// The first delivery of this query of which this holds.
async fn delivery(person: &Person, query: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    patience::until(what, || async {
        let found = person.get(&format!("/v1/deliveries?{query}")).await.unwrap();
        assert_eq!(found.status, 200, "{}", found.body);
        let found = found.body["items"].get(0).cloned()?;
        holds(&found).then_some(found)
    })
    .await
}

async fn tries(person: &Person, delivery: &Value) -> Value {
    let path = format!("/v1/deliveries/{}", delivery["id"].as_str().unwrap());
    person.get(&path).await.unwrap().body
}

async fn replay(person: &Person, delivery: &Value, key: &str) -> guichet_testkit::bench::Answer {
    let path = format!("/v1/deliveries/{}/replay", delivery["id"].as_str().unwrap());
    person.call_with(Method::POST, &path, Some(json!({})), &[("idempotency-key", key)]).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_try_is_in_the_log_and_what_was_given_up_is_sent_once_more() {
    let receiver = Receiver::serve(&[(503, Duration::ZERO), (500, Duration::ZERO)]).await.unwrap();
    let only = "tries = 2\nevents = [\"approval_requested\"]";
    let bench = started(&hook("hook", &receiver.url, only)).await;
    let dana = bench.sign_in("dana").await.unwrap();
    let (run, _) = waiting(&dana, "a").await;
    let query = format!("run={run}&channel=hook");
    let given_up =
        delivery(&dana, &query, "the end of its tries", |found| found["state"] == "given_up").await;
    let first = receiver.posted()[0].header("webhook-id").to_owned();
    assert_eq!(given_up["event"], first.as_str());
    assert_eq!((&given_up["occasion"], &given_up["run"]), (&json!("approval_requested"), &json!(run)));
    assert_eq!((&given_up["tries"], &given_up["replays"]), (&json!(2), &json!(0)));
    assert!(given_up.get("next_try_at").is_none() && given_up["ended_at"].is_string(), "{given_up}");
    let whole = tries(&dana, &given_up).await;
    let log = whole["attempts"].as_array().unwrap();
    assert_eq!(
        log.iter().map(|one| (&one["number"], &one["result"], &one["status"])).collect::<Vec<_>>(),
        [(&json!(1), &json!("failed"), &json!(503)), (&json!(2), &json!("given_up"), &json!(500))]
    );
    assert!(log[0]["next_try_at"].as_str().unwrap() <= log[1]["at"].as_str().unwrap(), "{whole}");
    assert!(log[0]["why"].as_str().unwrap().contains("503 Service Unavailable"), "{whole}");
    for secret in ["hunter2", "127.0.0.1", "whsec", "MfKQ"] {
        assert!(!whole.to_string().contains(secret), "{whole}");
    }

    receiver.answer(&[]);
    let sent = replay(&dana, &given_up, "once").await;
    assert_eq!((sent.status.as_u16(), &sent.body["state"]), (200, &json!("waiting")), "{}", sent.body);
    let query = format!("event={first}&state=delivered");
    let delivered = delivery(&dana, &query, "the replay", |_| true).await;
    assert_eq!((&delivered["tries"], &delivered["replays"]), (&json!(3), &json!(1)));
    assert_eq!(receiver.posted().len(), 3);
    let again = receiver.posted()[2].clone();
    assert_eq!(again.header("webhook-id"), first, "the same id, so that a receiver can drop it");
    assert_eq!(again.event["id"], first.as_str());
    let theirs = standardwebhooks::Webhook::new(SECRET).unwrap();
    theirs.verify(&again.body, &again.headers).unwrap();
    let sent_at = |place: usize| receiver.posted()[place].header("webhook-timestamp").parse::<i64>().unwrap();
    assert!(sent_at(2) >= sent_at(1), "a fresh timestamp");

    // A double click sends it once; another key once more, also after it was delivered.
    let repeated = replay(&dana, &given_up, "once").await;
    assert_eq!((repeated.status.as_u16(), &repeated.body["replays"]), (200, &json!(1)), "{}", repeated.body);
    assert_eq!(replay(&dana, &given_up, "twice").await.body["replays"], 2);
    until("one more", || (receiver.posted().len() == 4).then_some(())).await;
    delivery(&dana, &query, "its end", |found| found["replays"] == 2).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(receiver.posted().len(), 4);

    let records = dana.get("/v1/records?verb=replay_delivery&verdict=allowed").await.unwrap().body;
    assert_eq!(records["items"].as_array().unwrap().len(), 2, "{records}");
    assert_eq!(records["items"][1]["run"], run.as_str());
    let said = records["items"][1]["detail"].as_str().unwrap();
    assert!(said.contains("approval_requested through hook, given_up"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_whom_a_policy_permits_sees_deliveries_and_what_cannot_be_replayed_is_told() {
    let receiver = Receiver::serve(&[]).await.unwrap();
    let bench = started(&hook("hook", &receiver.url, "")).await;
    let (dana, eve) = (bench.sign_in("dana").await.unwrap(), bench.sign_in("eve").await.unwrap());
    let (run, _) = waiting(&dana, "a").await;
    let found =
        delivery(&dana, &format!("run={run}"), "a delivery", |found| found["state"] == "delivered").await;
    let path = format!("/v1/deliveries/{}", found["id"].as_str().unwrap());
    for refused in [
        eve.get("/v1/deliveries").await.unwrap(),
        eve.get(&path).await.unwrap(),
        replay(&eve, &found, "a key").await,
    ] {
        assert_eq!((refused.status.as_u16(), refused.code()), (403, "refused"), "{}", refused.body);
    }
    let records = dana.get("/v1/records?verb=replay_delivery&verdict=refused").await.unwrap().body;
    assert_eq!(records["items"][0]["principal"]["name"], "eve", "{records}");
    assert_eq!(receiver.posted().len(), 1);
    let unknown = json!({"id": run});
    assert_eq!(replay(&dana, &unknown, "a key").await.code(), "unknown-delivery");
    assert_eq!(dana.get("/v1/deliveries/anything").await.unwrap().code(), "unknown-delivery");
    for query in ["state=lost", "event=7", "limit=0", "cursor=x", "who=eve"] {
        let answer = dana.get(&format!("/v1/deliveries?{query}")).await.unwrap();
        assert_eq!(answer.code(), "bad-request", "{query}: {}", answer.body);
    }
    // The key of one request is none for another.
    let body = json!({"input": {"name": "b"}, "reason": "a test"});
    let headers = [("idempotency-key", "mine")];
    let submit = "/v1/actions/things.change-item/runs";
    let submitted = dana.call_with(Method::POST, submit, Some(body), &headers).await.unwrap();
    assert_eq!(submitted.status, 202, "{}", submitted.body);
    let mixed = replay(&dana, &found, "mine").await;
    assert_eq!(replay(&dana, &found, "theirs").await.status, 200);
    let body = json!({"input": {"name": "c"}, "reason": "a test"});
    let headers = [("idempotency-key", "theirs")];
    let other = dana.call_with(Method::POST, submit, Some(body), &headers).await.unwrap();
    for answer in [mixed, other] {
        assert_eq!(answer.code(), "idempotency-conflict", "{}", answer.body);
        assert_eq!(answer.body["detail"], "you used this Idempotency-Key before, for something else");
    }
    for (key, says) in [("schedule/nightly", "is a schedule's"), ("", "has 1 to 200 characters")] {
        let refused = replay(&dana, &found, key).await;
        assert!(refused.body["detail"].as_str().unwrap().contains(says), "{}", refused.body);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_that_meets_the_last_try_is_refused_and_not_forgotten() {
    // The first answer is held back until it was asked for a replay.
    let receiver = Receiver::serve(&[(500, Duration::from_secs(8)), (204, Duration::ZERO)]).await.unwrap();
    let only = "tries = 1\ntimeout_seconds = 30\nevents = [\"approval_requested\"]";
    let bench = started(&hook("hook", &receiver.url, only)).await;
    let dana = bench.sign_in("dana").await.unwrap();
    let (run, _) = waiting(&dana, "a").await;
    let query = format!("run={run}&channel=hook");
    until("the try", || (receiver.posted().len() == 1).then_some(())).await;
    let held = delivery(&dana, &query, "the delivery", |_| true).await;
    let refused = replay(&dana, &held, "a key").await;
    assert_eq!((refused.status.as_u16(), refused.code()), (409, "wrong-state"), "{}", refused.body);
    assert!(refused.body["detail"].as_str().unwrap().contains("under way"), "{}", refused.body);
    delivery(&dana, &query, "its end", |found| found["state"] == "given_up").await;
    // The key stands for nothing yet.
    assert_eq!(replay(&dana, &held, "a key").await.status, 200);
    let told = delivery(&dana, &query, "the replay", |found| found["state"] == "delivered").await;
    assert_eq!((&told["replays"], &told["tries"]), (&json!(1), &json!(2)));
    let records = dana.get("/v1/records?verb=replay_delivery&verdict=refused").await.unwrap().body;
    assert_eq!(records["items"].as_array().unwrap().len(), 1, "{records}");
}

async fn ping(person: &Person, channel: &str, key: &str) -> guichet_testkit::bench::Answer {
    let path = format!("/v1/channels/{channel}/ping");
    person.call_with(Method::POST, &path, Some(json!({})), &[("idempotency-key", key)]).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ping_tells_whoever_may_whether_a_channel_works() {
    let (good, bad) =
        (Receiver::serve(&[]).await.unwrap(), Receiver::serve(&[(503, Duration::ZERO)]).await.unwrap());
    // Neither hears of pings by its `events`, and one is for others.
    let channels = [
        hook("good", &good.url, "events = [\"run_ended\"]\nteams = [\"ops\"]"),
        hook("bad", &bad.url, "events = [\"run_ended\"]"),
    ];
    let bench = started(&channels.concat()).await;
    let (dan, eve) = (bench.sign_in("dan").await.unwrap(), bench.sign_in("eve").await.unwrap());
    let sent = ping(&dan, "good", "once").await;
    assert_eq!(sent.status, 202, "{}", sent.body);
    let id = sent.body["id"].as_str().unwrap().to_owned();
    let query = format!("run={id}");
    let told = delivery(&dan, &query, "the ping", |found| found["state"] == "delivered").await;
    assert_eq!((&told["id"], &told["occasion"]), (&json!(id), &json!("ping")));
    let posted = good.told("ping").pop().unwrap();
    standardwebhooks::Webhook::new(SECRET).unwrap().verify(&posted.body, &posted.headers).unwrap();
    let event = &posted.event;
    assert_eq!((&event["type"], &event["subject"]), (&json!("dev.guichet.ping"), &json!(id)));
    assert_eq!((&event["data"]["by"], &event["data"]["to"]), (&json!("dan"), &json!([{"name": "dan"}])));
    assert_eq!(event["data"]["command"], format!("guichet deliveries show {id}"));
    assert_eq!(event["id"], told["event"]);
    let repeated = ping(&dan, "good", "once").await;
    assert_eq!((repeated.status.as_u16(), &repeated.body["id"]), (202, &json!(id)));
    assert_eq!(good.posted().len(), 1, "the same key pings once");
    assert_eq!(ping(&dan, "bad", "once").await.code(), "idempotency-conflict");

    // Tried once, whatever the channel's tries are; and it can be replayed.
    let failed = ping(&dan, "bad", "another").await.body;
    let query = format!("run={}", failed["id"].as_str().unwrap());
    let given_up = delivery(&dan, &query, "its end", |found| found["state"] == "given_up").await;
    assert_eq!((&given_up["tries"], &given_up["last"]["status"]), (&json!(1), &json!(503)));
    bad.answer(&[]);
    assert_eq!(replay(&dan, &given_up, "again").await.status, 200);
    delivery(&dan, &query, "the replay", |found| found["state"] == "delivered").await;

    let refused = ping(&eve, "good", "hers").await;
    assert_eq!((refused.status.as_u16(), refused.code()), (403, "refused"), "{}", refused.body);
    let unknown = ping(&dan, "nowhere", "there").await;
    assert_eq!((unknown.status.as_u16(), unknown.code()), (409, "unknown-channel"), "{}", unknown.body);
    assert_eq!(unknown.body["next"], "it has good, bad");
    let records = dan.get("/v1/records?verb=ping_channel").await.unwrap().body;
    let said = records["items"].as_array().unwrap().iter();
    let said: Vec<(&str, &str)> = said
        .map(|record| (record["verdict"].as_str().unwrap(), record["detail"].as_str().unwrap()))
        .map(|(verdict, detail)| (verdict, detail.split(',').next().unwrap()))
        .collect();
    let expected = [
        ("refused", "channel nowhere"),
        ("refused", "channel good"),
        ("allowed", "channel bad"),
        ("refused", "channel bad"),
        ("allowed", "channel good"),
    ];
    assert_eq!(said, expected);
    let records = dan.get("/v1/records?verb=deliver_notice").await.unwrap().body;
    let said = records["items"][0]["detail"].as_str().unwrap();
    assert_eq!(said, "ping to everybody there through bad: the receiver answered 503 Service Unavailable");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_call_that_takes_a_key_says_what_it_answers_then() {
    let receiver = Receiver::serve(&[]).await.unwrap();
    let bench = started(&hook("hook", &receiver.url, "")).await;
    let document = bench.nobody().unwrap().get("/v1/openapi.json").await.unwrap().body;
    let mut said = std::collections::BTreeMap::new();
    for described in
        document["paths"].as_object().unwrap().values().flat_map(|path| path.as_object().unwrap())
    {
        let parameters = described.1["parameters"].as_array().into_iter().flatten();
        for key in parameters.filter(|one| one["name"] == "Idempotency-Key") {
            let text = key["description"].as_str().unwrap();
            let text = text.split("then answers ").nth(1).unwrap();
            said.insert(described.1["operationId"].as_str().unwrap().to_owned(), text.to_owned());
        }
    }
    let run = "the run that it made the first time";
    let expected = [
        ("ping_channel", "the delivery of the ping that it sent the first time, as it stands now"),
        ("replay_delivery", "the delivery that it replayed the first time, as it stands now"),
        ("submit_run", run),
        ("undo_run", run),
    ];
    assert_eq!(said, expected.map(|(call, text)| (call.to_owned(), text.to_owned())).into());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_for_every_event_of_a_run_gets_its_whole_story() {
    let (all, usual) = (Receiver::serve(&[]).await.unwrap(), Receiver::serve(&[]).await.unwrap());
    let channels = format!(
        "{}{}",
        hook("all", &all.url, "events = [\"run_*\", \"approval_*\"]"),
        hook("usual", &usual.url, "")
    );
    let bench = started(&channels).await;
    let (dana, omar) = (bench.sign_in("dana").await.unwrap(), bench.sign_in("omar").await.unwrap());
    let (run, _) = waiting(&dana, "a").await;
    // A request that comes too late is not told.
    until("the request", || all.told("approval_requested").pop()).await;
    assert_eq!(omar.post(&format!("/v1/runs/{run}/approve"), json!({})).await.unwrap().status, 200);
    dana.end_of(&run).await.unwrap();
    let story = |receiver: &Receiver, run: &str| {
        let posted = receiver.posted().into_iter().filter(|posted| posted.event["subject"] == run);
        let mut story: Vec<(String, String)> = posted
            .map(|posted| {
                let text = |member: &str| posted.event[member].as_str().unwrap().to_owned();
                (text("time"), text("type").replace("dev.guichet.", ""))
            })
            .collect();
        story.sort();
        story.into_iter().map(|(_, occasion)| occasion).collect::<Vec<_>>()
    };
    let expected =
        ["run_submitted", "approval_requested", "run_decided", "approval_closed", "run_started", "run_ended"];
    until("the whole story", || (story(&all, &run).len() == expected.len()).then_some(())).await;
    let told = story(&all, &run);
    assert_eq!(told.iter().collect::<std::collections::BTreeSet<_>>().len(), expected.len(), "{told:?}");
    assert!(expected.iter().all(|occasion| told.iter().any(|told| told == occasion)), "{told:?}");
    assert_eq!(told.last().map(String::as_str), Some("run_ended"), "{told:?}");
    let (withdrawn, _) = waiting(&dana, "b").await;
    dana.post(&format!("/v1/runs/{withdrawn}/cancel"), json!({})).await.unwrap();
    until("the withdrawal", || story(&all, &withdrawn).contains(&"run_withdrawn".to_owned()).then_some(()))
        .await;
    until("its end", || story(&usual, &withdrawn).contains(&"approval_closed".to_owned()).then_some(()))
        .await;
    let usually = story(&usual, &run).into_iter().chain(story(&usual, &withdrawn));
    for occasion in usually {
        let on_request = ["run_submitted", "run_started", "run_withdrawn"].contains(&occasion.as_str());
        assert!(!on_request, "{occasion} was not asked for");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_schemas_of_events_are_there_for_anybody() {
    let receiver = Receiver::serve(&[]).await.unwrap();
    let bench = started(&hook("hook", &receiver.url, "events = [\"*\"]")).await;
    let (dana, nobody) = (bench.sign_in("dana").await.unwrap(), bench.nobody().unwrap());
    waiting(&dana, "a").await;
    let event = until("an event", || receiver.told("approval_requested").pop()).await.event;
    let list = nobody.get("/v1/event-schemas").await.unwrap().body;
    let types = list["items"].as_array().unwrap();
    let one = types.iter().find(|one| one["type"] == event["type"]).unwrap();
    assert_eq!(one["dataschema"], event["dataschema"]);
    let schema = nobody.get(one["schema"].as_str().unwrap()).await.unwrap().body;
    assert_eq!(schema["$id"], event["dataschema"]);
    for listed in types {
        let schema = nobody.get(listed["schema"].as_str().unwrap()).await.unwrap().body;
        let is_right = jsonschema::validator_for(&schema).unwrap().is_valid(&event["data"]);
        assert_eq!(is_right, listed["type"] == event["type"], "{}", listed["type"]);
    }
    let unknown = nobody.get("/v1/event-schemas/dev.guichet.tea_time").await.unwrap();
    assert_eq!(unknown.code(), "not-found", "{}", unknown.body);
}
