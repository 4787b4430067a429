//! Calls through a provider's router, each signed as a gateway signs it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::body::Body;
use guichet_contract::{Clock as _, Digest, SystemClock};
use guichet_provider_sdk::{
    ActionError, Context, Effect, NoInput, Plan, Principal, Provider,
    bench::{Bench, Call, later, result_of},
    from, owner, provider, table, team, with,
};
use http::StatusCode;
use http_body_util::BodyExt as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

/// What the handlers of this provider share: how often they ran, and a gate some of them wait at.
#[derive(Clone)]
struct Shop {
    performed: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
}

#[derive(Deserialize, JsonSchema)]
#[expect(dead_code, reason = "some members only travel")]
struct Stop {
    /// Where.
    identifier: String,
    /// Which.
    pid: i32,
    /// Or not.
    #[serde(default)]
    softly: bool,
    ratio: Option<f64>,
    note: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Stopped {
    pid: i32,
    by: String,
    bound: Option<Value>,
}

#[derive(Deserialize, JsonSchema)]
struct Search {
    limit: Option<u32>,
    size: Option<Size>,
    #[serde(default)]
    tags: Vec<i32>,
}

#[derive(Debug, Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Size {
    Small,
    Large,
}

async fn search(_: Context, search: Search) -> Result<Value, ActionError> {
    Ok(json!({"limit": search.limit, "size": search.size, "tags": search.tags}))
}

async fn stop(shop: Shop, context: Context, stop: Stop) -> Result<Stopped, ActionError> {
    shop.performed.fetch_add(1, Ordering::SeqCst);
    match stop.identifier.as_str() {
        "missing" => Err(ActionError::not_found("no such thing").next("look again")),
        "broken" => panic!("the handler breaks"),
        "silent" => Err(ActionError::unknown("the thing does not answer")),
        "slow" => {
            let _ = shop.gate.acquire().await?;
            Ok(Stopped { pid: stop.pid, by: context.principal().name.clone(), bound: None })
        }
        _ => Ok(Stopped { pid: stop.pid, by: context.principal().to_string(), bound: context.planned()? }),
    }
}

async fn plan_stop(_: Context, stop: Stop) -> Result<Plan, ActionError> {
    if stop.pid == 13 {
        return Err(ActionError::refused("13 is never stopped"));
    }
    let plan = Plan::new(format!("Stop {} on {}", stop.pid, stop.identifier));
    if stop.pid == 14 {
        return Ok(plan.fact("lock", "a").fact("lock", "b"));
    }
    Ok(plan.bound_to(json!({"pid": stop.pid, "é": "ü"})))
}

async fn wait(shop: Shop, _: Context, _: NoInput) -> Result<Value, ActionError> {
    let _ = shop.gate.acquire().await?;
    Ok(json!("waited"))
}

async fn copy(shop: Shop, context: Context, stop: Stop) -> Result<Value, ActionError> {
    shop.performed.fetch_add(1, Ordering::SeqCst);
    context.log("begun\nwith two lines");
    context.progress(50.0, "half");
    let _ = shop.gate.acquire().await?;
    context.note("copied", json!({"rows": 3}));
    if stop.identifier == "missing" {
        Err(ActionError::conflict("gone meanwhile"))
    } else {
        Ok(json!({"rows": 3}))
    }
}

fn shop(open: bool) -> (Shop, Provider) {
    let shop = Shop {
        performed: Arc::default(),
        gate: Arc::new(Semaphore::new(if open { Semaphore::MAX_PERMITS } else { 0 })),
    };
    let provider = provider("shop")
        .action("search", search)
        .read()
        .view(table("/items").row_actions(["stop"]))
        .action("wait", with(&shop, wait))
        .read()
        .action("stop", with(&shop, stop))
        .approval(team("dba").count(2))
        .plan(plan_stop)
        .resource("things/{identifier}")
        .concurrency("{identifier}/{pid}")
        .timeout("15m")
        .example("stop one", json!({"identifier": "a", "pid": 7}))
        .options("identifier", from("search").rows("/items").value("/name"))
        .action("remove", with(&shop, stop))
        .route("DELETE", "/things/{identifier}/{pid}")
        .approval(owner())
        .action("copy", with(&shop, copy))
        .long()
        .done();
    (shop, provider)
}

fn bench(open: bool) -> (Shop, Bench) {
    let (shop, provider) = shop(open);
    (shop, Bench::new(provider).unwrap())
}

