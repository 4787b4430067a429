//! What people are told when something happens to a run: to whom, how often, signed, and without keeping anything waiting.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a story that cannot begin or go on has failed")]

use std::time::{Duration, Instant};

use guichet_testkit::{Bench, Effects, Posted, Receiver, bench::Person, patience};
use serde_json::{Value, json};

use crate::world::setup;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A channel of kind `webhook` that posts to this URL.
fn hook(name: &str, url: &str, more: &str) -> String {
    let file = format!("{name}.secret");
    format!(
        "[[notify]]\nname = \"{name}\"\nkind = \"webhook\"\nurl = \"{url}\"\nsecret_file = \"{file}\"\n{more}\n"
    )
}

/// A platform with these channels.
async fn started(channels: &str) -> (Bench, Effects) {
    let effects = Effects::default();
    let setup = ["hook", "other", "broken"]
        .into_iter()
        .fold(setup(&effects), |setup, name| setup.file(&format!("{name}.secret"), SECRET));
    (setup.config(channels).start().await.unwrap(), effects)
}

/// Asks until it is so.
pub(crate) async fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    patience::until(what, || std::future::ready(ask())).await
}

/// The note that somebody was not told of this run.
async fn given_up(auditor: &Person, run: &str) -> Value {
    patience::until("what is given up", || async {
        let records = auditor.get(&format!("/v1/records?run={run}&verb=deliver_notice")).await.unwrap();
        records.body["items"].get(0).cloned()
    })
    .await
}

async fn told(receiver: &Receiver, occasion: &str) -> Posted {
    until(occasion, || receiver.told(occasion).into_iter().next()).await
}

pub(crate) async fn waiting(dana: &Person, name: &str) -> (String, Value) {
    let run = dana.submit("things.destroy-item", json!({"name": name})).await.unwrap().body;
    assert_eq!(run["state"], "awaiting_approval", "{run}");
    (run["id"].as_str().unwrap().to_owned(), run)
}

fn names(posted: &Posted) -> Vec<&str> {
    let to = posted.event["data"]["to"].as_array().expect("a list");
    to.iter().filter_map(|to| to["name"].as_str()).collect()
}

