//! A long action tells its story as an event stream: log, progress, step, and at last the outcome.

use guichet_contract::{Effect, Problem, StepState, code, sse::SseParser};
use guichet_operations::{Advanced, ProviderError, Reporter, Told};
use http_body_util::BodyExt as _;
use serde_json::Value;

use crate::{answer::unreadable, provider::Provider, transport::AnswerBody};

/// Follows the stream to its outcome. A stream that ends without one tells nobody what was done.
pub(crate) async fn follow(
    provider: &Provider,
    effect: Effect,
    mut body: AnswerBody,
    reporter: &dyn Reporter,
) -> Result<Advanced, ProviderError> {
    let mut parser = SseParser::default();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| cut(provider, effect, &error.to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        let events = parser.push(&data).map_err(|_| cut(provider, effect, "an event was too large"))?;
        for event in events {
            let told: Value = serde_json::from_str(&event.data).unwrap_or(Value::String(event.data));
            match event.event.as_str() {
                "outcome" => {
                    return outcome(provider, &told)
                        .ok_or_else(|| cut(provider, effect, "its outcome cannot be read"));
                }
                "log" => {
                    reporter.tell(Told::Log(text(&told, "line").unwrap_or_else(|| told.to_string()))).await;
                }
                "progress" => {
                    let percent =
                        told.get("percent").and_then(Value::as_f64).map(|percent| percent.clamp(0.0, 100.0));
                    reporter.tell(Told::Progress { percent, message: text(&told, "message") }).await;
                }
                "step" => {
                    let name = text(&told, "name").unwrap_or_default();
                    let state: Option<StepState> = text(&told, "state").and_then(|state| state.parse().ok());
                    let result = told.get("result").cloned();
                    reporter.tell(Told::Step { name, state: state.unwrap_or_default(), result }).await;
                }
                _ => {}
            }
        }
    }
    Err(cut(provider, effect, "the stream ended without an outcome"))
}

/// What an outcome says; none when it says nothing that we know, which is no outcome.
pub(crate) fn outcome(provider: &Provider, told: &Value) -> Option<Advanced> {
    match told.get("status").and_then(Value::as_str)? {
        "succeeded" => Some(Advanced::Done(told.get("result").cloned().unwrap_or(Value::Null))),
        "failed" => Some(Advanced::Failed(problem_of(provider, told))),
        "cancelled" => {
            let says = told.get("problem").is_some_and(|problem| !problem.is_null());
            Some(Advanced::Cancelled(says.then(|| problem_of(provider, told))))
        }
        "noted" => Some(Advanced::Noted),
        "waiting" => {
            Some(Advanced::Waiting { name: text(told, "name")?, until: text(told, "until")?.parse().ok()? })
        }
        _ => None,
    }
}

fn problem_of(provider: &Provider, told: &Value) -> Problem {
    let problem = told.get("problem");
    let detail = problem
        .and_then(|problem| text(problem, "detail").or_else(|| text(problem, "title")))
        .unwrap_or_else(|| format!("provider {} reports a failure without a reason", provider.name));
    let mut failed = Problem::new(code::PROVIDER_FAILED, detail);
    failed.next = problem.and_then(|problem| text(problem, "next"));
    failed
}

fn text(value: &Value, name: &str) -> Option<String> {
    value.get(name).and_then(Value::as_str).map(str::to_owned)
}

fn cut(provider: &Provider, effect: Effect, why: &str) -> ProviderError {
    unreadable(provider, effect, code::PROVIDER_SILENT, &format!("stopped telling before the end: {why}"))
}
