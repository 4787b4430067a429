//! Long actions: what their streams tell, and that they go on without a listener.

use std::time::Duration;

use serde_json::{Value, json};

use super::Ended;
use crate::{Kit, answer::Not, story::Story};

pub(super) async fn told(kit: &Kit) -> Ended {
    let name = crate::fresh("told");
    let story = Story::of(&kit.call("conformance-tell", json!({"name": name}))?).await?;
    if story.ends("succeeded")?["result"] != json!({"told": name}) {
        return Err(story.not(&format!("`result`: {{\"told\": \"{name}\"}}")));
    }
    for (event, data) in &story.events {
        let text = |name: &str| data.get(name).is_some_and(Value::is_string);
        let right = match event.as_str() {
            "log" => text("line"),
            "progress" => data.get("percent").is_none_or(|percent| {
                percent.is_null() || percent.as_f64().is_some_and(|p| (0.0..=100.0).contains(&p))
            }),
            "step" => {
                text("name")
                    && ["noted", "began", "done", "failed"].iter().any(|state| data["state"] == *state)
            }
            "outcome" => true,
            _ => false,
        };
        if !right {
            return Err(
                story.not("events `log {line}`, `progress {percent, message}`, `step {name, state, result}`")
            );
        }
    }
    let has = |wanted: &str| story.events.iter().any(|(name, _)| name == wanted);
    if !["log", "progress", "step"].iter().all(|name| has(name)) {
        return Err(story.not("`log`, `progress` and `step` before the outcome"));
    }
    kit.done(&name, 1, &story.sent).await
}

pub(super) async fn failed(kit: &Kit) -> Ended {
    let call = kit.call("conformance-tell", json!({"name": crate::fresh("failed"), "fail": true}))?;
    let story = Story::of(&call).await?;
    let problem = &story.ends("failed")?["problem"];
    if problem["detail"].as_str().is_some_and(|text| !text.is_empty()) {
        Ok(())
    } else {
        Err(story.not("`problem` with `detail`"))
    }
}

pub(super) async fn again(kit: &Kit) -> Ended {
    let name = crate::fresh("again");
    let call = kit.call("conformance-tell", json!({"name": name}))?;
    let first = Story::of(&call).await?;
    let second = Story::of(&call).await?;
    if first.outcome()? != second.outcome()? {
        return Err(second.not("the same outcome as the first time"));
    }
    kit.done(&name, 1, &second.sent).await
}

pub(super) async fn goes_on(kit: &Kit) -> Ended {
    let name = crate::fresh("goes-on");
    let call = kit.call("conformance-tell", json!({"name": name, "milliseconds": 1_500}))?;
    if tokio::time::timeout(Duration::from_millis(400), Story::of(&call)).await.is_ok() {
        return Err(Not::held(&call.told(), "a stream of 1.5 s", "it ended within 400 ms"));
    }
    let story = Story::of(&call).await?;
    let _ = story.ends("succeeded")?;
    kit.done(&name, 1, &story.sent).await
}
