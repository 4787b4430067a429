//! Which people, in which words, at which time: what a policy can ask for.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use guichet_testkit::{Effects, LeapingClock};
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{REGISTRY, setup};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_of_several_teams_or_one_of_each() {
    let effects = Effects::default();
    let policy = r#"
@id("either") @approval("either will do") @by("team:ops or team:security")
forbid (principal, action == Action::"things.change-item", resource == Resource::"things/either");
@id("both") @approval("each has a say") @by("owner and team:security")
forbid (principal, action == Action::"things.change-item", resource == Resource::"things/both");
"#;
    let registry = REGISTRY
        .replace("resources:", "  - {name: security, members: [eve], parents: [everybody]}\nresources:");
    let bench = setup(&effects).policy("several.cedar", policy).registry(&registry).start().await.unwrap();
    let dan = bench.sign_in("dan").await.unwrap();
    let (omar, olga, eve) = (
        bench.sign_in("omar").await.unwrap(),
        bench.sign_in("olga").await.unwrap(),
        bench.sign_in("eve").await.unwrap(),
    );

    let either = dan.submit("things.change-item", json!({"name": "either"})).await.unwrap().body;
    assert_eq!(either["approvals"][0]["teams"], json!(["ops", "security"]));
    let id = either["id"].as_str().unwrap();
    assert_eq!(eve.post(&format!("/v1/runs/{id}/approve"), json!({})).await.unwrap().status, 200);
    assert_eq!(dan.end_of(id).await.unwrap()["state"], "succeeded");

    let both = dan.submit("things.change-item", json!({"name": "both"})).await.unwrap().body;
    let asked: Vec<&str> =
        both["approvals"].as_array().unwrap().iter().map(|one| one["policy"].as_str().unwrap()).collect();
    assert_eq!(asked, ["both:owner", "both:team:security"]);
    let id = both["id"].as_str().unwrap();
    let approve = format!("/v1/runs/{id}/approve");
    assert_eq!(omar.post(&approve, json!({})).await.unwrap().body["state"], "awaiting_approval");
    // A second one of the same team lifts nothing that is not lifted.
    assert_eq!(olga.post(&approve, json!({})).await.unwrap().body["state"], "awaiting_approval");
    assert_eq!(effects.count("both"), 0);
    assert_eq!(eve.post(&approve, json!({})).await.unwrap().status, 200);
    assert_eq!(dan.end_of(id).await.unwrap()["state"], "succeeded");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reason_with_a_ticket_is_asked_for_and_then_enough() {
    let effects = Effects::default();
    let policy = r#"
@id("say-why") @description("changes of the ledger are traced to a ticket")
@reason("what broke, what you will change, and the ticket") @ticket("\\b(INC|CHG)-[0-9]+\\b")
forbid (principal, action == Action::"things.change-item", resource == Resource::"things/ledger");
"#;
    let bench = setup(&effects).policy("reasons.cedar", policy).start().await.unwrap();
    let dan = bench.sign_in("dan").await.unwrap();
    let submit = async |reason: Option<&str>| {
        let body = json!({"input": {"name": "ledger"}, "reason": reason});
        dan.post("/v1/actions/things.change-item/runs", body).await.unwrap()
    };
    for (reason, lacks) in [(None, "a reason"), (Some("  "), "a reason"), (Some("please"), "a ticket")] {
        let refused = submit(reason).await;
        assert_eq!((refused.status.as_u16(), refused.code()), (422, "reason-required"), "{}", refused.body);
        let detail = refused.body["detail"].as_str().unwrap();
        assert!(detail.contains(lacks) && detail.contains("traced to a ticket"), "{detail}");
        assert!(refused.body["next"].as_str().unwrap().contains("what broke, what you will change"));
        assert_eq!(refused.body["policies"], json!(["say-why"]));
    }
    assert_eq!(effects.count("ledger"), 0);
    let run = submit(Some("INC-17: the sum was wrong")).await;
    assert_eq!(run.status, 202, "{}", run.body);
    assert_eq!(dan.end_of(run.body["id"].as_str().unwrap()).await.unwrap()["state"], "succeeded");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn office_hours_are_a_fact_of_the_moment() {
    let policy = r#"
@id("not-at-night") @description("nothing is changed outside office hours")
forbid (principal, action == Action::"things.change-item", resource) unless { context.office_hours };
"#;
    let days = "days: [mon, tue, wed, thu, fri, sat, sun], time_zone: UTC";
    for (hours, status) in [
        ("office_hours: {DAYS, from: '00:00', until: '23:59:59.999'}", 202),
        // Over before it is told: no clock shows midnight for a nanosecond.
        ("office_hours: {DAYS, from: '00:00', until: '00:00:00.000000001'}", 403),
        ("", 403),
    ] {
        let effects = Effects::default();
        let registry = format!("{REGISTRY}\n{}", hours.replace("DAYS", days));
        let bench = setup(&effects).policy("hours.cedar", policy).registry(&registry).start().await.unwrap();
        let dan = bench.sign_in("dan").await.unwrap();
        let answer = dan.submit("things.change-item", json!({"name": "a"})).await.unwrap();
        assert_eq!(answer.status, status, "{hours}: {}", answer.body);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fact_moves_as_far_as_its_plan_said() {
    let effects = Effects::default();
    let bench = setup(&effects).start().await.unwrap();
    let (dan, omar) = (bench.sign_in("dan").await.unwrap(), bench.sign_in("omar").await.unwrap());
    for (name, size, status, state) in [("a", 109, 200, "succeeded"), ("b", 111, 409, "voided")] {
        let run = dan.submit("things.destroy-item", json!({"name": name})).await.unwrap().body;
        assert_eq!(run["plan"]["facts"][1]["within"], "10%", "{run}");
        effects.resize(name, size);
        let id = run["id"].as_str().unwrap();
        let answer = omar.post(&format!("/v1/runs/{id}/approve"), json!({})).await.unwrap();
        assert_eq!(answer.status, status, "{}", answer.body);
        assert_eq!(dan.end_of(id).await.unwrap()["state"], state);
        if state == "voided" {
            let detail = answer.body["detail"].as_str().unwrap();
            assert!(detail.contains("size: 100 → 111, which may move by 10%"), "{detail}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_done_is_undone_by_its_inverse_through_the_same_door() {
    let effects = Effects::default();
    let bench = setup(&effects).start().await.unwrap();
    let (dan, omar) = (bench.sign_in("dan").await.unwrap(), bench.sign_in("omar").await.unwrap());
    let eve = bench.sign_in("eve").await.unwrap();
    let run = dan.submit("things.destroy-item", json!({"name": "a"})).await.unwrap().body;
    let id = run["id"].as_str().unwrap();
    let undo = format!("/v1/runs/{id}/undo");
    let early = dan.post(&undo, json!({})).await.unwrap();
    assert_eq!((early.status.as_u16(), early.code()), (409, "wrong-state"), "{}", early.body);
    omar.post(&format!("/v1/runs/{id}/approve"), json!({})).await.unwrap();
    let ended = dan.end_of(id).await.unwrap();
    let offered = json!({"action": "things.change-item", "input": {"name": "a"}});
    assert_eq!(ended["undo"], offered, "{ended}");
    assert_eq!(eve.post(&undo, json!({})).await.unwrap().code(), "unknown-run");
    // omar may see the run, and may not change things himself: undoing is no way around the door.
    let not_his = omar.post(&undo, json!({})).await.unwrap();
    assert_eq!((not_his.status.as_u16(), not_his.code()), (403, "refused"), "{}", not_his.body);
    let undoing = dan.post(&undo, json!({"reason": "the wrong one"})).await.unwrap();
    assert_eq!(undoing.status, 202, "{}", undoing.body);
    assert_eq!(undoing.body["undoes"], id);
    let undone = dan.end_of(undoing.body["id"].as_str().unwrap()).await.unwrap();
    assert_eq!((&undone["state"], effects.count("a")), (&json!("succeeded"), 2));
    // What was done by the inverse has no inverse of its own.
    let again =
        dan.post(&format!("/v1/runs/{}/undo", undone["id"].as_str().unwrap()), json!({})).await.unwrap();
    assert_eq!((again.status.as_u16(), again.code()), (409, "no-inverse"), "{}", again.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_reaches_who_follows_and_decides_nothing() {
    let effects = Effects::default();
    let bench = setup(&effects).start().await.unwrap();
    let (dan, omar) = (bench.sign_in("dan").await.unwrap(), bench.sign_in("omar").await.unwrap());
    let eve = bench.sign_in("eve").await.unwrap();
    let run = dan.submit("things.destroy-item", json!({"name": "a"})).await.unwrap().body;
    let id = run["id"].as_str().unwrap();
    let comments = format!("/v1/runs/{id}/comments");
    assert_eq!(eve.post(&comments, json!({"text": "me too"})).await.unwrap().code(), "unknown-run");
    assert_eq!(omar.post(&comments, json!({"text": ""})).await.unwrap().code(), "invalid-input");
    let asked = omar.post(&comments, json!({"text": "is there a backup?"})).await.unwrap();
    assert_eq!(asked.body["state"], "awaiting_approval", "{}", asked.body);
    assert_eq!(dan.post(&comments, json!({"text": "yes, of this morning"})).await.unwrap().status, 200);
    omar.post(&format!("/v1/runs/{id}/approve"), json!({})).await.unwrap();
    let ended = dan.end_of(id).await.unwrap();
    assert_eq!(ended["state"], "succeeded");
    let recorded = dan.get(&format!("/v1/records?run={id}&verb=comment_run&verdict=allowed")).await.unwrap();
    let words: Vec<&str> = recorded.body["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["reason"].as_str().unwrap())
        .collect();
    assert_eq!(words, ["yes, of this morning", "is there a backup?"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_that_is_longer_by_now_is_not_passed_over() {
    let effects = Effects::default();
    let policy = r#"
@id("two-eyes") @approval("it is hot") @by("team:ops")
forbid (principal, action == Action::"things.change-item", resource == Resource::"things/hot");
@id("off-duty-waits") @cool_down("1h")
forbid (principal, action == Action::"things.change-item", resource == Resource::"things/hot")
unless { context.on_call.contains("ops") };
"#;
    let until =
        guichet_contract::Clock::now(&guichet_contract::SystemClock) + jiff::SignedDuration::from_mins(10);
    let rota = format!("on_call:\n  - {{team: ops, shifts: [{{person: dan, until: '{until}'}}]}}");
    let registry = format!("{REGISTRY}\n{rota}");
    let clock = LeapingClock::default();
    let bench =
        setup(&effects).policy("hot.cedar", policy).registry(&registry).clock(&clock).start().await.unwrap();
    let (dan, omar) = (bench.sign_in("dan").await.unwrap(), bench.sign_in("omar").await.unwrap());
    let run = dan.submit("things.change-item", json!({"name": "hot"})).await.unwrap().body;
    assert_eq!((&run["state"], &run["cool_down_seconds"]), (&json!("awaiting_approval"), &json!(0)), "{run}");
    clock.leap(20 * 60);
    let id = run["id"].as_str().unwrap();
    assert_eq!(omar.post(&format!("/v1/runs/{id}/approve"), json!({})).await.unwrap().status, 200);
    let ended = dan.end_of(id).await.unwrap();
    assert_eq!((&ended["state"], effects.count("hot")), (&json!("voided"), 0), "{ended}");
    let events = dan.get(&format!("/v1/records?run={id}&verb=void_run")).await.unwrap().body;
    assert!(events.to_string().contains("a longer wait before it starts: 3600 s instead of 0 s"), "{events}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_undone_is_undone_once() {
    let effects = Effects::default();
    let bench = setup(&effects).start().await.unwrap();
    let (dan, omar) = (bench.sign_in("dan").await.unwrap(), bench.sign_in("omar").await.unwrap());
    let run = dan.submit("things.destroy-item", json!({"name": "a"})).await.unwrap().body;
    let id = run["id"].as_str().unwrap();
    omar.post(&format!("/v1/runs/{id}/approve"), json!({})).await.unwrap();
    assert!(dan.end_of(id).await.unwrap()["undo"].is_object());
    let undo = format!("/v1/runs/{id}/undo");
    let key = [("Idempotency-Key", "once")];
    let (one, other) = tokio::join!(
        dan.call_with(Method::POST, &undo, Some(json!({})), &key),
        dan.call_with(Method::POST, &undo, Some(json!({})), &[]),
    );
    let (one, other) = (one.unwrap(), other.unwrap());
    let keyed_won = one.status == 202;
    let (won, lost) = if keyed_won { (&one, &other) } else { (&other, &one) };
    assert_eq!((won.status.as_u16(), lost.status.as_u16()), (202, 409), "{} {}", won.body, lost.body);
    assert_eq!(lost.code(), "wrong-state", "{}", lost.body);
    let undoing = won.body["id"].as_str().unwrap();
    dan.end_of(undoing).await.unwrap();
    let late = dan.post(&undo, json!({})).await.unwrap();
    assert_eq!((late.status.as_u16(), late.code()), (409, "wrong-state"), "{}", late.body);
    assert!(late.body["next"].as_str().unwrap().contains(&undoing[undoing.len() - 8..]), "{}", late.body);
    let shown = dan.get(&format!("/v1/runs/{id}")).await.unwrap().body;
    assert_eq!((shown.get("undo"), &shown["undone_by"]), (None, &json!(undoing)), "{shown}");
    assert_eq!(effects.count("a"), 2);
    if keyed_won {
        let again = dan.call_with(Method::POST, &undo, Some(json!({})), &key).await.unwrap();
        assert_eq!((again.status.as_u16(), &again.body["id"]), (200, &json!(undoing)), "the same once more");
    }
}

/// `vault.put` is sensitive and is undone by `vault.take`, which takes what it brought.
fn vault(timeout: &str) -> Value {
    let operation = |id: &str, input: Value, undo: Option<Value>| {
        let mut extension = json!({"command": format!("vault {id}"), "sensitive": true, "resource": "things/vault", "timeout": timeout});
        if let Some(undo) = undo {
            extension["undo"] = undo;
        }
        json!({"post": {
            "operationId": id,  "responses": {"200": {"description": "done"}},
            "requestBody": {"required": true, "content": {"application/json": {"schema": input}}},
            "x-guichet": extension,
        }})
    };
    let name =
        json!({"type": "object", "additionalProperties": false, "properties": {"name": {"type": "string"}}});
    let taken =
        json!({"type": "object", "additionalProperties": false, "properties": {"key": {"type": "string"}}});
    let undo = json!({"operation": "take", "with": {"key": "/result/key"}});
    json!({"openapi": "3.1.0", "info": {"title": "Vault", "version": "1"}, "paths": {
        "/put": operation("put", name, Some(undo)),
        "/take": operation("take", taken, None),
    }})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_undo_is_offered_for_what_one_may_see_and_while_it_is_declared_as_it_was() {
    use axum::{
        Json,
        routing::{get, post},
    };
    let timeout = Arc::new(Mutex::new("10s"));
    let served = Arc::clone(&timeout);
    let router = axum::Router::new()
        .route("/openapi.json", get(move || async move { Json(vault(*served.lock().unwrap())) }))
        .route("/put", post(|| async { Json(json!({"key": "hunter2"})) }))
        .route("/take", post(|| async { Json(json!({})) }));
    let stop = tokio_util::sync::CancellationToken::new();
    let url = guichet_testkit::bench::serve(router, &stop).await.unwrap();
    let mut bench = setup(&Effects::default()).provider_at("vault", &url).start().await.unwrap();
    let (dan, dana) = (bench.sign_in("dan").await.unwrap(), bench.sign_in("dana").await.unwrap());
    let run = dan.submit("vault.put", json!({"name": "a"})).await.unwrap().body;
    let id = run["id"].as_str().unwrap_or_else(|| panic!("{run}"));
    let mine = dan.end_of(id).await.unwrap();
    assert_eq!(mine["undo"], json!({"action": "vault.take", "input": {"key": "[redacted]"}}), "{mine}");
    let (path, undo) = (format!("/v1/runs/{id}"), format!("/v1/runs/{id}/undo"));
    assert_eq!(dana.get(&path).await.unwrap().body.get("undo"), None);
    let not_hers = dana.post(&undo, json!({})).await.unwrap();
    assert_eq!((not_hers.status.as_u16(), not_hers.code()), (403, "refused"), "{}", not_hers.body);
    // Redeployed: what it took may mean something else now.
    *timeout.lock().unwrap() = "20s";
    bench.stop().await.unwrap();
    bench.start_again().await.unwrap();
    // It begins with the document that it kept, and asks for a newer one at once.
    let began = Instant::now();
    while dan.get("/v1/actions/vault.put").await.unwrap().body["timeout_seconds"] != 20 {
        assert!(began.elapsed() < Duration::from_secs(10), "the new document is not read");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(dan.get(&path).await.unwrap().body.get("undo"), None);
    let gone = dan.post(&undo, json!({})).await.unwrap();
    assert_eq!((gone.status.as_u16(), gone.code()), (409, "no-inverse"), "{}", gone.body);
    stop.cancel();
}
