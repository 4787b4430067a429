//! Providers that register themselves: processes of their own that come, are killed, are drained under load, and whose
//! gateway is killed. What is a story of the provider's side is lived through with each SDK.

use std::{
    fs::{self, File},
    io::Write as _,
    time::Duration,
};

use axum::{Router, routing::get};
use guichet_provider_sdk::{ActionError, Context, NoInput, provider};
use guichet_throwaway_postgres::Cluster;
use reqwest::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    gateway::{until, until_within},
    greeters::{Greeters, Sdk, services, token_of, with_services, write_registry, write_rules},
    person::Person,
    proof::proven,
    provider_process,
    replica::{Replica, on_postgres},
};

#[derive(Deserialize, Serialize, JsonSchema)]
struct Greeting {
    /// Whom.
    name: String,
}

async fn hello(_: Context, _: NoInput) -> Result<u32, ActionError> {
    tokio::time::sleep(Duration::from_millis(20)).await;
    Ok(std::process::id())
}

/// Each is noted in a file that all instances share.
async fn greet(_: Context, greeting: Greeting) -> Result<u32, ActionError> {
    tokio::time::sleep(Duration::from_millis(50)).await;
    let noted = File::options().create(true).append(true).open("greeted");
    noted
        .and_then(|mut file| writeln!(file, "{}", greeting.name))
        .map_err(|error| ActionError::failed(error.to_string()))?;
    Ok(std::process::id())
}

/// No story, but the process that the stories start: a program with a page of its own, and the actions beside it.
#[tokio::test]
async fn the_greeter_at_work() {
    let Some(settings) = provider_process::settings() else { return };
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    let guichet = provider("greeter")
        .action("hello", hello)
        .read()
        .action("greet", greet)
        .resource("greeter/guests")
        .mount(settings)
        .unwrap();
    let app = Router::new().route("/", get(async || "at home")).nest("/guichet", guichet.router());
    let listener = tokio::net::TcpListener::bind(guichet.listen()).await.unwrap();
    axum::serve(listener, app).with_graceful_shutdown(guichet.stopping().unwrap()).await.unwrap();
    assert_eq!(guichet.finish().await, 0);
}

async fn greeter_row(person: &Person) -> Option<Value> {
    let providers = person.get("/v1/providers").await.body;
    let rows = providers["items"].as_array().unwrap();
    rows.iter().find(|row| row["name"] == "greeter").cloned()
}

/// Waits until so many instances are there, and the actions are offered.
async fn there(person: &Person, instances: usize) {
    until("the greeter to be there", || async {
        let row = greeter_row(person).await?;
        let found = row["instances"].as_array().map_or(0, Vec::len);
        (found == instances && row["operations"] == 2).then_some(())
    })
    .await;
}

async fn records(person: &Person, verb: &str) -> Vec<Value> {
    person.all(&format!("/v1/records?verb={verb}")).await
}

const HELLO: &str = "/providers/greeter/hello";

async fn killed_and_back(sdk: Sdk) {
    if !sdk.is_here() {
        return;
    }
    let gateway = with_services().await;
    let dana = gateway.sign_in("dana").await;
    assert_eq!(dana.get(HELLO).await.code(), "unknown-provider");
    let greeters = Greeters::of(&gateway, sdk).await;
    let mut greeter = greeters.start();
    there(&dana, 1).await;
    assert_eq!(dana.get(HELLO).await.body, greeter.id());
    let run = dana.submitted("greeter.greet", json!({"name": "ada"})).await;
    assert_eq!(dana.end_of(&run).await["state"], "succeeded");
    assert_eq!(greeters.greeted(), ["ada"]);
    let home = reqwest::get(format!("http://127.0.0.1:{}/", greeter.port)).await.unwrap();
    assert_eq!(home.text().await.unwrap(), "at home", "its own page is where it was");
    // Heartbeats are no news.
    tokio::time::sleep(Duration::from_secs(8)).await;
    let told = records(&dana, "register_instance").await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0]["principal"]["name"], "greeter-service");
    assert_eq!((&told[0]["verdict"], &told[0]["resource"]), (&json!("allowed"), &json!("greeter")));

    greeter.kill();
    let missed = dana.get(HELLO).await;
    assert!(["provider-unreachable", "provider-absent"].contains(&missed.code()), "{}", missed.body);
    let answer = until_within(Duration::from_secs(15), "the lease to end", || async {
        let answer = dana.get(HELLO).await;
        (answer.code() == "provider-absent").then_some(answer)
    })
    .await;
    assert_eq!(answer.status, 503);
    assert!(answer.body["detail"].as_str().unwrap().contains("has not been there since"), "{}", answer.body);
    let row = greeter_row(&dana).await.unwrap();
    assert_eq!((&row["state"], &row["operations"]), (&json!("absent"), &json!(2)), "{row}");
    let waits = dana.submitted("greeter.greet", json!({"name": "grace"})).await;
    let _greeter = greeters.start();
    assert_eq!(dana.end_of(&waits).await["state"], "succeeded", "who waited was not forgotten");
    assert_eq!(greeters.greeted(), ["ada", "grace"]);
    proven(&dana, &[]).await;
}

