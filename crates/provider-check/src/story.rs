//! A long action's stream, heard to its end, and a run of it call by call.

use futures_util::StreamExt as _;
use guichet_contract::sse::SseParser;
use serde_json::{Map, Value, json};

use crate::{Kit, answer::Not, call::Call, keys};

/// All that one call told.
#[derive(Debug)]
pub(crate) struct Story {
    pub(crate) sent: String,
    /// Name of each event and what it says, in order; the outcome is among them.
    pub(crate) events: Vec<(String, Value)>,
}

impl Story {
    /// Calls and hears the stream to its end.
    pub(crate) async fn of(call: &Call<'_>) -> Result<Self, Not> {
        let sent = call.told();
        let wrong = |expected: &str, came: &str| Not::held(&sent, expected, came);
        let answer = call.begin().await.map_err(|why| wrong("a stream", &format!("no answer: {why}")))?;
        let status = answer.status().as_u16();
        let kind = answer.headers().get("content-type").and_then(|kind| kind.to_str().ok());
        let kind = kind.unwrap_or_default().to_owned();
        if status != 200 || !kind.starts_with("text/event-stream") {
            let body = answer.text().await.unwrap_or_default();
            let body: String = body.chars().take(600).collect();
            return Err(wrong("200 and text/event-stream", &format!("{status}, {kind}: {body}")));
        }
        let mut pieces = answer.bytes_stream();
        let (mut parser, mut events) = (SseParser::default(), Vec::new());
        while let Some(piece) = pieces.next().await {
            let Ok(piece) = piece else { break };
            let heard =
                parser.push(&piece).map_err(|_| wrong("events of a bounded size", "one without end"))?;
            for event in heard {
                let data = serde_json::from_str(&event.data).map_err(|_| {
                    wrong(
                        "JSON in the `data` of each event",
                        &format!("event {}: data {}", event.event, event.data),
                    )
                })?;
                events.push((event.event, data));
            }
        }
        Ok(Self { sent, events })
    }

    /// That something else was expected.
    pub(crate) fn not(&self, expected: &str) -> Not {
        let told: Vec<String> = self.events.iter().map(|(name, data)| format!("{name} {data}")).collect();
        let told = if told.is_empty() { "a stream without events".to_owned() } else { told.join("; ") };
        Not::held(&self.sent, expected, &told)
    }

    /// The outcome, which is the last event, and the only one of its kind.
    pub(crate) fn outcome(&self) -> Result<&Value, Not> {
        let outcomes = self.events.iter().filter(|(name, _)| name == "outcome").count();
        match self.events.last() {
            Some((name, data)) if name == "outcome" && outcomes == 1 => Ok(data),
            _ => Err(self.not("exactly one event `outcome`, the last of the stream")),
        }
    }

    /// The outcome, which has this status.
    pub(crate) fn ends(&self, status: &str) -> Result<&Value, Not> {
        let outcome = self.outcome()?;
        if outcome.get("status").and_then(Value::as_str) == Some(status) {
            return Ok(outcome);
        }
        Err(self.not(&format!("`outcome` with the status `{status}`")))
    }

    /// Names of the steps that it tells in this state.
    pub(crate) fn steps(&self, state: &str) -> Vec<String> {
        let steps = self.events.iter().filter(|(name, data)| name == "step" && data["state"] == state);
        steps.filter_map(|(_, data)| data["name"].as_str().map(str::to_owned)).collect()
    }
}

/// A run of `conformance-build`, as the gateway brings it on.
pub(crate) struct Run<'k> {
    kit: &'k Kit,
    input: Value,
    id: String,
    pub(crate) journal: Map<String, Value>,
    pub(crate) cancelled: bool,
    pub(crate) calls: usize,
    /// Steps that were told as done, in order.
    pub(crate) done: Vec<String>,
}

impl<'k> Run<'k> {
    pub(crate) fn new(kit: &'k Kit, input: Value) -> Self {
        let (journal, done) = (Map::new(), Vec::new());
        Self { kit, input, id: keys::fresh_id(), journal, cancelled: false, calls: 0, done }
    }

    pub(crate) fn for_run(mut self, id: &str) -> Self {
        id.clone_into(&mut self.id);
        self
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// The next call, not yet made.
    pub(crate) fn next(&self) -> Result<Call<'k>, Not> {
        let call = self.kit.call("conformance-build", self.input.clone())?.for_run(&self.id);
        let call = call.handing(&self.journal);
        Ok(if self.cancelled { call.header("guichet-cancel", "asked") } else { call })
    }

    /// One call; what it told as done is in the journal of the next.
    pub(crate) async fn call(&mut self) -> Result<Story, Not> {
        let story = Story::of(&self.next()?).await?;
        self.calls += 1;
        for (name, data) in &story.events {
            if name == "step" && data["state"] == "done" {
                let step = data["name"].as_str().unwrap_or_default().to_owned();
                self.done.push(step.clone());
                let _ = self.journal.insert(step, data["result"].clone());
            }
        }
        let outcome = story.outcome()?;
        if outcome["status"] == "waiting" {
            let (Some(name), Some(until)) = (outcome["name"].as_str(), outcome["until"].as_str()) else {
                return Err(story.not("`name` and `until` in an outcome `waiting`"));
            };
            let _ = self.journal.insert(name.to_owned(), json!({"until": until}));
        }
        Ok(story)
    }

    /// Calls until it is no longer only noted.
    pub(crate) async fn finish(&mut self) -> Result<Story, Not> {
        loop {
            let before = self.journal.len();
            let story = self.call().await?;
            if story.outcome()?["status"] != "noted" {
                return Ok(story);
            }
            if self.journal.len() == before {
                return Err(story.not("a step that is new with each `noted`"));
            }
        }
    }
}
