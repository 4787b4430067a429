//! Going on without those who should have agreed, and the look that somebody else takes at it; and time to think again.

#![expect(clippy::unwrap_used, reason = "a story that cannot begin or go on has failed")]

use guichet_testkit::{Bench, Effects, bench::Person, patience::until};
use serde_json::{Value, json};

use crate::world::setup;

const BREAK_GLASS: &str = r#"
@id("on-call-breaks-glass")
permit (principal in Team::"developers", action == Action::"break_glass", resource)
when { context.on_call.contains("ops") };
"#;
/// dana is on call, dan is not.
const ROTA: &str = "
on_call:
  - {team: ops, shifts: [{person: dana}, {person: dan, until: '2020-01-01T00:00:00Z'}]}
";

async fn bench(effects: &Effects, config: &str) -> Bench {
    let registry = format!("{}{ROTA}", crate::world::REGISTRY);
    setup(effects)
        .policy("glass.cedar", BREAK_GLASS)
        .registry(&registry)
        .config(config)
        .start()
        .await
        .unwrap()
}

async fn destroy(person: &Person, name: &str, reason: Option<&str>) -> guichet_testkit::bench::Answer {
    let body = json!({"input": {"name": name}, "reason": reason, "break_glass": true});
    person.post("/v1/actions/things.destroy-item/runs", body).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_on_call_breaks_the_glass_and_somebody_else_reviews_it() {
    let effects = Effects::default();
    let bench = bench(&effects, "").await;
    let (dana, dan) = (bench.sign_in("dana").await.unwrap(), bench.sign_in("dan").await.unwrap());
    let (omar, eve) = (bench.sign_in("omar").await.unwrap(), bench.sign_in("eve").await.unwrap());

    let silent = destroy(&dana, "a", None).await;
    assert_eq!((silent.status.as_u16(), silent.code()), (422, "reason-required"), "{}", silent.body);
    let off_duty = destroy(&dan, "a", Some("it burns")).await;
    assert_eq!((off_duty.status.as_u16(), off_duty.code()), (403, "refused"), "{}", off_duty.body);
    assert_eq!(effects.count("a"), 0);

    let run = destroy(&dana, "a", Some("it burns")).await;
    assert_eq!(run.status, 202, "{}", run.body);
    assert_eq!(run.body["state"], "queued");
    assert_eq!(run.body["broken_glass"]["skipped"][0]["teams"], json!(["ops"]));
    let id = run.body["id"].as_str().unwrap();
    let ended = dana.end_of(id).await.unwrap();
    assert_eq!(ended["state"], "succeeded", "{ended}");
    assert_eq!(effects.count("a"), 1);
    let recorded = dana.get(&format!("/v1/records?run={id}&verb=break_glass")).await.unwrap();
    assert_eq!(recorded.body["items"][0]["reason"], "it burns");
    assert_eq!(recorded.body["items"][0]["policies"], json!(["provider:things.destroy-item"]));

    let open = omar.get("/v1/reviews").await.unwrap();
    assert_eq!(open.body["items"][0]["run"]["id"], id, "{}", open.body);
    assert_eq!(open.body["items"][0]["overdue"], false);
    let overdue = omar.get("/v1/reviews?overdue=true").await.unwrap();
    assert_eq!(overdue.body["items"], json!([]));

    let close = format!("/v1/runs/{id}/review/close");
    let own = dana.post(&close, json!({"words": "all good"})).await.unwrap();
    assert_eq!((own.status.as_u16(), own.code()), (403, "own-run"), "{}", own.body);
    let foreign = dan.post(&close, json!({"words": "all good"})).await.unwrap();
    assert_eq!((foreign.status.as_u16(), foreign.code()), (403, "not-an-approver"), "{}", foreign.body);
    let unseen = eve.post(&close, json!({"words": "all good"})).await.unwrap();
    assert_eq!((unseen.status.as_u16(), unseen.code()), (404, "unknown-run"), "{}", unseen.body);
    let wordless = omar.post(&close, json!({"words": " "})).await.unwrap();
    assert_eq!((wordless.status.as_u16(), wordless.code()), (422, "invalid-input"));
    let (first, second) = tokio::join!(
        omar.post(&close, json!({"words": "right, and quick"})),
        omar.post(&close, json!({"words": "right, and quick"}))
    );
    let statuses = [first.unwrap().status.as_u16(), second.unwrap().status.as_u16()];
    assert!(statuses.contains(&200) && statuses.contains(&409), "it is closed once: {statuses:?}");
    let review = dana.get(&format!("/v1/runs/{id}/review")).await.unwrap();
    assert_eq!(review.body["review"]["closed"]["by"], "omar");
    assert_eq!(review.body["review"]["closed"]["words"], "right, and quick");
    assert_eq!(omar.get("/v1/reviews").await.unwrap().body["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn glass_is_broken_for_conditions_and_for_nothing_else() {
    let effects = Effects::default();
    let bench = bench(&effects, "").await;
    let dana = bench.sign_in("dana").await.unwrap();
    // A plain no stays a no.
    let body = json!({"input": {"name": "frozen"}, "reason": "it burns", "break_glass": true});
    let frozen = dana.post("/v1/actions/things.change-item/runs", body).await.unwrap();
    assert_eq!((frozen.status.as_u16(), frozen.code()), (403, "refused"), "{}", frozen.body);
    // Where nothing is to be lifted, there is no glass.
    let body = json!({"input": {"name": "a"}, "reason": "it burns", "break_glass": true});
    let plain = dana.post("/v1/actions/things.change-item/runs", body).await.unwrap();
    assert_eq!(plain.status, 202, "{}", plain.body);
    assert_eq!(plain.body.get("broken_glass"), None);
    let id = plain.body["id"].as_str().unwrap();
    let none = dana.get(&format!("/v1/runs/{id}/review")).await.unwrap();
    assert_eq!((none.status.as_u16(), none.code()), (409, "no-review"), "{}", none.body);
    assert_eq!(effects.count("frozen"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_review_that_nobody_closes_is_overdue() {
    let effects = Effects::default();
    let bench = bench(&effects, "[approval]\nreview_seconds = 1").await;
    let (dana, omar) = (bench.sign_in("dana").await.unwrap(), bench.sign_in("omar").await.unwrap());
    let run = destroy(&dana, "a", Some("it burns")).await;
    let id = run.body["id"].clone();
    let overdue = until("an overdue review", || async {
        omar.get("/v1/reviews?overdue=true").await.unwrap().body["items"].get(0).cloned()
    })
    .await;
    assert_eq!((&overdue["run"]["id"], &overdue["overdue"]), (&id, &json!(true)));
}

const COOL: &str = r#"
@id("think-again") @cool_down("1h")
forbid (principal, action == Action::"things.change-item", resource == Resource::"things/slow");
@id("think-again-together") @cool_down("2s")
forbid (principal, action in Action::"destroy", resource == Resource::"things/quick");
"#;

async fn waits(person: &Person, action: &str, name: &str) -> Value {
    let answer = person.submit(action, json!({"name": name})).await.unwrap();
    assert_eq!(answer.status, 202, "{}", answer.body);
    answer.body
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cools_down_can_be_cancelled_and_is_done_otherwise() {
    let effects = Effects::default();
    let bench = setup(&effects).policy("cool.cedar", COOL).start().await.unwrap();
    let (dan, omar) = (bench.sign_in("dan").await.unwrap(), bench.sign_in("omar").await.unwrap());

    let slow = waits(&dan, "things.change-item", "slow").await;
    assert_eq!((&slow["state"], &slow["cool_down_seconds"]), (&json!("queued"), &json!(3_600)));
    assert!(slow["starts_at"].is_string(), "{slow}");
    let cancel = format!("/v1/runs/{}/cancel", slow["id"].as_str().unwrap());
    assert_eq!(dan.post(&cancel, json!({})).await.unwrap().body["state"], "cancelled");

    let quick = waits(&dan, "things.destroy-item", "quick").await;
    let id = quick["id"].as_str().unwrap();
    assert_eq!(quick["state"], "awaiting_approval");
    let approved = omar.post(&format!("/v1/runs/{id}/approve"), json!({})).await.unwrap();
    assert_eq!(approved.body["state"], "queued", "{}", approved.body);
    assert!(approved.body["starts_at"].is_string(), "{}", approved.body);
    assert_eq!(dan.end_of(id).await.unwrap()["state"], "succeeded");
    assert_eq!((effects.count("slow"), effects.count("quick")), (0, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_approved_it_can_stop_it_while_it_cools_down() {
    let effects = Effects::default();
    let policy = COOL.replace("2s", "1h");
    let bench = setup(&effects).policy("cool.cedar", &policy).start().await.unwrap();
    let (dan, omar) = (bench.sign_in("dan").await.unwrap(), bench.sign_in("omar").await.unwrap());
    let olga = bench.sign_in("olga").await.unwrap();
    let run = waits(&dan, "things.destroy-item", "quick").await;
    let id = run["id"].as_str().unwrap();
    let cancel = format!("/v1/runs/{id}/cancel");
    assert_eq!(omar.post(&format!("/v1/runs/{id}/approve"), json!({})).await.unwrap().status, 200);
    assert_eq!(olga.post(&cancel, json!({})).await.unwrap().code(), "refused", "she did not approve it");
    let stopped = omar.post(&cancel, json!({"reason": "I misread it"})).await.unwrap();
    assert_eq!(stopped.body["state"], "cancelled", "{}", stopped.body);
    assert_eq!(effects.count("quick"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emergency_waits_neither_for_people_nor_for_time_and_both_are_written_down() {
    let effects = Effects::default();
    let registry = format!("{}{ROTA}", crate::world::REGISTRY);
    let policy = COOL.replace("2s", "2h");
    let bench = setup(&effects)
        .policy("glass.cedar", BREAK_GLASS)
        .policy("cool.cedar", &policy)
        .registry(&registry)
        .start()
        .await
        .unwrap();
    let (dana, dan) = (bench.sign_in("dana").await.unwrap(), bench.sign_in("dan").await.unwrap());
    let (omar, eve) = (bench.sign_in("omar").await.unwrap(), bench.sign_in("eve").await.unwrap());
    let detail = async |id: &str| {
        let found =
            dana.get(&format!("/v1/records?run={id}&verb=break_glass&verdict=allowed")).await.unwrap();
        found.body["items"][0]["detail"].as_str().unwrap().to_owned()
    };

    let both = destroy(&dana, "quick", Some("it burns")).await.body;
    assert_eq!((&both["state"], &both["cool_down_seconds"]), (&json!("queued"), &json!(0)), "{both}");
    assert_eq!(both["broken_glass"]["waived_seconds"], 7_200);
    assert_eq!(both["broken_glass"]["skipped"].as_array().unwrap().len(), 1);
    let id = both["id"].as_str().unwrap();
    assert_eq!(dana.end_of(id).await.unwrap()["state"], "succeeded");
    let told = detail(id).await;
    assert!(
        told.contains("without the approvals of provider:things.destroy-item and the wait of 7200 s"),
        "{told}"
    );

    // Only time: it is broken like any other condition, and the owner's people look at it.
    let change = async |person: &Person| {
        let body = json!({"input": {"name": "slow"}, "reason": "it burns", "break_glass": true});
        person.post("/v1/actions/things.change-item/runs", body).await.unwrap()
    };
    let off_duty = change(&dan).await;
    assert_eq!((off_duty.status.as_u16(), off_duty.code()), (403, "refused"), "{}", off_duty.body);
    let alone = change(&dana).await.body;
    assert_eq!(alone["broken_glass"]["waived_seconds"], 3_600, "{alone}");
    assert_eq!(alone["broken_glass"]["skipped"], json!([]));
    let id = alone["id"].as_str().unwrap();
    assert_eq!(dana.end_of(id).await.unwrap()["state"], "succeeded");
    let told = detail(id).await;
    assert!(told.contains("without the wait of 3600 s"), "{told}");
    let close = format!("/v1/runs/{id}/review/close");
    assert_eq!(dana.post(&close, json!({"words": "fine"})).await.unwrap().code(), "own-run");
    assert_eq!(dan.post(&close, json!({"words": "fine"})).await.unwrap().code(), "not-an-approver");
    assert_eq!(eve.post(&close, json!({"words": "fine"})).await.unwrap().code(), "unknown-run");
    assert_eq!(omar.post(&close, json!({"words": "fine"})).await.unwrap().status, 200);
    assert_eq!((effects.count("quick"), effects.count("slow")), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nobody_owns_it_somebody_who_audits_closes_the_review() {
    let effects = Effects::default();
    let policies = format!(
        "{BREAK_GLASS}
@id(\"the-owner\") @approval(\"it is theirs\") @by(\"owner\")
forbid (principal, action == Action::\"things.change-item\", resource);
@id(\"eve-audits\") permit (principal == Person::\"eve\", action == Action::\"audit\", resource);"
    );
    let registry = format!("{}{ROTA}", crate::world::REGISTRY.replace("things/**", "things/owned"));
    let bench = setup(&effects).policy("glass.cedar", &policies).registry(&registry).start().await.unwrap();
    let (dana, omar) = (bench.sign_in("dana").await.unwrap(), bench.sign_in("omar").await.unwrap());
    let eve = bench.sign_in("eve").await.unwrap();
    let body = json!({"input": {"name": "a"}, "reason": "it burns", "break_glass": true});
    let run = dana.post("/v1/actions/things.change-item/runs", body).await.unwrap().body;
    assert_eq!(run["broken_glass"]["skipped"][0]["teams"], json!([]), "{run}");
    let close = format!("/v1/runs/{}/review/close", run["id"].as_str().unwrap());
    assert_eq!(
        dana.post(&close, json!({"words": "fine"})).await.unwrap().code(),
        "own-run",
        "she audits, too"
    );
    assert_eq!(omar.post(&close, json!({"words": "fine"})).await.unwrap().code(), "unknown-run");
    let open = eve.get("/v1/reviews").await.unwrap().body;
    assert_eq!(open["items"][0]["run"]["id"], run["id"], "{open}");
    let closed = eve.post(&close, json!({"words": "nobody owns it: now they do"})).await.unwrap();
    assert_eq!((closed.status.as_u16(), &closed.body["review"]["closed"]["by"]), (200, &json!("eve")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reviews_of_others_hide_none_of_ones_own() {
    let effects = Effects::default();
    let policies = format!(
        "{BREAK_GLASS}
@id(\"security-decides\") @approval(\"it is secret\") @by(\"team:security\")
forbid (principal, action == Action::\"things.change-item\", resource == Resource::\"things/secret\");"
    );
    let registry = crate::world::REGISTRY
        .replace("resources:", "  - {name: security, members: [eve], parents: [everybody]}\nresources:");
    let registry = format!("{registry}{ROTA}");
    let bench = setup(&effects).policy("glass.cedar", &policies).registry(&registry).start().await.unwrap();
    let (dana, eve) = (bench.sign_in("dana").await.unwrap(), bench.sign_in("eve").await.unwrap());
    // More than are looked at at a time, and all more urgent.
    for _ in 0..=guichet_operations::close_review::AT_A_TIME {
        assert_eq!(destroy(&dana, "a", Some("it burns")).await.status, 202);
    }
    let body = json!({"input": {"name": "secret"}, "reason": "it burns", "break_glass": true});
    let run = dana.post("/v1/actions/things.change-item/runs", body).await.unwrap().body;
    let open = eve.get("/v1/reviews").await.unwrap().body;
    let ids: Vec<&Value> = open["items"].as_array().unwrap().iter().map(|item| &item["run"]["id"]).collect();
    assert_eq!(ids, [&run["id"]]);
}
