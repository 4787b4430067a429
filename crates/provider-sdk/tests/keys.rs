//! Keys that are fetched from a gateway and turned there.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use axum::{Json, Router, extract::Request, http::StatusCode, routing::get};
use guichet_contract::{Clock, SystemClock};
use guichet_provider_sdk::{ActionError, Context, KeyRing, Keys, NoInput, Provider, provider};
use jiff::Timestamp;
use pasetors::{
    keys::{AsymmetricKeyPair, Generate as _},
    paserk::{FormatAsPaserk as _, Id},
    version4::{PublicToken, V4},
};
use serde_json::{Value, json};
use tower::ServiceExt as _;

struct Key {
    pair: AsymmetricKeyPair<V4>,
    kid: String,
    public: String,
}

fn key() -> Key {
    let pair = AsymmetricKeyPair::<V4>::generate().unwrap();
    let (mut kid, mut public) = (String::new(), String::new());
    Id::from(&pair.public).fmt(&mut kid).unwrap();
    pair.public.fmt(&mut public).unwrap();
    Key { pair, kid, public }
}

impl Key {
    fn request(&self, now: Timestamp) -> Request {
        let claims = json!({
            "iss": "guichet/test", "aud": "greeter", "sub": "ada", "kind": "person", "environment": "test",
            "action": "greet", "nbf": now, "exp": now + jiff::SignedDuration::from_secs(60),
        });
        let footer = json!({"kid": self.kid}).to_string();
        let token = PublicToken::sign(
            &self.pair.secret,
            claims.to_string().as_bytes(),
            Some(footer.as_bytes()),
            None,
        )
        .unwrap();
        Request::get("/greet")
            .header("authorization", format!("Bearer {token}"))
            .body(axum::body::Body::empty())
            .unwrap()
    }
}

/// A clock that is put forward by hand.
struct HandClock(Mutex<Timestamp>);

impl HandClock {
    fn forward(&self, seconds: i64) {
        let mut now = self.0.lock().unwrap();
        *now += jiff::SignedDuration::from_secs(seconds);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
    fn new_uuid(&self) -> uuid::Uuid {
        SystemClock.new_uuid()
    }
}

async fn greet(_: Context, _: NoInput) -> Result<Value, ActionError> {
    Ok(json!("hello"))
}

fn greeter(clock: &Arc<HandClock>) -> Provider {
    provider("greeter").clock(Arc::clone(clock) as Arc<dyn Clock>).action("greet", greet).read().done()
}

fn hand_clock() -> Arc<HandClock> {
    Arc::new(HandClock(Mutex::new(SystemClock.now())))
}

#[tokio::test]
async fn an_unknown_key_is_asked_for_but_not_too_often() {
    let (one, two) = (key(), key());
    let published = Arc::new(Mutex::new(vec![json!({"kid": one.kid, "public": one.public})]));
    let (asked, down) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(true)));
    let gateway = Router::new().route(
        "/v1/keys",
        get({
            let (published, asked, down) = (Arc::clone(&published), Arc::clone(&asked), Arc::clone(&down));
            move || async move {
                asked.fetch_add(1, Ordering::SeqCst);
                if down.load(Ordering::SeqCst) {
                    return Err(StatusCode::INTERNAL_SERVER_ERROR);
                }
                Ok(Json(json!({"keys": *published.lock().unwrap()})))
            }
        }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move { axum::serve(listener, gateway).await });
    let clock = hand_clock();
    let router = greeter(&clock).router(Keys::from_gateway(&url).unwrap());
    let call =
        async |key: &Key| router.clone().oneshot(key.request(clock.now())).await.unwrap().status().as_u16();

    let answer = router.clone().oneshot(one.request(clock.now())).await.unwrap();
    assert_eq!(answer.status(), 503, "the gateway cannot be asked, which is no fault of the caller");
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let body = axum::body::to_bytes(answer.into_body(), 1 << 16).await.unwrap();
    let told: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(told["code"], "provider-busy", "{told}");
    down.store(false, Ordering::SeqCst);
    assert_eq!(call(&one).await, 503);
    assert_eq!(asked.load(Ordering::SeqCst), 1, "asked a moment ago");
    clock.forward(11);
    assert_eq!(call(&one).await, 200);
    assert_eq!(call(&two).await, 401);
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    published.lock().unwrap().push(json!({"kid": two.kid, "public": two.public}));
    clock.forward(11);
    assert_eq!(call(&two).await, 200);
    assert_eq!(call(&one).await, 200);
    assert_eq!(asked.load(Ordering::SeqCst), 3);

    published.lock().unwrap().remove(0);
    clock.forward(301);
    while call(&one).await == 200 {
        tokio::task::yield_now().await;
    }
    assert_eq!(call(&one).await, 401, "a withdrawn key holds no longer");
    assert_eq!(call(&two).await, 200);
    serving.abort();
}

#[test]
fn the_gateway_has_no_password_in_its_address_and_none_is_told() {
    for address in ["https://ada:hunter2@gate.example", "ftp://ada:hunter2@gate.example", "ada:hunter2@gate"]
    {
        let why = Keys::from_gateway(address).err().unwrap().to_string();
        assert!(why.contains("no URL of a gateway") && !why.contains("hunter2"), "{why}");
    }
    assert!(Keys::from_gateway("gate").err().unwrap().to_string().contains("`gate`"));
}

#[tokio::test]
async fn a_shared_ring_turns_at_once_also_for_a_token_seen_before() {
    let (one, two) = (key(), key());
    let ring = Arc::new(KeyRing::new());
    let clock = hand_clock();
    let router = greeter(&clock).router(Keys::shared(Arc::clone(&ring)));
    let call =
        async |key: &Key| router.clone().oneshot(key.request(clock.now())).await.unwrap().status().as_u16();
    assert_eq!(call(&one).await, 401);
    ring.replace([&one.public]).unwrap();
    assert_eq!(call(&one).await, 200);
    assert!(ring.replace(["k4.public.nonsense"]).is_err());
    assert_eq!(call(&one).await, 200, "a wrong list changes nothing");
    ring.replace([&two.public]).unwrap();
    assert_eq!((call(&one).await, call(&two).await), (401, 200));
}

#[tokio::test]
async fn another_issuer_is_not_believed() {
    let one = key();
    let clock = hand_clock();
    for (issuer, status) in [("guichet/test", 200), ("guichet/production", 401)] {
        let keys = Keys::fixed([&one.public]).unwrap().issued_by(issuer);
        let response = greeter(&clock).router(keys).oneshot(one.request(clock.now())).await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{issuer}");
    }
}
