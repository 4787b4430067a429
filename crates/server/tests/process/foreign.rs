//! How the gateway behaves towards a service that knows nothing of gateways: what it shows, what it does not show, and to whom.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::{any, get, post},
};
use guichet_testkit::bench;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::gateway::{Gateway, SECRET, until};

const DOCUMENT: &str = r#"openapi: 3.0.3
info: {title: Shop, version: "1"}
servers: [{url: /api}]
paths:
  /things:
    get:
      operationId: listThings
      parameters:
        - {name: filter, in: query, style: deepObject, schema: {type: object, additionalProperties: {type: string}}}
        - {name: session, in: cookie, schema: {type: string}}
      responses: {200: {description: fine}}
    post:
      operationId: makeThing
      requestBody:
        required: true
        content:
          application/x-www-form-urlencoded:
            schema: {type: object, required: [name], properties: {name: {type: string}, tags: {type: array, items: {type: string}}}}
      responses: {201: {description: made}}
  /moved: {get: {operationId: moved, responses: {302: {description: elsewhere}}}}
  /elsewhere:
    get: {operationId: elsewhere, servers: [{url: "http://127.0.0.2:9/"}], responses: {200: {description: fine}}}
  /cut: {post: {operationId: cut, responses: {200: {description: fine}}}}
"#;

/// What the service was shown.
#[derive(Clone, Default)]
struct Shop {
    tokens: Arc<Mutex<usize>>,
    seen: Arc<Mutex<Vec<(Uri, HeaderMap, String)>>>,
}

