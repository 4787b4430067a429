//! The client against a gateway that restarts, refuses, and is not one.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests stand outside the functions that clippy knows as tests"
)]

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use futures_util::StreamExt as _;
use guichet_client::{Client, Error, Secret, Timeouts};
use guichet_contract::{EventKind, RunEvent, RunId, RunState, Surface};

type Script = Arc<Mutex<(VecDeque<Response>, Vec<HeaderMap>)>>;

const RUN: &str = "0199aaaa-bbbb-7ccc-8ddd-eeee1a2b3c4d";

/// Answers every request with the next of these.
async fn gateway(answers: Vec<Response>) -> (Client, Script) {
    async fn answer(State(script): State<Script>, headers: HeaderMap) -> Response {
        let mut script = script.lock().unwrap();
        script.1.push(headers);
        script.0.pop_front().unwrap_or_else(|| StatusCode::IM_A_TEAPOT.into_response())
    }
    let script: Script = Arc::new(Mutex::new((answers.into(), Vec::new())));
    let app = Router::new().route("/v1/{*any}", get(answer)).with_state(script.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async { axum::serve(listener, app).await.unwrap() });
    let client = Client::new(&url, Some(Secret::new("t0ken")), Surface::Cli, Timeouts::default()).unwrap();
    (client, script)
}

fn stream(text: String) -> Response {
    ([(header::CONTENT_TYPE, "text/event-stream")], text).into_response()
}

fn state(seq: u64, state: &str) -> String {
    format!(
        "id: {seq}\nevent: state\ndata: {{\"run\":\"{RUN}\",\"seq\":{seq},\"at\":\"2026-11-21T08:00:00Z\",\
         \"kind\":\"state\",\"state\":\"{state}\"}}\n\n"
    )
}

fn run_id() -> RunId {
    RUN.parse().unwrap()
}

#[tokio::test]
async fn events_come_once_and_in_order_through_lost_connections() {
    let (client, script) = gateway(vec![
        stream(state(1, "awaiting_approval") + "id: 2\nevent: state\ndata: {\"half"),
        (StatusCode::BAD_GATEWAY, "<html>").into_response(),
        stream(state(1, "awaiting_approval") + &state(2, "queued")),
        stream(": keep-alive\r\n\r\n".to_owned() + &state(3, "running") + &state(4, "succeeded")),
    ])
    .await;
    let events: Vec<RunEvent> = client.follow_run(run_id(), None).map(|event| event.unwrap()).collect().await;
    let states: Vec<(u64, RunState)> = events
        .into_iter()
        .map(|event| match event.kind {
            EventKind::State { state, .. } => (event.seq, state),
            other => panic!("{other:?}"),
        })
        .collect();
    let expected = [RunState::AwaitingApproval, RunState::Queued, RunState::Running, RunState::Succeeded];
    assert_eq!(states, (1..).zip(expected).collect::<Vec<_>>());
    let asked = script.lock().unwrap();
    let resumed: Vec<Option<&str>> =
        asked.1.iter().map(|headers| headers.get("last-event-id").map(|id| id.to_str().unwrap())).collect();
    assert_eq!(resumed, [None, Some("1"), Some("1"), Some("2")]);
}

#[tokio::test]
async fn a_gateway_with_too_many_followers_is_asked_again() {
    let busy =
        guichet_contract::Problem::new(guichet_contract::code::TOO_MANY_REQUESTS, "all streams are taken");
    let busy = (StatusCode::TOO_MANY_REQUESTS, axum::Json(busy)).into_response();
    let (client, _) = gateway(vec![busy, stream(state(1, "succeeded"))]).await;
    let events: Vec<_> = client.follow_run(run_id(), None).collect().await;
    assert!(matches!(&events[..], [Ok(event)] if event.seq == 1), "{events:?}");
}

#[tokio::test]
async fn a_refusal_ends_the_stream_with_its_words() {
    let problem = guichet_contract::Problem::new(guichet_contract::code::UNKNOWN_RUN, "no such run");
    let (client, _) = gateway(vec![(StatusCode::NOT_FOUND, axum::Json(problem)).into_response()]).await;
    let events: Vec<_> = client.follow_run(run_id(), Some(7)).collect().await;
    assert!(
        matches!(&events[..], [Err(Error::Problem(problem))] if problem.code == "unknown-run"),
        "{events:?}"
    );
}

#[tokio::test]
async fn a_token_does_not_follow_a_redirect() {
    let elsewhere = (StatusCode::FOUND, [(header::LOCATION, "https://elsewhere.example/")]).into_response();
    let (client, script) = gateway(vec![elsewhere]).await;
    let error = client.who_am_i().await.unwrap_err();
    assert!(matches!(&error, Error::Protocol { .. }), "{error:?}");
    assert!(error.to_string().contains("https://elsewhere.example/"), "{error}");
    let asked = script.lock().unwrap();
    assert_eq!(asked.1.len(), 1);
    assert_eq!(asked.1[0][header::AUTHORIZATION], "Bearer t0ken");
    assert_eq!(asked.1[0]["guichet-surface"], "cli");
}

#[tokio::test]
async fn what_is_no_gateway_is_told_apart_from_what_is_not_there() {
    let (client, _) = gateway(vec![(StatusCode::OK, "<html>").into_response()]).await;
    assert!(matches!(client.get_run(RUN).await.unwrap_err(), Error::Protocol { status: Some(200), .. }));
    let unused = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let nobody = Client::new(&format!("http://{unused}"), None, Surface::Rest, Timeouts::default()).unwrap();
    let error = nobody.get_run(RUN).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }) && error.is_passing(), "{error:?}");
}

#[tokio::test]
async fn an_export_gives_lines_as_they_were_hashed() {
    let (client, _) = gateway(vec!["{\"a\" : 1}\n{\"b\":\"é\"}\n".into_response()]).await;
    let lines: Vec<Vec<u8>> =
        client.export_records(0).await.unwrap().lines.map(|line| line.unwrap()).collect().await;
    assert_eq!(lines, ["{\"a\" : 1}".as_bytes(), "{\"b\":\"é\"}".as_bytes()]);
}
