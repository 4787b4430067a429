//! A name that was removed and is registered again: whoever has it now offers what it serves, and nothing of who had it before.

use std::{
    fs,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{Json, Router, routing::get};
use guichet_testkit::bench;
use reqwest::Method;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    gateway::{Gateway, until, until_within},
    greeters::{services, token_of, with_services, write_rules},
    person::{Answer, Person},
    registering::greeter_row,
};

/// Somebody who serves a document with one operation, and says nothing of which one it is (no `ETag`).
pub(crate) struct Offering {
    pub(crate) url: String,
    operation: Arc<Mutex<String>>,
}

impl Offering {
    pub(crate) async fn serve(operation: &str, stop: &CancellationToken) -> Self {
        let operation = Arc::new(Mutex::new(operation.to_owned()));
        let served = Arc::clone(&operation);
        let document = get(async move || Json(document(&served)));
        let url = bench::serve(Router::new().route("/openapi.json", document), stop).await.unwrap();
        Self { url, operation }
    }

    fn now_serves(&self, operation: &str) {
        operation.clone_into(&mut self.operation.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

fn document(operation: &Mutex<String>) -> Value {
    let operation = operation.lock().unwrap_or_else(PoisonError::into_inner).clone();
    json!({"openapi": "3.1.0", "info": {"title": "Greeter", "version": "1"},
        "paths": {"/hello": {"get": {"operationId": operation, "responses": {"200": {"description": "fine"}}}}}})
}

pub(crate) async fn is_offered(person: &Person, action: &str) -> bool {
    person.get(&format!("/v1/actions/{action}")).await.status == 200
}

/// Two owners who may both have the name, and somebody who may take it from them.
struct Owners {
    first: Person,
    second: Person,
    remover: Person,
}

impl Owners {
    async fn of(gateway: &Gateway) -> Self {
        let service = async |name| gateway.nobody().with_token(&token_of(gateway, name).await);
        Self {
            first: service("greeter-service").await,
            second: service("other-service").await,
            remover: gateway.sign_in("omar").await,
        }
    }

    async fn remove(&self) {
        let removed = self.remover.call(Method::DELETE, "/v1/providers/greeter", None, &[]).await.unwrap();
        assert_eq!(removed.status, 204, "{}", removed.body);
    }
}

async fn comes(owner: &Person, instance: &str, url: &str) -> Answer {
    let body = json!({"instance": instance, "url": url, "lease_seconds": 300});
    let came = owner.call(Method::PUT, "/v1/providers/greeter", Some(&body), &[]).await.unwrap();
    assert_eq!(came.status, 200, "{}", came.body);
    came
}

/// Where nobody answers.
const NOWHERE: &str = "http://127.0.0.1:9";
const SOON: Duration = Duration::from_secs(10);

async fn offers(person: &Person, action: &str, is: bool) {
    until_within(SOON, &format!("{action} offered: {is}"), || async {
        (is_offered(person, action).await == is).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_right_after_another_was_removed_has_nothing_of_it() {
    let gateway = with_services().await;
    let (dana, owners, stop) =
        (gateway.sign_in("dana").await, Owners::of(&gateway).await, CancellationToken::new());
    let offering = Offering::serve("first", &stop).await;
    comes(&owners.first, "one", &offering.url).await;
    offers(&dana, "greeter.first", true).await;

    // Both are seen by one look.
    owners.remove().await;
    comes(&owners.second, "one", NOWHERE).await;
    offers(&dana, "greeter.first", false).await;
    let row = greeter_row(&dana).await.unwrap();
    assert_eq!((&row["owner"], &row["operations"]), (&json!("other-service"), &json!(0)), "{row}");

    // Also the same document is its own, once it serves it; and who serves another one tells so by coming again.
    comes(&owners.second, "one", &offering.url).await;
    offers(&dana, "greeter.first", true).await;
    offering.now_serves("second");
    comes(&owners.second, "two", &offering.url).await;
    offers(&dana, "greeter.second", true).await;
    assert!(!is_offered(&dana, "greeter.first").await);
}

/// Killed after the name was removed, before the document was thrown away; or down while all of that happened.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_after_a_kill_has_nothing_of_who_had_the_name_before() {
    let mut gateway = with_services().await;
    let (dana, owners, stop) =
        (gateway.sign_in("dana").await, Owners::of(&gateway).await, CancellationToken::new());
    let offering = Offering::serve("first", &stop).await;
    comes(&owners.first, "one", &offering.url).await;
    offers(&dana, "greeter.first", true).await;
    let kept = ["greeter.json", "greeter.offer"].map(|name| {
        let kept = gateway.path("data/documents").join(name);
        (kept, gateway.path(&format!("saved-{name}")))
    });
    for (kept, saved) in &kept {
        until("the document to be kept", || async { kept.exists().then_some(()) }).await;
        fs::hard_link(kept, saved).unwrap();
    }
    stop.cancel();
    // Whoever has registered it keeps it over a kill.
    gateway.kill_and_start().await;
    assert!(is_offered(&dana, "greeter.first").await);

    owners.remove().await;
    offers(&dana, "greeter.first", false).await;
    gateway.kill();
    for (kept, saved) in &kept {
        fs::rename(saved, kept).unwrap();
    }
    gateway.start().await;
    comes(&owners.second, "one", NOWHERE).await;
    until("the other to be there", || async {
        let row = greeter_row(&dana).await?;
        (row["owner"] == "other-service").then_some(())
    })
    .await;
    // Longer than it takes to begin with what was kept.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let row = greeter_row(&dana).await.unwrap();
    assert_eq!(row["operations"], 0, "{row}");
    assert!(!is_offered(&dana, "greeter.first").await);
    assert!(!kept[0].0.exists(), "what is nobody's is thrown away");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_where_nothing_is_called_is_told_of_once() {
    let mut gateway = Gateway::prepared("", &services()).await;
    write_rules(&gateway);
    gateway.start().await;
    let owners = Owners::of(&gateway).await;
    comes(&owners.first, "one", NOWHERE).await;
    gateway.kill();
    gateway.with_tables(&format!("[registration]\nnetworks = [\"10.0.0.0/8\"]\n{}", services()));
    gateway.start().await;
    let told = || gateway.log().lines().filter(|line| line.contains("where nothing is called")).count();
    for number in 0..10 {
        comes(&owners.first, "two", &format!("https://10.0.0.1:{}", 9 + number)).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(told(), 1, "{}", gateway.log());
}