#[tokio::test]
async fn a_call_reaches_its_handler_with_who_and_what() {
    let (_, bench) = bench(true);
    let bench = bench.acting_as(Principal::person("ada").in_teams(["checkout"]));
    let input = json!({"identifier": "a", "pid": 7});
    let plan = bench.plan("stop", input.clone()).await.unwrap();
    assert_eq!(plan.sentence, "Stop 7 on a");
    let stopped = bench.perform("stop", input.clone(), Some(&plan)).await.unwrap();
    assert_eq!(stopped, json!({"pid": 7, "by": "ada", "bound": {"pid": 7, "é": "ü"}}));
    assert_eq!(bench.call("stop", input).await.unwrap()["bound"], Value::Null);
}

#[tokio::test]
async fn path_and_query_become_numbers_and_booleans_again() {
    let (_, bench) = bench(true);
    // The token's digest is over the flat input: were `pid` to stay a text, the call would be refused.
    let input = json!({"identifier": "a/b ü?", "pid": -7, "softly": true, "ratio": 0.1, "note": "5"});
    assert_eq!(bench.call("remove", input).await.unwrap()["pid"], -7);
    let found = bench.call("search", json!({"limit": 3, "size": "large", "tags": [1, 2]})).await.unwrap();
    assert_eq!(found, json!({"limit": 3, "size": "large", "tags": [1, 2]}));
    assert_eq!(
        bench.call("search", json!({})).await.unwrap(),
        json!({"limit": null, "size": null, "tags": []})
    );
}