impl Shop {
    fn tokens(&self) -> usize {
        *self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn revoke(&self) {
        // The next that is asked for is another one; what was given before holds no longer.
        *self.tokens.lock().unwrap_or_else(PoisonError::into_inner) += 100;
    }
    fn seen(&self) -> Vec<(Uri, HeaderMap, String)> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn serve() -> (Self, String, CancellationToken) {
        let shop = Self::default();
        let router = Router::new()
            .route(
                "/openapi.yaml",
                get(|| async { ([(header::CONTENT_TYPE, "application/yaml")], DOCUMENT) }),
            )
            .route("/token", post(token))
            .fallback(any(answer))
            .with_state(shop.clone());
        let stop = CancellationToken::new();
        let url = bench::serve(router, &stop).await.unwrap();
        (shop, url, stop)
    }
}

async fn token(State(shop): State<Shop>, headers: HeaderMap, body: String) -> Response {
    let is_known =
        headers.get(header::AUTHORIZATION).is_some_and(|told| told.as_bytes().starts_with(b"Basic "));
    if !is_known || !body.contains("grant_type=client_credentials") || !body.contains("scope=things") {
        return (StatusCode::UNAUTHORIZED, axum::Json(json!({"error": "invalid_client"}))).into_response();
    }
    // Slow enough for many to ask at once.
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    let mut tokens = shop.tokens.lock().unwrap_or_else(PoisonError::into_inner);
    *tokens += 1;
    axum::Json(
        json!({"access_token": format!("{SECRET}-{tokens}"), "token_type": "bearer", "expires_in": 3600}),
    )
    .into_response()
}

async fn answer(State(shop): State<Shop>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let body = String::from_utf8_lossy(&body).into_owned();
    shop.seen.lock().unwrap_or_else(PoisonError::into_inner).push((uri.clone(), headers.clone(), body));
    let wanted = format!("Bearer {SECRET}-{}", shop.tokens());
    if headers.get(header::AUTHORIZATION).is_none_or(|told| told.as_bytes() != wanted.as_bytes()) {
        return (StatusCode::UNAUTHORIZED, "who are you?").into_response();
    }
    match uri.path() {
        "/api/things" if headers.contains_key(header::CONTENT_TYPE) => {
            (StatusCode::CREATED, "made it").into_response()
        }
        "/api/things" => axum::Json(json!(["a"])).into_response(),
        "/api/moved" => (StatusCode::FOUND, [(header::LOCATION, "/api/things")]).into_response(),
        "/api/cut" => (StatusCode::BAD_GATEWAY, "the shop's own gateway is confused").into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_asked_for_once_and_renewed_when_it_is_refused_and_ours_is_never_shown() {
    let (shop, url, _stop) = Shop::serve().await;
    let gateway = Gateway::started("", "").await;
    gateway.write("shop.secret", SECRET);
    let file = gateway.path("shop.secret").display().to_string();
    let (document, tokens) = (format!("{url}/openapi.yaml"), format!("{url}/token"));
    let arguments = [
        "shop",
        "--openapi",
        &document,
        "--auth",
        "oauth2",
        "--token-url",
        &tokens,
        "--client-id",
        "guichet",
        "--scope",
        "things",
        "--secret-file",
        &file,
    ];
    let added = gateway.output_with(&["provider", "add"], &arguments);
    let told = String::from_utf8_lossy(&added.stdout).into_owned();
    assert!(added.status.success(), "{told}{}", String::from_utf8_lossy(&added.stderr));
    assert!(
        told.contains(&format!("answers at {url}/api")) && told.contains("5 usable, 0 refused"),
        "{told}"
    );
    let asked_by_the_command = shop.tokens();

    let dana = gateway.sign_in("dana").await;
    until("the shop", || async {
        (dana.get("/v1/actions/shop.listThings").await.status == 200).then_some(())
    })
    .await;
    let asked_for_the_document = shop.tokens();
    assert!(asked_for_the_document - asked_by_the_command <= 1, "for the document");
    shop.revoke();
    let reads = (0..20).map(|_| dana.get("/providers/shop/things?filter%5Bcolor%5D=blue"));
    for read in futures_util::future::join_all(reads).await {
        assert_eq!((read.status, read.body), (reqwest::StatusCode::OK, json!(["a"])));
    }
    assert_eq!(shop.tokens(), asked_for_the_document + 101, "twenty readers, one new token");

    let run = dana.submitted("shop.makeThing", json!({"name": "a b", "tags": ["x", "y"]})).await;
    let ended = dana.end_of(&run).await;
    assert_eq!(
        (ended["state"].as_str(), &ended["outcome"]["result"]),
        (Some("succeeded"), &json!("made it")),
        "{ended}"
    );
    let seen = shop.seen();
    let (_, headers, body) = seen.last().unwrap();
    assert_eq!(body, "name=a%20b&tags=x&tags=y");
    assert_eq!(headers["idempotency-key"], run.as_str());
    assert!(seen.iter().any(|(uri, ..)| uri.query() == Some("filter%5Bcolor%5D=blue")));

    // A redirect is not followed, so whatever it points to sees nothing.
    let before = shop.seen().len();
    let moved = dana.submit("shop.moved", json!({})).await;
    assert!(moved.body.to_string().contains("redirects are not followed"), "{}", moved.body);
    let moved = dana.get("/providers/shop/moved").await;
    assert!(moved.status == 502 && moved.body.to_string().contains("not followed"), "{}", moved.body);
    assert_eq!(shop.seen().len(), before + 2);
    // Its document may not choose who is shown the token.
    let elsewhere = dana.submit("shop.elsewhere", json!({})).await;
    assert!(elsewhere.body.to_string().contains("which is not configured"), "{}", elsewhere.body);
    // Somebody between says that it is broken: nobody knows whether it was done, and it is not done again.
    let run = dana.submitted("shop.cut", json!({})).await;
    assert_eq!(dana.end_of(&run).await["state"], "unknown");
    assert_eq!(shop.seen().iter().filter(|(uri, ..)| uri.path() == "/api/cut").count(), 1);

    for (uri, headers, _) in shop.seen() {
        let names: BTreeSet<&str> = headers.keys().map(header::HeaderName::as_str).collect();
        assert!(names.iter().all(|name| !name.starts_with("guichet-")), "{uri}: {names:?}");
        let ours =
            headers.values().any(|value| value.to_str().is_ok_and(|value| value.contains("v4.public")));
        assert!(!ours, "{uri} was shown our token");
    }
    for record in dana.all("/v1/records").await {
        assert!(!record.to_string().contains(SECRET), "{record}");
    }
    // Dropping the gateway looks for the secret in its log, which is at level debug.
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_overlay_is_taken_over_when_it_changes_and_a_wrong_one_is_not() {
    let (_shop, url, _stop) = Shop::serve().await;
    let overlay = |approval: &str| {
        format!(
            "overlay: 1.0.0\ninfo: {{title: T, version: '1'}}\nactions:\n  - target: $.paths['/things'].post\n    update: {{x-guichet: {approval}}}\n"
        )
    };
    let gateway = Gateway::prepared("", "").await;
    gateway.write("openapi.yaml", DOCUMENT);
    gateway.write("shop.overlay.yaml", &overlay("{title: Made}"));
    std::fs::create_dir(gateway.path("providers")).unwrap();
    gateway.write(
        "providers/shop.toml",
        &format!("openapi = \"../openapi.yaml\"\nurl = \"{url}/api\"\noverlay = \"../shop.overlay.yaml\"\n"),
    );
    let mut gateway = gateway;
    gateway.start().await;
    let dana = gateway.sign_in("dana").await;
    let title = || async {
        let action = dana.get("/v1/actions/shop.makeThing").await.body;
        action.pointer("/action/title").or(action.get("title")).and_then(Value::as_str).map(str::to_owned)
    };
    assert_eq!(title().await.as_deref(), Some("Made"));
    gateway.write("shop.overlay.yaml", &overlay("{title: Made anew}"));
    until("the new overlay", || async { title().await.filter(|title| title == "Made anew") }).await;
    gateway.write("shop.overlay.yaml", &overlay("{title: Never}").replace("update:", "updat:"));
    gateway.logged(&["there is no field `updat` here"]).await;
    assert_eq!(title().await.as_deref(), Some("Made anew"), "the old one stays");
    let check = gateway.output(&["check", "--config"]);
    assert!(
        String::from_utf8_lossy(&check.stderr).contains("shop.overlay.yaml: /actions/0/updat"),
        "{check:?}"
    );
    gateway.write("shop.overlay.yaml", &overlay("{title: Made at last}"));
    until("the mended overlay", || async { title().await.filter(|title| title == "Made at last") }).await;
    // A document in a file is looked at as well.
    gateway.write("openapi.yaml", &DOCUMENT.replace("operationId: listThings", "operationId: listAll"));
    until("the new document", || async {
        (dana.get("/v1/actions/shop.listAll").await.status == 200).then_some(())
    })
    .await;
}
