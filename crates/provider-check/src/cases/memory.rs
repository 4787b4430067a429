//! What a provider that remembers says of a run, and how it is stopped. Neither ever begins anything.

use std::time::Duration;

use serde_json::{Value, json};

use super::Ended;
use crate::{Kit, answer::Not, call::Call, keys, story::Story};

async fn ask(call: &Call<'_>, mode: &str) -> Result<(crate::answer::Answer, Value), Not> {
    let answer = call.clone().mode(mode).send().await?;
    let told = answer.result("what is known of the run")?;
    if !told.get("known").is_some_and(Value::is_boolean) {
        return Err(answer.not("`known`, true or false"));
    }
    Ok((answer, told))
}

/// The call, when its action declares that it remembers.
fn remembering<'k>(kit: &'k Kit, operation: &str, input: Value) -> Result<Call<'k>, Not> {
    if !kit.own(operation)?.remembers {
        return Err(Not::Skipped(format!("`{operation}` does not declare `remembers`, and is never asked")));
    }
    kit.call(operation, input)
}

pub(super) async fn unheard(kit: &Kit) -> Ended {
    for (operation, input) in [
        ("conformance-add", json!({"name": crate::fresh("unheard"), "amount": 1})),
        ("conformance-tell", json!({"name": crate::fresh("unheard")})),
        ("conformance-build", json!({"name": crate::fresh("unheard")})),
    ] {
        let name = input["name"].as_str().unwrap_or_default().to_owned();
        let (answer, told) = ask(&remembering(kit, operation, input)?, "outcome").await?;
        if told["known"] != false {
            return Err(answer.not("`known`: false"));
        }
        for what in [name.clone(), format!("{name}/a")] {
            kit.done(&what, 0, &answer.sent).await?;
        }
    }
    Ok(())
}

pub(super) async fn ended(kit: &Kit) -> Ended {
    let call = remembering(kit, "conformance-add", json!({"name": crate::fresh("ended"), "amount": 1}))?;
    let result = call.send().await?.result("its result")?;
    let (answer, told) = ask(&call, "outcome").await?;
    if told["known"] != true
        || told["outcome"]["status"] != "succeeded"
        || told["outcome"]["result"] != result
    {
        return Err(answer.not(&format!(
            "`known`: true, and `outcome`: {{\"status\": \"succeeded\", \"result\": {result}}}"
        )));
    }
    let call = remembering(kit, "conformance-add", json!({"name": crate::fresh("refused"), "amount": 1}))?;
    let _ = call.send().await?;
    let (answer, told) = ask(&call, "outcome").await?;
    let failed = told["outcome"]["status"] == "failed" && told["outcome"]["problem"]["detail"].is_string();
    if failed { Ok(()) } else { Err(answer.not("`outcome`: {\"status\": \"failed\", \"problem\": …}")) }
}

pub(super) async fn under_way(kit: &Kit) -> Ended {
    let call = remembering(kit, "conformance-add", json!({"name": crate::fresh("slow"), "amount": 1}))?;
    let asking = async {
        tokio::time::sleep(Duration::from_millis(400)).await;
        ask(&call, "outcome").await
    };
    let (done, asked) = tokio::join!(call.send(), asking);
    let _ = done?.result("its result")?;
    let (answer, told) = asked?;
    if told["known"] == true && told["under_way"] == true {
        Ok(())
    } else {
        Err(answer.not("`known`: true, `under_way`: true"))
    }
}

pub(super) async fn token(kit: &Kit) -> Ended {
    let call = remembering(kit, "conformance-add", json!({"name": crate::fresh("token"), "amount": 1}))?;
    let _ = call.send().await?.result("its result")?;
    let other = call.clone().claim("run", json!(keys::fresh_id())).mode("outcome");
    other.send().await?.denied("`run` is another than Idempotency-Key")?;
    let other = call.claim("input", Value::Null).mode("outcome");
    other.send().await?.denied("there is no `input`")
}

pub(super) async fn cancel_unheard(kit: &Kit) -> Ended {
    let name = crate::fresh("unheard");
    let call = remembering(kit, "conformance-tell", json!({"name": name}))?;
    let (answer, told) = ask(&call, "cancel").await?;
    if told["known"] != false {
        return Err(answer.not("`known`: false"));
    }
    kit.done(&name, 0, &answer.sent).await
}

pub(super) async fn cancel_under_way(kit: &Kit) -> Ended {
    let name = crate::fresh("cancelled");
    let call = remembering(kit, "conformance-tell", json!({"name": name, "milliseconds": 20_000}))?;
    let cancelling = async {
        tokio::time::sleep(Duration::from_millis(400)).await;
        ask(&call, "cancel").await
    };
    let (story, asked) = tokio::join!(Story::of(&call), cancelling);
    let (answer, told) = asked?;
    if told["known"] != true {
        return Err(answer.not("`known`: true"));
    }
    let _ = story?.ends("cancelled")?;
    let (answer, told) = ask(&call, "outcome").await?;
    if told["outcome"]["status"] == "cancelled" {
        Ok(())
    } else {
        Err(answer.not("`outcome` with the status `cancelled`"))
    }
}
