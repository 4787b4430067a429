//! Actions whose input is known as a schema alone, and a provider that offers others while it serves.

use axum::body::Body;
use guichet_provider_sdk::{ActionError, Context, Keys, Plan, Provider, bench::Bench, provider};
use http::Request;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

async fn echo(_: Context, input: Value) -> Result<Value, ActionError> {
    Ok(json!({"heard": input}))
}

async fn plan(_: Context, input: Value) -> Result<Plan, ActionError> {
    Ok(Plan::new(format!("Says {}", input["word"])))
}

fn parrot(operation: &str) -> Provider {
    let input = json!({
        "type": "object",
        "properties": {"word": {"type": "string", "maxLength": 5}, "pin": {"type": "string", "x-guichet": {"sensitive": true}}},
        "required": ["word"],
    });
    provider("parrot").action_with_schema(operation, input, json!(true), echo).plan(plan).title("Echo").done()
}

#[tokio::test]
async fn a_schema_is_as_good_as_a_type() {
    let bench = Bench::new(parrot("echo")).unwrap();
    assert_eq!(
        bench.call("echo", json!({"word": "hello"})).await.unwrap(),
        json!({"heard": {"word": "hello"}})
    );
    assert_eq!(bench.plan("echo", json!({"word": "x"})).await.unwrap().sentence, "Says \"x\"");
    for wrong in [json!({}), json!({"word": "longer"}), json!({"word": "x", "other": 1})] {
        let refused = bench.call("echo", wrong.clone()).await.unwrap_err();
        assert_eq!(refused.status, 422, "{wrong}");
    }
}

#[test]
fn a_schema_that_is_no_object_is_a_mistake() {
    let wrong = provider("parrot").action_with_schema("echo", json!({"type": "string"}), json!(true), echo);
    let told = wrong.check().err().unwrap().to_string();
    assert!(told.contains("its `type` must be `object`"), "{told}");
}

#[tokio::test]
async fn other_actions_are_offered_in_the_place_of_these() {
    let prepared = parrot("echo").prepare(Keys::insecure_for_bench());
    let router = prepared.router();
    let call = async |path: &str| {
        let request = Request::post(path)
            .header("content-type", "application/json")
            .header("idempotency-key", "run-1")
            .body(Body::from(r#"{"word": "hello"}"#))
            .unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let tag = response.headers()["guichet-document"].clone();
        (response.status().as_u16(), tag)
    };
    let (before, tag) = call("/actions/echo").await;
    assert_eq!(before, 200);
    prepared.renew(parrot("repeat")).unwrap();
    let (gone, other) = call("/actions/echo").await;
    assert_eq!(gone, 404);
    assert_ne!(tag, other, "the gateway is told that the document is another");
    assert_eq!(call("/actions/repeat").await.0, 200);
    assert!(prepared.renew(parrot("No Name")).is_err());
    assert_eq!(call("/actions/repeat").await.0, 200, "what is wrong is not taken over");
    let request = Request::get("/openapi.json").body(Body::empty()).unwrap();
    let body = router.clone().oneshot(request).await.unwrap().into_body().collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&body).contains("repeat"));
}
