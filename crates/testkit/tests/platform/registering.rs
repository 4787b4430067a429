//! Providers that register themselves: documents that change with their instances, leases that end, commands that are taken,
//! and changes that are never given to two.

use guichet_provider_sdk::{ActionError, Context, Keys, NoInput, Provider, provider};
use guichet_testkit::{
    Bench, Effects, LeapingClock, Setup,
    bench::{Person, serve},
    patience::until,
    rude::Rude,
};
use reqwest::Method;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    bulkheads::{Stuck, submit},
    world::{POLICY, REGISTRY, setup},
};

const REGISTERS: &str = "@id(\"services-register\")
permit (principal is ServiceAccount, action == Action::\"register_instance\", resource);";

fn with_service(setup: Setup) -> Setup {
    setup.service("shop-service").policy("services.cedar", REGISTERS)
}

async fn first(_: Context, _: NoInput) -> Result<&'static str, ActionError> {
    Ok("first")
}

async fn second(_: Context, _: NoInput) -> Result<&'static str, ActionError> {
    Ok("second")
}

fn old_shop() -> Provider {
    provider("shop").action("who", first).read().done()
}

fn new_shop() -> Provider {
    provider("shop").action("who", second).read().action("more", second).read().done()
}

/// Serves it, and gives its address and its document's tag.
#[expect(clippy::unwrap_used, reason = "a story that cannot begin has failed")]
async fn served(bench: &Bench, provider: Provider, stop: &CancellationToken) -> (String, String) {
    let router = provider.router(Keys::from_gateway(&bench.url).unwrap());
    let url = serve(router, stop).await.unwrap();
    let answer = reqwest::get(format!("{url}/openapi.json")).await.unwrap();
    let document = answer.headers()["etag"].to_str().unwrap().to_owned();
    (url, document)
}

#[expect(clippy::unwrap_used, reason = "a story that cannot go on has failed")]
async fn registers(service: &Person, provider: &str, instance: &str, url: &str, document: Option<&str>) {
    let body = json!({"instance": instance, "url": url, "document": document, "lease_seconds": 60});
    let path = format!("/v1/providers/{provider}");
    let answer = service.call(Method::PUT, &path, Some(body)).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
}

#[expect(clippy::unwrap_used, reason = "a story that cannot go on has failed")]
async fn row(person: &Person, provider: &str) -> Value {
    let providers = person.get("/v1/providers").await.unwrap().body;
    let rows = providers["items"].as_array().unwrap();
    rows.iter().find(|row| row["name"] == provider).cloned().unwrap_or_default()
}

