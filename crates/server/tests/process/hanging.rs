//! A provider that takes connections and never answers keeps nothing else waiting for good: neither policies nor providers.

use std::{fs, time::Duration};

use reqwest::Method;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    gateway::{Gateway, until_within},
    greeters::{token_of, with_services},
    registered_anew::{Offering, is_offered},
    rules::POLICY,
};

/// How long a gateway may be busy with asking, and then some.
const SOON: Duration = Duration::from_mins(1);

/// Its connections are taken by the system, and never by anybody else.
async fn hanging() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policies_are_read_while_an_instance_hangs_and_says_that_it_is_there() {
    let gateway = with_services().await;
    let dana = gateway.sign_in("dana").await;
    let greeter = gateway.nobody().with_token(&token_of(&gateway, "greeter-service").await);
    let (_listener, url) = hanging().await;
    let body = json!({"instance": "one", "url": url, "document": "\"1\"", "lease_seconds": 60});
    let beating = tokio::spawn(async move {
        loop {
            let said = greeter.call(Method::PUT, "/v1/providers/greeter", Some(&body), &[]).await.unwrap();
            assert_eq!(said.status, 200, "{}", said.body);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
    tokio::time::sleep(Duration::from_secs(2)).await;
    let frozen = "@id(\"frozen\") forbid (principal, action in Action::\"change\", resource);\n";
    let rules = fs::read_to_string(gateway.path("policy/rules.cedar")).unwrap();
    assert!(rules.starts_with(POLICY));
    gateway.write("policy/rules.cedar", &format!("{rules}{frozen}"));
    until_within(SOON, "the new policy", || async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let answer = dana.submit("things.change-item", json!({"name": "a"})).await;
        (answer.code() == "refused").then_some(())
    })
    .await;
    assert!(!beating.is_finished());
    beating.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_is_added_while_another_hangs_is_taken() {
    let gateway = Gateway::started("", "").await;
    let dana = gateway.sign_in("dana").await;
    let (_listener, slow) = hanging().await;
    let stop = CancellationToken::new();
    let soon = Offering::serve("first", &stop).await;
    fs::create_dir(gateway.path("providers")).unwrap();
    gateway.write("providers/slow.toml", &format!("url = \"{slow}\"\n"));
    // Its document is being fetched by then.
    tokio::time::sleep(Duration::from_secs(4)).await;
    gateway.write("providers/soon.toml", &format!("url = \"{}\"\n", soon.url));
    until_within(SOON, "the provider that was added later", || async {
        is_offered(&dana, "soon.first").await.then_some(())
    })
    .await;
}
