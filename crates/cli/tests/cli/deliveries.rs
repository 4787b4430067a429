//! What was told outside, try by try, and telling it once more.

use axum::{
    Json, Router,
    extract::Path,
    http::StatusCode,
    routing::{get, post},
};
use guichet_contract::{Attempt, AttemptResult, Delivery, DeliveryState, Occasion};
use insta::assert_snapshot;
use serde_json::json;

use crate::fake::{Fake, run_id};

const GIVEN_UP: &str = "019a9c1e-7d7a-7c52-9a7e-3f1f6f0f8a11";
const WAITING: &str = "019a9c1e-7d7a-7c52-9a7e-3f1f6f0f8a12";
const DELIVERED: &str = "019a9c1e-7d7a-7c52-9a7e-3f1f6f0f8a13";

fn attempt(number: u32, at: &str, result: AttemptResult, status: Option<u16>, why: Option<&str>) -> Attempt {
    Attempt {
        replay: 0,
        number,
        recipient: None,
        at: at.parse().unwrap(),
        duration_ms: 17,
        result,
        status,
        why: why.map(str::to_owned),
        next_try_at: None,
    }
}

fn delivery(id: &str, state: DeliveryState) -> Delivery {
    let no = Some("the receiver answered 503 Service Unavailable");
    let failed = attempt(1, "2026-11-21T09:12:45Z", AttemptResult::Failed, Some(503), no);
    let lost = attempt(
        2,
        "2026-11-21T09:12:46Z",
        AttemptResult::Unknown,
        None,
        Some("how it ended was not written down: the gateway died meanwhile, or its store failed"),
    );
    let last = attempt(3, "2026-11-21T09:12:48Z", AttemptResult::GivenUp, None, Some("connection refused"));
    let waits = state == DeliveryState::Waiting;
    let attempts = if waits { vec![failed] } else { vec![failed, lost, last] };
    Delivery {
        id: id.parse().unwrap(),
        event: "019a9c1e-7d7a-7c52-9a7e-3f1f6f0f8aff".parse().unwrap(),
        channel: "hook".to_owned(),
        occasion: Occasion::RunEnded,
        run: run_id(),
        at: "2026-11-21T09:12:44Z".parse().unwrap(),
        state,
        replays: 0,
        tries: attempts.len() as u64,
        next_try_at: waits.then(|| "2026-11-21T09:12:46Z".parse().unwrap()),
        ended_at: (!waits).then(|| "2026-11-21T09:12:48Z".parse().unwrap()),
        last: attempts.last().cloned(),
        attempts,
    }
}

pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let all = || [delivery(WAITING, DeliveryState::Waiting), delivery(GIVEN_UP, DeliveryState::GivenUp)];
    let replayed = async |Path(id): Path<String>| Json(delivery(&id, DeliveryState::Waiting));
    Router::new()
        .route("/v1/deliveries", get(move || async move { Json(json!({"items": all(), "next": null})) }))
        .route(
            "/v1/deliveries/{delivery}",
            get(async |Path(id): Path<String>| {
                let delivered = id == DELIVERED;
                Json(delivery(&id, if delivered { DeliveryState::Delivered } else { DeliveryState::GivenUp }))
            }),
        )
        .route("/v1/deliveries/{delivery}/replay", post(replayed))
        .route(
            "/v1/channels/{channel}/ping",
            post(async |Path(channel): Path<String>| {
                let id = if channel == "good" { DELIVERED } else { GIVEN_UP };
                (StatusCode::ACCEPTED, Json(delivery(id, DeliveryState::Waiting)))
            }),
        )
}

#[test]
fn deliveries_are_listed_and_each_try_is_shown() {
    let fake = Fake::start();
    assert_snapshot!(
        "deliveries_list",
        fake.told("deliveries list --channel hook --state given_up --state waiting")
    );
    assert_eq!(fake.seen("GET /v1/deliveries?state=given_up%2Cwaiting&channel=hook").len(), 1);
    assert_snapshot!("deliveries_show", fake.told(&format!("deliveries show {GIVEN_UP}")));
    let (exit, out, _) = fake.run(&["deliveries", "describe", GIVEN_UP, "--output", "json"]);
    let whole: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((exit, whole["attempts"].as_array().unwrap().len()), (0, 3));
}

#[test]
fn what_is_replayed_is_counted_and_each_has_a_key_of_its_own() {
    let fake = Fake::start();
    let (exit, out, err) = fake.run(&["deliveries", "replay", GIVEN_UP, WAITING]);
    assert_eq!(exit, 0, "{err}");
    assert!(out.contains(GIVEN_UP) && err.contains("replayed: 2 of 2"), "{out}{err}");
    let line = format!("POST /v1/deliveries/{GIVEN_UP}/replay");
    let key = fake.seen(&line)[0].headers["idempotency-key"].clone();
    assert_ne!(
        key,
        fake.seen(&format!("POST /v1/deliveries/{WAITING}/replay"))[0].headers["idempotency-key"]
    );
    let (exit, _, err) = fake.run(&[
        "deliveries",
        "replay",
        "--given-up",
        "--channel",
        "hook",
        "--since",
        "2026-11-21T00:00:00Z",
    ]);
    assert_eq!(exit, 0, "{err}");
    assert!(err.contains("replayed: 2 of 2"), "{err}");
    let asked = "GET /v1/deliveries?state=given_up&channel=hook&since=2026-11-21T00%3A00%3A00Z&limit=500";
    assert_eq!(fake.seen(asked).len(), 1);
    for line in [
        &["deliveries", "replay"][..],
        &["deliveries", "replay", "--given-up"],
        &["deliveries", "replay", GIVEN_UP, "--given-up", "--channel", "hook"],
        &["deliveries", "list", "--state", "lost"],
    ] {
        assert_eq!(fake.run(line).0, 2, "{line:?}");
    }
}

#[test]
fn a_ping_tells_whether_the_channel_took_it() {
    let fake = Fake::start();
    let (exit, out, err) = fake.run(&["deliveries", "ping", "--channel", "good"]);
    assert_eq!(exit, 0, "{err}");
    assert!(out.contains(DELIVERED), "{out}{err}");
    let sent = &fake.seen("POST /v1/channels/good/ping");
    assert_eq!(sent.len(), 1);
    assert!(!sent[0].headers["idempotency-key"].is_empty());
    let (exit, out, err) = fake.run(&["deliveries", "ping", "--channel", "bad"]);
    assert_eq!(exit, 1, "{err}");
    assert!(out.contains(GIVEN_UP) && err.contains("bad did not take it: connection refused"), "{out}{err}");
    assert_eq!(fake.run(&["deliveries", "ping"]).0, 2);
    assert_snapshot!("deliveries_ping_help", fake.told("deliveries ping --help"));
}
