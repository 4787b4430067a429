//! Changes: done once, answered as often as asked, and «not done» kept apart from «nobody knows».

use std::time::Duration;

use serde_json::json;

use super::Ended;
use crate::{Kit, answer::Not};

pub(super) async fn unknown_mode(kit: &Kit) -> Ended {
    let name = crate::fresh("mode");
    let call = kit.call("conformance-add", json!({"name": name, "amount": 1}))?.mode("rehearse");
    let answer = call.send().await?;
    kit.done(&name, 0, &answer.sent).await?;
    if (400..500).contains(&answer.status) { Ok(()) } else { Err(answer.not("4xx: there is no such mode")) }
}

pub(super) async fn done(kit: &Kit) -> Ended {
    let name = crate::fresh("done");
    let call = kit.call("conformance-add", json!({"name": name, "amount": 3, "note": null}))?;
    let answer = call.send().await?;
    let told = answer.result("its result")?;
    kit.done(&name, 1, &answer.sent).await?;
    let (run, by) = (json!(call.run()), json!(["omar"]));
    if told["added"] == 3 && told["run"] == run && told["approved_by"] == by {
        return Ok(());
    }
    Err(answer.not(&format!("`added`: 3, `run`: {run} and `approved_by`: {by}")))
}

pub(super) async fn null(kit: &Kit) -> Ended {
    let answer = kit.call("conformance-remove", json!({"name": crate::fresh("null")}))?.send().await?;
    match answer.result("null")? {
        serde_json::Value::Null => Ok(()),
        _ => Err(answer.not("204, or 200 with `null`")),
    }
}

pub(super) async fn again(kit: &Kit) -> Ended {
    let name = crate::fresh("again");
    let call = kit.call("conformance-add", json!({"name": name, "amount": 1}))?;
    let first = call.send().await?;
    let told = first.result("its result")?;
    for _ in 0..2 {
        let second = call.send().await?;
        if second.result("the same result")? != told {
            return Err(second.not(&format!("the same as before: {told}")));
        }
    }
    // A token of its own each time, as the gateway makes them.
    let anew = kit.call("conformance-add", json!({"name": name, "amount": 1}))?.for_run(&call.run());
    let third = anew.send().await?;
    if third.result("the same result")? != told {
        return Err(third.not(&format!("the same as before: {told}")));
    }
    kit.done(&name, 1, "the same call four times").await?;
    let refused = crate::fresh("refused");
    let call = kit.call("conformance-add", json!({"name": refused, "amount": 1}))?;
    let (first, second) = (call.send().await?, call.send().await?);
    if first.status == second.status && first.body == second.body {
        Ok(())
    } else {
        Err(second.not("the same problem as before"))
    }
}

pub(super) async fn again_meanwhile(kit: &Kit) -> Ended {
    let name = crate::fresh("slow");
    let call = kit.call("conformance-add", json!({"name": name, "amount": 1}))?;
    let (first, second) = tokio::join!(call.send(), call.send());
    let (first, second) = (first?, second?);
    let told = first.result("its result")?;
    if second.result("the result of the first")? != told {
        return Err(second.not(&format!("the same as the first call: {told}")));
    }
    kit.done(&name, 1, "the same call twice at once").await
}

pub(super) async fn conflict(kit: &Kit) -> Ended {
    let name = crate::fresh("conflict");
    let call = kit.call("conformance-add", json!({"name": name, "amount": 1}))?;
    let _ = call.send().await?.result("its result")?;
    let other = kit.call("conformance-add", json!({"name": name, "amount": 2}))?.for_run(&call.run());
    let answer = other.send().await?;
    let _ = answer.problem(&[409], "the key was used with another input")?;
    kit.done(&name, 1, &answer.sent).await
}

pub(super) async fn goes_on(kit: &Kit) -> Ended {
    let name = crate::fresh("slow");
    let call = kit.call("conformance-add", json!({"name": name, "amount": 1}))?;
    if let Ok(early) = tokio::time::timeout(Duration::from_millis(400), call.send()).await {
        return Err(early?.not("no answer within 400 ms: names that begin with `slow` take 1.5 s"));
    }
    let answer = call.send().await?;
    let _ = answer.result("the result of what went on")?;
    kit.done(&name, 1, "a call that was hung up after 400 ms, and once more").await
}

pub(super) async fn refused(kit: &Kit) -> Ended {
    let name = crate::fresh("refused");
    let answer = kit.call("conformance-add", json!({"name": name, "amount": 1}))?.send().await?;
    let problem = answer.problem(&[409], "why it was not done")?;
    if problem["next"].as_str().is_none_or(str::is_empty)
        || problem["detail"].as_str().is_none_or(str::is_empty)
    {
        return Err(answer.not("`detail` and `next` with the action's own words"));
    }
    kit.done(&name, 0, &answer.sent).await
}

pub(super) async fn broken(kit: &Kit) -> Ended {
    let name = crate::fresh("broken");
    let call = kit.call("conformance-add", json!({"name": name, "amount": 1}))?;
    let Ok(answer) = call.heard().await else { return kit.done(&name, 1, &call.told()).await };
    if !answer.is_unknown() {
        return Err(answer.not("a 5xx that is no application/problem+json, or no answer at all"));
    }
    kit.done(&name, 1, &answer.sent).await?;
    // Whoever asks again must not make it do it twice.
    if let Ok(again) = call.heard().await
        && !again.is_unknown()
    {
        return Err(again.not("still no word on how far it came"));
    }
    kit.done(&name, 1, "the same call once more").await
}

pub(super) async fn destroys(kit: &Kit) -> Ended {
    let name = format!("{}/é %", crate::fresh("destroys"));
    let input = json!({"name": name, "reason": "no longer needed; 100%"});
    let answer = kit.call("conformance-remove", input)?.send().await?;
    let _ = answer.result("null")?;
    if (200..300).contains(&answer.status) {
        kit.done(&name, 1, &answer.sent).await
    } else {
        Err(Not::held(&answer.sent, "2xx", "another status"))
    }
}