#[tokio::test]
async fn a_wrong_input_is_refused_by_the_pointer_and_never_performed() {
    let (shop, bench) = bench(true);
    for (operation, input, pointer) in [
        ("stop", json!({"identifier": "a", "pid": "x"}), "/pid"),
        ("stop", json!({"identifier": "a"}), ""),
        ("stop", json!({"identifier": "a", "pid": 7, "sfotly": true}), ""),
        ("stop", json!({"identifier": "a", "pid": 3_000_000_000_u64}), "/pid"),
        ("search", json!({"limit": "x"}), "/limit"),
        ("search", json!({"size": "huge"}), "/size"),
    ] {
        let problem = bench.call(operation, input.clone()).await.unwrap_err();
        assert_eq!((problem.status, problem.code.as_str()), (422, "invalid-input"), "{input}");
        assert_eq!(problem.errors[0].pointer, pointer, "{input}: {}", problem.detail);
    }
    assert_eq!(shop.performed.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn what_a_handler_answers_is_told_and_a_panic_is_no_end() {
    let (_, bench) = bench(true);
    let problem = bench.call("stop", json!({"identifier": "missing", "pid": 1})).await.unwrap_err();
    assert_eq!(
        (problem.status, problem.detail.as_str(), problem.next.as_deref()),
        (404, "no such thing", Some("look again"))
    );
    let problem = bench.call("stop", json!({"identifier": "silent", "pid": 1})).await.unwrap_err();
    assert_eq!(problem.code, "provider-silent", "nor of one whose handler cannot say: {problem:?}");
    let problem = bench.call("stop", json!({"identifier": "broken", "pid": 1})).await.unwrap_err();
    assert_eq!(problem.code, "provider-silent", "of a change that broke off nothing is claimed: {problem:?}");
    assert!(
        !problem.detail.contains("the handler breaks"),
        "a panic's text is for the log: {}",
        problem.detail
    );
    let problem = bench.plan("stop", json!({"identifier": "a", "pid": 13})).await.unwrap_err();
    assert_eq!((problem.status, problem.detail.as_str()), (403, "13 is never stopped"));
    let problem = bench.plan("stop", json!({"identifier": "a", "pid": 14})).await.unwrap_err();
    assert!(problem.detail.contains("more than one fact called `lock`"), "{problem:?}");
    assert_eq!(
        bench.plan("copy", json!({"identifier": "a", "pid": 1})).await.unwrap_err().code,
        "not-offered"
    );
}

#[tokio::test]
async fn only_the_gateway_is_believed() {
    type Change = Box<dyn Fn(Call) -> Call>;
    let (shop, bench) = bench(true);
    let now = SystemClock.now();
    let input = json!({"identifier": "a", "pid": 7});
    let other = json!(Digest::of_json(&json!({"identifier": "a", "pid": 8})));
    let claim = |name: &'static str, value: Value| -> Change {
        Box::new(move |call| call.claim(name, value.clone()))
    };
    let cases: Vec<(&str, Change)> = vec![
        ("for provider `other`", claim("aud", json!("other"))),
        ("expired", claim("exp", json!(later(now, -10)))),
        ("holds only from", claim("nbf", json!(later(now, 60)))),
        ("for operation `search`", claim("action", json!("search"))),
        ("another input", claim("input", other)),
        ("names no input", claim("input", Value::Null)),
        ("another run", claim("run", json!("another"))),
        ("names no run", claim("run", Value::Null)),
        ("cannot be read", claim("sub", Value::Null)),
        ("another run", Box::new(|call| call.header("idempotency-key", "another"))),
    ];
    for (words, change) in cases {
        let request = bench.request("stop", &input, change).unwrap();
        let problem = result_of(bench.send(request).await).await.unwrap_err();
        assert_eq!(problem.status, 401, "{words}");
        assert!(problem.detail.contains(words), "{words}: {}", problem.detail);
    }
    let (_, stranger) = self::bench(true);
    let request = stranger.request("stop", &input, |call| call).unwrap();
    let problem = result_of(bench.send(request).await).await.unwrap_err();
    assert!(problem.status == 401 && problem.detail.contains("not the gateway's"), "{}", problem.detail);
    for authorization in [None, Some("Bearer v4.public.AAAA"), Some("Basic YTpi"), Some("Bearer")] {
        let mut request = bench.request("stop", &input, |call| call).unwrap();
        request.headers_mut().remove("authorization");
        if let Some(text) = authorization {
            request.headers_mut().insert("authorization", text.parse().unwrap());
        }
        let response = bench.send(request).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{authorization:?}");
        assert!(response.headers().contains_key("www-authenticate"));
    }
    assert_eq!(shop.performed.load(Ordering::SeqCst), 0);
    assert_eq!(bench.call("stop", input).await.unwrap()["pid"], 7);
}

#[tokio::test]
async fn a_readers_token_may_be_used_again_until_it_expires() {
    let (_, bench) = bench(true);
    let request = bench.request("search", &json!({}), |call| call).unwrap();
    let token = request.headers()["authorization"].clone();
    assert!(bench.send(request).await.status().is_success());
    for (path, status) in [("/search?limit=4", 200), ("/wait", 401)] {
        let request = http::Request::get(path).header("authorization", &token).body(Body::empty()).unwrap();
        assert_eq!(bench.send(request).await.status(), status, "{path}");
    }
}

#[tokio::test]
async fn the_same_run_is_performed_once_and_answered_each_time() {
    let (shop, bench) = bench(true);
    let input = json!({"identifier": "a", "pid": 7});
    for expected in [Ok(7), Ok(7)] {
        let request = bench.request("stop", &input, |call| call.as_run("run-1")).unwrap();
        let result = result_of(bench.send(request).await).await;
        assert_eq!(result.map(|stopped| stopped["pid"].as_i64().unwrap()), expected);
    }
    assert_eq!(shop.performed.load(Ordering::SeqCst), 1);
    let failing = json!({"identifier": "missing", "pid": 7});
    for _ in 0..2 {
        let request = bench.request("stop", &failing, |call| call.as_run("run-2")).unwrap();
        assert_eq!(result_of(bench.send(request).await).await.unwrap_err().status, 404);
    }
    assert_eq!(shop.performed.load(Ordering::SeqCst), 2);
    let request = bench.request("stop", &failing, |call| call.as_run("run-1")).unwrap();
    let problem = result_of(bench.send(request).await).await.unwrap_err();
    assert_eq!((problem.status, problem.code.as_str()), (409, "idempotency-conflict"));
}

#[tokio::test]
async fn a_change_goes_on_when_its_caller_goes_away_and_who_asks_again_joins_it() {
    let (shop, bench) = bench(false);
    let input = json!({"identifier": "slow", "pid": 7});
    let request = || bench.request("stop", &input, |call| call.as_run("run-1")).unwrap();
    let first = tokio::spawn({
        let (router, request) = (bench.router(), request());
        async move { tower::ServiceExt::oneshot(router, request).await }
    });
    while shop.performed.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    let (second, third, ()) = tokio::join!(bench.send(request()), bench.send(request()), async {
        tokio::task::yield_now().await;
        shop.gate.add_permits(1);
    });
    for response in [second, third] {
        assert_eq!(result_of(response).await.unwrap()["pid"], 7);
    }
    assert_eq!(shop.performed.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_read_has_a_deadline() {
    let (_, bench) = bench(false);
    let request = bench.request("wait", &json!({}), |call| call.header("guichet-deadline-ms", "20")).unwrap();
    let problem = result_of(bench.send(request).await).await.unwrap_err();
    assert_eq!((problem.status, problem.code.as_str()), (504, "provider-silent"));
}

#[tokio::test]
async fn one_call_too_many_is_refused_and_may_come_again() {
    let (shop, provider) = shop(false);
    let bench = Bench::new(provider.calls_at_once(1)).unwrap();
    let slow = json!({"identifier": "slow", "pid": 7});
    let request = bench.request("stop", &slow, |call| call.as_run("run-1")).unwrap();
    let first = tokio::spawn(tower::ServiceExt::oneshot(bench.router(), request));
    while shop.performed.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    let quick = json!({"identifier": "a", "pid": 7});
    let again = || bench.request("stop", &quick, |call| call.as_run("run-2")).unwrap();
    let problem = result_of(bench.send(again()).await).await.unwrap_err();
    assert_eq!((problem.status, problem.code.as_str()), (503, "provider-busy"));
    shop.gate.add_permits(1);
    assert!(first.await.unwrap().unwrap().status().is_success());
    let mut answer = result_of(bench.send(again()).await).await;
    while answer.as_ref().is_err_and(|problem| problem.code == "provider-busy") {
        answer = result_of(bench.send(again()).await).await;
    }
    assert_eq!(answer.unwrap()["pid"], 7);
}

#[tokio::test]
async fn a_large_body_is_refused() {
    let (_, bench) = bench(true);
    let input = json!({"identifier": "a".repeat(2 << 20), "pid": 7});
    let problem = bench.call("stop", input).await.unwrap_err();
    assert_eq!((problem.status, problem.code.as_str()), (413, "body-too-large"));
}

#[tokio::test]
async fn a_long_change_tells_how_it_goes_also_to_who_comes_late() {
    let (shop, bench) = bench(false);
    let input = json!({"identifier": "a", "pid": 1});
    let request = || bench.request("copy", &input, |call| call.as_run("run-1")).unwrap();
    let mut first = bench.send(request()).await.into_body();
    let begun = first.frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(begun.starts_with(b"event: log\ndata: {\"line\":\"begun\\nwith two lines\"}\n\n"), "{begun:?}");
    drop(first);
    shop.gate.add_permits(1);
    for _ in 0..2 {
        let response = bench.send(request()).await;
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let text = response.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8(text.to_vec()).unwrap();
        let events: Vec<&str> = text.lines().filter(|line| line.starts_with("event")).collect();
        assert_eq!(events, ["event: log", "event: progress", "event: step", "event: outcome"]);
        assert!(text.contains(r#"data: {"percent":50.0,"message":"half"}"#), "{text}");
        assert!(text.ends_with("data: {\"status\":\"succeeded\",\"result\":{\"rows\":3}}\n\n"), "{text}");
    }
    assert_eq!(shop.performed.load(Ordering::SeqCst), 1);
    shop.gate.add_permits(1);
    let failing = bench.request("copy", &json!({"identifier": "missing", "pid": 1}), |call| call).unwrap();
    let text = bench.send(failing).await.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8(text.to_vec()).unwrap();
    assert!(text.contains(r#""status":"failed""#) && text.contains("gone meanwhile"), "{text}");
}

#[tokio::test]
async fn the_document_has_a_tag_and_every_answer_names_it() {
    let (_, bench) = bench(true);
    let get = |path: &str| http::Request::get(path).body(Body::empty()).unwrap();
    let response = bench.send(get("/openapi.json")).await;
    let etag = response.headers()["etag"].clone();
    let document: Value =
        serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    let mut again = get("/openapi.json");
    again.headers_mut().insert("if-none-match", etag.clone());
    assert_eq!(bench.send(again).await.status(), StatusCode::NOT_MODIFIED);
    for path in ["/healthz", "/nowhere", "/search"] {
        assert_eq!(bench.send(get(path)).await.headers()["guichet-document"], etag, "{path}");
    }
    let response = bench.send(http::Request::put("/actions/stop").body(Body::empty()).unwrap()).await;
    assert_eq!(
        (response.status(), &response.headers()["allow"]),
        (StatusCode::METHOD_NOT_ALLOWED, &"POST".parse().unwrap())
    );
}

#[test]
fn the_gateway_reads_the_document() {
    let (_, provider) = shop(true);
    provider.check().unwrap();
    let document = provider.document();
    let strict = guichet_contract::openapi::Strictness::Strict;
    let reading = guichet_contract::openapi::read("shop", &document, strict).unwrap();
    let action =
        |operation: &str| reading.actions.iter().find(|action| action.operation == operation).unwrap();
    let stop = action("stop");
    assert_eq!(stop.effect, Effect::Change);
    assert_eq!(stop.timeout_seconds, 900);
    assert!(stop.plan);
    assert_eq!(
        stop.approval.as_ref().map(|approval| (approval.by.to_string(), approval.count)),
        Some(("team:dba".to_owned(), 2))
    );
    assert_eq!(stop.options["identifier"].operation, "search");
    assert_eq!(stop.input["required"], json!(["identifier", "pid"]));
    assert_eq!((action("remove").effect, action("search").effect), (Effect::Destroy, Effect::Read));
    assert_eq!(action("remove").approval.as_ref().unwrap().by.to_string(), "owner");
    assert!(action("copy").long);
    assert_eq!(reading.actions.len(), 5);
}

#[tokio::test]
async fn a_member_that_the_gateway_calls_otherwise_arrives() {
    #[derive(Deserialize, Serialize, JsonSchema)]
    struct Taken {
        timeout: u32,
        plan: Option<String>,
    }
    let provider = || {
        provider("taken")
            .action("wait-for", |_: Context, taken: Taken| async move { Ok(json!(taken)) })
            .done()
    };
    let strict = guichet_contract::openapi::Strictness::Strict;
    let reading = guichet_contract::openapi::read("taken", &provider().document(), strict).unwrap();
    let names: Vec<&str> = reading.actions[0].http.parameters.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names, ["body_timeout", "body_plan"], "both are flags of the command line itself");
    let bench = Bench::new(provider()).unwrap();
    let input = json!({"timeout": 5, "plan": "b"});
    let theirs = json!(Digest::of_json(&json!({"body_timeout": 5, "body_plan": "b"})));
    let request = bench.request("wait-for", &input, |call| call.claim("input", theirs)).unwrap();
    assert_eq!(result_of(bench.send(request).await).await.unwrap(), input);
    let ours = json!(Digest::of_json(&input));
    let request = bench.request("wait-for", &input, |call| call.claim("input", ours)).unwrap();
    assert_eq!(result_of(bench.send(request).await).await.unwrap_err().status, 401);
}

#[test]
fn what_only_the_gateways_reader_knows_is_a_mistake_too() {
    let reserved = provider("shop").action("search", search).read().command("runs search").check();
    assert!(reserved.err().unwrap().to_string().contains("runs"));
}

#[test]
fn mistakes_are_told_before_a_gateway_meets_them() {
    #[derive(Deserialize, JsonSchema)]
    #[expect(dead_code, reason = "only its schema counts")]
    struct Deep {
        inner: Stop,
    }
    let mistakes = provider("Shop")
        .action("search", search)
        .read()
        .approval(owner().count(0))
        .view(table("").row_actions(["nothing"]))
        .action("search", search)
        .resource("x/{nothing}")
        .timeout("soon")
        .example("wrong", json!({"limit": "x"}))
        .options("limit", from("stop").value("/x"))
        .action("stop", |_: Context, _: Deep| async { Ok(()) })
        .route("DELETE", "/x")
        .action("text", |_: Context, _: String| async { Ok(()) })
        .check()
        .err()
        .unwrap();
    for words in [
        "`Shop` is no name",
        "approval by 0 people",
        "`search`: an action of this name",
        "`{nothing}`",
        "`soon`",
        "example `wrong`",
        "which is no read",
        "`inner` is an object",
        "offers `nothing`",
        "a read has neither",
        "not a struct",
    ] {
        assert!(mistakes.0.iter().any(|mistake| mistake.contains(words)), "{words}: {mistakes}");
    }
}

#[tokio::test]
async fn what_is_under_way_is_finished_at_the_end() {
    let (shop, provider) = shop(false);
    let prepared = provider.prepare(guichet_provider_sdk::Keys::insecure_for_bench());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/actions/stop", listener.local_addr().unwrap());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(prepared.serve_until(listener, async { drop(stopped.await) }));
    let client = reqwest::Client::builder().timeout(Duration::from_secs(20)).build().unwrap();
    let call = |key: &str| {
        client
            .post(&url)
            .header("idempotency-key", key)
            .header("content-type", "application/json")
            .body(json!({"identifier": "slow", "pid": 7}).to_string())
            .send()
    };
    let first = tokio::spawn(call("run-1"));
    let abandoned = tokio::spawn(call("run-2"));
    while shop.performed.load(Ordering::SeqCst) < 2 {
        tokio::task::yield_now().await;
    }
    abandoned.abort();
    stop.send(()).unwrap();
    tokio::task::yield_now().await;
    assert!(!serving.is_finished());
    shop.gate.add_permits(1);
    let answer: Value = first.await.unwrap().unwrap().json().await.unwrap();
    assert_eq!(answer["pid"], 7);
    serving.await.unwrap();
    assert_eq!(shop.gate.available_permits(), 1, "both were let through the gate and gave their permit back");
    assert!(call("run-3").await.is_err(), "nobody listens any more");
}