/// Waits until it is offered as so many operations.
async fn offers(person: &Person, provider: &str, operations: usize) {
    let what = format!("{provider} to offer {operations}");
    until(&what, || async { (row(person, provider).await["operations"] == operations).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newest_document_is_in_force_and_its_instances_are_called() {
    let bench = with_service(setup(&Effects::default())).start().await.unwrap();
    let (dana, service) =
        (bench.sign_in("dana").await.unwrap(), bench.sign_in("shop-service").await.unwrap());
    let stop = CancellationToken::new();
    let (url, document) = served(&bench, old_shop(), &stop).await;
    registers(&service, "shop", "old", &url, Some(&document)).await;
    offers(&dana, "shop", 1).await;
    assert_eq!(dana.get("/providers/shop/who").await.unwrap().body, "first");
    let (newer_url, newer) = served(&bench, new_shop(), &stop).await;
    registers(&service, "shop", "new", &newer_url, Some(&newer)).await;
    offers(&dana, "shop", 2).await;
    // The old one says that it is there all the while.
    registers(&service, "shop", "old", &url, Some(&document)).await;
    for _ in 0..6 {
        assert_eq!(dana.get("/providers/shop/who").await.unwrap().body, "second");
    }
    assert_eq!(dana.get("/providers/shop/more").await.unwrap().status, 200);
    // Back to what was: the new ones are taken out again.
    let path = "/v1/providers/shop/instances/new";
    assert_eq!(service.call(Method::DELETE, path, None).await.unwrap().status, 204);
    offers(&dana, "shop", 1).await;
    assert_eq!(dana.get("/providers/shop/who").await.unwrap().body, "first");
    // Without the name, without the actions.
    assert_eq!(service.call(Method::DELETE, "/v1/providers/shop", None).await.unwrap().status, 204);
    let gone =
        || async { (dana.get("/providers/shop/who").await.ok()?.code() == "unknown-provider").then_some(()) };
    until("the shop to be gone", gone).await;
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_that_ran_out_is_told_and_another_begins() {
    let clock = LeapingClock::default();
    let bench = with_service(setup(&Effects::default())).clock(&clock).start().await.unwrap();
    let (dana, service) =
        (bench.sign_in("dana").await.unwrap(), bench.sign_in("shop-service").await.unwrap());
    let stop = CancellationToken::new();
    let shop = old_shop().clock(std::sync::Arc::new(clock.clone()));
    let (url, document) = served(&bench, shop, &stop).await;
    registers(&service, "shop", "one", &url, Some(&document)).await;
    offers(&dana, "shop", 1).await;
    clock.leap(61);
    let absent = dana.get("/providers/shop/who").await.unwrap();
    assert_eq!((absent.status.as_u16(), absent.code()), (503, "provider-absent"));
    let told = row(&dana, "shop").await;
    assert_eq!((&told["state"], &told["owner"]), (&json!("absent"), &json!("shop-service")), "{told}");
    let marked = dana.get("/v1/actions/shop.who").await.unwrap().body;
    assert_eq!(marked["absent_since"], told["since"], "{marked}");
    let found = dana.get("/v1/actions?search=").await.unwrap().body;
    let marked =
        found["items"].as_array().unwrap().iter().filter(|action| action["absent_since"].is_string());
    assert_eq!(marked.count(), 1, "{found}");
    registers(&service, "shop", "one", &url, Some(&document)).await;
    let back = || async { (dana.get("/providers/shop/who").await.ok()?.status == 200).then_some(()) };
    until("the shop to be back", back).await;
    let records = dana.get("/v1/records?verb=register_instance").await.unwrap().body;
    assert_eq!(records["items"].as_array().unwrap().len(), 2, "that it was gone and is back: {records}");
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_is_configured_is_not_taken_over() {
    let bench = with_service(setup(&Effects::default())).start().await.unwrap();
    let (dana, service) =
        (bench.sign_in("dana").await.unwrap(), bench.sign_in("shop-service").await.unwrap());
    let catalogue = dana.get("/v1/catalogue").await.unwrap().body;
    let action = &catalogue["actions"][0];
    let words: Vec<&str> = action["command"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let stop = CancellationToken::new();
    // Its name comes before, and so would its document.
    let usurper = provider("aaa").action("who", first).read().command(words.join(" ")).done();
    let (url, document) = served(&bench, usurper, &stop).await;
    registers(&service, "aaa", "one", &url, Some(&document)).await;
    until("the usurper to be refused", || async {
        (row(&dana, "aaa").await["state"] == "refused").then_some(())
    })
    .await;
    let now = dana.get("/v1/catalogue").await.unwrap().body;
    assert_eq!(now["actions"], catalogue["actions"]);
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policies_may_speak_of_who_has_not_come_yet() {
    let forbids = "@id(\"shop-is-closed\") @description(\"the shop is closed\")
forbid (principal, action in Action::\"provider:shop\", resource);";
    let refused = with_service(setup(&Effects::default())).policy("shop.cedar", forbids).start().await;
    assert!(refused.is_err_and(|why| why.to_string().contains("provider:shop")), "nobody said that it comes");
    let expects = "[registration]\nexpects = [\"shop\"]";
    let setup = with_service(setup(&Effects::default())).policy("shop.cedar", forbids).config(expects);
    let bench = setup.start().await.unwrap();
    let (dana, service) =
        (bench.sign_in("dana").await.unwrap(), bench.sign_in("shop-service").await.unwrap());
    let stop = CancellationToken::new();
    let (url, document) = served(&bench, old_shop(), &stop).await;
    registers(&service, "shop", "one", &url, Some(&document)).await;
    offers(&dana, "shop", 1).await;
    let closed = dana.get("/providers/shop/who").await.unwrap();
    assert_eq!((closed.code(), &closed.body["detail"]), ("refused", &json!("the shop is closed")));
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_may_have_been_received_is_given_to_nobody_else() {
    let people = ["dana", "omar"].into_iter().fold(Setup::new(), Setup::person);
    let bench = with_service(people.policy("rules.cedar", POLICY).registry(REGISTRY)).start().await.unwrap();
    let (dana, service) =
        (bench.sign_in("dana").await.unwrap(), bench.sign_in("shop-service").await.unwrap());
    let (one, other) = (Rude::start().await.unwrap(), Rude::start().await.unwrap());
    registers(&service, "rude", "one", &one.url, None).await;
    registers(&service, "rude", "other", &other.url, None).await;
    until("the rude ones to be known", || async {
        (row(&dana, "rude").await["operations"].as_u64()? > 0).then_some(())
    })
    .await;
    let calls = || one.calls() + other.calls();
    let run = dana.submit("rude.change-hangup", json!({})).await.unwrap();
    assert_eq!(run.status, 202, "{}", run.body);
    let ended = dana.end_of(run.body["id"].as_str().unwrap()).await.unwrap();
    assert_eq!((&ended["state"], calls()), (&json!("unknown"), 1), "{ended}");
    let read = dana.submit("rude.read-hangup", json!({})).await.unwrap();
    assert_eq!((read.code(), calls()), ("provider-silent", 3), "a read is passed on: {}", read.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_hangs_keeps_no_other_that_registered_itself_waiting() {
    const RUNS: usize = 80;
    let limits = format!("[limits]\nrequests_per_second = 0\nopen_runs_per_principal = {}", 2 * RUNS);
    let bench = with_service(setup(&Effects::default())).config(&limits).start().await.unwrap();
    let (dana, service) =
        (bench.sign_in("dana").await.unwrap(), bench.sign_in("shop-service").await.unwrap());
    let (stop, stuck) = (CancellationToken::new(), Stuck::new());
    let calm = provider("calm").action("do", first).done();
    for (name, provider) in [("stuck", stuck.provider("stuck")), ("calm", calm)] {
        let (url, document) = served(&bench, provider, &stop).await;
        registers(&service, name, "one", &url, Some(&document)).await;
        offers(&dana, name, 1).await;
    }
    let hanging = submit(&dana, "stuck.hang", RUNS).await;
    // Three providers, two of which nobody has configured, have six bulkheads with two places of their own each.
    until("54 that hang", || async { (stuck.under_way() == 52 + 2).then_some(()) }).await;
    for _ in 0..3 {
        let run = dana.submit("calm.do", json!({})).await.unwrap();
        let ended = dana.end_of(run.body["id"].as_str().unwrap()).await.unwrap();
        assert_eq!(ended["state"], "succeeded", "{ended}");
    }
    assert_eq!(stuck.under_way(), 54);
    stuck.let_go();
    for run in &hanging {
        assert_eq!(dana.end_of(run).await.unwrap()["state"], "succeeded");
    }
    stop.cancel();
}
