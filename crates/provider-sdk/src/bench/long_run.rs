//! A run of a long action on the bench: call by call, as a gateway brings one on.

use guichet_contract::{Clock as _, Digest, Problem, SystemClock, code, sse::SseParser};
use http_body_util::BodyExt as _;
use serde_json::{Map, Value, json};

use super::Bench;

/// One run. Each call may go to another [`Bench`], which is another process of the provider, with a memory of its own.
pub struct LongRun {
    operation: String,
    input: Value,
    /// Its id: the `Idempotency-Key` of each call.
    pub id: String,
    /// The steps that are durable, with their results.
    pub journal: Map<String, Value>,
    /// All that was told, in order: the name of the event and what it says.
    pub told: Vec<(String, Value)>,
    /// How many calls were made.
    pub calls: usize,
    /// Whether the next call says that somebody wants it stopped.
    pub cancelled: bool,
}

impl LongRun {
    /// A run that was not called for yet.
    pub fn new(operation: impl Into<String>, input: Value) -> Self {
        Self {
            operation: operation.into(),
            input,
            id: SystemClock.new_uuid().to_string(),
            journal: Map::new(),
            told: Vec::new(),
            calls: 0,
            cancelled: false,
        }
    }

    /// One call, to the end of its stream: the outcome, such as `{"status": "noted"}`; none when the stream was cut.
    ///
    /// # Errors
    /// An answer that is no stream.
    pub async fn call(&mut self, bench: &Bench) -> Result<Option<Value>, Box<Problem>> {
        self.calls += 1;
        let journal = Value::Object(self.journal.clone());
        let request = bench.request(&self.operation, &self.input, |call| {
            let call = call.as_run(&self.id);
            let call = if self.cancelled { call.header("guichet-cancel", "asked") } else { call };
            if self.journal.is_empty() {
                return call;
            }
            call.claim("journal", json!(Digest::of_json(&journal))).header("guichet-journal", "body")
        })?;
        let request = if self.journal.is_empty() { request } else { with_journal(request, &journal).await? };
        let response = bench.send(request).await;
        if !response.status().is_success() {
            super::result_of(response).await?;
            return Ok(None);
        }
        let mut body = response.into_body();
        let mut parser = SseParser::default();
        let unclear = |error: String| Problem::new(code::PROVIDER_PROTOCOL, error);
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|error| unclear(error.to_string()))?.into_data() else { continue };
            for event in parser.push(&data).map_err(|_| unclear("an event has no end".to_owned()))? {
                let data: Value = serde_json::from_str(&event.data).unwrap_or_default();
                if event.event == "step" && data["state"] == "done" {
                    let name = data["name"].as_str().unwrap_or_default().to_owned();
                    let _ = self.journal.insert(name, data["result"].clone());
                }
                if event.event == "outcome" {
                    if data["status"] == "waiting" {
                        let name = data["name"].as_str().unwrap_or_default().to_owned();
                        let _ = self.journal.insert(name, json!({"until": data["until"]}));
                    }
                    return Ok(Some(data));
                }
                self.told.push((event.event, data));
            }
        }
        Ok(None)
    }

    /// Calls until it ends, or only waits.
    ///
    /// # Errors
    /// An answer that is no stream; a stream that is cut.
    pub async fn to_its_end(&mut self, bench: &Bench) -> Result<Value, Box<Problem>> {
        loop {
            match self.call(bench).await? {
                Some(outcome) if outcome["status"] == "noted" => {}
                Some(outcome) => return Ok(outcome),
                None => return Err(Problem::new(code::PROVIDER_SILENT, "the stream was cut").into()),
            }
        }
    }

    /// The steps that were told as done, in order.
    pub fn done(&self) -> Vec<&str> {
        let steps = self.told.iter().filter(|(event, data)| event == "step" && data["state"] == "done");
        steps.filter_map(|(_, data)| data["name"].as_str()).collect()
    }
}

async fn with_journal(
    request: http::Request<axum::body::Body>,
    journal: &Value,
) -> Result<http::Request<axum::body::Body>, Box<Problem>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(|error| Problem::new(code::INTERNAL, error.to_string()))?;
    let input: Value = serde_json::from_slice(&body.to_bytes()).unwrap_or_default();
    let both = json!({"input": input, "journal": journal});
    Ok(http::Request::from_parts(parts, axum::body::Body::from(both.to_string())))
}
