//! The network between a gateway and its providers, and providers that answer late or without end.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, http::HeaderMap, response::Response};
use futures_util::stream;
use guichet_provider_sdk::{ActionError, Context, Keys, Provider, provider};
use guichet_testkit::bench;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    gateway::{Gateway, until, until_within},
    person::Person,
    proof::{proven, told},
    wire::{Way, Weather, Wire},
};

/// How long a provider may take to be asked again and a circuit to close.
const ASKED_AGAIN: Duration = Duration::from_mins(3);

#[derive(Deserialize, JsonSchema)]
struct Letter {
    /// To whom.
    name: String,
    /// How long the way takes, milliseconds.
    #[serde(default)]
    milliseconds: u64,
}

#[derive(Serialize, JsonSchema)]
struct Arrived {
    arrived: String,
}

/// `post`: `send` (change) and `look` (read), both given two seconds.
fn post(sent: &Arc<AtomicUsize>) -> Provider {
    let counted = Arc::clone(sent);
    provider("post")
        .action("send", move |_: Context, letter: Letter| {
            let counted = Arc::clone(&counted);
            async move {
                sleep(Duration::from_millis(letter.milliseconds)).await;
                counted.fetch_add(1, Ordering::SeqCst);
                Ok::<_, ActionError>(Arrived { arrived: letter.name })
            }
        })
        .timeout("2s")
        .command("post send")
        .resource("things/{name}")
        .action("look", |_: Context, letter: Letter| async move {
            Ok::<_, ActionError>(Arrived { arrived: letter.name })
        })
        .read()
        .timeout("2s")
        .command("post look")
        .done()
        .one_process()
}

/// A gateway, the wire to its post, and how many letters arrived.
struct Town {
    _gateway: Gateway,
    wire: Wire,
    sent: Arc<AtomicUsize>,
    dana: Person,
    stop: CancellationToken,
}