async fn gateway_killed(sdk: Sdk) {
    if !sdk.is_here() {
        return;
    }
    let mut gateway = with_services().await;
    let dana = gateway.sign_in("dana").await;
    let greeters = Greeters::of(&gateway, sdk).await;
    let greeter = greeters.start();
    there(&dana, 1).await;
    // What was read is written down a moment after it is offered.
    tokio::time::sleep(Duration::from_millis(500)).await;
    gateway.kill_and_start().await;
    assert_eq!(dana.get(HELLO).await.body, greeter.id(), "the lease was kept, and so was the document");
    gateway.kill();
    tokio::time::sleep(Duration::from_secs(11)).await;
    gateway.start().await;
    assert_eq!(
        greeter_row(&dana).await.unwrap()["operations"],
        2,
        "what it offers is known while it is away"
    );
    let back = || async { (dana.get(HELLO).await.status == 200).then_some(()) };
    until_within(Duration::from_secs(5), "the greeter to be back", back).await;
}

async fn drained_under_load(sdk: Sdk) {
    if !sdk.is_here() {
        return;
    }
    let gateway = with_services().await;
    let dana = gateway.sign_in("dana").await;
    let greeters = Greeters::of(&gateway, sdk).await;
    let (mut first, mut second) = (greeters.start(), greeters.start());
    there(&dana, 2).await;
    let stop = tokio_util::sync::CancellationToken::new();
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let (dana, stop) = (dana.clone(), stop.clone());
            tokio::spawn(async move {
                let mut answered = std::collections::BTreeMap::<u64, usize>::new();
                while !stop.is_cancelled() {
                    let answer = dana.get(HELLO).await;
                    assert_eq!(answer.status, 200, "{}", answer.body);
                    *answered.entry(answer.body.as_u64().unwrap()).or_default() += 1;
                }
                answered
            })
        })
        .collect();
    let changing = {
        let (dana, stop) = (dana.clone(), stop.clone());
        tokio::spawn(async move {
            let mut names = Vec::new();
            while !stop.is_cancelled() {
                let name = format!("guest-{}", names.len());
                let run = dana.submitted("greeter.greet", json!({"name": name})).await;
                let ended = dana.end_of(&run).await;
                assert_eq!(ended["state"], "succeeded", "{ended}");
                names.push(name);
            }
            names
        })
    };
    tokio::time::sleep(Duration::from_millis(500)).await;
    let third = greeters.start();
    there(&dana, 3).await;
    first.stopped().await;
    there(&dana, 2).await;
    stop.cancel();
    let names = changing.await.unwrap();
    let mut answered = std::collections::BTreeMap::<u64, usize>::new();
    for reader in readers {
        for (who, how_often) in reader.await.unwrap() {
            *answered.entry(who).or_default() += how_often;
        }
    }
    for greeter in [&first, &second, &third] {
        assert!(answered.contains_key(&greeter.id().into()), "each had its turn: {answered:?}");
    }
    assert_eq!(greeters.greeted(), names, "each once");

    // Reads are passed on to who is there, also from the midst of one that was killed.
    let reading = {
        let dana = dana.clone();
        tokio::spawn(async move {
            for _ in 0..100 {
                let answer = dana.get(HELLO).await;
                assert_eq!(answer.status, 200, "{}", answer.body);
            }
        })
    };
    tokio::time::sleep(Duration::from_millis(300)).await;
    second.kill();
    reading.await.unwrap();
    let told = records(&dana, "drain_instance").await;
    assert_eq!(told.len(), 1, "{told:?}");
    proven(&dana, &[]).await;
}

