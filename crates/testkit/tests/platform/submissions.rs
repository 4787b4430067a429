//! Reads answer, changes become runs, wrong input is named.

use guichet_testkit::patience::until;
use reqwest::Method;
use serde_json::json;

use crate::world::start;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_answers_at_once_and_is_recorded() {
    let (bench, effects) = start().await;
    effects.touch("a");
    let dana = bench.sign_in("dana").await.unwrap();
    let answer = dana.submit("things.list-items", json!({})).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.body["result"]["items"][0]["name"], "a");
    // A read does not wait for its record to reach the disk; the record comes within the moment.
    let records = until("the record of a read", || async {
        let records = dana.get("/v1/records?verb=perform_read").await.unwrap();
        records.body["items"].get(0).is_some().then_some(records)
    })
    .await;
    assert_eq!(records.body["items"][0]["principal"]["name"], "dana");
    assert_eq!(records.body["items"][0]["verdict"], "allowed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_becomes_a_run_and_is_done_once() {
    let (bench, effects) = start().await;
    let dana = bench.sign_in("dana").await.unwrap();
    let answer = dana.submit("things.change-item", json!({"name": "a"})).await.unwrap();
    assert_eq!(answer.status, 202, "{}", answer.body);
    let id = answer.body["id"].as_str().unwrap();
    assert_eq!(answer.headers["location"].to_str().unwrap(), format!("/v1/runs/{id}"));
    let run = dana.end_of(id).await.unwrap();
    assert_eq!(run["state"], "succeeded", "{run}");
    assert_eq!(run["outcome"]["result"]["done"], "a");
    assert_eq!(effects.count("a"), 1);
    let by_short_id = dana.get(&format!("/v1/runs/{}", &id[id.len() - 8..])).await.unwrap();
    assert_eq!(by_short_id.body["id"], id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_key_makes_one_run_however_often_and_however_quickly_it_is_sent() {
    let (bench, effects) = start().await;
    let dana = bench.sign_in("dana").await.unwrap();
    let submit = || {
        let dana = dana.clone();
        tokio::spawn(async move {
            let body = json!({"input": {"name": "a"}});
            dana.call_with(
                Method::POST,
                "/v1/actions/things.change-item/runs",
                Some(body),
                &[("idempotency-key", "k1")],
            )
            .await
            .unwrap()
        })
    };
    let mut ids = Vec::new();
    for answer in [submit(), submit(), submit(), submit(), submit(), submit()] {
        let answer = answer.await.unwrap();
        assert!(answer.status.is_success(), "{}", answer.body);
        ids.push(answer.body["id"].as_str().unwrap().to_owned());
    }
    ids.dedup();
    assert_eq!(ids.len(), 1);
    dana.end_of(&ids[0]).await.unwrap();
    assert_eq!(effects.count("a"), 1);
    let other = json!({"input": {"name": "b"}});
    let headers = [("idempotency-key", "k1")];
    let clash = dana
        .call_with(Method::POST, "/v1/actions/things.change-item/runs", Some(other), &headers)
        .await
        .unwrap();
    assert_eq!((clash.status.as_u16(), clash.code()), (409, "idempotency-conflict"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_named_with_its_flag() {
    let (bench, _) = start().await;
    let dana = bench.sign_in("dana").await.unwrap();
    for (input, pointer, flag, words) in [
        (json!({}), "/name", Some("--name"), "required"),
        (json!({"name": 7}), "/name", Some("--name"), "string"),
        (json!({"name": "a", "nane": "b"}), "/nane", None, "did you mean `name`?"),
    ] {
        let answer = dana.submit("things.change-item", input).await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.code()), (422, "invalid-input"), "{}", answer.body);
        let error = &answer.body["errors"][0];
        assert_eq!(error["pointer"], pointer);
        assert_eq!(error["flag"].as_str(), flag);
        assert!(error["message"].as_str().unwrap().contains(words), "{error}");
    }
    let unknown = dana.submit("things.chnge-item", json!({})).await.unwrap();
    assert_eq!((unknown.status.as_u16(), unknown.code()), (404, "unknown-action"));
    assert!(unknown.body["detail"].as_str().unwrap().contains("things.change-item"), "{}", unknown.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_names_the_policy_its_words_and_what_to_do() {
    let (bench, effects) = start().await;
    let dana = bench.sign_in("dana").await.unwrap();
    let frozen = dana.submit("things.change-item", json!({"name": "frozen"})).await.unwrap();
    assert_eq!((frozen.status.as_u16(), frozen.code()), (403, "refused"));
    assert_eq!(frozen.body["policies"], json!(["frozen-item"]));
    assert!(
        frozen.body["detail"].as_str().unwrap().contains("frozen until the audit is over"),
        "{}",
        frozen.body
    );
    assert_eq!(frozen.body["next"], "ask team ops when it ends");
    let eve = bench.sign_in("eve").await.unwrap();
    let not_permitted = eve.submit("things.change-item", json!({"name": "a"})).await.unwrap();
    assert_eq!((not_permitted.status.as_u16(), not_permitted.code()), (403, "refused"), "default deny");
    assert_eq!(effects.count("a") + effects.count("frozen"), 0);
    let refused = dana.get("/v1/records?verdict=refused&verb=submit_run").await.unwrap();
    assert_eq!(refused.body["items"].as_array().unwrap().len(), 2, "both attempts are in the ledger");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_refuses_ends_the_run_as_failed_with_its_words() {
    let (bench, _) = start().await;
    let dana = bench.sign_in("dana").await.unwrap();
    let answer = dana.submit("things.fail-item", json!({"name": "a"})).await.unwrap();
    let run = dana.end_of(answer.body["id"].as_str().unwrap()).await.unwrap();
    assert_eq!(run["state"], "failed");
    assert_eq!(run["outcome"]["problem"]["detail"], "a is not to be touched");
    assert_eq!(run["outcome"]["problem"]["next"], "touch another");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_meet_no_run_twice_and_bodies_have_a_limit() {
    let (bench, _) = start().await;
    let dana = bench.sign_in("dana").await.unwrap();
    for number in 0..7 {
        dana.submit("things.change-item", json!({"name": format!("i{number}")})).await.unwrap();
    }
    let (mut seen, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let at = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
        let page = dana.get(&format!("/v1/runs?limit=3{at}")).await.unwrap();
        seen.extend(
            page.body["items"].as_array().unwrap().iter().map(|run| run["id"].as_str().unwrap().to_owned()),
        );
        match page.body["next"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => break,
        }
    }
    assert_eq!(seen.len(), 7);
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 7);
    let rubbish = dana.get("/v1/runs?cursor=%00rubbish").await.unwrap();
    assert!(rubbish.status.is_client_error(), "{}", rubbish.body);
    let wide = dana.get("/v1/runs?limit=501").await.unwrap();
    assert_eq!((wide.status.as_u16(), wide.code()), (400, "bad-request"));
    let huge = dana.submit("things.change-item", json!({"name": "a".repeat(2 << 20)})).await.unwrap();
    assert_eq!((huge.status.as_u16(), huge.code()), (413, "body-too-large"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_has_one_form_and_a_value_has_a_depth() {
    let (bench, _) = start().await;
    let dana = bench.sign_in("dana").await.unwrap();
    let body: serde_json::Value = serde_json::from_str(r#"{"name": "a", "milliseconds": 1.0}"#).unwrap();
    let run = dana.submit("things.slow-change", body).await.unwrap().body;
    assert_eq!(run["input"]["milliseconds"].to_string(), "1", "1.0 and 1 are the same integer: {run}");
    let mut deep = json!(1);
    for _ in 0..70 {
        deep = json!([deep]);
    }
    let answer = dana.submit("things.change-item", json!({"name": deep})).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.code()), (422, "invalid-input"), "{}", answer.body);
    assert!(answer.body["detail"].as_str().unwrap().contains("levels"), "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_cancels_and_reads_only_what_its_scopes_allow() {
    let (bench, effects) = start().await;
    let dana = bench.sign_in("dana").await.unwrap();
    let run = dana.submit("things.destroy-item", json!({"name": "a"})).await.unwrap().body;
    let path = format!("/v1/runs/{}", run["id"].as_str().unwrap());
    for (scope, may_read) in [("read", true), ("change", false)] {
        let body = json!({"name": scope, "expires_in_seconds": 3600, "scopes": [scope]});
        let made = dana.post("/v1/tokens", body).await.unwrap();
        let token = bench.with_token(made.body["token"].as_str().unwrap()).unwrap();
        assert_eq!(token.get(&path).await.unwrap().status == 200, may_read, "{scope}");
        assert_eq!(
            token.post(&format!("{path}/cancel"), json!({})).await.unwrap().code(),
            "refused",
            "{scope}"
        );
    }
    assert_eq!(dana.get(&path).await.unwrap().body["state"], "awaiting_approval");
    assert!(run.get("salt").is_none(), "the salt is nobody's to see");
    assert_eq!(effects.count("a"), 0);
}
