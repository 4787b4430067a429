//! Services that somebody adds through the gateway: looked at first, called with a credential that nobody sees, replaced, removed,
//! there after a restart; and all that cannot be added, of which nothing is kept.

#![expect(clippy::unwrap_used, reason = "a story that cannot begin or go on has failed")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use guichet_testkit::{
    Bench, Effects, Setup,
    bench::{Answer, Person, serve},
    patience::until,
};
use reqwest::Method;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::world::setup;

const SECRET: &str = "s3cret-of-the-mail";
const ADD: &str = "@id(\"developers-add\")
permit (principal in Team::\"developers\", action == Action::\"add_provider\", resource == Resource::\"mail\");
@id(\"dana-adds\")
permit (principal == Person::\"dana\", action == Action::\"add_provider\", resource);";

/// A service that knows nothing of gateways.
#[derive(Clone, Default)]
struct Mail {
    /// How often it was asked for its document.
    asked: Arc<AtomicUsize>,
    /// How many mails were sent.
    sent: Arc<AtomicUsize>,
}

fn document() -> Value {
    let answers = json!({"200": {"description": "fine"}});
    json!({"openapi": "3.0.3", "info": {"title": "Mail", "version": "1"}, "servers": [{"url": "/api"}], "paths": {
        "/mails": {
            "get": {"operationId": "listMails", "summary": "List mails", "responses": answers},
            "post": {"operationId": "sendMail", "summary": "Send a mail", "responses": answers,
                "requestBody": {"content": {"application/json": {"schema": {"type": "object", "properties": {"to": {"type": "string"}}}}}}},
        },
        "/elsewhere": {"get": {"operationId": "elsewhere", "servers": [{"url": "http://127.0.0.2:9/x"}], "responses": answers}},
    }})
}

fn is_known(headers: &HeaderMap) -> bool {
    headers.get("x-key").is_some_and(|shown| shown.as_bytes() == SECRET.as_bytes())
}

async fn list(headers: HeaderMap) -> Response {
    if is_known(&headers) {
        Json(json!(["a"])).into_response()
    } else {
        StatusCode::FORBIDDEN.into_response()
    }
}

async fn send(State(mail): State<Mail>, headers: HeaderMap) -> Response {
    if !is_known(&headers) || headers.contains_key(header::AUTHORIZATION) {
        return StatusCode::FORBIDDEN.into_response();
    }
    mail.sent.fetch_add(1, SeqCst);
    Json(json!({"sent": true})).into_response()
}

impl Mail {
    async fn serve(stop: &CancellationToken) -> (Self, String) {
        let mail = Self::default();
        let served = |mail: &Self, headers: &HeaderMap| {
            mail.asked.fetch_add(1, SeqCst);
            let is_same = headers.get(header::IF_NONE_MATCH).is_some_and(|tag| tag.as_bytes() == b"\"1\"");
            if is_same {
                return StatusCode::NOT_MODIFIED.into_response();
            }
            ([(header::ETAG, "\"1\"")], Json(document())).into_response()
        };
        let large = || async { Body::from(vec![b' '; 17 * 1024 * 1024]) };
        let nothing = json!({"openapi": "3.1.0", "info": {"title": "T", "version": "1"}, "paths": {}});
        let router =
            Router::new()
                .route(
                    "/openapi.json",
                    get(move |State(mail): State<Self>, headers: HeaderMap| async move {
                        served(&mail, &headers)
                    }),
                )
                .route(
                    "/moved.json",
                    get(|| async { (StatusCode::FOUND, [(header::LOCATION, "/openapi.json")]) }),
                )
                .route("/large.json", get(large))
                .route("/page.html", get(|| async { "<html>hello</html>" }))
                .route("/list.json", get(|| async { "[]" }))
                .route("/nothing.json", get(|| async { Json(nothing) }))
                .route(
                    "/elsewhere.json",
                    get(|| async {
                        let mut document = document();
                        document["servers"] = json!([{"url": "https://api.example.org/v1"}]);
                        Json(document)
                    }),
                )
                .route("/hangs.json", get(std::future::pending::<&str>))
                .route("/api/mails", get(list).post(send))
                .with_state(mail.clone());
        let url = serve(router, stop).await.unwrap();
        (mail, url)
    }
}

/// With a credential that goes to this address, for the provider `mail`.
fn with_credential(effects: &Effects, url: &str) -> Setup {
    let credential = "auth = {kind = \"header\", header = \"X-Key\", secret_file = \"mail.secret\"}";
    setup(effects)
        .policy("adding.cedar", ADD)
        .file("mail.secret", SECRET)
        .config(&format!("[credential.mail]\n{credential}\nurls = [\"{url}\"]\nproviders = [\"mail\"]"))
}

async fn add(person: &Person, name: &str, query: &str, body: Value) -> Answer {
    person.call(Method::PUT, &format!("/v1/providers/{name}/service{query}"), Some(body)).await.unwrap()
}

async fn names(person: &Person) -> Vec<String> {
    let providers = person.get("/v1/providers").await.unwrap().body;
    let rows = providers["items"].as_array().unwrap();
    rows.iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect()
}

async fn additions(person: &Person) -> Vec<Value> {
    let records = person.get("/v1/records?verb=add_provider&limit=500").await.unwrap().body;
    records["items"].as_array().unwrap().clone()
}

async fn offered(person: &Person) {
    until("the mails", || async {
        (person.get("/providers/mail/mails").await.ok()?.status == 200).then_some(())
    })
    .await;
}

const OVERLAY: &str = "overlay: 1.0.0
info: {title: Mail, version: '1'}
actions:
  - target: $.paths['/mails'].post
    update: {x-guichet: {approval: {by: 'team:ops', because: a mail cannot be taken back}}}
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_is_looked_at_added_called_replaced_and_removed() {
    let stop = CancellationToken::new();
    let (mail, url) = Mail::serve(&stop).await;
    let bench = with_credential(&Effects::default(), &url).start().await.unwrap();
    let (dana, dan) = (bench.sign_in("dana").await.unwrap(), bench.sign_in("dan").await.unwrap());
    let eve = bench.sign_in("eve").await.unwrap();
    let body = json!({"openapi": format!("{url}/openapi.json"), "credential": "mail"});

    let looked = add(&dana, "mail", "?dry_run=true", body.clone()).await;
    assert_eq!(looked.status, 200, "{}", looked.body);
    assert_eq!(
        (&looked.body["became"], &looked.body["dry_run"], &looked.body["url"]),
        (&json!("added"), &json!(true), &json!(format!("{url}/api"))),
        "{}",
        looked.body
    );
    let operations = looked.body["operations"].as_array().unwrap();
    assert_eq!(operations.len(), 2, "{}", looked.body);
    let refused = looked.body["refused"].to_string();
    assert!(refused.contains("127.0.0.2:9") && refused.contains("/paths/~1elsewhere/get"), "{refused}");
    assert_eq!(names(&dana).await, ["things"], "nothing is kept");

    let stranger = add(&eve, "mail", "", body.clone()).await;
    assert_eq!((stranger.status.as_u16(), stranger.code()), (403, "refused"), "{}", stranger.body);
    let asked = mail.asked.load(SeqCst);
    let added = add(&dana, "mail", "", body.clone()).await;
    assert_eq!((added.status.as_u16(), &added.body["became"]), (200, &json!("added")), "{}", added.body);
    assert!(mail.asked.load(SeqCst) > asked);
    offered(&dana).await;
    let told = dana.get("/v1/providers/mail").await.unwrap().body;
    assert_eq!(
        (&told["owner"], &told["operations"], &told["service"]["credential"], &told["state"]),
        (&json!("dana"), &json!(2), &json!("mail"), &json!("ready")),
        "{told}"
    );
    assert_eq!(told["refused"].as_array().unwrap().len(), 1, "{told}");
    let run = dana.submit("mail.sendMail", json!({"to": "ada"})).await.unwrap();
    assert_eq!(run.status, 202, "{}", run.body);
    let ended = dana.end_of(run.body["id"].as_str().unwrap()).await.unwrap();
    assert_eq!((&ended["state"], mail.sent.load(SeqCst)), (&json!("succeeded"), 1), "{ended}");

    let again = add(&dana, "mail", "", body.clone()).await;
    assert_eq!((again.status.as_u16(), &again.body["became"]), (200, &json!("unchanged")), "{}", again.body);
    let others = add(&dan, "mail", "", body.clone()).await;
    assert_eq!((others.status.as_u16(), others.code()), (409, "name-taken"), "{}", others.body);

    let mut with_overlay = body.clone();
    with_overlay["overlay"] = json!(OVERLAY);
    let replaced = add(&dana, "mail", "", with_overlay).await;
    assert_eq!(replaced.body["became"], "replaced", "{}", replaced.body);
    until("the overlay to be in force", || async {
        let run = dana.submit("mail.sendMail", json!({"to": "ada"})).await.ok()?;
        (run.body["state"] == "awaiting_approval").then_some(())
    })
    .await;

    let records = additions(&dana).await;
    let verdicts: Vec<&str> =
        records.iter().rev().map(|record| record["verdict"].as_str().unwrap()).collect();
    assert_eq!(verdicts, ["allowed", "refused", "allowed", "allowed", "refused", "allowed"], "{records:?}");
    let last = records[0]["detail"].as_str().unwrap();
    for words in
        ["provider mail", "sha256:", "2 operations", "replaced", "credential mail", "overlay sha256:"]
    {
        assert!(last.contains(words), "{words}: {last}");
    }
    let nobody = eve.call(Method::DELETE, "/v1/providers/mail", None).await.unwrap();
    assert_eq!(nobody.code(), "refused");
    assert_eq!(dana.call(Method::DELETE, "/v1/providers/mail", None).await.unwrap().status, 204);
    until("the mail to be gone", || async { (names(&dana).await == ["things"]).then_some(()) }).await;
    until("its actions to be gone", || async {
        (dana.get("/v1/actions/mail.listMails").await.ok()?.status == 404).then_some(())
    })
    .await;
    for path in ["/v1/records?limit=500", "/v1/runs?limit=500", "/v1/providers", "/v1/catalogue"] {
        let shown = dana.get(path).await.unwrap().body.to_string();
        assert!(!shown.contains(SECRET), "{path}");
    }
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_added_is_there_after_a_restart_and_goes_when_its_credential_does() {
    let stop = CancellationToken::new();
    let (_, url) = Mail::serve(&stop).await;
    let mut bench = with_credential(&Effects::default(), &url).start().await.unwrap();
    let dana = bench.sign_in("dana").await.unwrap();
    let body =
        json!({"openapi": format!("{url}/openapi.json"), "url": format!("{url}/api"), "credential": "mail"});
    assert_eq!(add(&dana, "mail", "", body).await.status, 200);
    offered(&dana).await;
    bench.stop().await.unwrap();
    bench.start_again().await.unwrap();
    let dana = bench.sign_in("dana").await.unwrap();
    assert_eq!(dana.get("/providers/mail/mails").await.unwrap().body, json!(["a"]), "at once");

    // The operator takes the credential back: the service is shown nothing else instead, it is not called.
    let file = bench.folder().join("guichet.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("providers = [\"mail\"]", "providers = [\"post\"]")).unwrap();
    let barred = || async {
        let answer = dana.get("/providers/mail/mails").await.ok()?;
        (answer.code() == "provider-unreachable").then_some(answer)
    };
    let answer = until("the credential to be gone", barred).await;
    assert!(answer.body["detail"].as_str().unwrap().contains("no credential `mail`"), "{}", answer.body);
    std::fs::write(&file, text).unwrap();
    offered(&dana).await;
    stop.cancel();
}

async fn closed_port() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_added_is_told_and_nothing_of_it_is_kept() {
    let stop = CancellationToken::new();
    let (mail, url) = Mail::serve(&stop).await;
    let (_, other) = Mail::serve(&stop).await;
    let bench: Bench = with_credential(&Effects::default(), &url).start().await.unwrap();
    let dana = bench.sign_in("dana").await.unwrap();
    let nobody = closed_port().await;
    let at = |path: &str| json!({"openapi": format!("{url}/{path}")});
    let invalid = "invalid-input";
    let cases = [
        (
            "mail",
            json!({"openapi": "http://169.254.169.254/latest/meta-data"}),
            invalid,
            "nothing is ever called",
        ),
        ("mail", json!({"openapi": "http://[::ffff:169.254.169.254]/x"}), invalid, "nothing is ever called"),
        ("mail", json!({"openapi": "https://8.8.8.8/openapi.json"}), invalid, "[registration] networks"),
        ("mail", json!({"openapi": "https://example.org/openapi.json"}), invalid, "[registration] hosts"),
        ("mail", json!({"openapi": "file:///etc/passwd"}), invalid, "not of the form"),
        (
            "mail",
            json!({"openapi": format!("{url}/openapi.json"), "url": "http://169.254.169.254"}),
            invalid,
            "nothing is ever called",
        ),
        ("mail", at("elsewhere.json"), invalid, "api.example.org"),
        ("Mail", at("openapi.json"), invalid, "is named with"),
        ("things", at("openapi.json"), "name-taken", "configuration"),
        ("mail", at("moved.json"), "provider-unreachable", "302"),
        ("mail", json!({"openapi": format!("{nobody}/x")}), "provider-unreachable", "cannot be had"),
        ("mail", at("hangs.json"), "provider-unreachable", "did not answer within 10 s"),
        ("mail", at("none.json"), "provider-unreachable", "404"),
        ("mail", at("large.json"), "document-refused", "larger than"),
        ("mail", at("page.html"), "document-refused", "cannot be used"),
        ("mail", at("list.json"), "document-refused", "cannot be used"),
        ("mail", at("nothing.json"), "document-refused", "no operation"),
        (
            "mail",
            json!({"openapi": format!("{url}/openapi.json"), "overlay": "overlay: 3.0.0\nactions: []"}),
            invalid,
            "version 3.0.0",
        ),
        (
            "mail",
            json!({"openapi": format!("{url}/openapi.json"), "overlay": "x".repeat(70_000)}),
            invalid,
            "at most 65536 bytes",
        ),
        (
            "post",
            json!({"openapi": format!("{url}/openapi.json"), "credential": "mail"}),
            invalid,
            "no credential `mail` may be shown to the provider post",
        ),
        (
            "mail",
            json!({"openapi": format!("{other}/openapi.json"), "credential": "mail"}),
            invalid,
            "no credential `mail` may be shown",
        ),
        (
            "mail",
            json!({"openapi": format!("{url}/openapi.json"), "credential": "none"}),
            invalid,
            "no credential `none`",
        ),
    ];
    let count = cases.len();
    for (name, body, code, words) in cases {
        let shown: String = body.to_string().chars().take(200).collect();
        let answer = add(&dana, name, "", body).await;
        assert_eq!(answer.code(), code, "{name} {shown}: {}", answer.body);
        assert!(answer.body["detail"].as_str().unwrap().contains(words), "{shown}: {}", answer.body);
    }
    assert_eq!(names(&dana).await, ["things"]);
    let records = additions(&dana).await;
    assert_eq!(records.len(), count);
    assert!(records.iter().all(|record| record["verdict"] == "refused"));
    // What a command of somebody else's is called cannot be taken.
    let catalogue = dana.get("/v1/catalogue").await.unwrap().body;
    let words: Vec<&str> =
        catalogue["actions"][0]["command"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let overlay = format!(
        "overlay: 1.0.0
info: {{title: T, version: '1'}}
actions: [{{target: \"$.paths['/mails'].get\", update: {{x-guichet: {{command: {}}}}}}}]",
        words.join(" ")
    );
    let taken = json!({"openapi": format!("{url}/openapi.json"), "overlay": overlay});
    let clash = add(&dana, "mail", "", taken).await;
    assert_eq!(clash.code(), "document-refused", "{}", clash.body);
    let told = clash.body["detail"].as_str().unwrap();
    assert!(told.starts_with(&format!("`{}` is the command of `things.", words.join(" "))), "{told}");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!((names(&dana).await, mail.sent.load(SeqCst)), (vec!["things".to_owned()], 0));
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_that_the_policies_do_not_fit_are_left_out_and_keep_no_other_change_away() {
    let stop = CancellationToken::new();
    let (_, url) = Mail::serve(&stop).await;
    let speaks = "@id(\"no-copies\") forbid (principal, action == Action::\"mail.sendMail\", resource)
when { context.input.copies == 1 };
@id(\"no-posts\") forbid (principal, action == Action::\"post.sendMail\", resource)
when { context.input.copies == 1 };";
    let mut bench = setup(&Effects::default())
        .policy("adding.cedar", ADD)
        .policy("mail.cedar", speaks)
        .config("[registration]\nexpects = [\"mail\", \"post\"]")
        .start()
        .await
        .unwrap();
    let dana = bench.sign_in("dana").await.unwrap();
    for name in ["mail", "post", "fits"] {
        let added = add(&dana, name, "", json!({"openapi": format!("{url}/openapi.json")})).await;
        assert_eq!(added.status, 200, "{}", added.body);
    }
    for name in ["mail", "post"] {
        let refused = until("it to be refused", || async {
            let told = dana.get(&format!("/v1/providers/{name}")).await.ok()?.body;
            (told["state"] == "refused").then_some(told)
        })
        .await;
        let why = refused["problem"].as_str().unwrap();
        assert!(why.contains("mail.cedar") && why.contains("copies"), "{why}");
    }
    until("what fits to be offered", || async {
        (dana.get("/v1/actions/fits.sendMail").await.ok()?.status == 200).then_some(())
    })
    .await;
    let change = async || dana.submit("things.change-item", json!({"name": "a"})).await.unwrap();
    assert_eq!(change().await.status, 202);
    let frozen = "@id(\"frozen-a\") @description(\"a is frozen\")
forbid (principal, action in Action::\"change\", resource == Resource::\"things/a\");";
    std::fs::write(bench.folder().join("policy/frozen.cedar"), frozen).unwrap();
    until("another policy to be in force", || async { (change().await.code() == "refused").then_some(()) })
        .await;
    // Nor do they keep a gateway from starting.
    bench.stop().await.unwrap();
    bench.start_again().await.unwrap();
    let dana = bench.sign_in("dana").await.unwrap();
    // And they come when the policies are mended.
    std::fs::write(
        bench.folder().join("policy/mail.cedar"),
        speaks.replace("context.input.copies == 1", "context.input has to && context.input.to == \"all\""),
    )
    .unwrap();
    for name in ["mail", "post"] {
        until("it to be offered", || async {
            (dana.get(&format!("/v1/actions/{name}.sendMail")).await.ok()?.status == 200).then_some(())
        })
        .await;
    }
    stop.cancel();
}