/// Whose token is good, and who may not register: it is told why, once, and is there when the rules are mended.
async fn not_permitted(sdk: Sdk) {
    if !sdk.is_here() {
        return;
    }
    let gateway = with_services().await;
    let dana = gateway.sign_in("dana").await;
    let greeters = Greeters::as_service(&gateway, sdk, "stray-service").await;
    let greeter = greeters.start();
    let refusals = || async { Some(records(&dana, "register_instance").await).filter(|told| told.len() > 2) };
    let told = until("several refusals", refusals).await;
    assert!(told.iter().all(|record| record["verdict"] == "refused"), "{told:?}");
    assert!(greeter_row(&dana).await.is_none());
    let why = "no policy permits stray-service to register";
    assert_eq!(greeters.log().matches(why).count(), 1, "{}", greeters.log());
    write_registry(&gateway, "greeter-service, stray-service");
    there(&dana, 1).await;
    assert_eq!(dana.get(HELLO).await.body, greeter.id());
}

/// The same stories with each SDK.
macro_rules! with_each_sdk {
    ($($name:ident: $story:ident;)*) => {
        $(mod $name {
            use super::{Sdk, $story};

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn in_rust() {
                $story(Sdk::Rust).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn in_python() {
                $story(Sdk::Python).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn in_go() {
                $story(Sdk::Go).await;
            }
        })*
    };
}

with_each_sdk! {
    who_comes_is_used_and_who_was_killed_is_missed_until_it_is_back: killed_and_back;
    after_its_gateway_was_killed_it_is_back_within_a_heartbeat: gateway_killed;
    one_of_two_is_drained_and_one_is_killed_and_no_request_fails: drained_under_load;
    who_may_not_register_is_told_why_once_and_is_there_when_it_may: not_permitted;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_is_its_owners_and_not_everything_is_called() {
    let gateway = with_services().await;
    let (dana, omar) = (gateway.sign_in("dana").await, gateway.sign_in("omar").await);
    let service = async |name| gateway.nobody().with_token(&token_of(&gateway, name).await);
    let (greeter, other, stray) =
        (service("greeter-service").await, service("other-service").await, service("stray-service").await);
    let body = |url: &str| json!({"instance": "one", "url": url, "lease_seconds": 60});
    let put = async |who: &Person, provider: &str, body: Value| {
        who.call(Method::PUT, &format!("/v1/providers/{provider}"), Some(&body), &[]).await.unwrap()
    };
    let here = || body("http://127.0.0.1:9");
    let taken = put(&greeter, "greeter", here()).await;
    assert_eq!(
        (taken.status.as_u16(), &taken.body["environment"]),
        (200, &json!("staging")),
        "{}",
        taken.body
    );
    // The token is good for nothing else.
    assert_eq!(greeter.get("/v1/runs").await.code(), "refused");

    assert_eq!(put(&other, "greeter", here()).await.code(), "name-taken");
    assert_eq!(put(&stray, "greeter", here()).await.code(), "refused");
    assert_eq!(put(&dana, "greeter", here()).await.code(), "refused", "a person is no provider");
    assert_eq!(put(&gateway.nobody(), "greeter", here()).await.code(), "not-signed-in");
    let fault = put(&greeter, "greeter", body("http://169.254.169.254")).await;
    assert_eq!((fault.code(), &fault.body["errors"][0]["pointer"]), ("invalid-input", &json!("/url")));
    assert_eq!(put(&greeter, "greeter", body("https://8.8.8.8")).await.code(), "invalid-input");
    assert_eq!(put(&greeter, "greeter", body("http://10.0.0.1")).await.code(), "invalid-input");
    let long = json!({"instance": "one", "url": "http://127.0.0.1:9", "lease_seconds": 3_600});
    assert_eq!(put(&greeter, "greeter", long).await.code(), "invalid-input");

    let delete = async |who: &Person, path: &str| {
        who.call(Method::DELETE, &format!("/v1/providers/{path}"), None, &[]).await.unwrap()
    };
    assert_eq!(delete(&other, "greeter").await.code(), "refused");
    assert_eq!(delete(&other, "greeter/instances/one").await.code(), "refused");
    assert_eq!(delete(&greeter, "greeter/instances/two").await.code(), "unknown-instance");
    assert_eq!(delete(&greeter, "greeter/instances/one").await.status, 204);
    assert_eq!(delete(&greeter, "greeter/instances/one").await.code(), "unknown-instance");
    assert_eq!(
        put(&other, "greeter", here()).await.code(),
        "name-taken",
        "nobody is there, and it is still theirs"
    );
    assert_eq!(delete(&omar, "greeter").await.status, 204);
    assert_eq!(delete(&omar, "greeter").await.code(), "unknown-provider");
    assert_eq!(put(&other, "greeter", here()).await.status, 200);
    // All of that is recorded, and who was refused why.
    let told = records(&dana, "register_instance").await;
    let problems: Vec<&str> = told.iter().filter_map(|record| record["problem"].as_str()).collect();
    assert_eq!(problems.iter().filter(|problem| **problem == "name-taken").count(), 2, "{problems:?}");
    assert_eq!(records(&dana, "remove_provider").await.len(), 3);
    proven(&dana, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_configured_cannot_be_registered() {
    let gateway = with_services().await;
    let more = "teams: [{name: strays, members: [stray-service]}]\nresources: [{pattern: 'things', owner: strays}]\n";
    gateway.write("registry/more.yaml", more);
    let stray = gateway.nobody().with_token(&token_of(&gateway, "stray-service").await);
    let body = json!({"instance": "one", "url": "http://127.0.0.1:9"});
    until("the registry to be read", || async {
        let answer = stray.call(Method::PUT, "/v1/providers/things", Some(&body), &[]).await.unwrap();
        (answer.code() == "name-taken").then_some(())
    })
    .await;
}

/// Whoever runs the gateway has the last word, while it runs: a name that is configured is no longer called where it was
/// registered, and is again when it is not configured any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_is_configured_meanwhile_is_the_configurations() {
    let gateway = with_services().await;
    let dana = gateway.sign_in("dana").await;
    let greeters = Greeters::of(&gateway, Sdk::Rust).await;
    let greeter = greeters.start();
    there(&dana, 1).await;
    assert_eq!(dana.get(HELLO).await.body, greeter.id());

    fs::create_dir(gateway.path("providers")).unwrap();
    gateway.write("providers/greeter.toml", "url = \"http://127.0.0.1:9\"\n");
    until("the configuration's own", || async {
        let row = greeter_row(&dana).await?;
        row["instances"].is_null().then_some(())
    })
    .await;
    // Longer than it takes until it is looked again who is registered, with heartbeats in between.
    tokio::time::sleep(Duration::from_secs(12)).await;
    let answer = dana.get(HELLO).await;
    assert_eq!(answer.status, 404, "nothing is known of what the configuration names: {}", answer.body);

    fs::remove_file(gateway.path("providers/greeter.toml")).unwrap();
    there(&dana, 1).await;
    assert_eq!(dana.get(HELLO).await.body, greeter.id());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_gateways_on_one_database_both_see_it() {
    let cluster = Cluster::start().unwrap();
    let gateway = on_postgres(&cluster, &services()).await;
    write_rules(&gateway);
    let dana = gateway.sign_in("dana").await;
    let second = Replica::of(&gateway).await;
    let there_too = dana.at(&second.address);
    let greeters = Greeters::of(&gateway, Sdk::Rust).await;
    let mut greeter = greeters.start();
    there(&dana, 1).await;
    there(&there_too, 1).await;
    for person in [&dana, &there_too] {
        assert_eq!(person.get(HELLO).await.body, greeter.id());
    }
    // It says that it is there to the first alone; the second hears of it.
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert_eq!(there_too.get(HELLO).await.status, 200);
    greeter.stopped().await;
    for person in [&dana, &there_too] {
        assert_eq!(person.get(HELLO).await.code(), "provider-absent");
    }
}