impl Drop for Town {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn town() -> Town {
    let sent = Arc::new(AtomicUsize::new(0));
    let stop = CancellationToken::new();
    let mut gateway = Gateway::prepared("", "").await;
    let router = post(&sent).router(Keys::shared(Arc::clone(&gateway.providers.keys)));
    let wire = Wire::before_url(&bench::serve(router, &stop).await.unwrap()).await;
    gateway.providers.served.push(("post", wire.url()));
    gateway.with_tables("");
    gateway.start().await;
    let dana = gateway.sign_in("dana").await;
    Town { _gateway: gateway, wire, sent, dana, stop }
}

impl Town {
    /// What became of it when the provider was asked.
    async fn found_out(&self, run: &str) -> Value {
        until_within(ASKED_AGAIN, "what became of it", || async {
            let found = self.dana.run(run).await;
            (found["state"] == "succeeded").then_some(found)
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_after_its_deadline_is_asked_for_and_not_believed_by_itself() {
    let town = town().await;
    // The provider takes too long; and the way takes too long, there and back.
    let late = town.dana.submitted("post.send", json!({"name": "late", "milliseconds": 3_000})).await;
    let ended = town.dana.end_of(&late).await;
    assert_eq!(
        (&ended["state"], &ended["outcome"]["problem"]["code"]),
        (&json!("unknown"), &json!("provider-silent"))
    );
    assert!(ended["outcome"]["problem"]["next"].as_str().unwrap().contains("may have been done"), "{ended}");
    town.wire.set(Weather::Slow { milliseconds: 1_300, jitter: 100 });
    let far = town.dana.submitted("post.send", json!({"name": "far"})).await;
    assert_eq!(town.dana.end_of(&far).await["state"], "unknown");
    town.wire.set(Weather::Fair);
    for (name, run) in [("late", &late), ("far", &far)] {
        let found = town.found_out(run).await;
        assert_eq!(found["outcome"]["result"], json!({"arrived": name}), "{found}");
    }
    assert_eq!(town.sent.load(Ordering::SeqCst), 2);
    let records = proven(&town.dana, &[]).await;
    for run in [&late, &far] {
        assert_eq!(told(&records, run, "execute_run"), 1);
        assert_eq!(told(&records, run, "reconcile_run"), 1, "how it was found out is told");
        let unknown = |record: &&Value| record["run"] == **run && record["verdict"] == "unknown";
        assert_eq!(records.iter().filter(unknown).count(), 1, "and that it was not known");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_hears_nothing_is_left_in_peace_and_found_again() {
    let town = town().await;
    let look = async || town.dana.submit("post.look", json!({"name": "a"})).await;
    assert_eq!(look().await.status, 200);
    // Its memory must be older than the call by more than clocks may be apart, or it says nothing.
    sleep(Duration::from_secs(6)).await;
    town.wire.set(Weather::Silent);
    let sent = town.dana.submitted("post.send", json!({"name": "a"})).await;
    let ended = town.dana.end_of(&sent).await;
    assert_eq!(
        (&ended["state"], &ended["outcome"]["problem"]["code"]),
        (&json!("unknown"), &json!("provider-silent"))
    );
    let silent = look().await;
    assert_eq!((silent.status.as_u16(), silent.code()), (504, "provider-silent"), "{}", silent.body);
    let resting = until("it rests", || async {
        let answer = look().await;
        (answer.code() == "provider-circuit-open").then_some(answer)
    })
    .await;
    assert_eq!(resting.status, 503);
    assert!(resting.body["next"].as_str().unwrap().contains("nothing was done"), "{}", resting.body);
    // Who asks for something else is not kept waiting.
    let other = town.dana.submitted("things.change-item", json!({"name": "other"})).await;
    assert_eq!(town.dana.end_of(&other).await["state"], "succeeded");

    town.wire.set(Weather::Fair);
    until_within(ASKED_AGAIN, "the circuit to close", || async {
        (look().await.status == 200).then_some(())
    })
    .await;
    // What was under way arrived late, or not at all; whichever it was is found out and told.
    let ended = until_within(ASKED_AGAIN, "what became of it", || async {
        let run = town.dana.run(&sent).await;
        (run["state"] != "unknown").then_some(run)
    })
    .await;
    let state = if town.sent.load(Ordering::SeqCst) == 1 { "succeeded" } else { "failed" };
    assert_eq!(ended["state"], state, "{ended}");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(town.sent.load(Ordering::SeqCst), usize::from(state == "succeeded"), "nothing comes later");
    proven(&town.dana, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resumable_action_goes_on_over_a_network_that_breaks_again_and_again() {
    let mut gateway = Gateway::prepared("", "").await;
    let served = &mut gateway.providers.served;
    let builder = served.iter_mut().find(|(name, _)| *name == "builder").unwrap();
    let wire = Wire::before_url(&builder.1).await;
    builder.1 = wire.url();
    gateway.with_tables("");
    gateway.start().await;
    let dana = gateway.sign_in("dana").await;
    let input = json!({"name": "a", "steps": 6, "step_milliseconds": 400});
    let run = dana.submitted("builder.build", input).await;
    let done = async |steps: usize| {
        until("a step", || async { (gateway.providers.builder.done().len() >= steps).then_some(()) }).await;
    };
    done(1).await;
    wire.cut();
    done(2).await;
    wire.end(Way::Back);
    done(3).await;
    // Nobody is there for a while.
    wire.set(Weather::Refusing);
    wire.cut();
    sleep(Duration::from_millis(1_500)).await;
    wire.set(Weather::Fair);
    let ended = until_within(ASKED_AGAIN, "its end", || async {
        let run = dana.run(&run).await;
        (run["state"] != "running").then_some(run)
    })
    .await;
    assert_eq!(ended["state"], "succeeded", "{ended}");
    let built: Vec<String> = (1..=6).map(|step| format!("a {step}")).collect();
    assert_eq!(gateway.providers.builder.done(), built, "each once, in order");
    let records = proven(&dana, &[]).await;
    assert_eq!((told(&records, &run, "execute_run"), told(&records, &run, "record_outcome")), (1, 1));
}

/// What is told again and again.
const LINE: &str = "event: log\ndata: {\"line\": \"and so on\"}\n\n";

/// Each answers in its manner, without end.
fn endless(calls: &Arc<AtomicUsize>) -> Router {
    let mut paths = json!({});
    for manner in ["flood", "drip", "story"] {
        paths[format!("/{manner}")] = json!({"post": {
            "operationId": manner, "responses": {"200": {"description": "without end"}},
            "x-guichet": {"command": format!("endless {manner}"), "timeout": "3s"},
        }});
    }
    let document = json!({"openapi": "3.1.0", "info": {"title": "Endless", "version": "1"}, "paths": paths});
    let calls = Arc::clone(calls);
    let answer = move |kind: &'static str, block: &'static str, pause: u64| {
        let calls = Arc::clone(&calls);
        axum::routing::post(move |headers: HeaderMap| {
            if !headers.contains_key("guichet-mode") {
                calls.fetch_add(1, Ordering::SeqCst);
            }
            let blocks = stream::unfold((), move |()| async move {
                sleep(Duration::from_millis(pause)).await;
                Some((Ok::<_, Infallible>(block.to_owned()), ()))
            });
            let answer = Response::builder().header("content-type", kind).body(Body::from_stream(blocks));
            std::future::ready(answer.unwrap())
        })
    };
    let flood: &'static str = Box::leak(" ".repeat(1 << 20).into_boxed_str());
    Router::new()
        .route("/openapi.json", axum::routing::get(move || async move { axum::Json(document) }))
        .route("/flood", answer("application/json", flood, 1))
        .route("/drip", answer("application/json", " ", 50))
        .route("/story", answer("text/event-stream", LINE, 20))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_without_end_ends() {
    let calls = Arc::new(AtomicUsize::new(0));
    let stop = CancellationToken::new();
    let mut gateway = Gateway::prepared("", "").await;
    let url = bench::serve(endless(&calls), &stop).await.unwrap();
    gateway.providers.served.push(("endless", url));
    gateway.with_tables("");
    gateway.start().await;
    let dana = gateway.sign_in("dana").await;
    let mut runs = Vec::new();
    for manner in ["flood", "drip", "story"] {
        runs.push((manner, dana.submitted(&format!("endless.{manner}"), json!({})).await));
    }
    for (manner, run) in &runs {
        let ended = dana.end_of(run).await;
        let code = if *manner == "flood" { "provider-protocol" } else { "provider-silent" };
        assert_eq!(ended["state"], "unknown", "{manner}: {ended}");
        assert_eq!(ended["outcome"]["problem"]["code"], code, "{manner}: {ended}");
    }
    assert_eq!(calls.load(Ordering::SeqCst), 3, "nothing is called again");
    let other = dana.submitted("things.change-item", json!({"name": "other"})).await;
    assert_eq!(dana.end_of(&other).await["state"], "succeeded");
    stop.cancel();
}
