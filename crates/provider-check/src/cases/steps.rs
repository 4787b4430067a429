//! Resumable actions: the journal is honoured, pauses hold nothing, what failed is undone, and it can be stopped.

use std::time::Duration;

use guichet_contract::{Clock as _, SystemClock};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::Ended;
use crate::{
    Kit,
    answer::Not,
    story::{Run, Story},
};

async fn each_done(kit: &Kit, name: &str, times: &[(&str, u64)], after: &str) -> Ended {
    for (what, times) in times {
        kit.done(&format!("{name}/{what}"), *times, after).await?;
    }
    Ok(())
}

pub(super) async fn noted(kit: &Kit) -> Ended {
    let name = crate::fresh("build");
    let mut run = Run::new(kit, json!({"name": name}));
    let story = run.call().await?;
    let _ = story.ends("noted")?;
    if story.steps("done") != ["a"] {
        return Err(story.not("the step `a` told as done, and no other"));
    }
    each_done(kit, &name, &[("a", 1), ("b", 0)], &story.sent).await
}

pub(super) async fn to_the_end(kit: &Kit) -> Ended {
    let name = crate::fresh("build");
    let mut run = Run::new(kit, json!({"name": name}));
    let story = run.finish().await?;
    if story.ends("succeeded")?["result"] != json!(["a", "b", "c"]) {
        return Err(story.not("`result`: [\"a\", \"b\", \"c\"], the results of its steps"));
    }
    if run.done != ["a", "b", "c"] {
        return Err(Not::held(&story.sent, "the steps a, b, c", &run.done.join(", ")));
    }
    each_done(kit, &name, &[("a", 1), ("b", 1), ("c", 1), ("undo a", 0)], &story.sent).await?;
    // Whoever calls again after the end hears the end.
    let story = Story::of(&run.next()?).await?;
    let _ = story.ends("succeeded")?;
    each_done(kit, &name, &[("a", 1), ("b", 1), ("c", 1)], &story.sent).await
}

pub(super) async fn elsewhere(kit: &Kit) -> Ended {
    let name = crate::fresh("build");
    let mut run = Run::new(kit, json!({"name": name}));
    let _ = run.journal.insert("a".to_owned(), json!("a"));
    let _ = run.journal.insert("b".to_owned(), json!("b, done elsewhere"));
    let story = run.finish().await?;
    if story.ends("succeeded")?["result"] != json!(["a", "b, done elsewhere", "c"]) {
        return Err(story.not("`result`: [\"a\", \"b, done elsewhere\", \"c\"], with the journal's results"));
    }
    each_done(kit, &name, &[("a", 0), ("b", 0), ("c", 1)], &story.sent).await
}

pub(super) async fn told_again(kit: &Kit) -> Ended {
    let name = crate::fresh("build");
    let mut run = Run::new(kit, json!({"name": name}));
    let _ = run.call().await?;
    run.journal.clear();
    let story = run.call().await?;
    if story.steps("done") != ["a"] {
        return Err(story.not("the step `a` told as done once more"));
    }
    each_done(kit, &name, &[("a", 1), ("b", 0)], &story.sent).await?;
    let _ = run.finish().await?.ends("succeeded")?;
    each_done(kit, &name, &[("a", 1), ("b", 1), ("c", 1)], "the rest of the run").await
}

pub(super) async fn journal_forged(kit: &Kit) -> Ended {
    let name = crate::fresh("build");
    let mut journal = Map::new();
    let _ = journal.insert("a".to_owned(), json!("forged"));
    let call = || kit.call("conformance-build", json!({"name": name}));
    for forged in [
        call()?.handing(&journal).claim("journal", Value::Null),
        call()?.handing(&journal).claim("journal", json!(guichet_contract::Digest::of_json(&json!({})))),
        // Named in the token, and not handed over.
        call()?.claim("journal", json!(guichet_contract::Digest::of_json(&Value::Object(journal.clone())))),
    ] {
        forged.send().await?.denied("the token names another journal than the call carries")?;
    }
    each_done(kit, &name, &[("a", 0), ("b", 0)], "calls with a forged journal").await
}

pub(super) async fn journal_where_none(kit: &Kit) -> Ended {
    let name = crate::fresh("journal");
    let mut journal = Map::new();
    let _ = journal.insert("a".to_owned(), json!(1));
    let answer =
        kit.call("conformance-add", json!({"name": name, "amount": 1}))?.handing(&journal).send().await?;
    kit.done(&name, 0, &answer.sent).await?;
    if (400..500).contains(&answer.status) {
        Ok(())
    } else {
        Err(answer.not("4xx: the action keeps no journal"))
    }
}

