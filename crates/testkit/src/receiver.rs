//! A real HTTP receiver of webhooks for tests: keeps all that is posted to it, and answers as it is told. It holds each
//! event to its schema and to the envelope of CloudEvents.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use axum::{
    Router,
    body::Bytes,
    extract::State,
    response::{IntoResponse as _, Response},
    routing::post,
};
use guichet_contract::event_schema;
use reqwest::{
    StatusCode,
    header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER},
};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::bench;

/// What was posted.
#[derive(Debug, Clone)]
pub struct Posted {
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, byte for byte.
    pub body: Bytes,
    /// The same as JSON; null when it is none.
    pub event: Value,
}

impl Posted {
    /// A header's text; empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

#[derive(Default)]
struct Inside {
    posted: Mutex<Vec<Posted>>,
    /// Status and how long it takes; the last one stays.
    answers: Mutex<Vec<(u16, Duration)>>,
    /// What is wrong with an event that was posted.
    faults: Mutex<Vec<String>>,
    /// `Retry-After` of every answer.
    retry_after: Mutex<Option<HeaderValue>>,
}

/// A receiver that is served.
pub struct Receiver {
    /// Where it is posted to.
    pub url: String,
    inside: Arc<Inside>,
    stop: CancellationToken,
}

impl Receiver {
    /// Serves it. It answers with these statuses, each after so long, one after the other; the last one stays. With none
    /// it answers 204 at once.
    ///
    /// # Errors
    /// No port.
    pub async fn serve(answers: &[(u16, Duration)]) -> anyhow::Result<Self> {
        let inside = Arc::new(Inside::default());
        inside.answers.lock().unwrap_or_else(PoisonError::into_inner).extend(answers.iter().rev());
        let stop = CancellationToken::new();
        let router = Router::new().route("/hook", post(take)).with_state(Arc::clone(&inside));
        let base = bench::serve(router, &stop).await.context("no receiver")?;
        Ok(Self { url: format!("{base}/hook"), inside, stop })
    }

    /// From now on every answer asks not to be asked again before so many seconds.
    pub fn ask_for_pauses(&self, seconds: u64) {
        *self.inside.retry_after.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(HeaderValue::from(seconds));
    }

    /// From now on it answers with these, as [`Receiver::serve`] says.
    pub fn answer(&self, answers: &[(u16, Duration)]) {
        let mut kept = self.inside.answers.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = answers.iter().rev().copied().collect();
    }

    /// All that was posted so far, in order.
    ///
    /// # Panics
    /// When an event is not what its schema says.
    pub fn posted(&self) -> Vec<Posted> {
        let faults = self.inside.faults.lock().unwrap_or_else(PoisonError::into_inner).clone();
        assert!(faults.is_empty(), "events that are not what their schemas say: {faults:#?}");
        self.inside.posted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was posted on this occasion.
    pub fn told(&self, occasion: &str) -> Vec<Posted> {
        self.posted().into_iter().filter(|posted| posted.event["data"]["occasion"] == occasion).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn take(State(inside): State<Arc<Inside>>, headers: HeaderMap, body: Bytes) -> Response {
    let event: Value = serde_json::from_slice(&body).unwrap_or_default();
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if kind.starts_with("application/cloudevents+json") {
        inside.faults.lock().unwrap_or_else(PoisonError::into_inner).extend(faults_of(&event));
    }
    inside.posted.lock().unwrap_or_else(PoisonError::into_inner).push(Posted { headers, body, event });
    let (status, after) = {
        let mut answers = inside.answers.lock().unwrap_or_else(PoisonError::into_inner);
        match answers.len() {
            0 => (204, Duration::ZERO),
            1 => answers[0],
            _ => answers.pop().unwrap_or((204, Duration::ZERO)),
        }
    };
    tokio::time::sleep(after).await;
    let mut response = StatusCode::from_u16(status).unwrap_or(StatusCode::NO_CONTENT).into_response();
    if let Some(pause) = inside.retry_after.lock().unwrap_or_else(PoisonError::into_inner).clone() {
        response.headers_mut().insert(RETRY_AFTER, pause);
    }
    response
}

/// What is wrong with it, by the schema of its type.
fn faults_of(event: &Value) -> Vec<String> {
    let kind = event["type"].as_str().unwrap_or_default();
    let Some(occasion) =
        event_schema::occasion_of(kind).filter(|_| kind.starts_with(event_schema::TYPE_PREFIX))
    else {
        return vec![format!("`{kind}` is no type of event")];
    };
    let schema = event_schema::event_schema(occasion);
    let validator = match jsonschema::options().should_validate_formats(true).build(&schema) {
        Ok(validator) => validator,
        Err(error) => return vec![format!("the schema of {kind} is none: {error}")],
    };
    validator.iter_errors(event).map(|error| format!("{kind} {}: {error}", error.instance_path())).collect()
}
