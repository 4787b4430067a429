//! A long action tells its story as an event stream: log, progress, step, and at last the outcome.

use guichet_contract::{Effect, Problem, code, sse::SseParser};
use guichet_operations::{ProviderError, Reporter, Told};
use http_body_util::BodyExt as _;
use serde_json::Value;

use crate::{answer::unreadable, provider::Provider, transport::AnswerBody};

/// Follows the stream to its outcome. A stream that ends without one tells nobody what was done.
pub(crate) async fn follow(
    provider: &Provider,
    effect: Effect,
    mut body: AnswerBody,
    reporter: &dyn Reporter,
) -> Result<Value, ProviderError> {
    let mut parser = SseParser::default();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| cut(provider, effect, &error.to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        let events = parser.push(&data).map_err(|_| cut(provider, effect, "an event was too large"))?;
        for event in events {
            let told: Value = serde_json::from_str(&event.data).unwrap_or(Value::String(event.data));
            match event.event.as_str() {
                "outcome" => return outcome(provider, &told),
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
                    reporter.tell(Told::Step { name, result: told.get("result").cloned() }).await;
                }
                _ => {}
            }
        }
    }
    Err(cut(provider, effect, "the stream ended without an outcome"))
}

fn outcome(provider: &Provider, told: &Value) -> Result<Value, ProviderError> {
    if told.get("status").and_then(Value::as_str) == Some("succeeded") {
        return Ok(told.get("result").cloned().unwrap_or(Value::Null));
    }
    let problem = told.get("problem");
    let detail = problem
        .and_then(|problem| text(problem, "detail").or_else(|| text(problem, "title")))
        .unwrap_or_else(|| format!("provider {} reports a failure without a reason", provider.name));
    let mut failed = Problem::new(code::PROVIDER_FAILED, detail);
    failed.next = problem.and_then(|problem| text(problem, "next"));
    Err(ProviderError::Failed(failed))
}

fn text(value: &Value, name: &str) -> Option<String> {
    value.get(name).and_then(Value::as_str).map(str::to_owned)
}

fn cut(provider: &Provider, effect: Effect, why: &str) -> ProviderError {
    unreadable(provider, effect, code::PROVIDER_SILENT, &format!("stopped telling before the end: {why}"))
}