pub(super) async fn pause(kit: &Kit) -> Ended {
    let name = crate::fresh("build");
    let mut run = Run::new(kit, json!({"name": name, "pause": 1_500}));
    let story = run.finish().await?;
    let outcome = story.ends("waiting")?.clone();
    let until: Option<Timestamp> = outcome["until"].as_str().and_then(|until| until.parse().ok());
    let Some(until) = until else { return Err(story.not("`until`, a moment as RFC 3339 writes it")) };
    each_done(kit, &name, &[("a", 1), ("b", 1), ("c", 0)], &story.sent).await?;
    let early = Story::of(&run.next()?).await?;
    if early.ends("waiting")?["until"].as_str().and_then(|again| again.parse().ok()) != Some(until) {
        return Err(early.not(&format!("`waiting` until the same moment, {until}: it is not over")));
    }
    let left = until.duration_since(SystemClock.now());
    tokio::time::sleep(Duration::try_from(left).unwrap_or_default() + Duration::from_millis(50)).await;
    let story = run.finish().await?;
    let _ = story.ends("succeeded")?;
    each_done(kit, &name, &[("a", 1), ("b", 1), ("c", 1)], &story.sent).await
}

pub(super) async fn undone(kit: &Kit) -> Ended {
    let name = crate::fresh("build");
    let mut run = Run::new(kit, json!({"name": name, "breaks_at": "c"}));
    let story = run.finish().await?;
    let outcome = story.ends("failed")?;
    if outcome["problem"]["detail"].as_str().is_none_or(|detail| !detail.contains("c breaks")) {
        return Err(story.not("`problem` with the `detail` that the action gave: `c breaks`"));
    }
    let own: Vec<&str> =
        run.done.iter().map(String::as_str).filter(|step| step.starts_with("undo ")).collect();
    if own != ["undo c", "undo b", "undo a"] {
        return Err(Not::held(
            &story.sent,
            "the steps `undo c`, `undo b`, `undo a`, in this order",
            &own.join(", "),
        ));
    }
    let times = [("a", 1), ("b", 1), ("tried c", 1), ("undo c", 1), ("undo b", 1), ("undo a", 1)];
    each_done(kit, &name, &times, &story.sent).await
}

pub(super) async fn not_undone(kit: &Kit) -> Ended {
    let name = crate::fresh("build");
    let mut run = Run::new(kit, json!({"name": name, "breaks_at": "c", "stays": "b"}));
    let story = run.finish().await?;
    let detail = story.ends("failed")?["problem"]["detail"].as_str().unwrap_or_default();
    if !detail.contains("c breaks") || !detail.contains("b is in use") {
        return Err(
            story.not("`problem.detail` with why it failed (`c breaks`) and what is left (`b is in use`)")
        );
    }
    each_done(kit, &name, &[("undo c", 1), ("undo b", 0), ("undo a", 1)], &story.sent).await
}

pub(super) async fn undone_elsewhere(kit: &Kit) -> Ended {
    let name = crate::fresh("build");
    let input = json!({"name": name, "breaks_at": "c"});
    let mut run = Run::new(kit, input.clone());
    while !run.journal.contains_key("undo c") {
        let story = run.call().await?;
        if story.outcome()?["status"] != "noted" {
            return Err(story.not("`undo c` as a step of its own, before the outcome"));
        }
    }
    // A process that never heard of the run: here, of this key.
    let mut taken_over = Run::new(kit, input);
    taken_over.journal = run.journal.clone();
    let story = taken_over.finish().await?;
    let _ = story.ends("failed")?;
    let times = [("a", 1), ("b", 1), ("tried c", 1), ("undo c", 1), ("undo b", 1), ("undo a", 1)];
    each_done(kit, &name, &times, &story.sent).await
}

pub(super) async fn cancelled(kit: &Kit) -> Ended {
    let name = crate::fresh("build");
    let mut run = Run::new(kit, json!({"name": name}));
    let _ = run.call().await?;
    let _ = run.call().await?;
    run.cancelled = true;
    let story = run.finish().await?;
    let _ = story.ends("cancelled")?;
    let times = [("a", 1), ("b", 1), ("tried c", 0), ("undo b", 1), ("undo a", 1)];
    each_done(kit, &name, &times, &story.sent).await
}

pub(super) async fn cancelled_pause(kit: &Kit) -> Ended {
    let name = crate::fresh("build");
    let mut run = Run::new(kit, json!({"name": name, "pause": 3_600_000}));
    let _ = run.finish().await?.ends("waiting")?;
    run.cancelled = true;
    let story = run.finish().await?;
    let _ = story.ends("cancelled")?;
    each_done(kit, &name, &[("c", 0), ("undo b", 1), ("undo a", 1)], &story.sent).await?;
    // Asked once more in another process: the same end.
    let mut elsewhere = Run::new(kit, json!({"name": name, "pause": 3_600_000})).for_run(run.id());
    elsewhere.journal = run.journal.clone();
    elsewhere.cancelled = true;
    let _ = elsewhere.finish().await?.ends("cancelled")?;
    each_done(kit, &name, &[("undo b", 1), ("undo a", 1)], "the same call once more").await
}