#[track_caller]
fn verified(posted: &Posted) {
    let theirs = standardwebhooks::Webhook::new(SECRET).unwrap();
    theirs.verify(&posted.body, &posted.headers).unwrap();
    let mut changed = posted.body.to_vec();
    changed[20] ^= 1;
    assert!(theirs.verify(&changed, &posted.headers).is_err(), "a changed body must not pass");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn approvers_are_asked_the_requester_is_told_and_every_webhook_is_signed() {
    let receiver = Receiver::serve(&[]).await.unwrap();
    let (bench, _effects) = started(&hook("hook", &receiver.url, "")).await;
    let (dana, omar) = (bench.sign_in("dana").await.unwrap(), bench.sign_in("omar").await.unwrap());
    let (id, run) = waiting(&dana, "a").await;

    let asked = told(&receiver, "approval_requested").await;
    verified(&asked);
    assert_eq!(asked.header("content-type"), "application/cloudevents+json; charset=utf-8");
    let event = &asked.event;
    assert_eq!(event["specversion"], "1.0");
    assert_eq!(event["id"], asked.header("webhook-id"));
    assert_eq!(event["type"], "dev.guichet.approval_requested");
    assert_eq!((&event["source"], &event["subject"]), (&json!("/guichet/staging"), &json!(id)));
    assert_eq!(names(&asked), ["olga", "omar"], "dana is in team ops, and asked for it herself");
    let data = &event["data"];
    assert_eq!(data["sentence"], "dana asks for approval in staging: Destroy item 'a'");
    assert_eq!(data["plan"], "Destroy item 'a'");
    assert_eq!((&data["facts"][0]["name"], &data["facts"][0]["value"]), (&json!("version"), &json!(0)));
    assert_eq!(data["command"], format!("guichet approvals approve {}", &id[id.len() - 8..]));
    assert_eq!((&data["reason"], &data["resource"]), (&json!("a test"), &json!("things/a")));
    assert_eq!(data["expires_at"], run["expires_at"]);
    assert!(run["binding"].as_str().unwrap().contains(data["binding"].as_str().unwrap()));
    assert_eq!(data["approvals"][0]["teams"], serde_json::json!(["ops"]));

    let binding = json!({"binding": run["binding"]});
    assert_eq!(omar.post(&format!("/v1/runs/{id}/approve"), binding).await.unwrap().status, 200);
    dana.end_of(&id).await.unwrap();
    let decided = told(&receiver, "run_decided").await;
    assert_eq!(names(&decided), ["dana"]);
    assert_eq!(
        (&decided.event["data"]["by"], &decided.event["data"]["verdict"]),
        (&json!("omar"), &json!("approve"))
    );
    let closed = told(&receiver, "approval_closed").await;
    assert_eq!(names(&closed), ["olga"], "omar has decided, dana asked");
    let ended = told(&receiver, "run_ended").await;
    assert_eq!(names(&ended), ["dana"]);
    assert_eq!(ended.event["data"]["outcome"], json!({"status": "succeeded"}), "and never the result");
    for posted in receiver.posted() {
        verified(&posted);
    }
    assert_eq!(receiver.posted().len(), 4, "each of them once");
    let metrics = dana.get("/metrics").await.unwrap().body;
    let counted = "guichet_notices_total{channel=\"hook\",ended=\"delivered\"} 4";
    assert!(metrics.as_str().unwrap().contains(counted), "{metrics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_no_an_expiry_a_withdrawal_and_a_drift_are_told_to_whom_they_concern() {
    let receiver = Receiver::serve(&[]).await.unwrap();
    let (bench, effects) = started(&hook("hook", &receiver.url, "")).await;
    let (dana, omar) = (bench.sign_in("dana").await.unwrap(), bench.sign_in("omar").await.unwrap());

    let (rejected, _) = waiting(&dana, "a").await;
    let no = json!({"reason": "not on a Friday"});
    assert_eq!(omar.post(&format!("/v1/runs/{rejected}/reject"), no).await.unwrap().status, 200);
    let decided = told(&receiver, "run_decided").await;
    assert_eq!(decided.event["data"]["verdict"], "reject");
    assert_eq!(decided.event["data"]["because"], "not on a Friday");
    let closed = told(&receiver, "approval_closed").await;
    assert_eq!(names(&closed), ["olga"]);
    assert!(closed.event["data"]["sentence"].as_str().unwrap().contains("omar said no"));

    let (withdrawn, _) = waiting(&dana, "b").await;
    dana.post(&format!("/v1/runs/{withdrawn}/cancel"), json!({})).await.unwrap();
    let of = |occasion: &str, run: &str| {
        receiver.told(occasion).into_iter().find(|posted| posted.event["subject"] == run)
    };
    let closed = until("the withdrawal", || of("approval_closed", &withdrawn)).await;
    assert_eq!(names(&closed), ["olga", "omar"]);
    assert!(closed.event["data"]["sentence"].as_str().unwrap().contains("dana withdrew it"));
    assert!(receiver.told("run_cancelled").is_empty(), "dana knows what she did");

    let (drifted, _) = waiting(&dana, "c").await;
    effects.touch("c");
    assert_eq!(omar.post(&format!("/v1/runs/{drifted}/approve"), json!({})).await.unwrap().status, 409);
    let voided = until("the drift", || of("run_voided", &drifted)).await;
    assert_eq!(names(&voided), ["dana"]);
    assert!(voided.event["data"]["because"].as_str().unwrap().contains("changed: version"));
    assert_eq!(names(&until("its end", || of("approval_closed", &drifted)).await), ["olga"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_fails_at_first_is_told_once_more_under_the_same_id() {
    let receiver = Receiver::serve(&[(500, Duration::ZERO), (200, Duration::ZERO)]).await.unwrap();
    let only = "events = [\"approval_requested\"]";
    let (bench, _effects) = started(&hook("hook", &receiver.url, only)).await;
    let dana = bench.sign_in("dana").await.unwrap();
    waiting(&dana, "a").await;
    until("a second try", || (receiver.posted().len() == 2).then_some(())).await;
    let posted = receiver.posted();
    assert_eq!(posted[0].header("webhook-id"), posted[1].header("webhook-id"));
    posted.iter().for_each(verified);
    // Long enough for a third, were there one.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(receiver.posted().len(), 2, "nobody is told again who was told");
    let metrics = dana.get("/metrics").await.unwrap().body;
    for (ended, count) in [("failed", 1), ("delivered", 1), ("given_up", 0)] {
        let line = format!("guichet_notices_total{{channel=\"hook\",ended=\"{ended}\"}} {count}");
        assert!(metrics.as_str().unwrap().contains(&line), "{line}: {metrics}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chat_is_told_with_a_card_and_its_address_stays_a_secret() {
    let receiver = Receiver::serve(&[]).await.unwrap();
    let channel = |name: &str, format: &str, more: &str| {
        format!(
            "[[notify]]\nname = \"{name}\"\nkind = \"chat\"\nformat = \"{format}\"\nurl_file = \"{name}.url\"\n{more}\n"
        )
    };
    let channels = [
        channel("slack", "slack", ""),
        channel("teams", "teams", ""),
        channel("gone", "slack", "tries = 1\nevents = [\"run_ended\"]"),
    ];
    let effects = Effects::default();
    let bench = setup(&effects)
        .file("slack.url", &receiver.url)
        .file("teams.url", &receiver.url)
        .file("gone.url", "http://127.0.0.1:1/services/hunter2")
        .config(&channels.concat())
        .start()
        .await
        .unwrap();
    let dana = bench.sign_in("dana").await.unwrap();
    let (run, _) = waiting(&dana, "a").await;
    let short = &run[run.len() - 8..];
    until("both cards", || (receiver.posted().len() == 2).then_some(())).await;
    for posted in receiver.posted() {
        assert_eq!(posted.header("content-type"), "application/json; charset=utf-8");
        let text = posted.event.to_string();
        assert!(text.contains("dana asks for approval in staging: Destroy item 'a'"), "{text}");
        assert!(text.contains(&format!("guichet approvals approve {short}")), "{text}");
        assert!(text.contains("olga, omar"), "{text}");
        let (slack, teams) = (&posted.event["blocks"][0]["type"], &posted.event["attachments"][0]);
        assert!(slack == "header" || teams["content"]["type"] == "AdaptiveCard", "{text}");
    }
    let ended = dana.submit("things.change-item", json!({"name": "b"})).await.unwrap().body;
    let ended = ended["id"].as_str().unwrap();
    dana.end_of(ended).await.unwrap();
    let record = given_up(&dana, ended).await;
    let metrics = dana.get("/metrics").await.unwrap().body;
    for text in [record.to_string(), metrics.to_string()] {
        assert!(!text.contains("hunter2") && !text.contains("127.0.0.1"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_asks_for_a_pause_gets_it() {
    let receiver = Receiver::serve(&[(503, Duration::ZERO), (200, Duration::ZERO)]).await.unwrap();
    receiver.ask_for_pauses(4);
    let only = "events = [\"approval_requested\"]";
    let (bench, _effects) = started(&hook("hook", &receiver.url, only)).await;
    let dana = bench.sign_in("dana").await.unwrap();
    waiting(&dana, "a").await;
    until("a second try", || (receiver.posted().len() == 2).then_some(())).await;
    let sent: Vec<i64> =
        receiver.posted().iter().map(|posted| posted.header("webhook-timestamp").parse().unwrap()).collect();
    // Of itself it would have come after one second; whole seconds are told, so one may be lost.
    assert!(sent[1] - sent[0] >= 3, "{sent:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_cannot_be_reached_is_given_up_and_that_is_recorded_while_others_are_told() {
    let (receiver, broken) = (Receiver::serve(&[]).await.unwrap(), Receiver::serve(&[]).await.unwrap());
    // Nobody listens there any more: connections are refused.
    let nowhere = broken.url.clone();
    drop(broken);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let channels = format!(
        "{}{}",
        hook("broken", &nowhere, "tries = 2\nevents = [\"run_ended\"]"),
        hook("hook", &receiver.url, "")
    );
    let (bench, _effects) = started(&channels).await;
    let dana = bench.sign_in("dana").await.unwrap();
    let run = dana.submit("things.change-item", json!({"name": "a"})).await.unwrap().body;
    let id = run["id"].as_str().unwrap();
    assert_eq!(dana.end_of(id).await.unwrap()["state"], "succeeded");
    assert_eq!(told(&receiver, "run_ended").await.event["subject"], id);
    let record = given_up(&dana, id).await;
    assert_eq!(record["verdict"], "failed");
    let detail = record["detail"].as_str().unwrap();
    assert!(detail.starts_with("run_ended to everybody there through broken: "), "{detail}");
    assert!(!detail.contains("127.0.0.1"), "the URL may hold a secret: {detail}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_hangs_keeps_no_decision_no_run_and_no_stop_waiting() {
    let (receiver, hanging) = (
        Receiver::serve(&[]).await.unwrap(),
        Receiver::serve(&[(204, Duration::from_mins(10))]).await.unwrap(),
    );
    let channels = format!(
        "{}{}",
        hook("broken", &hanging.url, "timeout_seconds = 60"),
        hook("hook", &receiver.url, "")
    );
    let (mut bench, _effects) = started(&channels).await;
    let (dana, omar) = (bench.sign_in("dana").await.unwrap(), bench.sign_in("omar").await.unwrap());
    let began = Instant::now();
    for number in 0..8 {
        let (id, _) = waiting(&dana, &format!("item-{number}")).await;
        let yes = omar.post(&format!("/v1/runs/{id}/approve"), json!({})).await.unwrap();
        assert_eq!(yes.status, 200, "{}", yes.body);
        assert_eq!(dana.end_of(&id).await.unwrap()["state"], "succeeded");
    }
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    until("the good channel", || (receiver.told("run_ended").len() == 8).then_some(())).await;
    assert!(!hanging.posted().is_empty());
    let began = Instant::now();
    bench.stop().await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_serves_only_whom_and_what_it_is_for() {
    let (ops, other) = (Receiver::serve(&[]).await.unwrap(), Receiver::serve(&[]).await.unwrap());
    let channels = format!(
        "{}{}",
        hook("hook", &ops.url, "teams = [\"ops\"]\npeople = [\"dan\"]\nevents = [\"approval_requested\"]"),
        hook("other", &other.url, "people = [\"eve\"]")
    );
    let (bench, _effects) = started(&channels).await;
    let dan = bench.sign_in("dan").await.unwrap();
    waiting(&dan, "a").await;
    let asked = told(&ops, "approval_requested").await;
    assert_eq!(names(&asked), ["dana", "olga", "omar"]);
    let ended = dan.submit("things.change-item", json!({"name": "a"})).await.unwrap().body;
    dan.end_of(ended["id"].as_str().unwrap()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!((ops.posted().len(), other.posted().len()), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_skipped_and_who_is_asked_is_told() {
    let receiver = Receiver::serve(&[]).await.unwrap();
    let effects = Effects::default();
    let glass = "@id(\"glass\") permit (principal in Team::\"developers\", action == Action::\"break_glass\", resource);";
    let bench = setup(&effects)
        .file("hook.secret", SECRET)
        .policy("glass.cedar", glass)
        .config(&hook("hook", &receiver.url, ""))
        .start()
        .await
        .unwrap();
    let (dana, omar) = (bench.sign_in("dana").await.unwrap(), bench.sign_in("omar").await.unwrap());

    let (id, _) = waiting(&dana, "a").await;
    let question = json!({"text": "is there a backup?"});
    assert_eq!(omar.post(&format!("/v1/runs/{id}/comments"), question).await.unwrap().status, 200);
    let asked = told(&receiver, "run_asked").await;
    assert_eq!((names(&asked), &asked.event["data"]["by"]), (vec!["dana"], &json!("omar")));
    assert_eq!(asked.event["data"]["because"], "is there a backup?");
    let answer = json!({"text": "yes, of this morning"});
    assert_eq!(dana.post(&format!("/v1/runs/{id}/comments"), answer).await.unwrap().status, 200);
    let answered = told(&receiver, "run_answered").await;
    assert_eq!(names(&answered), ["olga", "omar"], "who asked, and who can decide");
    assert_eq!(answered.event["data"]["because"], "yes, of this morning");
    let (unasked, _) = waiting(&dana, "c").await;
    let remark = json!({"text": "it is the old one"});
    assert_eq!(dana.post(&format!("/v1/runs/{unasked}/comments"), remark).await.unwrap().status, 200);

    let body = json!({"input": {"name": "b"}, "reason": "it burns", "break_glass": true});
    let broken = dana.post("/v1/actions/things.destroy-item/runs", body).await.unwrap();
    assert_eq!(broken.status, 202, "{}", broken.body);
    let skipped = told(&receiver, "glass_broken").await;
    assert_eq!(names(&skipped), ["olga", "omar"], "everybody who could have said yes");
    let data = &skipped.event["data"];
    assert_eq!((&data["by"], &data["because"]), (&json!("dana"), &json!("it burns")));
    assert_eq!(data["approvals"][0]["teams"], json!(["ops"]));
    assert_eq!(receiver.told("run_answered").len(), 1, "what nobody asked for is no answer");
}
