//! Who may lift what, and what makes an approval void.

use guichet_testkit::Effects;
use serde_json::{Value, json};

use crate::world::{reloaded, setup, start};

#[expect(clippy::unwrap_used, reason = "a story that cannot begin has failed")]
async fn waiting(dana: &guichet_testkit::bench::Person, name: &str) -> Value {
    let answer = dana.submit("things.destroy-item", json!({"name": name})).await.unwrap();
    assert_eq!(answer.status, 202, "{}", answer.body);
    assert_eq!(answer.body["state"], "awaiting_approval", "{}", answer.body);
    answer.body
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_approver_sees_the_card_and_the_requester_the_outcome() {
    let (bench, effects) = start().await;
    let dana = bench.sign_in("dana").await.unwrap();
    let omar = bench.sign_in("omar").await.unwrap();
    let run = waiting(&dana, "a").await;
    let id = run["id"].as_str().unwrap();
    assert_eq!(run["plan"]["sentence"], "Destroy item 'a'");
    assert_eq!(run["owner"], "ops");
    let mine = omar.get("/v1/approvals?mine=true").await.unwrap();
    assert_eq!(mine.body["items"][0]["id"], id);
    assert_eq!(mine.body["items"][0]["requested_by"]["name"], "dana");
    let following = tokio::spawn({
        let (dana, id) = (dana.clone(), id.to_owned());
        async move { dana.end_of(&id).await.unwrap() }
    });
    let approved =
        omar.post(&format!("/v1/runs/{id}/approve"), json!({"binding": run["binding"]})).await.unwrap();
    assert_eq!(approved.status, 200, "{}", approved.body);
    let ended = following.await.unwrap();
    assert_eq!(ended["state"], "succeeded", "{ended}");
    assert_eq!(ended["decisions"][0]["by"], "omar");
    assert_eq!(effects.count("a"), 1);
    let intent = dana.get(&format!("/v1/records?run={id}&verb=execute_run")).await.unwrap();
    assert_eq!(intent.body["items"][0]["approved_by"], json!(["omar"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_approves_their_own_run_twice_or_what_is_not_theirs() {
    let (bench, effects) = start().await;
    let dana = bench.sign_in("dana").await.unwrap();
    let run = waiting(&dana, "a").await;
    let id = run["id"].as_str().unwrap();
    let approve = format!("/v1/runs/{id}/approve");
    let own = dana.post(&approve, json!({})).await.unwrap();
    assert_eq!((own.status.as_u16(), own.code()), (403, "own-run"), "dana is in team ops all the same");
    let dan = bench.sign_in("dan").await.unwrap();
    let foreign = dan.post(&approve, json!({})).await.unwrap();
    assert_eq!((foreign.status.as_u16(), foreign.code()), (403, "not-an-approver"));
    let omar = bench.sign_in("omar").await.unwrap();
    let other = omar.post(&approve, json!({"binding": format!("sha256:{}", "0".repeat(64))})).await.unwrap();
    assert_eq!((other.status.as_u16(), other.code()), (409, "binding-changed"));
    let silent = omar.post(&format!("/v1/runs/{id}/reject"), json!({"reason": " "})).await.unwrap();
    assert_eq!((silent.status.as_u16(), silent.code()), (422, "invalid-input"));
    let no = omar.post(&format!("/v1/runs/{id}/reject"), json!({"reason": "not on a Friday"})).await.unwrap();
    assert_eq!(no.body["state"], "rejected", "{}", no.body);
    let late = omar.post(&approve, json!({})).await.unwrap();
    assert_eq!((late.status.as_u16(), late.code()), (409, "wrong-state"));
    assert_eq!(effects.count("a"), 0);
    let refused = dana.get(&format!("/v1/records?run={id}&verdict=refused")).await.unwrap();
    assert!(
        refused.body["items"].as_array().unwrap().len() >= 5,
        "every attempt is recorded: {}",
        refused.body
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_approvers_at_the_same_instant_are_two_when_two_are_needed() {
    let effects = Effects::default();
    let two = r#"
@id("two-for-the-vault") @approval("the vault needs two") @by("team:ops") @count("2")
forbid (principal, action in Action::"destroy", resource == Resource::"things/vault");
"#;
    let bench = setup(&effects).policy("two.cedar", two).start().await.unwrap();
    let dan = bench.sign_in("dan").await.unwrap();
    let (omar, olga) = (bench.sign_in("omar").await.unwrap(), bench.sign_in("olga").await.unwrap());
    let run = waiting(&dan, "vault").await;
    assert_eq!(run["approvals"].as_array().unwrap().len(), 2, "the provider's and the policy's");
    let id = run["id"].as_str().unwrap();
    let approve = format!("/v1/runs/{id}/approve");
    let (first, again) = tokio::join!(omar.post(&approve, json!({})), omar.post(&approve, json!({})));
    let states = [first.unwrap().status.as_u16(), again.unwrap().status.as_u16()];
    assert!(states.contains(&200) && states.contains(&409), "one person counts once: {states:?}");
    assert_eq!(dan.get(&format!("/v1/runs/{id}")).await.unwrap().body["state"], "awaiting_approval");
    assert_eq!(effects.count("vault"), 0);
    let second = olga.post(&approve, json!({})).await.unwrap();
    assert_eq!(second.status, 200, "{}", second.body);
    assert_eq!(dan.end_of(id).await.unwrap()["state"], "succeeded");
    assert_eq!(effects.count("vault"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_drifted_is_void_before_and_after_the_approval() {
    let (bench, effects) = start().await;
    let dana = bench.sign_in("dana").await.unwrap();
    let omar = bench.sign_in("omar").await.unwrap();
    let run = waiting(&dana, "a").await;
    let id = run["id"].as_str().unwrap();
    effects.touch("a");
    let drifted = omar.post(&format!("/v1/runs/{id}/approve"), json!({})).await.unwrap();
    assert_eq!((drifted.status.as_u16(), drifted.code()), (409, "plan-drifted"), "{}", drifted.body);
    assert!(drifted.body["detail"].as_str().unwrap().contains("changed: version"), "{}", drifted.body);
    let ended = dana.end_of(id).await.unwrap();
    assert_eq!(ended["state"], "voided");
    assert_eq!(effects.count("a"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approval_under_other_policies_is_void() {
    let (bench, effects) = start().await;
    let dana = bench.sign_in("dana").await.unwrap();
    let run = waiting(&dana, "a").await;
    let id = run["id"].as_str().unwrap();
    let more = "@id(\"more\") forbid (principal, action in Action::\"destroy\", resource == Resource::\"things/z\");";
    reloaded(&bench, &dana, "policy/more.cedar", more).await;
    let omar = bench.sign_in("omar").await.unwrap();
    omar.post(&format!("/v1/runs/{id}/approve"), json!({})).await.unwrap();
    let ended = dana.end_of(id).await.unwrap();
    assert_eq!(ended["state"], "voided", "{ended}");
    assert!(
        ended["outcome"]["problem"]["detail"].as_str().unwrap().contains("policies have changed"),
        "{ended}"
    );
    assert_eq!(effects.count("a"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_decided_in_time() {
    let effects = Effects::default();
    let bench = setup(&effects).config("[approval]\nexpires_seconds = 1").start().await.unwrap();
    let dana = bench.sign_in("dana").await.unwrap();
    let omar = bench.sign_in("omar").await.unwrap();
    let run = waiting(&dana, "a").await;
    let id = run["id"].as_str().unwrap();
    let ended = dana.end_of(id).await.unwrap();
    assert_eq!(ended["state"], "expired");
    let late = omar.post(&format!("/v1/runs/{id}/approve"), json!({})).await.unwrap();
    assert_eq!((late.status.as_u16(), late.code()), (409, "approval-expired"), "{}", late.body);
    assert_eq!(effects.count("a"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_requester_withdraws_and_nobody_else_does() {
    let (bench, effects) = start().await;
    let dana = bench.sign_in("dana").await.unwrap();
    let omar = bench.sign_in("omar").await.unwrap();
    let run = waiting(&dana, "a").await;
    let cancel = format!("/v1/runs/{}/cancel", run["id"].as_str().unwrap());
    let foreign = omar.post(&cancel, json!({})).await.unwrap();
    assert_eq!((foreign.status.as_u16(), foreign.code()), (403, "refused"));
    let own = dana.post(&cancel, json!({"reason": "no longer needed"})).await.unwrap();
    assert_eq!(own.body["state"], "cancelled");
    let again = dana.post(&cancel, json!({})).await.unwrap();
    assert_eq!((again.status.as_u16(), again.code()), (409, "wrong-state"));
    let late = omar.post(&cancel.replace("/cancel", "/approve"), json!({})).await.unwrap();
    assert_eq!((late.status.as_u16(), late.code()), (409, "wrong-state"));
    assert_eq!(effects.count("a"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_that_needs_an_approval_waits_for_it_on_every_way_in() {
    let effects = Effects::default();
    effects.touch("a");
    let policy = r#"
@id("dan-asks") @approval("dan asks before he looks") @by("team:ops")
forbid (principal == Person::"dan", action == Action::"things.list-items", resource);
"#;
    let bench = setup(&effects).policy("dan.cedar", policy).start().await.unwrap();
    let dan = bench.sign_in("dan").await.unwrap();
    let omar = bench.sign_in("omar").await.unwrap();
    let submitted = dan.submit("things.list-items", json!({})).await.unwrap();
    let passed_through = dan.get("/providers/things/list-items").await.unwrap();
    for answer in [&submitted, &passed_through] {
        assert_eq!(answer.status, 202, "{}", answer.body);
        assert_eq!(answer.body["state"], "awaiting_approval", "{}", answer.body);
    }
    let id = submitted.body["id"].as_str().unwrap();
    assert_eq!(omar.post(&format!("/v1/runs/{id}/approve"), json!({})).await.unwrap().status, 200);
    let run = dan.end_of(id).await.unwrap();
    assert_eq!(run["outcome"]["result"]["items"][0]["name"], "a", "{run}");
    assert_eq!(
        bench.sign_in("dana").await.unwrap().get("/providers/things/list-items").await.unwrap().status,
        200
    );
}
